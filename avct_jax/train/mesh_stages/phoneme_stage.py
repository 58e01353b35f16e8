"""The phoneme network learned from another that hears the whole audio: its log-posteriors, causal and small.

What E_avct makes use of are logarithms, those of unlikely phonemes too: without them strangers' lips lose a
fifth of their correlation. So beside the divergence, which likely phonemes decide, logarithms are compared,
and the lips that E_avct makes of them (heard_lips.py).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avct_jax import speech_format
from avct_jax.models.mesh import phoneme_net, speech_motion
from avct_jax.train import losses
from avct_jax.train.core import grad_accumulation, init_params, optimizer, train_state
from avct_jax.train.mesh_stages import heard_lips
from avct_jax.train.stages import stage

PART = "phoneme_net"
LEAST_LOG = speech_format.LEAST_LOG


class PhonemeBatch(NamedTuple):
    """Stretches of t frames; features have their neighbours too.

    Attributes:
      logs: natural logarithms that are to be found.
      weight: 0 beyond a recording's end.
    """

    features: Float[Any, "b m 4 columns"]
    logs: Float[Any, "b t 2 s"]
    weight: Float[Any, "b t"]


@dataclasses.dataclass(frozen=True)
class PhonemeStageConfig:
    """Weights and variations.

    Attributes:
      divergence, logs: weights of the divergence, and of the mean square of the difference of logarithms.
      lips: weight of heard_lips.difference; 0 needs no E_avct.
      poses: standard deviation of the head poses in which lips are compared, rad and eye distances.
      unknown: share of examples of which nothing is heard after their last frame, as in a live stream.
      noise: of every feature, standard deviations.
      bands: of what a column is off by in a whole example: other microphones and rooms.
      tract: most by which an example's filter banks are stretched, logarithm: longer and shorter throats.
      hidden: most of the filter banks, and of the frames, that are hidden in an example, as shares.
      ema_decay: share of the parameters' moving average kept each step.
    """

    divergence: float = 1.0
    logs: float = 0.05
    lips: float = 0.0
    poses: float = 0.05
    unknown: float = 0.0
    noise: float = 0.2
    bands: float = 0.3
    tract: float = 0.15
    hidden: float = 0.2
    ema_decay: float = 0.998


def make_stage(
    system: phoneme_net.PhonemeNetConfig,
    config: PhonemeStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    sizes: speech_motion.SpeechMotionConfig | None = None,
    ruler: heard_lips.Ruler | None = None,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "phonemes".

    Args:
      sizes, ruler: E_avct, by which lips are compared; needed where their weight is not 0.
      init: variables to begin from, by part; random where absent.
    """
    sizes = sizes or speech_motion.SpeechMotionConfig()
    network = phoneme_net.PhonemeNet(system, dtype=compute.activations)
    adam = optimizer.make_optimizer(rule)

    def losses_of(frozen, found, batch, goal):
        metrics = phoneme_losses(config, found, batch)
        if goal is None:
            return metrics
        lips = heard_lips.difference(sizes, frozen, found, goal)
        return metrics | {"lips": lips, "total": metrics["total"] + config.lips * lips}

    def goal_of(frozen, batch, poses):
        if not config.lips:
            return None
        audio = batch.features[:, system.frames_back :][:, : batch.logs.shape[1]]
        logs, audio, weight = map(jnp.asarray, (batch.logs, audio, batch.weight))
        return heard_lips.aim(sizes, frozen, logs, audio, weight, poses)

    def step(current, frozen, batch, key):
        network_state = current.network_states[PART]
        keys = jax.random.split(jax.random.fold_in(key, current.step), 4)
        goal = goal_of(frozen, batch, config.poses * jax.random.normal(keys[2], (len(batch.logs), 6)))
        features = vary(config, jnp.asarray(batch.features), keys[0])
        hidden = jax.random.uniform(keys[3], (len(features),)) < config.unknown
        varied = batch._replace(features=hide_coming(features, system.frames_ahead, hidden)), goal

        def gradients_of(stats, part, key):
            def loss_fn(params):
                rngs = {"dropout": key}
                found: Any = network.apply({"params": params}, part[0].features, train=True, rngs=rngs)
                metrics = losses_of(frozen, found, *part)
                return metrics["total"], metrics

            grads, metrics = jax.grad(loss_fn, has_aux=True)(network_state.params)
            return grads, stats, metrics

        grads, stats, metrics = grad_accumulation.accumulate(
            gradients_of, network_state.batch_stats, varied, keys[1], microbatches=compute.microbatches
        )  # fmt: skip
        after, norm = train_state.advance(
            current, {PART: grads}, {PART: stats}, {PART: adam}, ema_decay=config.ema_decay
        )
        return after, {**metrics, **norm}

    def eval_step(current, frozen, batch, key):
        del key
        hidden = jnp.full(len(batch.logs), config.unknown > 0)
        features = hide_coming(jnp.asarray(batch.features), system.frames_ahead, hidden)
        found: Any = network.apply({"params": current.network_states[PART].ema_variables["params"]}, features)
        return losses_of(frozen, found, batch, goal_of(frozen, batch, jnp.zeros((len(features), 6))))

    def make_initial():
        zeros = jnp.zeros((1, system.frames_seen, system.rows, system.columns))
        make = lambda: {
            "params": jax.jit(network.init)(jax.random.key(seed), zeros)["params"],
            "batch_stats": {},
        }
        return train_state.make_state({PART: init_params.begin(PART, init, make)}, adam)

    export = lambda current: {PART: current.network_states[PART].ema_variables}
    if config.lips and ruler is None:
        raise ValueError("the loss of lips needs E_avct")
    frozen = ruler if config.lips else {}
    return stage.Stage("phonemes", "phonemes", step, eval_step, None, make_initial, frozen, export)


