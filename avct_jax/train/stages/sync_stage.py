"""D_sync learned: does a mouth's fifth of a second belong to a voice's?

Wav2Lip's recipe, binary cross-entropy of the cosine, can stay at ln 2 = 0.69 for long. Both embeddings end in
a ReLU, so at first the cosine of every pair is about as high, and to answer one half to everything is an easy
valley in which one pair's gradient cancels another's. Three measures lead out of it, each a switch:

- a contrastive term: each mouth must prefer its own audio to all other recordings of the batch, and each
  recording its own mouth. Only differences of cosines count there, and the valley has no floor.
- positives and negatives weigh alike, whatever their shares of a batch.
- from easy to hard: at first the negatives are the batch's other recordings; little by little those that the
  source draws, some of them a few frames off, take their place.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.data.dataset import batch_types
from avct_jax.models import sync_discriminator, system_config
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation, mouth_crops
from avct_jax.train.core import grad_accumulation, init_params, optimizer, train_state
from avct_jax.train.stages import stage

PART = "sync_discriminator"
SHOWN = 4  # of the worst and of the best pairs in an image


@dataclasses.dataclass(frozen=True)
class SyncStageConfig:
    """Weights; contrastive = 0 with easy_steps = 0 is Wav2Lip's own loss. Rate: 1e-4 (Wav2Lip).

    Attributes:
      bce: weight of the cross-entropy.
      contrastive: of the preference among the batch's recordings, which wants some sixteen examples or more.
      temperature: by which cosines are divided there.
      easy_steps: over which the negatives go from the batch's other recordings to the drawn ones; 0: at once.
      ema_decay: share of the parameters' moving average kept each step.
    """

    discriminator: sync_discriminator.SyncDiscriminatorConfig = sync_discriminator.SyncDiscriminatorConfig()
    bce: float = 1.0
    contrastive: float = 1.0
    temperature: float = 0.07
    easy_steps: int = 2000
    ema_decay: float = 0.999

    @property
    def weights(self) -> dict[str, float]:
        """Weights by metric."""
        return {"bce": self.bce, "contrastive": self.contrastive}


def make_stage(
    system: system_config.SystemConfig,
    config: SyncStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "sync".

    Args:
      system: not used; D_sync is no part of what animates.
      init: variables to begin from, by part; random where absent.
      seed: of what is random at first.
    """
    del system
    network = make_network(config, compute)
    adam = optimizer.make_optimizer(rule)

    def step(current, frozen, batch, key):
        del frozen, key
        network_state = current.network_states[PART]

        def embed(params, stats, part):
            return _embed(network, {"params": params, "batch_stats": stats}, part, remat=compute.remat)

        def loss(embedded):
            audio, face = embedded
            cosines = cosines_of(audio, face)
            terms = sync_losses(config, cosines, batch.in_sync, current.step)
            total = losses.total(config.weights, terms)
            return total, terms | scores(cosines, batch.in_sync) | {"total": total}

        # Each mouth is told from the recordings of the whole batch, however many parts it is taken in.
        grads, stats, metrics = grad_accumulation.accumulate_embeddings(
            embed,
            loss,
            network_state.params,
            network_state.batch_stats,
            see(batch),
            microbatches=compute.microbatches,
        )
        after, norm = train_state.advance(
            current, {PART: grads}, {PART: stats}, {PART: adam}, ema_decay=config.ema_decay
        )
        return after, metrics | norm

    def eval_step(current, frozen, batch, key):
        del frozen, key
        found = similarities(network, current.network_states[PART].ema_variables, batch)
        own = jnp.diagonal(found)
        return {"bce": losses.sync(own, jnp.asarray(batch.in_sync))} | scores(found, batch.in_sync)

    def image(current, frozen, batch):
        del frozen
        return show(similarities(network, current.network_states[PART].ema_variables, batch), batch)

    def initial():
        key = jax.random.key(seed)
        make = functools.partial(init_params.sync_discriminator_variables, config.discriminator, key)
        return train_state.make_state({PART: init_params.begin(PART, init, make)}, adam)

    export = lambda current: {PART: current.network_states[PART].ema_variables}
    return stage.Stage("sync", "sync", step, eval_step, image, initial, {}, export)


def make_network(
    config: SyncStageConfig, compute: grad_accumulation.ComputeConfig
) -> sync_discriminator.SyncDiscriminator:
    """D_sync with the activations that `compute` wants."""
    return sync_discriminator.SyncDiscriminator(config.discriminator, dtype=compute.activations)


class SyncInputs(NamedTuple):
    """What D_sync is given."""

    faces: Float[Array, "b 48 96 15"]
    mel: Float[Array, "b 80 16 1"]


def see(batch: batch_types.SyncWindows) -> SyncInputs:
    """Cut the mouths out, mirrored and recoloured as asked.

    Views need not be applied: boxes go where the face goes, so the mouths stay as they are.
    """
    b, t = batch.boxes.shape[:2]
    flat = lambda x: jnp.asarray(x).reshape(b * t, *x.shape[2:])
    crops = mouth_crops.crop(flat(batch.frames).astype(jnp.float32) / 255, flat(batch.boxes))
    varied = image_augmentation.repeat(batch.variation, t)
    crops = jnp.where(varied.mirrored[:, None, None, None], crops[:, :, ::-1], crops)
    crops = image_augmentation.recolour(crops, varied.colours)
    return SyncInputs(
        mouth_crops.stack(crops.reshape(b, t, *crops.shape[1:])), jnp.asarray(batch.mel)[..., None]
    )


