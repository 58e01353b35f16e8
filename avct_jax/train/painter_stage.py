"""The mouth painter learned from patches: what lies between other people's lips, and what light does to them.

Absolute differences, those of gradients, and a discriminator of small patches of the mouth, for teeth with
edges where a mean of all that could be would be grey.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from avct_jax.data import source
from avct_jax.models import face_mesh, mouth_painter, patch_discriminator
from avct_jax.train import gradients, losses, mouth_patches, optimizer, people_codes, stage, state

JUDGE_RATE = 2.0  # learning rate of the discriminator over that of the painter
PART, JUDGE, CODES = "mouth_painter", "mouth_discriminator", "mouth_codes"
CODE_RATE = 3.0  # learning rate of the people's codes: each is seen in one example of a hundred
ELSEWHERE = 0.05  # weight of an opinion about skin, against 1 of one about the inside
MOUTH = (slice(10, 54), slice(12, 84))  # rows and columns of the patch that the discriminator sees


class PainterBatch(NamedTuple):
    """b examples as mouth_patches packs them; own and own_inside are each example's.

    person: row of the table of codes; -1 for people who are not in the training, who get the mean code.
    """

    skin: UInt8[Any, "b h w 3"]
    inside: UInt8[Any, "b h w"]
    below: Any
    above: Any
    real: UInt8[Any, "b h w 3"]
    own: UInt8[Any, "b h w 3"]
    own_inside: UInt8[Any, "b h w"]
    person: Int[Any, " b"]


@dataclasses.dataclass(frozen=True)
class PainterStageConfig:
    """Weights and variations.

    Attributes:
      inside: how much more a pixel between the lips weighs; edge: one of the lips, beside it.
      gradient: weight of differences of neighbouring pixels.
      gan, matching: of the discriminator's opinion and of its features, from step gan_from on.
      quiet: of the share outside of the mouth, which keeps the portrait's own skin.
      code: weight of the squares of people's codes, which keeps their mean a person too.
      colour: largest change of brightness, contrast and tint.
      discriminator: its size.
      decay: share of the parameters' moving average kept each step.
    """

    inside: float = 4.0
    edge: float = 1.0
    gradient: float = 0.5
    gan: float = 0.02
    matching: float = 0.1
    gan_from: int = 1000
    quiet: float = 0.01
    code: float = 1e-3
    colour: float = 0.15
    discriminator: patch_discriminator.PatchDiscriminatorConfig = (
        patch_discriminator.PatchDiscriminatorConfig(
            block_expansion=16, num_blocks=3, max_features=128, spectral=False
        )
    )
    decay: float = 0.999


class Example(NamedTuple):
    """A batch as networks see it: RGB and masks in [0, 1]."""

    patch: face_mesh.Patch
    own: mouth_painter.Own
    real: Float[Array, "b h w 3"]


def make_stage(
    system: mouth_painter.MouthPainterConfig,
    config: PainterStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: gradients.ComputeConfig,
    *,
    people: int,
    shipped: int = -1,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "painter".

    Args:
      people: of the training, who have a code each. shipped: the one whose code is exported and judged by; -1
        is the mean of all.
      init: variables to begin from, by part; random where absent.
    """
    network = mouth_painter.MouthPainter(system, dtype=compute.activations)
    critic = patch_discriminator.PatchDiscriminator(config.discriminator)
    adam = optimizer.make_optimizer(rule)
    rules = {PART: adam, JUDGE: optimizer.make_optimizer(rule, scale=JUDGE_RATE)}
    rules[CODES] = optimizer.make_optimizer(rule, scale=CODE_RATE)

    def step(current, frozen, batch, key):
        del frozen
        key = jax.random.fold_in(key, current.step)
        example = vary(config, to_example(batch), key)
        players = current.players
        begun = (current.step >= config.gan_from).astype(jnp.float32)

        def painter_loss(params, table):
            code = people_codes.lookup(table, batch.person)
            painting = network.apply({"params": params}, example.patch, example.own, code)
            shown = mouth_painter.compose(example.patch.skin, painting)
            metrics = picture_losses(config, example, painting, shown)
            metrics["code"] = config.code * (code**2).mean()
            metrics |= _opinion(config, critic, players[JUDGE].params, example, shown, begun)
            return sum(metrics.values()), (metrics, shown)

        def judge_loss(params):
            # Behind a condition: half of a step's work is not done before it is asked for.
            return jax.lax.cond(
                begun > 0, lambda: _judged(critic, params, example, jax.lax.stop_gradient(shown)), lambda: 0.0
            )

        given = (players[PART].params, players[CODES].params)
        slopes, (metrics, shown) = jax.grad(painter_loss, argnums=(0, 1), has_aux=True)(*given)
        loss, judge_slopes = jax.value_and_grad(judge_loss)(players[JUDGE].params)
        slopes = {PART: slopes[0], CODES: slopes[1], JUDGE: judge_slopes}
        stats = {name: player.batch_stats for name, player in players.items()}
        after, norm = state.advance(current, slopes, stats, rules, decay=config.decay)
        return after, {**metrics, "discriminator": loss, **norm}

    def judge(current, frozen, batch, key):
        del frozen, key
        example, shown = _painted(current, batch)
        inside = example.patch.inside[..., None]
        total = jnp.maximum(inside.sum() * 3, 1)
        return {
            "l1_inside": (jnp.abs(shown - example.real) * inside).sum() / total,
            "l1": jnp.abs(shown - example.real).mean(),
            "l1_warped": jnp.abs(example.patch.skin - example.real).mean(),
            "sharpness": _detail(shown, inside) / jnp.maximum(_detail(example.real, inside), 1e-6),
        }

    def picture(current, frozen, batch):
        del frozen
        example, shown = _painted(current, batch)
        own = jnp.broadcast_to(example.own.picture, shown.shape)
        return {"portrait": own, "real": example.real, "warped": example.patch.skin, "painted": shown}

    def initial():
        plane = (1, *face_mesh.PATCH)
        zeros = lambda *shape: jnp.zeros((*plane, *shape))
        patch, own = (
            face_mesh.Patch(zeros(3), zeros(), zeros(), zeros()),
            mouth_painter.Own(zeros(3), zeros()),
        )
        keys = jax.random.split(jax.random.key(seed), 3)
        made = {
            PART: lambda: network.init(keys[0], patch, own),
            JUDGE: lambda: critic.init(keys[1], _seen(zeros(3), zeros())),
            CODES: lambda: people_codes.initial(keys[2], people, system.codes),
        }
        begin = lambda name: init[name] if init and name in init else made[name]()
        return state.make_state({name: {"params": begin(name)["params"]} for name in made}, adam)

    def _painted(current, batch):
        example = to_example(batch)
        painting = network.apply(_shipped(current), example.patch, example.own)
        return example, mouth_painter.compose(example.patch.skin, painting)

    def _shipped(current):
        """Averaged weights, with one code."""
        code = people_codes.lookup(current.players[CODES].average, jnp.array([shipped]))[0]
        return {"params": {**current.players[PART].average, "code": code}}

    export = lambda current: {PART: _shipped(current)}
    return stage.Stage("painter", "patches", step, judge, picture, initial, {}, export)


