"""E_avct: facial motion from phonemes, head poses, audio and the keypoint features of a portrait."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax import motion, speech_format
from avct_jax.layers import conv_encoder, norm, precision, transformer
from avct_jax.layers.convolution import antialias, conv
from avct_jax.layers.geometry import pose_image

SILENCE = 31  # index of SIL among the 41 alphabetical symbols
AUDIO_MAP = 32  # pixels, side of the square that the transposed convolution makes of (ROWS, COLUMNS)


@dataclasses.dataclass(frozen=True)
class AVCTConfig:
    """Defaults: the released network (49.3 M parameters).

    Attributes:
      window_radius: frames seen on each side of the predicted one.
      channels: of the towers' blocks; each halves its image.
      pose_size: side of the low-passed pose image, pixels.
      phoneme_encoder: "image" lays the embedding beside the pose image; "embedding" adds it to the
        tower's result.
      phoneme_features: length of the embedding that becomes an image, a square number.
      audio_encoder: "conv" lays a map of the audio beside the portrait's features, one tower pass a frame;
        "mlp" adds a perceptron's result to one tower pass a clip.
      feature_size, feature_channels: of the portrait's keypoint features.
      phonemes, audio, reference: the ablations of Wang et al., Table 2: whether the encoder sees phonemes,
        whether the decoder hears the audio, and what it sees of the portrait: its keypoint features, its
        "image" low-passed to feature_size, or "none" of it.
    """

    window_radius: int = 5
    num_keypoints: int = 10
    d_model: int = 512
    num_heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    pose_size: int = 64
    num_phonemes: int = 41
    phoneme_encoder: str = "image"
    phoneme_features: int = 256
    audio_encoder: str = "conv"
    audio_channels: int = 8
    audio_kernel: int = 13
    feature_size: int = 64
    feature_channels: int = 35
    phonemes: bool = True
    audio: bool = True
    reference: Literal["keypoints", "image", "none"] = "keypoints"

    def __post_init__(self):
        for name, allowed in (
            ("phoneme_encoder", ("image", "embedding")),
            ("audio_encoder", ("conv", "mlp")),
            ("reference", ("keypoints", "image", "none")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} must be one of {allowed}")
        if self.audio_encoder == "conv" and self.feature_size % AUDIO_MAP:
            raise ValueError(
                f"feature_size {self.feature_size} must be a multiple of {AUDIO_MAP} for conv audio"
            )
        if not 0 < self.pose_size <= pose_image.SIZE:
            raise ValueError(f"pose_size {self.pose_size} must be from 1 to {pose_image.SIZE}")
        if not self.audio and self.reference == "none":
            raise ValueError("without audio and reference the decoder has no input; keep one of them")

    @property
    def window(self) -> int:
        """Frames in a window."""
        return 2 * self.window_radius + 1

    @property
    def reference_channels(self) -> int:
        """Of what is seen of the portrait (`reference_of`)."""
        return 3 if self.reference == "image" else self.feature_channels


class AVCT(nn.Module):
    """Audio-visual correlation transformer, Wang et al., AAAI 2022, "Audio-Visual Correlation Transformer".

    Frames are encoded once each, and windows are gathered from the results: in evaluation the same
    numbers as encoding every window anew.
    """

    config: AVCTConfig
    dtype: Any = None

    def setup(self):
        c = self.config
        image = c.phoneme_encoder == "image"
        if c.phonemes:
            self.embedding = nn.Embed(c.num_phonemes, c.phoneme_features if image else c.d_model)
        self.feature_extract = conv_encoder.make_tower(c.channels, self.dtype)
        self.decodefeature_extract = conv_encoder.make_tower(c.channels, self.dtype)
        if c.channels[-1] != c.d_model:
            self.encode_projection = nn.Dense(c.d_model, dtype=self.dtype)
            self.decode_projection = nn.Dense(c.d_model, dtype=self.dtype)
        if c.audio:
            self._setup_audio()
        self.transformer = transformer.Transformer(
            c.num_heads, c.feedforward, c.encoder_layers, c.decoder_layers, c.dropout, self.dtype
        )
        # Nearly zero heads: training begins at the mean motion, which their biases hold.
        near_zero = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        self.kp = nn.Dense(2 * c.num_keypoints, kernel_init=near_zero)
        self.jacobian = nn.Dense(4 * c.num_keypoints, kernel_init=near_zero, bias_init=_identities)

    def _setup_audio(self):
        c = self.config
        if c.audio_encoder == "conv":
            self.audio_embedding_0 = nn.ConvTranspose(
                c.audio_channels,
                (29, 14),
                padding=((28, 28), (2, 2)),  # torch's (0, 11): a kernel less one pixel, less those cut off
                transpose_kernel=True,
                dtype=self.dtype,
                kernel_init=_from_torch,
            )
            self.audio_embedding_1 = norm.BatchNorm(dtype=self.dtype)
            k = c.audio_kernel
            self.audio_embedding_3 = conv.Conv(c.feature_channels, (k, k), padding=k // 2, dtype=self.dtype)
        else:
            self.audio_norm = norm.BatchNorm(dtype=self.dtype)
            self.audio_hidden = nn.Dense(c.d_model, dtype=self.dtype)
            self.audio_output = nn.Dense(c.d_model, dtype=self.dtype)

    def __call__(
        self,
        phonemes: Int[Array, "b t"],
        pose_images: Float[Array, "b t h w"],
        audio: Float[Array, "b t 4 columns"],
        features: Float[Array, "b f f c"],
        *,
        train: bool = False,
    ) -> motion.Motion:
        """Predict the motion of every frame of a clip.

        Outside the clip there is silence, and the pose of its first or last frame.

        Args:
          phonemes: indices of the 41 symbols, one a frame.
          pose_images: 0 or 255, see `encode_frames`.
          audio: 4 rows of 10 ms a frame.
          features: the portrait's, `reference_of` it.
          train: normalise by the batch, and drop out (rng "dropout").
        """
        silent = jnp.full((phonemes.shape[0], 1), SILENCE, phonemes.dtype)
        phonemes = jnp.concatenate([silent, phonemes, silent], 1)
        pose_images = jnp.concatenate([pose_images[:, :1], pose_images, pose_images[:, -1:]], 1)
        encoded = self.encode_frames(phonemes, pose_images, train=train)
        audio = jnp.concatenate([jnp.zeros_like(audio[:, :1]), audio, jnp.zeros_like(audio[:, :1])], 1)
        decoded = self.decode_frames(audio, features, train=train)
        radius = self.config.window_radius
        # The frame before the clip stands for all before it, so it is encoded once.
        encoded, decoded = (extend_ends(x, radius - 1) for x in (encoded, decoded))
        windows = (gather_windows(x, radius) for x in (encoded, decoded))
        return self.predict_windows(*windows, train=train)

    def encode_frames(
        self, phonemes: Int[Array, "b t"], pose_images: Float[Array, "b t h w"], *, train: bool = False
    ) -> Float[Array, "b t d"]:
        """Encode what is said and where the head is, frame by frame.

        Args:
          pose_images: 0 or 255, a multiple of `pose_size` pixels wide, low-passed here to `pose_size`;
            or already low-passed.
        """
        b, t = phonemes.shape
        c = self.config
        pose = pose_images.reshape(b * t, *pose_images.shape[2:], 1)
        pose = antialias.downsample(pose, pose.shape[1] // c.pose_size)
        if not c.phonemes:
            return self._encode(pose, train).reshape(b, t, -1)
        embedded = self.embedding(phonemes.reshape(b * t))
        if c.phoneme_encoder == "image":
            side = round(c.phoneme_features**0.5)
            image = resize_nearest(embedded.reshape(b * t, side, side, 1), c.pose_size // side)
            x = self._encode(jnp.concatenate([pose, image], -1), train)
        else:
            x = self._encode(pose, train) + embedded.astype(self.dtype)
        return x.reshape(b, t, -1)

    def _encode(self, x, train):
        x = conv_encoder.run_tower(self.feature_extract, x, train=train)
        return x if self.config.channels[-1] == self.config.d_model else self.encode_projection(x)

    def decode_frames(
        self, audio: Float[Array, "b t 4 columns"], features: Float[Array, "b f f c"], *, train: bool = False
    ) -> Float[Array, "b t d"]:
        """Encode what is heard, beside the portrait's keypoint features, frame by frame.

        Args:
          features: see `reference_of`.
        """
        b, t = audio.shape[:2]
        c = self.config
        if not c.audio:
            x = self._decode(features, train)
            return jnp.broadcast_to(x[:, None], (b, t, x.shape[-1]))
        if c.audio_encoder == "mlp":
            x = self.audio_norm(audio, train=train).reshape(b, t, -1)
            x = self.audio_output(nn.relu(self.audio_hidden(x)))
            return x if c.reference == "none" else x + self._decode(features, train)[:, None]
        x = self.audio_embedding_0(audio.reshape(b * t, speech_format.ROWS, speech_format.COLUMNS, 1))
        x = self.audio_embedding_3(nn.relu(self.audio_embedding_1(x, train=train)))
        x = resize_nearest(x, c.feature_size // AUDIO_MAP)
        if c.reference != "none":
            beside = jnp.broadcast_to(features[:, None], (b, t, *features.shape[1:]))
            beside = beside.reshape(b * t, *features.shape[1:]).astype(x.dtype)
            x = jnp.concatenate([x, beside], -1)
        return self._decode(x, train).reshape(b, t, -1)

    def _decode(self, x, train):
        x = conv_encoder.run_tower(self.decodefeature_extract, x, train=train)
        return x if self.config.channels[-1] == self.config.d_model else self.decode_projection(x)

    def predict_windows(
        self,
        encoded: Float[Array, "b t w d"],
        decoded: Float[Array, "b t w d"],
        *,
        train: bool = False,
    ) -> motion.Motion:
        """Predict the motion in the middle of each window."""
        b, t, w, d = encoded.shape
        positions = jnp.asarray(transformer.sinusoids(w, d)).astype(encoded.dtype)[None]
        source = encoded.reshape(b * t, w, d) + positions
        target = decoded.reshape(b * t, w, d) + positions
        x = precision.widen(self.transformer(source, target, row=w // 2, train=train)[:, 0])
        k = self.config.num_keypoints
        return motion.Motion(self.kp(x).reshape(b, t, k, 2), self.jacobian(x).reshape(b, t, k, 2, 2))


def reference_of(
    config: AVCTConfig, image: Float[Array, "b h w 3"], features: Float[Array, "b f f d"]
) -> Float[Array, "b ff ff c"]:
    """What the decoder sees of a portrait: its keypoint features (`Detection.features`), or its image.

    Args:
      image: RGB in [0, 1], a multiple of `feature_size` pixels wide.
    """
    if config.reference == "image":
        return antialias.downsample(image, image.shape[1] // config.feature_size)
    return features


def gather_windows(x: Float[Array, "b t d"], radius: int) -> Float[Array, "b n w d"]:
    """Stack the w = 2 radius + 1 frames around each of the n = t - 2 radius frames that have them all."""
    n = x.shape[1] - 2 * radius
    return jnp.stack([x[:, i : i + n] for i in range(2 * radius + 1)], 2)


def extend_ends(x: Float[Array, "b t d"], count: int) -> Float[Array, "b n d"]:
    """Repeat the first and the last frame `count` times more."""
    return jnp.pad(x, ((0, 0), (count, count), (0, 0)), mode="edge")


def resize_nearest(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b hh ww c"]:
    """Write every pixel `factor` times along both axes."""
    return jnp.repeat(jnp.repeat(x, factor, 1), factor, 2)


# As torch draws: a transposed convolution's kernel is (height, width, out, in).
_from_torch = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=-1, out_axis=-2)


def _identities(key: Any, shape: Sequence[int], dtype: Any = jnp.float32) -> Float[Array, "n"]:
    return jnp.tile(jnp.asarray([1, 0, 0, 1], dtype), shape[0] // 4)
