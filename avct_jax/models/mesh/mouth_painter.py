"""The mouth painter: a small U-Net that paints teeth, tongue and lips into the mouth's patch.

A warp moves what the portrait shows; what lies behind its lips it cannot know. The painter works in a patch
that is fixed to the skull (mouth_patch.patch_places): upper teeth keep their place in it, whatever the lips
do, so that even a mean over many mouths shows them one by one.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from avct_jax import face_topology as topology
from avct_jax.layers import applied, barrier, precision
from avct_jax.layers.convolution import conv, pooling
from avct_jax.layers.geometry import grid, inverse, mesh_warp
from avct_jax.models.mesh import face_mesh, mouth_patch, portrait_teeth

DEPTH = 0.1  # eye distances that count as 1 in what the network sees
FARTHEST = 3.0  # of these
BORDER = (6, 8)  # px of the patch's edge, over which painting fades
HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")  # or deep levels hardly take part
NEAR_ZERO = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
# Of skin around mouths, over its brightness (mean of 40 portraits): RGB; and tints that differ less, natural
# logarithm, are people's own.
USUAL_TINT, OWN_TINT = (1.32, 0.88, 0.76), 0.15
COLOURLESS = (
    0.25  # range of skin's channels over their mean from which on an image is fully coloured; usual 0.56
)
LUMINANCE = (0.299, 0.587, 0.114)
NEAR = 4.0  # over the share of the 8 x 8 pixels around that is open: from a quarter on all may be painted
SHYNESS = 3.0  # of the share outside of the lips at the beginning: 5% of what is shown


@dataclasses.dataclass(frozen=True)
class MouthPainterConfig:
    """Sizes.

    Attributes:
      channels: of the levels, each half as large as the one before; the first has half of the patch's size.
      canvas: learned channels, the same for all frames of a person: teeth keep their place in the patch.
      codes: numbers that say how a person's canvas differs from the mean one.
    """

    channels: tuple[int, ...] = (40, 64, 96)
    canvas: int = 16
    codes: int = 12


class Own(NamedTuple):
    """What the portrait itself shows in its mouth's patch.

    Attributes:
      inside: 1 between its lips.
    """

    image: Float[Array, "#b h w 3"]
    inside: Float[Array, "#b h w"]


class Painting(NamedTuple):
    """Colours in [0, 1], and their share in what is shown."""

    colour: Float[Array, "b h w 3"]
    share: Float[Array, "b h w 1"]


class MouthPainter(nn.Module):
    """Paint the patches of b frames."""

    config: MouthPainterConfig = MouthPainterConfig()
    dtype: Any = None

    @nn.compact
    def __call__(
        self, patch: mouth_patch.Patch, own: Own, code: Float[Array, "#b k"] | None = None
    ) -> Painting:
        """Say what is to be seen, and where.

        Args:
          patch: warped skin and the mouth's shape.
          own: of the portrait; one, or one a frame.
          code: whose teeth; the painter's own where not given.
        """
        c = self.config
        x = fold(_inputs(patch, own))
        canvas = self._canvas(code, (*x.shape[1:3], c.canvas))
        canvas = jnp.broadcast_to(canvas, (len(x), *canvas.shape[1:])).astype(x.dtype)
        parts, levels = (x, canvas), []
        for i, features in enumerate(c.channels):
            x = self._pair((pooling.halve(x),) if i else parts, features, f"down_{i}")
            levels.append(x)
        for i in reversed(range(len(levels) - 1)):
            up = conv.Conv(
                c.channels[i], padding=1, doubled=True, kernel_init=HE, dtype=self.dtype, name=f"up_{i}"
            )(x)
            parts = (nn.leaky_relu(up, 0.2), levels[i], *([canvas] if i == 0 else []))
            x = self._pair(parts, c.channels[i], f"join_{i}")
        # Begins as nothing: the mask of the inside is the share, and the mean colour around is the colour.
        paint = conv.Conv(4 * 4, padding=1, kernel_init=NEAR_ZERO, dtype=self.dtype, name="paint")
        x = precision.widen(unfold(paint(x)))
        inside = patch.inside[..., None]
        share = (inside + (1 - inside) * near(inside) * nn.sigmoid(x[..., 3:] - SHYNESS)) * border()
        around = (patch.skin * (1 - inside)).sum((1, 2), keepdims=True)
        mean = around / jnp.maximum((1 - inside).sum((1, 2), keepdims=True), 1)
        base = patch.skin * (1 - inside) + 0.5 * mean * inside
        return Painting(nn.sigmoid(x[..., :3] + _logit(base)), share)

    def _canvas(self, code, shape):
        """What a person's mouth has at each place, whatever the lips do."""
        own = self.param("code", nn.initializers.zeros, (self.config.codes,))
        mean = self.param("canvas", nn.initializers.normal(0.1), shape)
        ways = self.param("canvas_ways", nn.initializers.normal(0.1), (self.config.codes, *shape))
        return mean[None] + jnp.tensordot(own[None] if code is None else code, ways, 1)

    def _pair(self, parts, features, name):
        for part in ("first", "second"):
            layer = conv.Conv(features, padding=1, kernel_init=HE, dtype=self.dtype, name=f"{name}_{part}")
            parts = (nn.leaky_relu(layer(*parts), 0.2),)
        return parts[0]


