"""D_sync: do a mouth and a voice belong together? (Wav2Lip's SyncNet, Prajwal et al. 2020)"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers import norm, precision
from avct_jax.layers.convolution import conv

FRAMES = 5  # per window, 0.2 s at 25 frames/s
MEL_STEPS = 16  # 0.2 s at 80 steps/s

# (channels, kernel, strides, padding) of each block; a block that keeps shape and channels is residual.
FACE_BLOCKS = (
    (32, (7, 7), (1, 1), 3),
    (64, (5, 5), (1, 2), 1),
    *((64, (3, 3), (1, 1), 1),) * 2,
    (128, (3, 3), (2, 2), 1),
    *((128, (3, 3), (1, 1), 1),) * 3,
    (256, (3, 3), (2, 2), 1),
    *((256, (3, 3), (1, 1), 1),) * 2,
    (512, (3, 3), (2, 2), 1),
    *((512, (3, 3), (1, 1), 1),) * 2,
    (512, (3, 3), (2, 2), 1),
    (512, (3, 3), (1, 1), 0),
    (512, (1, 1), (1, 1), 0),
)
AUDIO_BLOCKS = (
    (32, (3, 3), (1, 1), 1),
    *((32, (3, 3), (1, 1), 1),) * 2,
    (64, (3, 3), (3, 1), 1),
    *((64, (3, 3), (1, 1), 1),) * 2,
    (128, (3, 3), (3, 3), 1),
    *((128, (3, 3), (1, 1), 1),) * 2,
    (256, (3, 3), (3, 2), 1),
    *((256, (3, 3), (1, 1), 1),) * 2,
    (512, (3, 3), (1, 1), 0),
    (512, (1, 1), (1, 1), 0),
)


@dataclass(frozen=True)
class SyncDiscriminatorConfig:
    """Released shapes (Wav2Lip's lipsync_expert).

    Attributes:
      width: factor on every number of channels, and so on the embedding's 512.
      residual: keep the blocks that keep shape and channels; without them a third of the FLOPs is left.
    """

    width: float = 1.0
    residual: bool = True


class SyncDiscriminator(nn.Module):
    """Embed a mouth's window of frames and a voice's window of mel steps in one space."""

    config: SyncDiscriminatorConfig = SyncDiscriminatorConfig()
    dtype: Any = None

    @nn.compact
    def __call__(
        self, mel: Float[Array, "b 80 16 1"], face: Float[Array, "b 48 96 15"], *, train: bool = False
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Return the audio and the face embedding, each of length 1, each component >= 0.

        Args:
          mel: 80 bands x 16 steps, scaled to [-4, 4].
          face: see `mouth_window`.
        """
        audio = self._encode(mel, AUDIO_BLOCKS, "audio_encoder", train)
        return audio, self._encode(face, FACE_BLOCKS, "face_encoder", train)

    def _encode(self, x, blocks, name, train):
        c, previous = self.config, None
        for i, (channels, kernel, strides, padding) in enumerate(blocks):
            residual = channels == previous and strides == (1, 1) and padding == 1
            previous = channels
            if residual and not c.residual:
                continue
            block = SyncBlock(
                max(1, round(channels * c.width)),
                kernel,
                strides,
                padding,
                residual,
                self.dtype,
                name=f"{name}_{i}",
            )
            x = block(x, train=train)
        return _unit(precision.widen(x.reshape(x.shape[0], -1)))


class SyncBlock(nn.Module):
    """Convolution, batch norm, the input added where `residual`, ReLU."""

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    padding: int
    residual: bool
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        convolution = conv.Conv(
            self.features, self.kernel_size, self.strides, self.padding, dtype=self.dtype, name="conv_block_0"
        )
        y = norm.BatchNorm(dtype=self.dtype, name="conv_block_1")(convolution(x), train=train)
        return nn.relu(y + x if self.residual else y)


def mouth_window(crops: Float[Array, "b 5 96 96 3"]) -> Float[Array, "b 48 96 15"]:
    """Lay the lower halves of five RGB face crops in [0, 1] in channels: BGR, first frame first (Wav2Lip)."""
    b, t, h, w, c = crops.shape
    lower = crops[:, :, h // 2 :, :, ::-1]
    return lower.transpose(0, 2, 3, 1, 4).reshape(b, h - h // 2, w, t * c)


def cosine(audio: Float[Array, "b d"], face: Float[Array, "b d"]) -> Float[Array, "b"]:
    """Cosine of embeddings of length 1: in [0, 1], as no component is negative."""
    return (audio * face).sum(-1)


def _unit(x):
    # Squares summed with a floor: an embedding of zeros has a gradient, not NaN.
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))
