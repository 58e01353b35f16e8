"""E_avct of the mesh learned from many people: coefficients of the face basis from audio and posteriors.

No image is rendered. What is compared are the lips themselves: the points that the coefficients move.
Errors count by their squares: what is wanted of an unknown voice is the mean of what its lips may do.
Absolute errors ask for the median, and lips are shut or nearly so most of the time.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avct_jax import face_topology as topology
from avct_jax.models.mesh import speech_motion
from avct_jax.train import losses
from avct_jax.train.core import grad_accumulation, optimizer, train_state
from avct_jax.train.mesh_stages import person_embeddings
from avct_jax.train.stages import stage

PART, CODES = "speech_motion", "speech_codes"
CODE_SPREAD = 0.3  # of people's codes in the beginning
LIPS = tuple(
    dict.fromkeys(
        (
            *topology.UPPER_OUTER_LIP, *topology.LOWER_OUTER_LIP, *topology.UPPER_INNER_LIP,
            *topology.LOWER_INNER_LIP,
        )
    )
)  # fmt: skip
JAW = (152, 148, 377, 176, 400, 149, 378, 200, 199, 175)


class SpeechBatch(NamedTuple):
    """Stretches of t frames and their neighbours (m = t + 2 radius).

    Attributes:
      posteriors, poses, audio, style: see speech_motion.SpeechMotion.
      speech: coefficients, standard deviations.
      gap: of the real lips, eye distances.
      weight: of the example.
      person: row of the table of codes; people_codes.STRANGER for people who are not in the training.
    """

    posteriors: Float[Any, "b m 2 s"]
    poses: Float[Any, "b m 6"]
    audio: Float[Any, "b m 4 columns"]
    style: Float[Any, " b"]
    speech: Float[Any, "b t k"]
    gap: Float[Any, "b t"]
    weight: Float[Any, " b"]
    person: Int[Any, " b"]


@dataclasses.dataclass(frozen=True)
class SpeechStageConfig:
    """Weights and variations.

    Attributes:
      jaw: weight of the chin's points beside the lips'.
      coefficients: of the coefficients themselves, what lips and chin do not show.
      closure: of the gap between the lips where the real ones are nearer than `shut` eye distances; at 0.5 it
        shuts them too often (docs/lab-notebook, run 21).
      noise: of the audio features, whose standard deviation is about 1.
      drop: chance that an example's posteriors, or its audio, or the pose, are taken away.
      bands: spread of a random gain of each feature column: microphones and rooms.
      stranger: chance that an example is learned with the code that strangers get.
      ema_decay: share of the parameters' moving average kept each step.
    """

    jaw: float = 0.3
    coefficients: float = 0.05
    closure: float = 0.0
    shut: float = 0.03
    noise: float = 0.2
    drop: float = 0.1
    bands: float = 0.3
    stranger: float = 0.3
    ema_decay: float = 0.999


class Basis(NamedTuple):
    """The face basis where it matters: lips and chin.

    Attributes:
      lips, jaw: displacements of these points for each coefficient of 1 standard deviation.
      gap: of the opening.
    """

    lips: Float[Array, "k l 3"]
    jaw: Float[Array, "k j 3"]
    gap: Float[Array, " k"]


def basis_of(components: Float[np.ndarray, "k 478 3"], scales: Float[np.ndarray, " k"]) -> Basis:
    """Take what is compared out of a face basis; eye distances."""
    moved = components * scales[:, None, None]
    gap = speech_motion.opening(components, scales)
    return Basis(*(jnp.asarray(x, jnp.float32) for x in (moved[:, list(LIPS)], moved[:, list(JAW)], gap)))


def make_stage(
    system: speech_motion.SpeechMotionConfig,
    config: SpeechStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    basis: Basis,
    people: int,
    shipped: int = person_embeddings.STRANGER,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "speech".

    Args:
      people: of the training, who have a code each.
      shipped: the one whose code is exported and judged by; STRANGER has a learned one too.
      init: variables to begin from, by part; random where absent.
    """
    network = speech_motion.SpeechMotion(system, dtype=compute.activations)
    adam = optimizer.make_optimizer(rule)

    def step(current, frozen, batch, key):
        network_states = current.network_states
        key = jax.random.fold_in(key, current.step)

        def gradients_of(stats, part, key):
            def loss_fn(params):
                code = person_embeddings.lookup(params[CODES], part.person, params[PART]["code"])
                found = _predict(network, {"params": params[PART]}, part, code, key)
                metrics = speech_losses(config, frozen, found, part)
                return metrics["total"], metrics

            grads, metrics = jax.grad(loss_fn, has_aux=True)(
                {p: network_states[p].params for p in network_states}
            )
            return grads, stats, metrics

        grads, stats, metrics = grad_accumulation.accumulate(
            gradients_of, {p: network_states[p].batch_stats for p in network_states}, vary(config, batch,
            key), key, microbatches=compute.microbatches,
        )  # fmt: skip
        after, norm = train_state.advance(
            current, grads, stats, dict.fromkeys(network_states, adam), ema_decay=config.ema_decay
        )
        return after, metrics | norm

    def eval_step(current, frozen, batch, key):
        del key
        found = _predict(network, _shipped(current), batch)
        gap, real = found @ frozen.gap, batch.speech @ frozen.gap
        return {
            **speech_losses(config, frozen, found, batch),
            "opening_r": correlation(gap, real),
            "opening_spread": gap.std() / jnp.maximum(real.std(), 1e-6),
        }

    def initial():
        t = system.window
        zeros = lambda *shape: jnp.zeros((1, *shape))
        inputs = (
            zeros(t, system.steps, system.symbols),
            zeros(t, 6),
            zeros(t, system.rows, system.columns),
            jnp.zeros(1),
        )
        keys = jax.random.split(jax.random.key(seed))
        make = {
            PART: lambda: jax.jit(network.init)(keys[0], *inputs),
            CODES: lambda: person_embeddings.initial(keys[1], people, system.codes, spread=CODE_SPREAD),
        }
        begin = lambda name: init[name] if init and name in init else make[name]()
        return train_state.make_state({name: {"params": begin(name)["params"]} for name in make}, adam)

    def _shipped(current):
        """Averaged weights, with one code."""
        params = current.network_states[PART].ema_params
        code = person_embeddings.lookup(
            current.network_states[CODES].ema_params, jnp.array([shipped]), params["code"]
        )[0]
        return {"params": {**params, "code": code}}

    export = lambda current: {PART: _shipped(current)}
    return stage.Stage("speech", "speech", step, eval_step, None, initial, basis, export)