class Light(NamedTuple):
    """What an image's light does to colours.

    Attributes:
      tint: factors of RGB against usual light.
      colourful: 1, or less down to 0 in an image of greys.
    """

    tint: Float[Array, "#b 1 1 3"]
    colourful: Float[Array, "#b 1 1 1"]


def light_of(own: Own) -> Light:
    """Tell an image's light by its skin: candles, varnish and video turn all colours alike."""
    skin = (1 - own.inside)[..., None]
    mean = (own.image * skin).sum((1, 2), keepdims=True) / jnp.maximum(skin.sum((1, 2), keepdims=True), 1)
    mean = jnp.maximum(mean, 1e-2)
    grey = (mean @ jnp.asarray(LUMINANCE))[..., None]
    off = jnp.log(mean / grey / jnp.asarray(USUAL_TINT).reshape(1, 1, 1, 3))
    low, high, middle = (f(mean, -1, keepdims=True) for f in (jnp.min, jnp.max, jnp.mean))
    return Light(
        jnp.exp(off * jnp.abs(off) / (jnp.abs(off) + OWN_TINT)),
        jnp.clip((high - low) / middle / COLOURLESS, 0, 1),
    )


def paint(
    config: MouthPainterConfig,
    variables: Any,
    patch: mouth_patch.Patch,
    own: Own,
    dtype: Any = None,
    *,
    code: Float[Array, "#b k"] | None = None,
) -> Painting:
    """Paint as if the light were usual, then in the portrait's light: few portraits were learned from.

    Args:
      code: whose teeth; the painter's own where not given.
    """
    light = light_of(own)
    plain = lambda x: jnp.clip(x / light.tint, 0, 1)
    seen = (patch._replace(skin=plain(patch.skin)), own._replace(image=plain(own.image)))
    network = MouthPainter(config, dtype=dtype)
    painting = applied.function(MouthPainter.__call__, network, variables)(*seen, code)
    colour = painting.colour * light.tint
    grey = (colour @ jnp.asarray(LUMINANCE))[..., None]
    return painting._replace(colour=jnp.clip(grey + light.colourful * (colour - grey), 0, 1))


def _inputs(patch, own):
    """The patches as channels around 0."""
    b = len(patch.skin)
    spread = lambda x: jnp.broadcast_to(x, (b, *x.shape[1:]))
    inside = patch.inside[..., None]
    depth = [
        jnp.clip(d[..., None] / DEPTH, -FARTHEST, FARTHEST) / FARTHEST for d in (patch.below, patch.above)
    ]
    skin = (patch.skin * 2 - 1) * (1 - inside)
    return jnp.concatenate(
        [skin, inside, *depth, spread(own.image) * 2 - 1, spread(own.inside[..., None])], -1
    )


def _logit(colour):
    colour = jnp.clip(colour, 0.02, 0.98)
    return jnp.log(colour / (1 - colour))


