"""Which phoneme recordings, softly, every 20 ms: a small temporal convolution that waits for 200 ms of audio.

It has learned the log-posteriors of hama's network (phoneme_stage.py), which hears the whole audio.

Residual blocks of dilated convolutions (Bai et al. 2018, "An Empirical Evaluation of Generic Convolutional
and Recurrent Networks for Sequence Modeling"), some of which look a little ahead. Nothing is padded inside: a
stretch with its neighbours gives the same numbers as the whole.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avct_jax import speech_format
from avct_jax.layers import dropout, precision

STEPS = speech_format.STEPS
CHUNK = 64  # frames recognised at once
# Columns of the features: loudness, filter banks, pitch, activity. MFCC say no more than the filter banks.
HEARD = np.array([0, *range(speech_format.FILTERBANK.start, speech_format.COLUMNS)])


@dataclasses.dataclass(frozen=True)
class PhonemeNetConfig:
    """Sizes; the defaults have 0.42 M parameters, and hear 520 ms back and 200 ms ahead.

    Attributes:
      width: channels.
      dilations: of each block's three taps, steps of 20 ms.
      ahead: of each block, by how many of these steps its last tap is ahead; the sum must be whole frames.
      dropout: share of channels that training leaves out.
      rows, columns: of audio features in a frame.
      symbols: data/speech/mesh_features.py TOKENS.
    """

    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    ahead: tuple[int, ...] = (1, 2, 4, 0, 2, 1)
    dropout: float = 0.1
    rows: int = speech_format.ROWS
    columns: int = speech_format.COLUMNS
    symbols: int = 56

    def __post_init__(self):
        fits = len(self.dilations) == len(self.ahead) and sum(self.ahead) % STEPS == 0
        if not fits or any(a > 2 * d for a, d in zip(self.ahead, self.dilations, strict=True)):
            raise ValueError(
                f"ahead {self.ahead} must name a step count for each of the dilations {self.dilations}, at "
                "most twice as large, and sum up to an even number"
            )

    @property
    def frames_ahead(self) -> int:
        """Frames after a frame that its answer hangs on."""
        return sum(self.ahead) // STEPS

    @property
    def frames_back(self) -> int:
        """Frames before it."""
        return (2 * sum(self.dilations) - sum(self.ahead)) // STEPS

    @property
    def frames_seen(self) -> int:
        """Frames that one answer hangs on."""
        return self.frames_back + 1 + self.frames_ahead


class PhonemeNet(nn.Module):
    """Speech features to log-posteriors."""

    config: PhonemeNetConfig
    dtype: Any = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "b m 4 columns"], *, train: bool = False
    ) -> Float[Array, "b t 2 s"]:
        """Recognise the t = m - frames_back - frames_ahead frames that have all their neighbours.

        Args:
          features: data/speech/streaming_features.py; zeros where there is no audio.

        Returns:
          Natural logarithms, whose exponentials sum up to 1.
        """
        c = self.config
        b, m = features.shape[:2]
        x = features[..., HEARD].reshape(b, m * STEPS, -1)
        x = nn.Dense(c.width, dtype=self.dtype)(x)
        for dilation, ahead in zip(c.dilations, c.ahead, strict=True):
            x = Block(dilation, ahead, c.dropout, self.dtype)(x, train=train)
        x = nn.Dense(c.symbols)(nn.relu(nn.LayerNorm()(precision.widen(x))))
        return nn.log_softmax(x).reshape(b, -1, STEPS, c.symbols)


class Block(nn.Module):
    """Three taps, `dilation` steps apart, beside the step that is answered; 2 x dilation are used up."""

    dilation: int
    ahead: int
    dropout: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], *, train: bool = False) -> Float[Array, "b r d"]:
        width, left = x.shape[-1], x.shape[1] - 2 * self.dilation
        y = nn.relu(nn.LayerNorm(dtype=self.dtype)(x))
        taps = [y[:, i * self.dilation : i * self.dilation + left] for i in range(3)]
        y = nn.relu(nn.Dense(width, dtype=self.dtype)(jnp.concatenate(taps, -1)))
        y = nn.Dense(width, dtype=self.dtype)(dropout.Dropout(self.dropout)(y, train=train))
        here = 2 * self.dilation - self.ahead
        return x[:, here : here + left] + y


def recogniser(
    config: PhonemeNetConfig, variables: Mapping[str, Any]
) -> Callable[[Float[np.ndarray, "t 4 columns"]], Float[np.ndarray, "t 2 s"]]:
    """Return what recognises a recording's features, compiled at its first call."""
    apply = jax.jit(functools.partial(PhonemeNet(config).apply, {"params": variables["params"]}))
    return functools.partial(recognise, config, apply)


def hear(
    config: PhonemeNetConfig, params: Mapping[str, Any], features: Float[Array, "b m 4 columns"]
) -> Float[Array, "b t 2 s"]:
    """Recognise, as PhonemeNet does; to be compiled with the parameters as an argument."""
    network: Any = PhonemeNet(config)
    return network.apply({"params": params}, features)


def chunk_shape(config: PhonemeNetConfig, chunk: int = CHUNK) -> tuple[int, ...]:
    """Return the shape of what `recognise` shows the network at once."""
    return 1, chunk + config.frames_back + config.frames_ahead, config.rows, config.columns


def recognise(
    config: PhonemeNetConfig,
    apply: Callable[[Float[np.ndarray, "b m 4 columns"]], Any],
    features: Float[np.ndarray, "t 4 columns"],
    *,
    chunk: int = CHUNK,
) -> Float[np.ndarray, "t 2 s"]:
    """Recognise a recording of any length, piece by piece: memory and compiled programs do not grow with it.

    Args:
      apply: the network with its variables, best compiled; sees `chunk` + neighbours frames at a time.
      features: of the whole audio.
    """
    frames = len(features)
    count = -(-frames // chunk)
    missing = count * chunk - frames
    padded = np.pad(features, ((config.frames_back, config.frames_ahead + missing), (0, 0), (0, 0))).astype(
        np.float32
    )
    seen = chunk + config.frames_back + config.frames_ahead
    pieces = [np.asarray(apply(padded[None, i * chunk : i * chunk + seen])[0]) for i in range(count)]
    return np.concatenate(pieces)[:frames]
