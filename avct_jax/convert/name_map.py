"""Name and layout map between released PyTorch tensors and our variables: numpy in, numpy out.

Submodules keep torch's names with `.N` written `_N`; only leaves change:

| torch                                   | here                      | layout                     |
|-----------------------------------------|---------------------------|----------------------------|
| convolution `weight`                    | params `kernel`           | OIHW -> HWIO, OIDHW -> DHWIO |
| transposed convolution `weight`         | params `kernel`           | IOHW -> HWOI               |
| linear `weight`                         | params `kernel`           | (out, in) -> (in, out)     |
| normalisation `weight`                  | params `scale`            | same                       |
| embedding `weight`                      | params `embedding`        | same                       |
| `running_mean`, `running_var`           | batch_stats `mean`, `var` | same                       |
| spectral norm's `weight_u`, `weight_v`  | batch_stats, same name    | same                       |
| LSTM `weight_ih_lN`, `weight_hh_lN`     | `_N/ii/kernel` .. `ho`    | (4 h, in) -> (in, h) a gate |
| LSTM `bias_ih_lN` + `bias_hh_lN`        | `_N/hi/bias` .. `ho`      | (4 h,) -> (h,) a gate      |
| all else (attention's `in_proj_*`,      | params, same name         | same                       |
| `weight_orig`)                          |                           |                            |
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
# Names that end in _N in torch too; everywhere else _N was .N.
UNDERSCORED = {"ph2kp": ("conv_block_0", "conv_block_1")}

GATES = "ifgo"  # of an LSTM, in the order of torch's rows

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
    for name, tensor in _split_gates(tensors).items():
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
    """Undo `import_part`: torch names and layouts, without the counters and constants left out there.

    Of an LSTM's two biases the first is zero: only their sum is known.
    """
    tensors = {}
    for path, value in leaves({name: variables.get(name, {}) for name in ("params", "batch_stats")}):
        name, axes = _source(part, path, np.ndim(value))
        tensors[name] = np.asarray(value) if axes is None else np.asarray(value).transpose(axes)
    return _join_gates(tensors)


def check(part: str, variables: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Name every missing, extra and misshapen tensor, one line each, by its torch name.

    Args:
      variables: what was read, as `import_part` gives it.
      expected: the same tree with leaves that have a shape, as `jax.eval_shape` of `init` gives it.
    """
    found, wanted = _torch_shapes(part, variables), _torch_shapes(part, expected)
    lines = [f"{part}/{name}: missing" for name in wanted if name not in found]
    lines += [f"{part}/{name}: extra" for name in found if name not in wanted]
    both = [name for name in wanted if name in found and found[name] != wanted[name]]
    return lines + [f"{part}/{name}: shape {found[name]}, must be {wanted[name]}" for name in both]


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
    if leaf != "weight":
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


def _split_gates(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cut an LSTM's tensors into a piece for each gate, and add up its biases; misshapen ones stay whole."""
    pieces: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        match = re.fullmatch(r"(.*)\.(weight|bias)_([ih])h_l(\d+)", name)
        summed = bool(match) and match[2] == "bias"
        if not match or len(tensor) % len(GATES):
            pieces[name] = tensor
            continue
        names = [f"{match[1]}.bias_{s}h_l{match[4]}" for s in "ih"] if summed else [name]
        biases = [tensors[n] for n in names if n in tensors and tensors[n].shape == tensor.shape]
        if len(biases) < len(names):
            pieces[name] = tensor
            continue
        stacked = np.sum(biases, axis=0, dtype=np.float32)
        for gate, rows in zip(GATES, np.split(stacked, len(GATES)), strict=True):
            pieces[f"{match[1]}.{match[4]}.{'h' if summed else match[3]}{gate}.{match[2]}"] = rows
    return pieces


def _join_gates(pieces: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors: dict[str, Any] = {}
    for name, piece in pieces.items():
        if match := re.fullmatch(r"(.*)\.(\d+)\.([ih])([ifgo])\.(weight|bias)", name):
            tensors.setdefault(f"{match[1]}.{match[5]}_{match[3]}h_l{match[2]}", {})[match[4]] = piece
        else:
            tensors[name] = piece
    for name in [n for n, stack in tensors.items() if isinstance(stack, dict)]:
        tensors[name] = np.concatenate([tensors[name][gate] for gate in GATES])
        if ".bias_hh_" in name:
            tensors[name.replace("_hh_", "_ih_")] = np.zeros_like(tensors[name])
    return tensors


def _torch_shapes(part: str, variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    hollow: dict[str, Any] = {}
    for path, leaf in leaves(variables):
        _put(hollow, list(path), np.broadcast_to(np.float32(0), leaf.shape))
    return {name: tensor.shape for name, tensor in export_part(part, hollow).items()}


def _put(tree: dict[str, Any], path: list[str], value: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
