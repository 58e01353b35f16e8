"""The FID network: Inception of 2015-12-05; Fréchet distances are taken of its features (Heusel et al. 2017).

It is not torchvision's Inception v3: average pools leave padding out of the mean, and the last block takes
maxima where the others take means.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from avct_jax import errors
from avct_jax.files import array_file, torch_pickle
from avct_jax.layers.convolution import conv

SIDE = 299  # px
SIZES = (64, 192, 768, 2048)  # features; each of another depth
EPSILON = 1e-3  # of the batch norm in PyTorch's file
CLASSES = 1008  # of the FID network; torchvision's of the same tensor names has 1000
REMEDY = "give the weights of the FID network (2015-12-05)"

# Convolutions of a block's branches, in the order of their channels, by their names in TensorFlow. A tuple:
# branches of a branch. "mean" and "max": pooling 3x3. A name ending in "/2": stride 2, without padding.
A = (
    ("conv",),
    ("tower_conv", "tower_conv_1"),
    ("tower_1_conv", "tower_1_conv_1", "tower_1_conv_2"),
    ("mean", "tower_2_conv"),
)
B = (("conv/2",), ("tower_conv", "tower_conv_1", "tower_conv_2/2"), ("max/2",))
C = (
    ("conv",),
    ("tower_conv", "tower_conv_1", "tower_conv_2"),
    ("tower_1_conv", "tower_1_conv_1", "tower_1_conv_2", "tower_1_conv_3", "tower_1_conv_4"),
    ("mean", "tower_2_conv"),
)
D = (
    ("tower_conv", "tower_conv_1/2"),
    ("tower_1_conv", "tower_1_conv_1", "tower_1_conv_2", "tower_1_conv_3/2"),
    ("max/2",),
)


def _last(pool):
    return (
        ("conv",),
        ("tower_conv", ("tower_mixed_conv", "tower_mixed_conv_1")),
        ("tower_1_conv", "tower_1_conv_1", ("tower_1_mixed_conv", "tower_1_mixed_conv_1")),
        (pool, "tower_2_conv"),
    )


BLOCKS = {"mixed": A, "mixed_1": A, "mixed_2": A, "mixed_3": B}
BLOCKS |= {f"mixed_{i}": C for i in (4, 5, 6, 7)}
BLOCKS |= {"mixed_8": D, "mixed_9": _last("mean"), "mixed_10": _last("max")}
DEEPEST = {768: "mixed_7", 2048: "mixed_10"}

# The same in PyTorch's file (pytorch-fid): names of blocks, and of a block's convolutions in the order above.
TORCH_STEM = {
    "conv": "Conv2d_1a_3x3",
    "conv_1": "Conv2d_2a_3x3",
    "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1",
    "conv_4": "Conv2d_4a_3x3",
}
TORCH_BLOCKS = dict(
    zip(BLOCKS, ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"), strict=True)
)
TRIPLE = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
TORCH_NAMES = {
    A: ("branch1x1", "branch5x5_1", "branch5x5_2", *TRIPLE, "branch_pool"),
    B: ("branch3x3", *TRIPLE),
    C: (
        "branch1x1",
        *(f"branch7x7_{i}" for i in (1, 2, 3)),
        *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
        "branch_pool",
    ),
    D: ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4))),
}
LAST_NAMES = ("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b")
LAST_NAMES += (*TRIPLE[:2], "branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool")


class Inception(NamedTuple):
    """The network's numbers.

    Attributes:
      params: kernel (h, w, in, out) and bias of each convolution, batch norm in them.
      sizes: features it gives.
      centre, scale: pixels of 0..255 go in as (x - centre) / scale.
      label: its file.
    """

    params: Mapping[str, Mapping[str, Any]]
    sizes: tuple[int, ...]
    centre: float
    scale: float
    label: str


def load(path: str | os.PathLike) -> Inception:
    """Read the published weights.

    Args:
      path: `.npz` with TensorFlow's names (`mixed_7_conv/kernel`), or pytorch-fid's `.pth`. What ends at
        mixed_7 has no 2048 features.

    Raises:
      UserError: the file is missing, damaged, or holds no such network.
    """
    path = pathlib.Path(path)
    if path.suffix == ".npz":
        params, centre, scale = _from_tensorflow(path), 128.0, 128.0
    else:
        params, centre, scale = _from_torch(_read_torch(path)), 127.5, 127.5
    missing = [name for name in convolutions("mixed_7") if name not in params]
    if missing:
        raise errors.UserError(f"{path} has no {missing[0]}; {REMEDY}")
    whole = all(name in params for name in convolutions("mixed_10"))
    network = Inception(params, SIZES if whole else SIZES[:3], centre, scale, path.name)
    _check(network, path)
    return network


def _check(network, path):
    """Refuse numbers that do not fit together, or give features of other sizes."""
    frames = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.uint8)
    embed = functools.partial(_embed, network.sizes, network.centre, network.scale)
    try:
        found = {name: x.shape[1] for name, x in jax.eval_shape(embed, network.params, frames).items()}
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise errors.UserError(
            f"{path} holds no whole network ({str(error).splitlines()[0]}); {REMEDY}"
        ) from None
    if found != {f"fid_{size}": size for size in network.sizes}:
        raise errors.UserError(
            f"{path} gives {sorted(found.values())} features, not {network.sizes}; {REMEDY}"
        )


def make_embed(inception: Inception) -> Callable[[UInt8[Any, "n h w 3"]], dict[str, Array]]:
    """Build the jitted network: RGB frames to their features' means over all places, "fid_64", "fid_192" ...

    Frames of other sizes are resized to 299 px bilinearly, without a low-pass: pytorch-fid's convention.
    """
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), dict(inception.params))
    jitted = jax.jit(functools.partial(_embed, inception.sizes, inception.centre, inception.scale))
    return lambda frames: jitted(params, jnp.asarray(frames))


def convolutions(last: str) -> Iterator[str]:
    """Names of all convolutions up to a block."""
    yield from TORCH_STEM
    for block, branches in BLOCKS.items():
        yield from (f"{block}_{name.removesuffix('/2')}" for name in _flat(branches) if not _pools(name))
        if block == last:
            return


def _embed(sizes, centre, scale, params, frames):
    x = (frames.astype(jnp.float32) - centre) / scale
    x = jax.image.resize(x, (len(x), SIDE, SIDE, 3), "bilinear", antialias=False)
    found, at = {}, lambda x: x.mean((1, 2))
    for name, strides, padding in (("conv", 2, 0), ("conv_1", 1, 0), ("conv_2", 1, 1)):
        x = _convolve(params[name], x, strides, (padding, padding))
    x = _max(x)
    found[64] = at(x)
    for name in ("conv_3", "conv_4"):
        x = _convolve(params[name], x, 1, (0, 0))
    x = _max(x)
    found[192] = at(x)
    for block, branches in BLOCKS.items():
        x = _branches(params, block, branches, x)
        found |= {size: at(x) for size, last in DEEPEST.items() if last == block}
        if block == DEEPEST[sizes[-1]]:
            break
    return {f"fid_{size}": found[size] for size in sizes}


def _branches(params, block, branches, x):
    return jnp.concatenate([_branch(params, block, branch, x) for branch in branches], -1)


def _branch(params, block, steps, x):
    for step in steps:
        if isinstance(step, tuple):
            x = _branches(params, block, [(one,) for one in step], x)
        elif step == "max/2":
            x = _max(x)
        elif step == "max":
            x = _max(x, stride=1, padding=1)
        elif step == "mean":
            x = _mean(x)
        else:
            p = params[f"{block}_{step.removesuffix('/2')}"]
            h, w = p["kernel"].shape[:2]
            strided = step.endswith("/2")
            x = _convolve(p, x, 2 if strided else 1, (0, 0) if strided else (h // 2, w // 2))
    return x


def _convolve(p, x, strides, padding):
    y = conv.convolve(x, p["kernel"], (strides, strides), padding)
    return jax.nn.relu(y + p["bias"].reshape(1, 1, 1, -1))


def _max(x, stride=2, padding=0):
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), pads)


def _mean(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    total = lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1)))


def _flat(steps) -> Iterator[str]:
    for step in steps:
        if isinstance(step, tuple):
            yield from _flat(step)
        else:
            yield step


def _pools(name):
    return name.removesuffix("/2") in ("max", "mean")


def _from_tensorflow(path):
    arrays = array_file.read_npz(path, lambda name: "/" in name)
    params: dict[str, dict[str, Any]] = {}
    for name, value in arrays.items():
        module, leaf = name.rsplit("/", 1)
        params.setdefault(module, {})[leaf] = value
    return params


def torch_places() -> dict[str, str]:
    """Where each convolution is in PyTorch's file: {"mixed_conv": "Mixed_5b.branch1x1", ...}."""
    places = dict(TORCH_STEM)
    for block, branches in BLOCKS.items():
        names = [n.removesuffix("/2") for n in _flat(branches) if not _pools(n)]
        theirs = TORCH_NAMES.get(branches, LAST_NAMES)
        prefix = f"Mixed_{TORCH_BLOCKS[block]}"
        places |= {f"{block}_{n}": f"{prefix}.{t}" for n, t in zip(names, theirs, strict=True)}
    return places


def _read_torch(path) -> Mapping[str, Any]:
    tensors = torch_pickle.read(path)
    if not isinstance(tensors, Mapping):
        raise errors.UserError(f"{path} holds no tensors by name; {REMEDY}")
    if (classes := np.size(tensors.get("fc.bias", np.zeros(CLASSES)))) != CLASSES:
        raise errors.UserError(f"{path} tells {classes} classes apart, not {CLASSES}; {REMEDY}")
    return tensors


def _from_torch(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Fold each batch norm into its convolution."""
    leaves = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    params = {}
    for name, place in torch_places().items():
        if not all(f"{place}.{leaf}" in tensors for leaf in leaves):
            continue
        read = lambda leaf, place=place: np.asarray(tensors[f"{place}.{leaf}"], np.float64)
        gain = read("bn.weight") / np.sqrt(read("bn.running_var") + EPSILON)
        kernel = read("conv.weight").transpose(2, 3, 1, 0) * gain
        bias = read("bn.bias") - read("bn.running_mean") * gain
        params[name] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
    return params
