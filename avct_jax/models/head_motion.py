"""E_h: head poses from audio and a first pose."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avct_jax.layers import norm, precision, resnet

# Rotation vector (rad) and translation (mm) that -1 and 1 stand for; OpenFace's axes.
REAL_MIN = (-0.6, -0.6, -0.6, -128.0, -128.0, 128.0)
REAL_MAX = (0.6, 0.6, 0.6, 128.0, 128.0, 384.0)


@dataclasses.dataclass(frozen=True)
class HeadMotionConfig:
    """Defaults: the released network (44.1 M parameters).

    Attributes:
      features: of each embedding and of the LSTM.
      audio_encoder: "resnet" takes each (4, 41) block as an image; "mlp" normalises its columns and
        flattens it.
      tanh: keep predictions inside [-1, 1]; the released network does not.
    """

    features: int = 256
    lstm_layers: int = 2
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    audio_encoder: str = "resnet"
    tanh: bool = False

    def __post_init__(self):
        if self.audio_encoder not in ("resnet", "mlp"):
            raise ValueError(f"audio_encoder {self.audio_encoder!r} must be 'resnet' or 'mlp'")


class HeadMotionCarry(NamedTuple):
    """What the LSTM remembers: each layer's cell and hidden values, and its previous output."""

    state: tuple[tuple[Float[Array, "b h"], Float[Array, "b h"]], ...]
    previous: Float[Array, "b h"]


class HeadMotion(nn.Module):
    """Head-motion predictor, Wang et al., AAAI 2022, after Audio2Head (Wang et al., IJCAI 2021)."""

    config: HeadMotionConfig
    dtype: Any = None

    def setup(self):
        c = self.config
        self.em_pose = Embedding(c.features, c.blocks, c.widths, self.dtype)
        if c.audio_encoder == "resnet":
            self.em_audio = Embedding(c.features, c.blocks, c.widths, self.dtype)
        else:
            self.audio_norm = norm.BatchNorm()
            self.audio_hidden = nn.Dense(c.features, dtype=self.dtype)
            self.audio_output = nn.Dense(c.features, dtype=self.dtype)
        # Uniform in +-1/sqrt(inputs), much as torch draws.
        draw = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        cell = {"features": c.features, "kernel_init": draw, "recurrent_kernel_init": draw}
        self.lstm = [nn.OptimizedLSTMCell(**cell) for _ in range(c.lstm_layers)]
        self.output = nn.Dense(6)

    def __call__(
        self,
        first_pose_image: Float[Array, "b h w"],
        audio: Float[Array, "b t 4 columns"],
        *,
        train: bool = False,
    ) -> Float[Array, "b n 6"]:
        """Predict n = t + 1 poses in network range; pose 0 is read from the image alone.

        Args:
          first_pose_image: 0 or 255, see layers/geometry/pose_image.py.
        """
        carry, first = self.initial(first_pose_image, train=train)
        _, rest = self.run(carry, audio, train=train)
        return jnp.concatenate([first[:, None], rest], 1)

    def initial(
        self, first_pose_image: Float[Array, "b h w"], *, train: bool = False
    ) -> tuple[HeadMotionCarry, Float[Array, "b 6"]]:
        """Begin: what `run` needs, and pose 0."""
        x = precision.widen(self.em_pose(first_pose_image[..., None], train=train))
        zeros = jnp.zeros_like(x)
        return HeadMotionCarry(((zeros, zeros),) * self.config.lstm_layers, x), self._pose(x)

    def run(
        self, carry: HeadMotionCarry, audio: Float[Array, "b t 4 columns"], *, train: bool = False
    ) -> tuple[HeadMotionCarry, Float[Array, "b t 6"]]:
        """Continue with one pose for each block of audio; clips may be given in chunks of any length."""
        embedded = precision.widen(self._embed_audio(audio, train))

        turns = {"variable_broadcast": "params", "split_rngs": {"params": False}, "in_axes": 1, "out_axes": 1}
        carry, outputs = nn.scan(HeadMotion._step, **turns)(self, carry, embedded)
        return carry, self._pose(outputs)

    def _step(self, carry, x):
        y, states = jnp.concatenate([x, carry.previous], -1), []
        for cell, state in zip(self.lstm, carry.state, strict=True):
            state, y = cell(state, y)
            states.append(state)
        return HeadMotionCarry(tuple(states), y), y

    def _embed_audio(self, audio, train):
        b, t = audio.shape[:2]
        if self.config.audio_encoder == "mlp":
            x = self.audio_norm(audio, train=train).reshape(b, t, -1)
            return self.audio_output(nn.relu(self.audio_hidden(x)))
        return self.em_audio(audio.reshape(b * t, *audio.shape[2:], 1), train=train).reshape(b, t, -1)

    def _pose(self, x):
        x = self.output(x)
        return jnp.tanh(x) if self.config.tanh else x


class Embedding(nn.Module):
    """A ResNet under the released checkpoints' name `resnet`."""

    features: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 1"], *, train: bool = False) -> Float[Array, "b d"]:
        net = resnet.ResNet(self.features, self.blocks, self.widths, self.dtype, name="resnet")
        return net(x, train=train)


def to_real_units(poses: Float[Array, "*b 6"]) -> Float[Array, "*b 6"]:
    """Network range [-1, 1] to rotation vector (rad) and translation (mm)."""
    low, span = _range(poses)
    return (poses + 1) / 2 * span + low


def to_network_range(poses: Float[Array, "*b 6"]) -> Float[Array, "*b 6"]:
    """Undo `to_real_units`."""
    low, span = _range(poses)
    return (poses - low) / span * 2 - 1


def _range(poses):
    low, high = np.asarray(REAL_MIN, np.float32), np.asarray(REAL_MAX, np.float32)
    shape = (1,) * (poses.ndim - 1) + (6,)
    return low.reshape(shape), (high - low).reshape(shape)
