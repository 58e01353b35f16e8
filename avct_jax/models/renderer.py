"""E_r: move the source image and paint what was hidden."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.layers import blocks, precision
from avct_jax.layers.convolution import antialias, conv
from avct_jax.layers.geometry import grid, motion_map
from avct_jax.models import dense_motion


@dataclasses.dataclass(frozen=True)
class RendererConfig:
    """Defaults: the released generator (7.85 M parameters, and its dense motion network).

    Attributes:
      working_downsampling: factor from the image to the size at which the network works.
      blend: also carry the source image itself to its new place, at full resolution, and let the
        network say per pixel how much of it to keep: detail costs one sampling, not a deep network
        at full resolution. The released network has no such path.
      motion_map: tell the decoder where the keypoints are (motion_map.py); the released network
        learns of them by the warp alone.
      motion_map_turns: the map knows the affine frames too.
    """

    motion: dense_motion.DenseMotionConfig = dense_motion.DenseMotionConfig()
    block_expansion: int = 64
    max_features: int = 512
    num_down_blocks: int = 2
    num_bottleneck_blocks: int = 6
    kernel_size: int = 7
    working_downsampling: int = 1
    blend: bool = False
    motion_map: bool = False
    motion_map_turns: bool = False

    @property
    def variance(self) -> float:
        """Of the Gaussians that show keypoints, in [-1, 1] units."""
        return self.motion.variance

    @property
    def align_corners(self) -> bool:
        """Whether -1 and 1 are the centres of the outermost pixels, or their outer edges."""
        return self.motion.align_corners


class EncodedSource(NamedTuple):
    """What is computed of a portrait once.

    Attributes:
      image: the image at the working size.
      full: at its own size, for `blend`.
      features: the encoder's output, to be moved for every frame.
    """

    image: Float[Array, "b h w 3"]
    full: Float[Array, "b hh ww 3"]
    features: Float[Array, "b fh fw d"]


class Rendering(NamedTuple):
    """A frame in [0, 1] and how it came about.

    painted: what the decoder paints, at the working size. keep: the share of the moved source image that it
      keeps; None without `blend`.
    """

    frame: Float[Array, "b h w 3"]
    dense_motion: dense_motion.DenseMotion
    painted: Float[Array, "b hh ww 3"]
    keep: Float[Array, "b hh ww 1"] | None


class Renderer(nn.Module):
    """Warp features by the dense motion, hide what is occluded, decode to an image.

    Siarohin et al., NeurIPS 2019, section 3.3. `encode` once a portrait, `decode` once a frame.
    """

    config: RendererConfig
    dtype: Any = None

    def setup(self):
        c = self.config
        widths = [min(c.max_features, c.block_expansion * 2**i) for i in range(c.num_down_blocks + 1)]
        self.dense_motion_network = dense_motion.DenseMotionNetwork(c.motion, dtype=self.dtype)
        self.first = blocks.SameBlock(widths[0], c.kernel_size, dtype=self.dtype)
        self.down_blocks = [blocks.DownBlock(w, dtype=self.dtype) for w in widths[1:]]
        if c.motion_map:
            self.motion_map = motion_map.MotionMap(widths[-1], turns=c.motion_map_turns)
        self.bottleneck = Bottleneck(c.num_bottleneck_blocks, dtype=self.dtype)
        self.up_blocks = [blocks.UpBlock(w, dtype=self.dtype) for w in reversed(widths[:-1])]
        kernel = (c.kernel_size, c.kernel_size)
        self.final = conv.Conv(4 if c.blend else 3, kernel, padding=c.kernel_size // 2)

    def encode(
        self,
        image: Float[Array, "b h w 3"],
        full: Float[Array, "b hh ww 3"] | None = None,
        *,
        train: bool = False,
    ) -> EncodedSource:
        """Encode a portrait.

        Args:
          image: RGB in [0, 1].
          full: the same at the size of the frames that are to be drawn, if that is another.
          train: use the batch's statistics.
        """
        small = antialias.downsample(image, self.config.working_downsampling)
        features = self.first(small, train=train)
        for block in self.down_blocks:
            features = block(features, train=train)
        return EncodedSource(small, image if full is None else full, features)

    def decode(
        self,
        source: EncodedSource,
        driving_motion: motion.Motion,
        source_motion: motion.Motion,
        *,
        train: bool = False,
    ) -> Rendering:
        """Render the portrait as `driving_motion` says; batches of equal size."""
        align = self.config.motion.align_corners
        dense = self.dense_motion_network(source.image, driving_motion, source_motion, train=train)
        h, w = source.features.shape[1:3]
        x = grid.grid_sample(precision.widen(source.features), self._resize(dense, h, w), align_corners=align)
        x = x * resize_bilinear(dense.occlusion_map, h, w)
        if self.config.motion_map:
            x = x + self.motion_map(driving_motion, source_motion, h, w)
        x = self.bottleneck(x, train=train)
        for block in self.up_blocks:
            x = block(x, train=train)
        painted = jax.nn.sigmoid(precision.widen(self.final(x)))
        if not self.config.blend:
            return Rendering(painted, dense, painted, None)
        h, w = source.full.shape[1:3]
        moved = grid.grid_sample(
            source.full, self._resize(dense, h, w), align_corners=align, padding_mode="border"
        )
        large = resize_bilinear(painted, h, w)
        keep = large[..., 3:]
        frame = keep * moved + (1 - keep) * large[..., :3]
        return Rendering(frame, dense, painted[..., :3], painted[..., 3:])

    def _resize(self, dense, height, width):
        """The deformation at another resolution.

        Released weights resize the absolute places; corner-aligned sampling resizes the shift from
        rest, so that rest stays rest at every size.
        """
        deformation = dense.deformation
        if deformation.shape[1:3] == (height, width):
            return deformation
        if not self.config.motion.align_corners:
            return resize_bilinear(deformation, height, width)
        rest = jnp.asarray(grid.coordinate_grid(*deformation.shape[1:3]))[None]
        shift = resize_bilinear(deformation - rest, height, width)
        return shift + jnp.asarray(grid.coordinate_grid(height, width))[None]

    def __call__(
        self,
        image: Float[Array, "b h w 3"],
        driving_motion: motion.Motion,
        source_motion: motion.Motion,
        *,
        train: bool = False,
    ) -> Rendering:
        """Encode and decode."""
        return self.decode(self.encode(image, train=train), driving_motion, source_motion, train=train)


class Bottleneck(nn.Module):
    """Residual blocks named r0, r1, ..."""

    num_blocks: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w c"]:
        for i in range(self.num_blocks):
            x = blocks.ResBlock(dtype=self.dtype, name=f"r{i}")(x, train=train)
        return x


def resize_bilinear(x: Float[Array, "b h w c"], height: int, width: int) -> Float[Array, "b hh ww c"]:
    """Resize by bilinear interpolation between pixel centres, without a low-pass."""
    if x.shape[1:3] == (height, width):
        return x
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "bilinear", antialias=False)
