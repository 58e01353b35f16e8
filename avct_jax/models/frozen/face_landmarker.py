"""MediaPipe's Face Landmarker v2 in Flax: face detector, 478 landmarks, 52 blendshapes.

Architectures and weights are those of Google's `face_landmarker.task` (Apache-2.0; see NOTICE): BlazeFace of
short range (Bazarevsky et al. 2019, arXiv 1907.05047), a residual network after Attention Mesh (Grishchenko
et al. 2020, arXiv 2006.10962) and an MLP-mixer. scripts/convert_face_landmarker.py brought the weights.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from safetensors import numpy as safetensors_numpy

from avct_jax import errors
from avct_jax.layers import activation

WEIGHTS = pathlib.Path(__file__).parents[2] / "pretrained" / "face_landmarker.safetensors"
DETECTOR_SIZE = 128  # px, side of the detector's image, RGB in [-1, 1]
LANDMARK_SIZE = 256  # px, side of the landmark network's image, RGB in [0, 1]
POINTS = 478  # 468 of the mesh, then 5 of each iris
COEFFICIENTS = 52

DETECTOR_WIDTHS = (
    24,
    28,
    32,
    36,
    42,
    48,
    56,
    64,
    72,
    80,
    88,
    96,
    96,
    96,
    96,
    96,
)  # channels after each block
DETECTOR_HALVINGS = (2, 5, 11)  # blocks that halve the image
DETECTOR_TAP = 10  # the block whose 16x16 cells bear two anchors each; the last one's 8x8 bear six
LANDMARK_WIDTHS = (16, 32, 64, 128, 128, 128, 128)  # channels of each stage, at 128, 64 .. 2 px
LANDMARK_WAISTS = (8, 16, 32, 64, 64, 64, 64)  # channels of the depthwise convolutions
BLOCKS = 4  # of each stage of the landmark network
TOKENS, TOKEN_FEATURES = 96, 64
TOKEN_HIDDEN, CHANNEL_HIDDEN = 384, 256
MIXER_BLOCKS = 4
# Of the 478 points, what the blendshape network is given; MediaPipe, face_blendshapes_graph.cc.
BLENDSHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67,
    70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146,
    148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181,
    185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293,
    295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361,
    362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398,
    400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)  # fmt: skip


class Detections(NamedTuple):
    """What BlazeFace says at its 896 anchors: 16x16 cells of two, then 8x8 cells of six, row by row.

    Attributes:
      boxes: centre and size, then six keypoints, each x, y in px of the 128 px image, places relative to the
        anchor's.
      logits: of there being a face.
    """

    boxes: Float[Array, "b 896 16"]
    logits: Float[Array, "b 896"]


class FaceMesh(NamedTuple):
    """
    Attributes:
      points: x right, y down, z away from the viewer, px of the 256 px image.
      presence: logit of a face.
      extra: the network's third output, in [0, 1]; its makers do not say of what.
    """

    points: Float[Array, "b 478 3"]
    presence: Float[Array, "b"]
    extra: Float[Array, "b"]


class FaceDetector(nn.Module):
    """BlazeFace, short range: faces of a fifth of the image and more."""

    @nn.compact
    def __call__(self, image: Float[Array, "b 128 128 3"]) -> Detections:
        """Look for faces in RGB images in [-1, 1]."""
        x = activation.relu(ConvBlock(24, 5, 2, name="stem")(image))
        for i, features in enumerate(DETECTOR_WIDTHS):
            x = BlazeBlock(features, 2 if i in DETECTOR_HALVINGS else 1, name=f"block_{i}")(x)
            if i == DETECTOR_TAP:
                near = x
        boxes = [ConvBlock(32, name="near_boxes")(near), ConvBlock(96, name="far_boxes")(x)]
        logits = [ConvBlock(2, name="near_logits")(near), ConvBlock(6, name="far_logits")(x)]
        b = len(image)
        return Detections(
            jnp.concatenate([y.reshape(b, -1, 16) for y in boxes], 1),
            jnp.concatenate([y.reshape(b, -1) for y in logits], 1),
        )


class FaceLandmarks(nn.Module):
    """478 points of the face in a square image of it."""

    @nn.compact
    def __call__(self, image: Float[Array, "b 256 256 3"]) -> FaceMesh:
        """Find the points in RGB images in [0, 1], in which an upright face fills about two thirds."""
        x = ConvBlock(LANDMARK_WIDTHS[0], 3, 2, name="stem")(image)
        x = PReLU(name="stem_slope")(x)
        for stage, (features, waist) in enumerate(zip(LANDMARK_WIDTHS, LANDMARK_WAISTS, strict=True)):
            if stage:
                x = MobileBlock(features, waist, halve=True, name=f"stage_{stage}_halve")(x)
            for i in range(BLOCKS):
                x = MobileBlock(features, waist, name=f"stage_{stage}_block_{i}")(x)
        x = x.reshape(len(image), -1)  # 2x2 px
        extra = nn.sigmoid(nn.Dense(1, name="extra")(x))
        presence = nn.Dense(1, name="presence")(x)
        points = nn.Dense(POINTS * 3, name="points")(x)
        return FaceMesh(points.reshape(-1, POINTS, 3), presence[:, 0], extra[:, 0])


class Blendshapes(nn.Module):
    """An MLP-mixer (Tolstikhin et al. 2021) from 146 points to the 52 ARKit coefficients in [0, 1]."""

    @nn.compact
    def __call__(self, points: Float[Array, "b 146 2"]) -> Float[Array, "b 52"]:
        """Take BLENDSHAPE_POINTS' x, y in px of the image; their place and size do not matter."""
        x = points - points.mean(1, keepdims=True)
        x = 0.5 * x / jnp.linalg.norm(x, axis=-1, keepdims=True).mean(1, keepdims=True)
        x = nn.Dense(TOKENS, name="tokens")(x.swapaxes(1, 2)).swapaxes(1, 2)
        x = nn.Dense(TOKEN_FEATURES, name="embedding")(x)
        answer = self.param("answer_token", nn.initializers.zeros_init(), (1, 1, TOKEN_FEATURES))
        x = jnp.concatenate([jnp.broadcast_to(answer, (len(x), 1, TOKEN_FEATURES)), x], 1)
        for i in range(MIXER_BLOCKS):
            x = MixerBlock(name=f"block_{i}")(x)
        return nn.sigmoid(nn.Dense(COEFFICIENTS, name="coefficients")(x[:, 0]))


