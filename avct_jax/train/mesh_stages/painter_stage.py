"""The mouth painter learned from patches: what lies between other people's lips, and what light does to them.

Absolute differences, those of gradients and of VGG's features, and a discriminator of small patches of the
mouth, for teeth with edges where a mean of all that could be would be grey. Some faces borrow another's code:
that is how strangers are painted, and then the discriminator alone says what lies between the lips, unless
the portrait shows its own teeth.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avct_jax import errors
from avct_jax.models import patch_discriminator
from avct_jax.models.frozen import vgg
from avct_jax.models.mesh import mouth_painter, mouth_patch
from avct_jax.train import losses
from avct_jax.train.core import grad_accumulation, optimizer, train_state
from avct_jax.train.mesh_stages import mouth_discriminator, mouth_patches, patch_source, person_embeddings
from avct_jax.train.stages import stage

PART, DISCRIMINATOR, CODES = "mouth_painter", "mouth_discriminator", "mouth_codes"
CODE_RATE = 3.0  # learning rate of the people's codes: each is seen in one example of a hundred
JITTER = 4  # px by which that window moves from step to step, lest the discriminator learn places by heart
SHOWN = 0.01  # share of the patch that open lips must be for a portrait's own teeth to count as seen
LAYERS = (1, 2, 3)  # of VGG, relu1_1 to relu3_1: a patch is too small for more


@dataclasses.dataclass(frozen=True)
class PainterStageConfig:
    """Weights and variations.

    Attributes:
      inside: how much more a pixel between the lips weighs.
      edge: one of the lips, beside it.
      gradient: weight of differences of neighbouring pixels.
      gan, matching: of the discriminator's opinion and of its features.
      gan_from, gan_ramp: the discriminator learns from step gan_from on, for gan_ramp steps alone; then its
        opinion's weight grows from 0 to the whole over as many. Heard at once it is so loud, where absolute
        differences have become small, that colours saturate and nothing is learned any more.
      discriminator_rate: learning rate of the discriminator over that of the painter.
      perceptual: of VGG's features; 0 needs no VGG.
      borrowed: share of examples that are painted with another person's code.
      quiet: of the share outside of the mouth, which keeps the portrait's own skin.
      code: weight of the squares of people's codes, which keeps their mean a person too.
      colour: largest change of brightness, contrast and tint.
      discriminator: its size.
      ema_decay: share of the parameters' moving average kept each step.
    """

    inside: float = 4.0
    edge: float = 1.0
    gradient: float = 0.5
    gan: float = 0.02
    matching: float = 0.1
    gan_from: int = 1000
    gan_ramp: int = 0
    discriminator_rate: float = 2.0
    perceptual: float = 0.0
    borrowed: float = 0.0
    quiet: float = 0.01
    code: float = 1e-3
    colour: float = 0.15
    discriminator: patch_discriminator.PatchDiscriminatorConfig = (
        patch_discriminator.PatchDiscriminatorConfig(
            block_expansion=16, num_blocks=3, max_features=128, spectral=False
        )
    )
    ema_decay: float = 0.999

    @property
    def weights(self) -> dict[str, float]:
        """Weights by metric."""
        pixels = {"l1": 1.0, "gradient": self.gradient, "quiet": self.quiet, "perceptual": self.perceptual}
        return pixels | {"code": self.code, "gan_generator": self.gan, "feature_matching": self.matching}


class Example(NamedTuple):
    """A batch as networks see it: RGB and masks in [0, 1]."""

    patch: mouth_patch.Patch
    own: mouth_painter.Own
    real: Float[Array, "b h w 3"]


class PainterFrozen(NamedTuple):
    """VGG; None where it is not asked."""

    perceptual: vgg.PerceptualNetwork | None


class _Parts(NamedTuple):
    """What the functions of this stage share."""

    system: mouth_painter.MouthPainterConfig
    config: PainterStageConfig
    critic: patch_discriminator.PatchDiscriminator
    dtype: Any

    def paint(self, params, example, code):
        """Paint as videos are: in usual light, then in the portrait's."""
        variables = {"params": params}
        return mouth_painter.paint(self.system, variables, example.patch, example.own, self.dtype, code=code)


