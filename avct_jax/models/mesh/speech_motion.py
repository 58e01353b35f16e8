"""E_avct of the mesh: coefficients of facial motion from phoneme posteriors, head pose and audio.

The correlation transformer of Wang et al. (AAAI 2022): its encoder takes what is said and where the head is,
its decoder what is heard. Here the phonemes are soft (posteriors, which carry from voice to voice), the pose
is six numbers instead of a drawing, and the answer is written in the face basis instead of ten keypoints.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avct_jax import face_topology as topology
from avct_jax import speech_format
from avct_jax.layers import precision, transformer
from avct_jax.models import avct

LEAST_LOG = speech_format.LEAST_LOG
POSE_SCALE = 0.1  # rad and eye distances: poses are brought to about 1
# Frames after the last word in which a mouth still moves on, and in which it shuts then; how many before the
# next word it begins to part, and takes to do so: no more than a stream knows ahead.
LINGER, SHUTTING = 2, 6
PARTING_FROM, PARTING = 6, 3


@dataclasses.dataclass(frozen=True)
class SpeechMotionConfig:
    """Sizes.

    Attributes:
      window_radius: frames seen on each side of the predicted one.
      symbols, steps: phoneme classes (data/speech/mesh_features.py TOKENS), and posteriors in a frame.
      rows, columns: of audio features in a frame.
      components: of the face basis.
      codes: numbers that say how a person's manner of speaking differs from the mean one.
    """

    window_radius: int = 5
    d_model: int = 96
    num_heads: int = 4
    feedforward: int = 256
    encoder_layers: int = 1
    decoder_layers: int = 1
    dropout: float = 0.1
    symbols: int = 56
    steps: int = 2
    rows: int = speech_format.ROWS
    columns: int = speech_format.COLUMNS
    components: int = 16
    codes: int = 8

    @property
    def window(self) -> int:
        """Frames in a window."""
        return 2 * self.window_radius + 1


class SpeechMotion(nn.Module):
    """Each frame is encoded once; windows are gathered from the results."""

    config: SpeechMotionConfig
    dtype: Any = None

    def setup(self):
        c = self.config
        self.said = nn.Dense(c.d_model, dtype=self.dtype)
        self.posed = nn.Dense(c.d_model, dtype=self.dtype)
        self.heard_hidden = nn.Dense(2 * c.d_model, dtype=self.dtype)
        self.heard = nn.Dense(c.d_model, dtype=self.dtype)
        self.styled = nn.Dense(c.d_model, dtype=self.dtype)
        self.transformer = transformer.Transformer(
            c.num_heads, c.feedforward, c.encoder_layers, c.decoder_layers, c.dropout, self.dtype
        )
        self.mixed = nn.Dense(2 * c.d_model, dtype=self.dtype)
        self.mixed_output = nn.Dense(c.d_model, dtype=self.dtype)
        near_zero = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.coefficients = nn.Dense(c.components, kernel_init=near_zero)
        self.code = self.param("code", nn.initializers.zeros, (c.codes,))
        self.personal = nn.Dense(c.d_model, use_bias=False, dtype=self.dtype)
        self.manner = nn.Dense(c.components, use_bias=False, kernel_init=near_zero)

    def __call__(
        self,
        posteriors: Float[Array, "b t 2 s"],
        poses: Float[Array, "b t 6"],
        audio: Float[Array, "b t 4 columns"],
        style: Float[Array, " b"],
        code: Float[Array, "b c"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b n k"]:
        """Predict the n = t - 2 radius frames that have all their neighbours.

        Args:
          posteriors: natural logarithms.
          poses: rotation vector (rad) and shift (eye distances) against the speaker's usual pose.
          audio: normalised features.
          style: log of how far the speaker moves the mouth against people's usual; 0 is usual.
          code: whose manner; the network's own where not given.
        """
        code = jnp.broadcast_to(self.code[None], (len(style), *self.code.shape)) if code is None else code
        encoded = self.encode_frames(posteriors, poses)
        decoded = self.decode_frames(audio, style) + self.personal(code)[:, None]
        radius = self.config.window_radius
        windows = (avct.gather_windows(x, radius) for x in (encoded, decoded))
        return self.predict_windows(*windows, train=train) + self.manner(code)[:, None]

    def encode_frames(
        self, posteriors: Float[Array, "b t 2 s"], poses: Float[Array, "b t 6"]
    ) -> Float[Array, "b t d"]:
        """Encode what is said and where the head is, frame by frame."""
        said = jnp.maximum(posteriors, LEAST_LOG) / -LEAST_LOG * 2 + 1
        said = jnp.concatenate([said, jnp.exp(posteriors)], -1)
        return self.said(said.reshape(*said.shape[:2], -1)) + self.posed(poses / POSE_SCALE)

    def decode_frames(
        self, audio: Float[Array, "b t 4 columns"], style: Float[Array, " b"]
    ) -> Float[Array, "b t d"]:
        """Encode what is heard, and how lively the mouth is to be, frame by frame."""
        flat = audio.reshape(*audio.shape[:2], -1)
        return self.heard(nn.relu(self.heard_hidden(flat))) + self.styled(style[:, None])[:, None]

    def predict_windows(
        self, encoded: Float[Array, "b t w d"], decoded: Float[Array, "b t w d"], *, train: bool = False
    ) -> Float[Array, "b t k"]:
        """Predict the coefficients in the middle of each window, in standard deviations of speech."""
        b, t, w, d = encoded.shape
        positions = jnp.asarray(transformer.sinusoids(w, d)).astype(encoded.dtype)[None]
        source, target = (x.reshape(b * t, w, d) + positions for x in (encoded, decoded))
        x = self.transformer(source, target, row=w // 2, train=train)[:, 0]
        # A temporal convolution beside the attention: what is always so far away need not be looked for.
        both = jnp.concatenate([encoded, decoded], -1).reshape(b * t, -1)
        x = precision.widen(x + self.mixed_output(nn.relu(self.mixed(both))))
        return self.coefficients(x).reshape(b, t, -1)


def opening(components: Float[Any, "k 478 3"], scales: Float[Any, " k"]) -> Float[Any, " k"]:
    """By how much each coefficient of the face basis parts the lips, eye distances."""
    upper, lower = zip(*topology.MOUTH_GAP, strict=True)
    return ((components[:, lower, 1] - components[:, upper, 1]) * scales[:, None]).mean(1)


def amplify(
    spoken: Float[Any, "n k"], gain: float | Float[Array, ""], centre: Float[Any, " k"], gap: Float[Any, " k"]
) -> Float[Any, "n k"]:
    """Move `gain` times as far from the centre as was predicted.

    A regression that does not know a voice well stays near the mean of what lips do: its mouths neither open
    wide nor shut. Away from rest alone they would never shut; away from the mean they do both. What is taken
    off never makes lips cross: a mouth that is shut, as in silence, is left shut.

    Args:
      spoken, centre: standard deviations of speech; of numpy's arrays comes one of its own.
      gap: of `opening`.
    """
    xp: Any = np if isinstance(spoken, np.ndarray) else jnp  # else each length of audio is compiled for
    taken = (gain - 1) * centre
    raised = gain * spoken
    share = xp.maximum(raised @ gap, 0) / xp.maximum(taken @ gap, 1e-6)
    return raised - xp.minimum(share, 1)[:, None] * taken[None]


def rescale(
    amplified: Float[Any, "n k"],
    spoken: Float[Any, "n k"],
    gain: float,
    scale: float,
    gap: Float[Any, " k"],
) -> Float[Any, "n k"]:
    """Finish what `amplify` began with gain * max(scale, 1): a mouth that moves `scale` times as far.

    More than usual is farther from the centre, so that lips part wider and shut no less often; but they are
    pressed no harder than usual, where they would cross. Less than usual is nearer to rest: shut.

    Args:
      gain: that is usual.
      scale: 1 changes nothing.
      gap: of `opening`.
    """
    if scale <= 1:
        return amplified * np.float32(scale)
    pressed = np.minimum(gain * (spoken @ gap), 0) - amplified @ gap
    return amplified + (np.maximum(pressed, 0) / (gap @ gap))[:, None] * gap[None]


def voiced_share(since: Float[np.ndarray, " n"], until: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return which share of its motion a mouth keeps where nobody speaks: in pauses it comes to rest.

    Left to E_avct it would move with the head, whose poses it sees.

    Args:
      since: frames since somebody spoke; 0 where somebody does.
      until: frames until somebody will.
    """
    shutting = 1 - (since - LINGER) / SHUTTING
    return np.clip(np.maximum(shutting, (PARTING_FROM - until) / PARTING), 0, 1).astype(np.float32)


def rest_in_pauses(
    moved: Float[np.ndarray, "t k"], silent: Bool[np.ndarray, " t"]
) -> Float[np.ndarray, "t k"]:
    """Bring a mouth to rest where nobody speaks.

    Args:
      moved: coefficients, 0 at rest.
    """
    index = np.arange(len(silent))
    spoken = np.where(silent, np.inf, index)
    last = np.maximum.accumulate(np.where(silent, -np.inf, index))
    following = np.minimum.accumulate(spoken[::-1])[::-1]
    return moved * voiced_share(index - last, following - index)[:, None]