def fold(x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww d"]:
    """Lay 2 x 2 pixels into channels (d = 4 c): wide and few is what CPUs compute best."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // 2, w // 2, 4 * c)


def unfold(x: Float[Array, "b h w d"]) -> Float[Array, "b hh ww c"]:
    """Undo `fold`."""
    b, h, w, d = x.shape
    x = x.reshape(b, h, w, 2, 2, d // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, d // 4)


def near(inside: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """1 on the lips beside an opening, 0 farther from it than about a tenth of an eye distance."""
    means = pooling.halve(pooling.halve(pooling.halve(inside)))
    return jnp.clip(NEAR * jax.image.resize(means, inside.shape, "linear"), 0, 1)


def border() -> Float[Array, "1 h w 1"]:
    """1 in the middle of the patch, 0 at its edge."""
    ramps = [
        jnp.clip(jnp.minimum(jnp.arange(n), jnp.arange(n)[::-1]) / width, 0, 1)
        for n, width in zip(mouth_patch.PATCH, BORDER, strict=True)
    ]
    return (ramps[0][:, None] * ramps[1][None])[None, ..., None]


def compose(skin: Float[Array, "b h w 3"], painting: Painting) -> Float[Array, "b h w 3"]:
    """Lay a painting over the warped skin."""
    return skin + painting.share * (painting.colour - skin)


def own_patch(portrait: face_mesh.MeshPortrait) -> Own:
    """Cut the mouth's patch out of the portrait as it is."""
    places = mouth_patch.patch_places(portrait.head[None], portrait.origin[None], portrait.anchor)
    image = grid.grid_sample(portrait.image[None], places, align_corners=True, padding_mode="border")
    rows = (portrait.vertices[None, jnp.asarray(row), :2] for row in topology.APERTURES[0])
    size = 2 * (mouth_patch.PATCH[1] - 1) / jnp.linalg.norm(portrait.head[:, 0])
    plain = portrait._replace(seam=jnp.zeros(()))
    inside, _, _ = face_mesh.mouth_inside(plain, mesh_warp.opening_of(*rows), places, size=size)
    return Own(image, inside)


def paint_frames(
    portrait: face_mesh.MeshPortrait,
    moved: face_mesh.Moved,
    drawing: face_mesh.Drawing,
    patch: mouth_patch.Patch,
    painting: Painting,
    teeth: portrait_teeth.Teeth,
    finish: Callable[[Array], Array] = lambda frames: frames,
) -> Shaped[Array, "b h w 3"]:
    """Put paintings into frames of any size.

    On the skin the painting's difference is added, so that the portrait's own detail stays; between the lips
    it replaces what is there.

    Args:
      teeth: of the portrait, seen instead of painted ones.
      finish: what is done to the colours of every pixel in the end; done to frames and mouths before the ones
        are put into the others, it costs XLA's CPU code a quarter.
    """
    size = drawing.frame.shape[1]
    part = face_mesh.mouth_box(portrait)
    frame = part.cut(drawing.frame)
    places = jnp.broadcast_to(part.places(size)[None], (len(frame), part.height, part.width, 2))
    inside, below, above = face_mesh.mouth_inside(portrait, drawing.mouth, places, size=size)
    shown = compose(patch.skin, painting)
    where = patch_coordinates(moved, portrait.anchor, places)
    change = jnp.concatenate([shown - patch.skin, shown, border() * jnp.ones_like(painting.share)], -1)
    read = grid.grid_sample(change, where, align_corners=True, padding_mode="zeros")
    inside = barrier.once(inside)[..., None] * read[..., 6:]
    between = portrait_teeth.lay(teeth, read[..., 3:6], where, barrier.once(below + above))
    painted = (1 - inside) * (frame + read[..., :3]) + inside * between
    soft = part.window()[None]
    return part.paste(finish(drawing.frame), finish(barrier.once(frame + soft * (painted - frame))))


def patch_coordinates(
    moved: face_mesh.Moved, anchor: Float[Array, " 3"], places: Float[Array, "b h w 2"]
) -> Float[Array, "b h w 2"]:
    """Return where places of the image lie in the patch, [-1, 1]: the inverse of mouth_patch.patch_places."""
    middle = (jnp.einsum("bij,j->bi", moved.head, anchor) + moved.origin)[:, None, None, :2]
    back = inverse.inverse(moved.head[:, :2, :2])
    flat = jnp.einsum("bij,bhwj->bhwi", back, places - middle)
    low = jnp.array([mouth_patch.PATCH_LEFT, mouth_patch.PATCH_TOP]).reshape(1, 1, 1, 2)
    high = jnp.array([mouth_patch.PATCH_RIGHT, mouth_patch.PATCH_BOTTOM]).reshape(1, 1, 1, 2)
    return (flat - low) / (high - low) * 2 - 1


def cost(config: MouthPainterConfig) -> int:
    """Return floating-point operations a frame, as XLA counts them."""
    plane = (1, *mouth_patch.PATCH)
    zeros = lambda *shape: jnp.zeros(shape)
    patch = mouth_patch.Patch(zeros(*plane, 3), *(zeros(*plane) for _ in range(3)))
    own = Own(zeros(*plane, 3), zeros(*plane))
    network = MouthPainter(config)
    variables = jax.eval_shape(network.init, jax.random.key(0), patch, own)
    counted = jax.jit(network.apply).lower(variables, patch, own).cost_analysis()
    assert counted is not None  # CPUs and GPUs count
    return int(counted["flops"])
