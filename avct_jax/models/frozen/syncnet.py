"""SyncNet of syncnet_python (Chung and Zisserman 2016), which AVOff and AVConf are measured with."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers import norm
from avct_jax.layers.convolution import conv

WINDOW = 5  # frames
MFCC_STEPS = 20  # 0.2 s; window v starts at step 4 v

# (channels, kernel, padding, pooling window, strides, padding); the names count torch's layers.
AUDIO_LAYERS = {
    0: (64, (3, 3), 1, None),
    4: (192, (3, 3), 1, ((3, 3), (1, 2), 0)),
    8: (384, (3, 3), 1, None),
    11: (256, (3, 3), 1, None),
    14: (256, (3, 3), 1, ((3, 3), (2, 2), 0)),
    18: (512, (5, 4), 0, None),
}
# After the first layer, which spans five frames, each window is one image: 1 x h x w kernels.
LIP_LAYERS = {
    4: (256, (5, 5), (2, 2), 1, ((3, 3), (2, 2), 1)),
    8: (256, (3, 3), (1, 1), 1, None),
    11: (256, (3, 3), (1, 1), 1, None),
    14: (256, (3, 3), (1, 1), 1, ((3, 3), (2, 2), 0)),
    18: (512, (6, 6), (1, 1), 0, None),
}


@dataclass(frozen=True)
class SyncNetConfig:
    """Released shapes (syncnet_v2).

    Attributes:
      width: factor on the numbers of channels.
    """

    width: float = 1.0


class SyncNet(nn.Module):
    """Embed lips and speech; their distance tells how well, and how late, they fit."""

    config: SyncNetConfig = SyncNetConfig()

    @nn.compact
    def __call__(
        self,
        mfcc: Float[Array, "n 13 20 1"] | None,
        frames: Float[Array, "b t 224 224 3"] | None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "n d"] | None, Float[Array, "b t-4 d"] | None]:
        """Return the speech embedding of each window and the lip embedding of each five frames.

        Args:
          mfcc: 13 MFCC of 16-bit integers x 20 steps of 10 ms, one window each; None: skip.
          frames: face crops, BGR in 0..255, successive; None: skip. The windows 0..4, 1..5, ... share one
            pass, so nothing is computed twice.
        """
        speech = None if mfcc is None else self._speech(mfcc, train)
        lip = None if frames is None else self._lip(frames, train)
        return speech, lip

    def _speech(self, x, train):
        for i, (channels, kernel, padding, pooling) in AUDIO_LAYERS.items():
            x = self._plane(x, f"netcnnaud_{i}", channels, kernel, (1, 1), padding, train)
            x = _pool(x, pooling)
        return self._embed(x.reshape(x.shape[0], -1), "netfcaud", train)

    def _lip(self, frames, train):
        kernel = self.param("netcnnlip_0", _kernel_and_bias, (5, 7, 7, 3, self._width(96)))
        x = jax.lax.conv_general_dilated(
            frames, kernel["kernel"], (1, 2, 2), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )
        b, t = x.shape[:2]
        x = x.reshape(b * t, *x.shape[2:]) + kernel["bias"].reshape(1, 1, 1, -1)
        x = _pool(nn.relu(norm.BatchNorm(name="netcnnlip_1")(x, train=train)), ((3, 3), (2, 2), 0))
        for i, (channels, size, strides, padding, pooling) in LIP_LAYERS.items():
            x = _pool(self._plane(x, f"netcnnlip_{i}", channels, size, strides, padding, train), pooling)
        return self._embed(x.reshape(b * t, -1), "netfclip", train).reshape(b, t, -1)

    def _plane(self, x, name, channels, size, strides, padding, train):
        """Convolve each image, normalise, ReLU; lip kernels keep torch's depth axis of length 1."""
        shape = (*size, x.shape[-1], self._width(channels))
        stem, index = name.split("_")
        stored = (1, *shape) if stem == "netcnnlip" else shape
        p = self.param(name, _kernel_and_bias, stored)
        x = conv.convolve(x, p["kernel"].reshape(shape), strides, (padding, padding))
        x = x + p["bias"].reshape(1, 1, 1, -1)
        return nn.relu(norm.BatchNorm(name=f"{stem}_{int(index) + 1}")(x, train=train))

    def _embed(self, x, name, train):
        x = nn.Dense(self._width(512), name=f"{name}_0")(x)
        x = nn.relu(norm.BatchNorm(name=f"{name}_1")(x, train=train))
        return nn.Dense(self._width(1024), name=f"{name}_3")(x)

    def _width(self, channels):
        return max(1, round(channels * self.config.width))


def _kernel_and_bias(key, shape):
    kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")(key, shape)
    return {"kernel": kernel, "bias": jnp.zeros(shape[-1])}


def _pool(x, pooling):
    if pooling is None:
        return x
    window, strides, padding = pooling
    pads: Any = [(padding, padding)] * 2
    return nn.max_pool(x, window, strides, pads)