def phoneme_losses(
    config: PhonemeStageConfig, found: Float[Array, "b t 2 s"], batch: PhonemeBatch
) -> dict[str, Float[Array, ""]]:
    """The Kullback-Leibler divergence from the target, the square of logarithms, and their `total`."""
    logs, weight = jnp.asarray(batch.logs), jnp.asarray(batch.weight)[..., None]
    mean = lambda rows: (rows * weight).sum() / jnp.maximum(weight.sum() * rows.shape[-1], 1)
    off = jnp.maximum(found, LEAST_LOG) - logs
    terms = {
        "divergence": mean((jnp.exp(logs) * (logs - found)).sum(-1)),
        "logs": mean(jnp.square(off).mean(-1)),
    }
    weights = {"divergence": config.divergence, "logs": config.logs}
    return terms | {"total": losses.total(weights, terms)}


def hide_coming(
    features: Float[Array, "b m 4 columns"], ahead: int, hidden: Bool[Array, " b"]
) -> Float[Array, "b m 4 columns"]:
    """Take away the last `ahead` frames of the examples that are `hidden`: their audio has not come yet."""
    coming = jnp.arange(features.shape[1]) >= features.shape[1] - ahead
    return jnp.where((hidden[:, None] & coming[None])[..., None, None], 0.0, features)


def vary(
    config: PhonemeStageConfig, features: Float[Array, "b m 4 columns"], key: Array
) -> Float[Array, "b m 4 columns"]:
    """Less exact audio, from other throats and rooms, with gaps; where there is no audio there stays none.

    Stretching the filter banks is vocal tract length perturbation (Jaitly and Hinton 2013), hiding some of
    them and some frames SpecAugment (Park et al. 2019).
    """
    keys = jax.random.split(key, 5)
    b, m = features.shape[:2]
    audio = jnp.any(features != 0, axis=(2, 3), keepdims=True)
    factors = jnp.exp(config.tract * jax.random.uniform(keys[0], (b,), minval=-1.0))
    banks = jax.vmap(stretch)(features[..., speech_format.FILTERBANK], factors)
    shown = ~_stretch_of(keys[1], config.hidden, b, banks.shape[-1])
    varied = features.at[..., speech_format.FILTERBANK].set(banks * shown[:, None, None])
    varied = varied + config.noise * jax.random.normal(keys[2], features.shape)
    varied = varied + config.bands * jax.random.normal(keys[3], (b, 1, 1, features.shape[-1]))
    heard = audio & ~_stretch_of(keys[4], config.hidden, b, m)[..., None, None]
    return jnp.where(heard, varied, 0.0)


def stretch(banks: Float[Array, "m r f"], factor: Float[Array, ""]) -> Float[Array, "m r f"]:
    """Move what is in filter bank f to f x factor; the highest is repeated."""
    count = banks.shape[-1]
    place = jnp.clip(jnp.arange(count) / factor, 0, count - 1)
    low = jnp.minimum(place.astype(int), count - 2)
    share = (place - low)[None, None]
    return banks[..., low] * (1 - share) + banks[..., low + 1] * share


def _stretch_of(key: Array, most: float, examples: int, count: int) -> Bool[Array, "b n"]:
    """A run of places of each example, at most the share `most` of all."""
    begin, length = (
        jax.random.uniform(key, (2, examples, 1)) * jnp.array([1.0, most]).reshape(2, 1, 1) * count
    )
    place = jnp.arange(count)[None]
    return (place >= begin) & (place < begin + length)
