"""Name and layout map between released PyTorch tensors and our variables: numpy in, numpy out.

Submodules keep torch's names with `.N` written `_N`; only leaves change:

| torch                                   | here                      | layout                     |
|-----------------------------------------|---------------------------|----------------------------|
| convolution `weight`                    | params `kernel`           | OIHW -> HWIO, OIDHW -> DHWIO |
| linear `weight`                         | params `kernel`           | (out, in) -> (in, out)     |
| normalisation `weight`                  | params `scale`            | same                       |
| embedding `weight`                      | params `embedding`        | same                       |
| `running_mean`, `running_var`           | batch_stats `mean`, `var` | same                       |
| spectral norm's `weight_u`, `weight_v`  | batch_stats, same name    | same                       |
| all else (LSTM, attention's `in_proj_*`,| params, same name         | same                       |
| transposed convolution, `weight_orig`)  |                           |                            |
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

PARTS = (
    "kp_detector",
    "generator",
    "ph2kp",
    "audio2pose",
    "discriminator",
    "vgg19",
    "syncnet_color",
    "syncnet_v2",
)

# Buffers that the architecture itself defines, and a counter that torch does not use in inference.
CONSTANTS = re.compile(r"(^|\.)(num_batches_tracked|pos_table|down\.weight|down_pose\.weight)$")

EMBEDDINGS = {("ph2kp", "embedding")}
# A transposed convolution's (in, out, h, w) has as many axes as a convolution's (out, in, h, w).
TRANSPOSED = {("ph2kp", "audio_embedding_0")}
# Names that end in _N in torch too; everywhere else _N was .N.
UNDERSCORED = {"ph2kp": ("conv_block_0", "conv_block_1")}

BUFFERS = {"running_mean": "mean", "running_var": "var", "weight_u": "weight_u", "weight_v": "weight_v"}
TO_OURS = {2: (1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}
TO_TORCH = {2: (1, 0), 4: (3, 2, 0, 1), 5: (4, 3, 0, 1, 2)}


def import_part(part: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Turn the tensors of one network into `{"params": ..., "batch_stats": ...}`.

    Args:
      part: one of PARTS, the name that the released files give the network.
      tensors: by torch name, any float type; counters and constant buffers are left out.
    """
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, tensor in tensors.items():
        if CONSTANTS.search(name):
            continue
        collection, path, axes = _destination(part, name, np.ndim(tensor))
        value = np.asarray(tensor, np.float32)
        _put(
            variables[collection],
            path,
            value if axes is None else np.ascontiguousarray(value.transpose(axes)),
        )
    return variables


def export_part(part: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Undo `import_part`: torch names and layouts, without the counters and constants left out there."""
    tensors = {}
    for path, value in leaves({name: variables.get(name, {}) for name in ("params", "batch_stats")}):
        name, axes = _source(part, path, np.ndim(value))
        tensors[name] = np.asarray(value) if axes is None else np.asarray(value).transpose(axes)
    return tensors


def check(part: str, variables: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Name every missing, extra and misshapen tensor, one line each, by its torch name.

    Args:
      variables: what was read, as `import_part` gives it.
      expected: the same tree with leaves that have a shape, as `jax.eval_shape` of `init` gives it.
    """
    found, wanted = dict(leaves(variables)), dict(leaves(expected))
    lines = [f"{_label(part, p, wanted[p])}: missing" for p in wanted if p not in found]
    lines += [f"{_label(part, p, found[p])}: extra" for p in found if p not in wanted]
    for path in (p for p in wanted if p in found):
        shape, limit = _torch_shape(part, path, found[path]), _torch_shape(part, path, wanted[path])
        if shape != limit:
            lines.append(f"{_label(part, path, wanted[path])}: shape {shape}, must be {limit}")
    return lines


def leaves(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of a nested dict with the names that lead to it."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _destination(part: str, name: str, rank: int) -> tuple[str, list[str], tuple[int, ...] | None]:
    """Collection, path and axes of the torch tensor `name`."""
    *modules, leaf = name.split(".")
    path: list[str] = []
    for module in modules:
        if module.isdigit() and path:
            path[-1] += f"_{module}"
        else:
            path.append(module)
    if leaf in BUFFERS:
        return "batch_stats", [*path, BUFFERS[leaf]], None
    if leaf != "weight" or (part, "/".join(path)) in TRANSPOSED:
        return "params", [*path, leaf], None
    if rank == 1:
        return "params", [*path, "scale"], None
    if (part, "/".join(path)) in EMBEDDINGS:
        return "params", [*path, "embedding"], None
    return "params", [*path, "kernel"], TO_OURS.get(rank)


def _source(part: str, path: tuple[str, ...], rank: int) -> tuple[str, tuple[int, ...] | None]:
    """Torch name of a leaf of ours and the axes that bring it back to torch's layout."""
    _, *modules, leaf = path
    kept = UNDERSCORED.get(part, ())
    # Several numbers may follow one name: layer1_0, features_3_1.
    names = [m if m in kept else re.sub(r"_(?=\d+(_\d+)*$)|(?<=\d)_(?=\d+$)", ".", m) for m in modules]
    renamed = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean"}
    torch_leaf = {**renamed, "var": "running_var"}.get(leaf, leaf)
    return ".".join([*names, torch_leaf]), TO_TORCH.get(rank) if leaf == "kernel" else None


def _label(part: str, path: tuple[str, ...], leaf: Any) -> str:
    return f"{part}/{_source(part, path, len(leaf.shape))[0]}"


def _torch_shape(part: str, path: tuple[str, ...], leaf: Any) -> tuple[int, ...]:
    axes = _source(part, path, len(leaf.shape))[1]
    return tuple(leaf.shape) if axes is None else tuple(leaf.shape[a] for a in axes)


def _put(tree: dict[str, Any], path: list[str], value: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