def to_example(batch: PainterBatch) -> Example:
    """Bring 8 bits to [0, 1], and depths to eye distances."""
    unit = lambda x: jnp.asarray(x, jnp.float32) / 255
    depth = lambda x: jnp.asarray(x, jnp.float32) * (mouth_patches.DEPTHS / 127)
    patch = face_mesh.Patch(unit(batch.skin), unit(batch.inside), depth(batch.below), depth(batch.above))
    return Example(patch, mouth_painter.Own(unit(batch.own), unit(batch.own_inside)), unit(batch.real))


def vary(config: PainterStageConfig, example: Example, key: Array) -> Example:
    """Mirror half of the examples, and change the light of all pictures of an example alike."""
    keys = jax.random.split(key, 4)
    b = len(example.real)
    mirrored = jax.random.bernoulli(keys[0], 0.5, (b,))
    flip = lambda x: jnp.where(mirrored.reshape(-1, *[1] * (x.ndim - 1)), x[:, :, ::-1], x)
    example = jax.tree.map(flip, example)
    draw = lambda key, *shape: config.colour * jax.random.uniform(key, (b, 1, 1, *shape), minval=-1, maxval=1)
    gain = 1 + draw(keys[1], 1) + 0.3 * draw(keys[2], 3)
    offset = 0.3 * draw(keys[3], 1)
    light = lambda x: jnp.clip((x - 0.5) * gain + 0.5 + offset, 0, 1)
    own = example.own._replace(picture=light(example.own.picture))
    return Example(example.patch._replace(skin=light(example.patch.skin)), own, light(example.real))