def _predict(network, variables, batch, code=None, key=None) -> Any:
    """Coefficients of a batch; with a key, as in training."""
    inputs = (jnp.asarray(x) for x in (batch.posteriors, batch.poses, batch.audio, batch.style))
    variables = {"params": variables["params"]}
    if key is None:
        return network.apply(variables, *inputs, code)
    return network.apply(variables, *inputs, code, train=True, rngs={"dropout": key})


def speech_losses(
    config: SpeechStageConfig, basis: Basis, found: Float[Array, "b t k"], batch: SpeechBatch
) -> dict[str, Float[Array, ""]]:
    """The terms before their weights, and their `total`; points in tenths of an eye distance."""
    off = (found - batch.speech) * batch.weight[:, None, None]
    lips = 10 * jnp.einsum("btk,kld->btld", off, basis.lips)
    jaw = 10 * jnp.einsum("btk,kjd->btjd", off, basis.jaw)
    terms = {
        "lips": jnp.square(lips).mean(),
        "jaw": jnp.square(jaw).mean(),
        "coefficients": jnp.square(off).mean(),
    }
    if config.closure:
        shut = (batch.gap < config.shut) * batch.weight[:, None]
        gap = 10 * jnp.abs((found - batch.speech) @ basis.gap)
        terms["closure"] = (gap * shut).sum() / jnp.maximum(shut.sum(), 1) * shut.mean()
    weights = {"lips": 1.0, "jaw": config.jaw, "coefficients": config.coefficients}
    return terms | {"total": losses.total(weights | {"closure": config.closure}, terms)}


def vary(config: SpeechStageConfig, batch: SpeechBatch, key: Array) -> SpeechBatch:
    """Less exact audio, other rooms, and now and then no posteriors, no audio, no pose, or nobody's code."""
    keys = jax.random.split(key, 5)
    b, columns = batch.audio.shape[0], batch.audio.shape[-1]
    audio = batch.audio + config.noise * jax.random.normal(keys[0], batch.audio.shape)
    audio = audio + config.bands * jax.random.normal(keys[1], (b, 1, 1, columns))
    dropped = jax.random.uniform(keys[2], (b,))
    keep = lambda low: ((dropped < low * config.drop) | (dropped >= (low + 1) * config.drop)).astype(
        jnp.float32
    )
    said = batch.posteriors
    flat = jnp.full_like(said, -jnp.log(said.shape[-1]))
    posteriors = jnp.where(keep(0)[:, None, None, None] > 0, said, flat)
    audio = audio * keep(1)[:, None, None, None]
    poses = batch.poses * keep(2)[:, None, None]
    unknown = jax.random.bernoulli(keys[3], config.stranger, (b,))
    person = jnp.where(unknown, person_embeddings.STRANGER, batch.person)
    return batch._replace(posteriors=posteriors, audio=audio, poses=poses, person=person)


def correlation(a: Float[Array, "b t"], b: Float[Array, "b t"]) -> Float[Array, ""]:
    """Mean over examples of Pearson's correlation in time."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return ((a * b).sum(1) / jnp.sqrt((a**2).sum(1) * (b**2).sum(1) + 1e-12)).mean()