def make_stage(
    system: mouth_painter.MouthPainterConfig,
    config: PainterStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    people: int,
    shipped: int = -1,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
    perceptual: vgg.PerceptualNetwork | None = None,
) -> stage.Stage:
    """Build the stage "painter".

    Args:
      people: of the training, who have a code each.
      shipped: the one whose code is exported and judged by; -1 is the mean of all.
      init: variables to begin from, by part; random where absent.
      perceptual: VGG, where config.perceptual is not 0.
    """
    if config.perceptual and perceptual is None:
        raise ValueError("PainterStageConfig.perceptual asks for VGG, and there is none")
    if compute.microbatches > 1 or compute.remat:
        raise errors.UserError(
            "the painter takes its batches whole and keeps its activations; leave --compute.microbatches and "
            "--compute.remat out, or lower --batch-size"
        )
    critic = patch_discriminator.PatchDiscriminator(config.discriminator, dtype=compute.activations)
    parts = _Parts(system, config, critic, compute.activations)
    adam = optimizer.make_optimizer(rule)
    rules = {PART: adam, DISCRIMINATOR: optimizer.make_optimizer(rule, scale=config.discriminator_rate)}
    rules[CODES] = optimizer.make_optimizer(rule, scale=CODE_RATE)

    def shipped_variables(current):
        """Averaged weights, with one code."""
        code = person_embeddings.lookup(current.network_states[CODES].ema_params, jnp.array([shipped]))[0]
        return {"params": {**current.network_states[PART].ema_params, "code": code}}

    def painted(current, batch):
        example = to_example(batch)
        painting = parts.paint(shipped_variables(current)["params"], example, None)
        return example, mouth_painter.compose(example.patch.skin, painting)

    return stage.Stage(
        name="painter",
        kind="patches",
        step=lambda current, frozen, batch, key: _step(parts, rules, current, frozen, batch, key),
        eval_step=lambda current, frozen, batch, key: _judgement(*painted(current, batch)),
        image=lambda current, frozen, batch: _images(*painted(current, batch)),
        initial=lambda: _initial(parts, adam, people, init or {}, seed),
        frozen=PainterFrozen(perceptual if config.perceptual else None),
        export=lambda current: {PART: shipped_variables(current)},
    )


def _initial(parts: _Parts, adam, people: int, init: Mapping[str, Any], seed: int) -> train_state.TrainState:
    plane = (1, *mouth_patch.PATCH)
    zeros = lambda *shape: jnp.zeros((*plane, *shape))
    patch = mouth_patch.Patch(zeros(3), zeros(), zeros(), zeros())
    own = mouth_painter.Own(zeros(3), zeros())
    keys = jax.random.split(jax.random.key(seed), 3)
    network = mouth_painter.MouthPainter(parts.system, dtype=parts.dtype)
    makers = {
        PART: lambda: jax.jit(network.init)(keys[0], patch, own),
        DISCRIMINATOR: lambda: jax.jit(parts.critic.init)(
            keys[1], mouth_discriminator.seen(zeros(3), zeros())
        ),
        CODES: lambda: person_embeddings.initial(keys[2], people, parts.system.codes),
    }
    begun = {name: init[name] if name in init else make() for name, make in makers.items()}
    return train_state.make_state({name: {"params": found["params"]} for name, found in begun.items()}, adam)


def _step(parts: _Parts, rules, current, frozen: PainterFrozen, batch: patch_source.PainterBatch, key):
    """Take one step of painter, codes and discriminator."""
    config, network_states = parts.config, current.network_states
    key = jax.random.fold_in(key, current.step)
    looks, lent, moves = jax.random.split(key, 3)
    example = vary(config, to_example(batch), looks)
    begun, heard = loudness(config, current.step)
    window = jax.random.randint(moves, (2,), -JITTER, JITTER + 1)

    def painted(params, table):
        code, free = lend(config, person_embeddings.lookup(table, batch.person), example.own, lent)
        painting = parts.paint(params, example, code)
        shown = mouth_painter.compose(example.patch.skin, painting)
        wanted = example._replace(real=agreeing(example, shown, free))
        metrics = image_losses(config, wanted, painting, shown)
        if frozen.perceptual is not None:
            metrics["perceptual"] = losses.perceptual(
                frozen.perceptual,
                shown,
                wanted.real,
                layers=LAYERS,
                scales=(1,),
                weight=1.0,
                dtype=parts.dtype,
            )
        metrics["code"] = (code**2).mean()
        return (losses.total(config.weights, metrics), shown), (metrics, wanted.real)

    given = (network_states[PART].params, network_states[CODES].params)
    (total, shown), pull, (metrics, wanted) = jax.vjp(painted, *given, has_aux=True)
    params = network_states[DISCRIMINATOR].params
    images = {"inside": example.patch.inside, "real": example.real, "wanted": wanted, "shown": shown}
    ask = lambda: mouth_discriminator.judge_paintings(
        parts.critic, config.weights, params, heard=heard, window=window, **images
    )
    # Behind a condition: half of a step's work is not done before it is asked for.
    opinion = jax.lax.cond(begun, ask, lambda: jax.tree.map(jnp.zeros_like, jax.eval_shape(ask)))
    grads = pull((jnp.ones_like(total), opinion.slope))
    metrics |= opinion.terms | {"total": total + heard * losses.total(config.weights, opinion.terms)}
    grads = {PART: grads[0], CODES: grads[1], DISCRIMINATOR: opinion.gradients}
    stats = {name: network_state.batch_stats for name, network_state in network_states.items()}
    after, norm = train_state.advance(current, grads, stats, rules, ema_decay=config.ema_decay)
    return after, {**metrics, "gan_discriminator": opinion.loss, **norm}