def similarities(
    network: sync_discriminator.SyncDiscriminator,
    variables: Mapping[str, Any],
    batch: batch_types.SyncWindows,
) -> Float[Array, "b b"]:
    """Cosines of every mouth (row) with every recording (column), nothing learned."""
    seen = see(batch)
    embedded: Any = network.apply(variables, seen.mel, seen.faces)
    audio, face = embedded
    return cosines_of(audio, face)


def cosines_of(audio: Float[Array, "b d"], face: Float[Array, "b d"]) -> Float[Array, "b b"]:
    """Of every mouth (row) with every recording (column)."""
    return face @ audio.T


def sync_losses(
    config: SyncStageConfig, cosines: Float[Array, "b b"], in_sync: Float[Any, " b"], step: Any
) -> dict[str, Float[Array, ""]]:
    """The terms, not yet weighted.

    Args:
      cosines: of every mouth (row) with every recording (column); an example's own pair on the diagonal.
      step: steps done, for `easy_steps`.
    """
    same = jnp.asarray(in_sync)
    own, other = jnp.diagonal(cosines), 1 - jnp.eye(len(cosines))
    positive = _share(_each(own, jnp.ones_like(own)), same)
    drawn = _share(_each(own, jnp.zeros_like(own)), 1 - same)
    negative = drawn
    if config.easy_steps:
        easy = _share(_each(cosines, jnp.zeros_like(cosines)), other)
        hard = jnp.minimum(1.0, step / config.easy_steps)
        negative = hard * drawn + (1 - hard) * easy
    terms = {"bce": (positive + negative) / 2}
    if config.contrastive:
        terms["contrastive"] = contrast(cosines, same, config.temperature)
    return terms


def contrast(
    cosines: Float[Array, "b b"], in_sync: Float[Array, " b"], temperature: float
) -> Float[Array, ""]:
    """Cross-entropy of picking a mouth's audio among all of the batch, and a recording's mouth (InfoNCE).

    Examples out of sync have no audio of their own here; theirs are among those that must not be picked.
    """
    logits = cosines / temperature
    picked = [jnp.diagonal(jax.nn.log_softmax(logits, axis=axis)) for axis in (0, 1)]
    return -_share(sum(picked) / 2, in_sync)


def scores(cosines: Float[Array, "b b"], in_sync: Float[Any, " b"]) -> dict[str, Float[Array, ""]]:
    """How well examples are told apart.

    accuracy: share of pairs on the right side of one half. margin: mean cosine of pairs in sync minus that
    of the drawn others. ranking: share of (in sync, other) pairs in the right order, 0.5 by chance: the area
    under the ROC curve. picking: share of mouths that prefer their own audio to all of the batch.
    """
    same = jnp.asarray(in_sync)
    own = jax.lax.stop_gradient(jnp.diagonal(cosines))
    order = (jnp.sign(own[:, None] - own[None]) + 1) / 2
    right = own >= cosines.max(1)
    return {
        "accuracy": ((own > 0.5) == (same > 0.5)).mean(),
        "margin": _share(own, same) - _share(own, 1 - same),
        "ranking": _share(order, same[:, None] * (1 - same)[None]),
        "picking": _share(right.astype(jnp.float32), same),
    }


def show(cosines: Float[Array, "b b"], batch: batch_types.SyncWindows) -> dict[str, Float[Array, "n h w 3"]]:
    """The pairs told worst, then those told best: five mouths side by side, and the audio, bright where loud.

    The bar on the left of the mouths is white as far as the pair is held to be in sync, the one beside it
    where it is.
    """
    own, same = jnp.diagonal(cosines), jnp.asarray(batch.in_sync)
    order = jnp.argsort(-jnp.abs(same - own))
    n = min(SHOWN, len(own) // 2) or 1
    shown = jnp.concatenate([order[:n], order[-n:]])
    seen = see(batch)
    five = seen.faces[shown].reshape(len(shown), mouth_crops.HEIGHT, mouth_crops.WIDTH, -1, 3)[..., ::-1]
    strip = five.transpose(0, 1, 3, 2, 4).reshape(len(shown), mouth_crops.HEIGHT, -1, 3)
    rows = (jnp.arange(mouth_crops.HEIGHT)[::-1] / mouth_crops.HEIGHT).reshape(1, -1, 1, 1)
    bars = [
        jnp.tile((x[shown].reshape(-1, 1, 1, 1) > rows).astype(jnp.float32), (1, 1, 8, 3))
        for x in (own, same)
    ]
    loud = jnp.flip(seen.mel[shown] / 8 + 0.5, 1)
    audio = jax.image.resize(loud, (len(shown), mouth_crops.HEIGHT, strip.shape[2] + 16, 1), "nearest")
    return {"mouths": jnp.concatenate([*bars, strip], 2), "sound": jnp.repeat(audio, 3, -1)}


def _embed(network, variables, seen: SyncInputs, *, remat):
    """Embeddings of every recording and every mouth, in training, and the new batch statistics."""
    with grad_accumulation.rematerialised((sync_discriminator.SyncBlock,), enabled=remat):
        found, updates = network.apply(variables, seen.mel, seen.faces, train=True, mutable=["batch_stats"])
    return found, updates["batch_stats"]


def _each(cosines, labels):
    """`losses.sync` of every pair by itself."""
    return jnp.vectorize(losses.sync)(cosines, labels)


def _share(values, weights):
    """Weighted mean; 0 where nothing has weight."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1e-6)