def picture_losses(
    config: PainterStageConfig,
    example: Example,
    painting: mouth_painter.Painting,
    shown: Float[Array, "b h w 3"],
) -> dict[str, Float[Array, ""]]:
    """The weighted terms that compare pixels."""
    patch = example.patch
    lips = jnp.exp(-((jnp.minimum(jnp.abs(patch.below), jnp.abs(patch.above)) / 0.06) ** 2)) * jnp.clip(
        1 - jnp.maximum(-patch.below, -patch.above) / 0.15, 0, 1
    )
    weight = ((1 + config.inside * patch.inside + config.edge * lips)[..., None]) * mouth_painter.border()
    off = (shown - example.real) * weight
    metrics = {"l1": losses.mean_absolute(off)}
    if config.gradient:
        steps = [
            losses.mean_absolute(jnp.diff(shown - example.real, axis=a) * _inner(weight, a)) for a in (1, 2)
        ]
        metrics["gradient"] = config.gradient * sum(steps)
    if config.quiet:
        metrics["quiet"] = config.quiet * (painting.share * (1 - patch.inside[..., None])).mean()
    return metrics


def _inner(weight, axis):
    return weight[:, 1:] if axis == 1 else weight[:, :, 1:]


def _seen(picture, inside):
    """What the discriminator looks at."""
    return jnp.concatenate([picture, inside[..., None]], -1)[:, MOUTH[0], MOUTH[1]]


def _opinion(config, critic, params, example, shown, begun):
    """What the discriminator makes of paintings, and how its features differ."""

    def asked():
        made, features = critic.apply({"params": params}, _seen(shown, example.patch.inside))
        weight = _weights(example.patch.inside, made)
        _, wanted = critic.apply({"params": params}, _seen(example.real, example.patch.inside))
        matching = sum(
            losses.mean_absolute(a - jax.lax.stop_gradient(b)) for a, b in zip(features, wanted, strict=True)
        )
        return config.gan * ((1 - made) ** 2 * weight).mean(), config.matching * matching

    gan, matching = jax.lax.cond(begun > 0, asked, lambda: (0.0, 0.0))
    return {"gan": gan, "matching": matching}


def _judged(critic, params, example, shown):
    """Least squares, as FOMM's."""
    real, _ = critic.apply({"params": params}, _seen(example.real, example.patch.inside))
    made, _ = critic.apply({"params": params}, _seen(shown, example.patch.inside))
    weight = _weights(example.patch.inside, made)
    return ((1 - real) ** 2 * weight).mean() + (made**2 * weight).mean()


def _weights(inside, opinions):
    """Opinions count where there is a mouth to see into, and a little elsewhere; mean 1.

    Most patches show skin, which looks alike in both: with them the discriminator says .5 to everything.
    """
    shape = (len(inside), *opinions.shape[1:3])
    seen = jax.image.resize(inside[:, MOUTH[0], MOUTH[1]], shape, "linear")[..., None] + ELSEWHERE
    return jax.lax.stop_gradient(seen / seen.mean())


def _detail(picture, inside):
    """Strength of the Laplacian between the lips."""
    grey = picture.mean(-1)
    inner = grey[:, 1:-1, 1:-1]
    sides = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    mask = inside[:, 1:-1, 1:-1, 0]
    return jnp.sqrt((((sides - 4 * inner) ** 2) * mask).sum() / jnp.maximum(mask.sum(), 1))


class PatchSource(source.PeopleSource):
    """A source.Source of PainterBatch."""

    KIND, STREAM = "patches", 13

    def __init__(self, known: mouth_patches.PatchSet, *, speaker: str = "", speaker_share: float = 0.2):
        """Take packed patches."""
        self.known = known
        clips = known.patches.clip
        usable, held_out = np.ones(len(clips), bool), known.held_out[clips]
        persons = np.array(known.persons)[clips]
        super().__init__(persons, usable, held_out, speaker=speaker, speaker_share=speaker_share)
        self.names = people_codes.names_of(known.persons, known.held_out)
        self._row = people_codes.numbers_of(known.persons, self.names)

    def collate(self, drawn: list[tuple[int, np.random.Generator]]) -> PainterBatch:
        """Take patches out of the set; nothing else is random."""
        index = np.array([which for which, _ in drawn])
        p = self.known.patches
        own = p.source[index]
        fields = (p.skin, p.inside, p.below, p.above, p.real)
        person = self._row[p.clip[index]]
        return PainterBatch(*(x[index] for x in fields), p.own[own], p.own_inside[own], person)