class BlazeBlock(nn.Module):
    """3x3 depthwise, 1x1 convolution, added to what came in; `stride` 2 halves both ways."""

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww d"]:
        y = ConvBlock(self.features, name="pointwise")(Depthwise(self.stride, name="depthwise")(x))
        shortcut = x if self.stride == 1 else largest_of_four(x)
        return activation.relu(widen(shortcut, self.features) + y)


class MobileBlock(nn.Module):
    """1x1 convolution to the waist, 3x3 depthwise, 1x1 convolution, added to what came in.

    `halve`: the first convolution is one of 2x2 px with stride 2.
    """

    features: int
    waist: int
    halve: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww d"]:
        size = 2 if self.halve else 1
        y = PReLU(name="waist_slope")(ConvBlock(self.waist, size, size, name="narrow")(x))
        y = ConvBlock(self.features, name="broaden")(Depthwise(name="depthwise")(y))
        shortcut = widen(largest_of_four(x), self.features) if self.halve else x
        return PReLU(name="slope")(shortcut + y)


class MixerBlock(nn.Module):
    """Two perceptrons, over tokens and over channels, each after a normalisation and added."""

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        norm = functools.partial(nn.LayerNorm, epsilon=1e-6, use_bias=False, use_fast_variance=False)
        y = norm(name="token_norm")(x).swapaxes(1, 2)
        y = nn.Dense(x.shape[1], name="token_out")(nn.relu(nn.Dense(TOKEN_HIDDEN, name="token_in")(y)))
        x = x + y.swapaxes(1, 2)
        y = nn.Dense(CHANNEL_HIDDEN, name="channel_in")(norm(name="channel_norm")(x))
        return x + nn.Dense(x.shape[-1], name="channel_out")(nn.relu(y))


class ConvBlock(nn.Module):
    """Convolution with a bias, padded as TensorFlow's "SAME", as one matrix product.

    The first layer so takes half the time of XLA's own convolution on CPUs.
    """

    features: int
    size: int = 1
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww d"]:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)).reshape(1, 1, 1, -1)
        return jnp.matmul(gather_windows(x, self.size, self.stride), kernel.reshape(-1, self.features)) + bias


class Depthwise(nn.Module):
    """3x3 convolution of each channel by itself, "SAME", as a sum of nine shifted products.

    XLA's own takes several times as long on CPUs.
    """

    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, x.shape[-1]))
        products = (
            seen * tap.reshape(1, 1, 1, -1)
            for seen, tap in zip(shifts(x, 3, self.stride), kernel.reshape(9, -1), strict=True)
        )
        return functools.reduce(jnp.add, products)


class PReLU(nn.Module):
    """Values below zero times a learned slope for each channel."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],)).reshape(1, 1, 1, -1)
        return jnp.where(x < 0, x * slope, x)


def largest_of_four(x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
    """Return the maximum of every 2x2 pixels."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def widen(x: Float[Array, "b h w c"], features: int) -> Float[Array, "b h w d"]:
    """Append channels of zeros."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))


def gather_windows(x: Float[Array, "b h w c"], size: int, stride: int) -> Float[Array, "b hh ww k"]:
    """Lay each window of `size` x `size` px out as channels, "SAME": an odd row is below, a column right."""
    if size == 1:
        return x
    b, h, w, c = x.shape
    if size == stride:
        x = x.reshape(b, h // size, size, w // size, size, c).swapaxes(2, 3)
        return x.reshape(b, h // size, w // size, size * size * c)
    return jnp.concatenate(list(shifts(x, size, stride)), -1)


def shifts(x: Float[Array, "b h w c"], size: int, stride: int) -> Iterator[Float[Array, "b hh ww c"]]:
    """Yield what each place of a `size` x `size` kernel sees, row by row."""
    h, w = x.shape[1:3]
    pad = ((size - stride) // 2, -(-(size - stride) // 2))
    x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))
    for i in range(size):
        for j in range(size):
            yield x[:, i : i + h - stride + 1 : stride, j : j + w - stride + 1 : stride]


NETWORKS = {"detector": FaceDetector(), "landmarks": FaceLandmarks(), "blendshapes": Blendshapes()}


def read_variables(name: str, path: pathlib.Path = WEIGHTS) -> dict[str, Any]:
    """Read the weights of one of NETWORKS, as float32.

    Raises:
      UserError: the file is missing or no safetensors file.
      KeyError: it has no such network.
    """
    if name not in NETWORKS:
        raise KeyError(f"{name!r} is not one of {', '.join(NETWORKS)}")
    try:
        flat = safetensors_numpy.load_file(path)
    except Exception as error:
        raise errors.UserError(f"{path} cannot be read ({error}); reinstall avct-jax") from None
    prefix = f"{name}/"
    return {"params": nest({k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)})}


def nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Turn {"a/b": x} into {"a": {"b": x}}, x as float32."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split("/")
        place = functools.reduce(lambda at, parent: at.setdefault(parent, {}), parents, nested)
        place[leaf] = np.asarray(value, np.float32)
    return nested
