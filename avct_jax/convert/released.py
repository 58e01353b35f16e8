"""Released checkpoints of the paper and its companions, turned into one file of ours.

Which file is which is told by the tensors' names, not by the file's: generator.ckpt and
audio2pose.ckpt of the paper's authors, FOMM's vox-cpk.pth.tar, Wav2Lip's lipsync_expert.pth,
syncnet_v2.model, torchvision's VGG-19. Nothing in them is run (files/torch_pickle.py).
"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from avct_jax import errors, weights_file
from avct_jax.convert import name_map
from avct_jax.files import atomic_write, torch_pickle
from avct_jax.models import networks, system_config

# A tensor that only this network has, by its torch name.
MARKS = {
    "kp_detector": "predictor.encoder.down_blocks.0.conv.weight",
    "generator": "dense_motion_network.mask.weight",
    "ph2kp": "decodefeature_extract.0.conv_block_0.layers.conv.weight",
    "audio2pose": "em_audio.resnet.conv1.weight",
    "discriminator": "discs.1.down_blocks.0.conv.weight_orig",
    "vgg19": "features.0.weight",
    "syncnet_color": "face_encoder.0.conv_block.0.weight",
    "syncnet_v2": "netcnnaud.0.weight",
}
NAMES = {
    "kp_detector": "keypoint_detector",
    "generator": "renderer",
    "ph2kp": "avct",
    "audio2pose": "head_motion",
    "discriminator": "patch_discriminator",
    "vgg19": "vgg",
    "syncnet_color": "sync_discriminator",
    "syncnet_v2": "syncnet",
}
# What each of the four networks of a whole system is released in.
SOURCES = {
    "kp_detector": "generator.ckpt or FOMM's vox-cpk.pth.tar",
    "generator": "generator.ckpt or FOMM's vox-cpk.pth.tar",
    "ph2kp": "generator.ckpt",
    "audio2pose": "audio2pose.ckpt",
}
UNUSED = ("classifier.",)  # torchvision's VGG: only its convolutions are features


class ConversionReport(NamedTuple):
    """What was found and done.

    Attributes:
      output: the file written, None when a tensor was missing or misshapen.
      parts: our name of each network found: the file it came from.
      problems: every missing, extra or misshapen tensor, a line each.
      lacking: networks that animating needs and no file had: where they are released.
    """

    output: pathlib.Path | None
    parts: Mapping[str, pathlib.Path]
    problems: tuple[str, ...]
    lacking: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """The report as text."""
        yield from (f"{part}: from {path}" for part, path in self.parts.items())
        yield from self.problems
        yield from (f"{part}: not given; it is in {source}" for part, source in self.lacking.items())
        yield f"wrote {self.output}" if self.output else "nothing written: tensors are missing or misshapen"


def convert(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    dtype: str = "float32",
) -> ConversionReport:
    """Read released files and write what they hold as one checkpoint of ours.

    Extra tensors are reported and left out; when one is missing or misshapen nothing is written.

    Args:
      output: the .safetensors file to write.
      dtype: of the stored kernels, "float32" or "float16" (half the size, frames equal within 1/255).

    Raises:
      UserError: a file cannot be read or holds no known network, two hold the same one, or `output` is one.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    atomic_write.refuse_overwriting(output, *paths)
    found = _collect([pathlib.Path(p) for p in paths])
    variables, problems, fatal = {}, [], False
    for part, (_, tensors) in found.items():
        name = NAMES[part]
        wanted = networks.expected(system_config.PAPER, name)
        read = name_map.import_part(part, tensors)
        lines = name_map.check(part, read, wanted)
        problems += lines
        fatal |= any(not line.endswith(": extra") for line in lines)
        variables[name] = _only(read, wanted)
    if not fatal:
        weights_file.save(output, weights_file.System(system_config.PAPER, variables), dtype=dtype)
    return ConversionReport(
        None if fatal else pathlib.Path(output),
        {NAMES[part]: path for part, (path, _) in found.items()},
        tuple(problems),
        {NAMES[part]: source for part, source in SOURCES.items() if part not in found},
    )


def recognise(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The network (one of `torch_weights.PARTS`) that has these torch names, None if none has."""
    return next((part for part, mark in MARKS.items() if mark in tensors), None)


def state_dicts(content: Any) -> Iterator[dict[str, np.ndarray]]:
    """Every dict of named tensors in a checkpoint, at any depth, without the prefix `module.`."""
    waiting, seen = [content], set()
    while waiting:
        found = waiting.pop()
        if not isinstance(found, dict) or id(found) in seen:
            continue
        seen.add(id(found))
        waiting += reversed(found.values())
        tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
        if tensors:
            yield {k.removeprefix("module."): v for k, v in tensors.items() if not k.startswith(UNUSED)}


def _collect(paths: Sequence[pathlib.Path]) -> dict[str, tuple[pathlib.Path, dict[str, np.ndarray]]]:
    found: dict[str, tuple[pathlib.Path, dict[str, np.ndarray]]] = {}
    for path in paths:
        named = ((recognise(tensors), tensors) for tensors in state_dicts(torch_pickle.read(path)))
        known = {part: tensors for part, tensors in named if part}
        if not known:
            raise errors.UserError(f"{path} holds no network of this system; give one of {', '.join(MARKS)}")
        for part, tensors in known.items():
            if part in found:
                raise errors.UserError(
                    f"{part} is in both {found[part][0]} and {path}; give only one of them"
                )
            found[part] = (path, tensors)
    return found


def _only(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`found` without what `wanted` has not."""
    return {
        name: _only(value, wanted[name]) if isinstance(value, Mapping) else value
        for name, value in found.items()
        if name in wanted
    }