def loudness(config: PainterStageConfig, step: Int[Array, ""]) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Whether the discriminator learns at a step, and the share of its weight that its opinion has."""
    since = step - config.gan_from
    begun = since >= 0
    if not config.gan_ramp:
        return begun, begun.astype(jnp.float32)
    return begun, jnp.clip(since / config.gan_ramp - 1, 0, 1)


def lend(
    config: PainterStageConfig, code: Float[Array, "b k"], own: mouth_painter.Own, key: Array
) -> tuple[Float[Array, "b k"], Float[Array, " b"]]:
    """Give some examples the code of another one of the batch.

    A lent code learns nothing from where it is lent to.

    Returns:
      codes, and 1 where the real video does not say what lies between the lips, for neither code nor portrait
      do; else 0.
    """
    keys = jax.random.split(key)
    others = jax.lax.stop_gradient(code[jax.random.permutation(keys[0], len(code))])
    borrowed = jax.random.bernoulli(keys[1], config.borrowed, (len(code),))
    unseen = own.inside.mean((1, 2)) < SHOWN
    return jnp.where(borrowed[:, None], others, code), (borrowed & unseen).astype(jnp.float32)


def agreeing(
    example: Example, shown: Float[Array, "b h w 3"], free: Float[Array, " b"]
) -> Float[Array, "b h w 3"]:
    """The real video; between the lips of examples that are free, what is shown."""
    inside = example.patch.inside[..., None] * free[:, None, None, None]
    return example.real + inside * (jax.lax.stop_gradient(shown) - example.real)


def _judgement(example: Example, shown):
    inside = example.patch.inside[..., None]
    total = jnp.maximum(inside.sum() * 3, 1)
    return {
        "l1_inside": (jnp.abs(shown - example.real) * inside).sum() / total,
        "l1": jnp.abs(shown - example.real).mean(),
        "l1_warped": jnp.abs(example.patch.skin - example.real).mean(),
        "sharpness": _detail(shown, inside) / jnp.maximum(_detail(example.real, inside), 1e-6),
    }


def _images(example: Example, shown):
    own = jnp.broadcast_to(example.own.image, shown.shape)
    return {"portrait": own, "real": example.real, "warped": example.patch.skin, "painted": shown}


def to_example(batch: patch_source.PainterBatch) -> Example:
    """Bring 8 bits to [0, 1], and depths to eye distances."""
    unit = lambda x: jnp.asarray(x, jnp.float32) / 255
    depth = lambda x: jnp.asarray(x, jnp.float32) * (mouth_patches.DEPTHS / 127)
    patch = mouth_patch.Patch(unit(batch.skin), unit(batch.inside), depth(batch.below), depth(batch.above))
    return Example(patch, mouth_painter.Own(unit(batch.own), unit(batch.own_inside)), unit(batch.real))


def vary(config: PainterStageConfig, example: Example, key: Array) -> Example:
    """Mirror half of the examples, and change the light of all images of an example alike."""
    keys = jax.random.split(key, 4)
    b = len(example.real)
    mirrored = jax.random.bernoulli(keys[0], 0.5, (b,))
    flip = lambda x: jnp.where(mirrored.reshape(-1, *[1] * (x.ndim - 1)), x[:, :, ::-1], x)
    example = jax.tree.map(flip, example)
    draw = lambda key, *shape: config.colour * jax.random.uniform(key, (b, 1, 1, *shape), minval=-1, maxval=1)
    gain = 1 + draw(keys[1], 1) + 0.3 * draw(keys[2], 3)
    offset = 0.3 * draw(keys[3], 1)
    light = lambda x: jnp.clip((x - 0.5) * gain + 0.5 + offset, 0, 1)
    own = example.own._replace(image=light(example.own.image))
    return Example(example.patch._replace(skin=light(example.patch.skin)), own, light(example.real))


def image_losses(
    config: PainterStageConfig,
    example: Example,
    painting: mouth_painter.Painting,
    shown: Float[Array, "b h w 3"],
) -> dict[str, Float[Array, ""]]:
    """The terms that compare pixels, before their weights."""
    patch = example.patch
    lips = jnp.exp(-((jnp.minimum(jnp.abs(patch.below), jnp.abs(patch.above)) / 0.06) ** 2)) * jnp.clip(
        1 - jnp.maximum(-patch.below, -patch.above) / 0.15, 0, 1
    )
    weight = ((1 + config.inside * patch.inside + config.edge * lips)[..., None]) * mouth_painter.border()
    off = (shown - example.real) * weight
    metrics = {"l1": losses.mean_absolute(off)}
    if config.gradient:
        steps: Any = sum(
            losses.mean_absolute(jnp.diff(shown - example.real, axis=a) * _inner(weight, a)) for a in (1, 2)
        )
        metrics["gradient"] = steps
    if config.quiet:
        metrics["quiet"] = (painting.share * (1 - patch.inside[..., None])).mean()
    return metrics


def _inner(weight, axis):
    return weight[:, 1:] if axis == 1 else weight[:, :, 1:]


def _detail(image, inside):
    """Strength of the Laplacian between the lips."""
    grey = image.mean(-1)
    inner = grey[:, 1:-1, 1:-1]
    sides = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    mask = inside[:, 1:-1, 1:-1, 0]
    return jnp.sqrt((((sides - 4 * inner) ** 2) * mask).sum() / jnp.maximum(mask.sum(), 1))
