"""A portrait's programs as StableHLO, with the weights in them: they run where there is JAX and none of this.

A folder holds programs.json, which names every input and output, and for each program two files: `.jax`,
which `jax.export.deserialize` reads, and `.mlirbc`, the same as portable StableHLO bytecode for others.
"""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from avct_jax import __version__, errors
from avct_jax.animator import keypoint_animator, mesh_animator
from avct_jax.files import atomic_write
from avct_jax.inference import keypoint_inference, mesh_inference
from avct_jax.models.mesh import face_mesh

INDEX = "programs.json"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
MESH_UNITS = {
    "posteriors": "natural logarithms over phoneme symbols, two a frame; silence: 0 for symbol 0, else -14",
    "audio": "normalised features, four rows a frame; silence: 0",
    "poses": "rotation vector (rad) and shift (eye distances) of the head against the portrait's",
    "speech": "coefficients of the face basis, standard deviations",
    "blink": "of the image's left and right eye, 0 open, 1 shut",
    "gaze": "right and down, eye distances",
    "rotation": "of the head against the portrait's, rotation vector, rad",
    "shift": "of the head, eye distances",
    "brow": "how far brows are raised, eye distances",
    "frames": "RGB",
}
KEYPOINT_UNITS = {
    "phonemes": "indices of the 41 symbols; silence: 31",
    "audio": "features, four rows a frame; silence: 0",
    "corners": "of the head's box in the 256 px image, px",
    "frames": "RGB",
}


class ExportedProgram(NamedTuple):
    """A function of arrays by name, and arrays that it can be called with."""

    function: Callable[..., Mapping[str, Any]]
    inputs: Mapping[str, Any]
    about: str


def export(
    animator: Any,
    image: Any,
    folder: str | os.PathLike,
    *,
    frames: int | None = None,
    size: int | None = None,
    platforms: Sequence[str] = ("cpu",),
) -> list[str]:
    """Write the programs that animate a portrait.

    Args:
      animator: of either family; its weights become constants of the programs.
      image: a portrait: a file, a Pillow image, or pixels.
      folder: is made; must be empty, or hold an earlier export.
      frames: that a call draws; by default as many as the animator draws in one.
      size: side of the frames, px; by default as `Animator.animate` chooses it.
      platforms: of PLATFORMS; one file serves all of them.

    Returns:
      The files' names.

    Raises:
      UserError: the portrait cannot be read, a platform is not known, or the folder cannot be written to.
    """
    folder = pathlib.Path(folder)
    check(folder, platforms)
    still = np.zeros(16000, np.float32)
    ready = animator.prepare(image, still, still=True, size=size, seed=0)
    least = 1 if isinstance(animator, mesh_animator.MeshAnimator) else 2 * animator.config.avct.window_radius
    count = frames or animator.chunk
    if count < least:
        raise errors.UserError(f"{count} frames a call are asked for; this system draws {least} at least")
    make = _mesh if isinstance(animator, mesh_animator.MeshAnimator) else _keypoints
    programs, units = make(animator, ready, count)
    written = {name: _export(program, platforms) for name, program in programs.items()}
    files = {f"{name}.jax": bytes(exported.serialize()) for name, exported in written.items()}
    files |= {f"{name}.mlirbc": exported.mlir_module_serialized for name, exported in written.items()}
    index = {
        "format": "avct_jax stablehlo",
        "version": __version__,
        "jax": jax.__version__,
        "platforms": list(platforms),
        "frame_rate": 25,
        "units": units,
        "programs": {name: _signature(p, written[name], name) for name, p in programs.items()},
    }
    files[INDEX] = json.dumps(index, indent=1).encode()  # last: a folder with an index is whole
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
    except OSError as error:
        raise errors.UserError(f"{folder} cannot be written to ({error.strerror}); choose another") from None
    for name, content in files.items():
        atomic_write.write(folder / name, content)
    return list(files)


def check(folder: str | os.PathLike, platforms: Sequence[str]) -> None:
    """Refuse what cannot be done, before weights are read.

    Raises:
      UserError: as `export`.
    """
    folder = pathlib.Path(folder)
    for name in (p for p in platforms if p not in PLATFORMS):
        raise errors.UserError(f"platform {name!r} is not known; choose from {', '.join(PLATFORMS)}")
    if folder.is_file():
        raise errors.UserError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / INDEX).is_file():
        raise errors.UserError(f"{folder} holds other files; name an empty or a new folder")


def _mesh(animator, ready, count) -> tuple[dict[str, ExportedProgram], dict[str, str]]:
    config, variables = animator.config, animator.variables
    blank = mesh_inference.SpeechWindow(
        np.zeros((1, 2, config.speech_motion.symbols), np.float32),
        np.zeros((1, config.speech_motion.rows, config.speech_motion.columns), np.float32),
        np.zeros((1, 6), np.float32),
    )
    radius = config.speech_motion.window_radius
    heard = mesh_inference.stretch(blank, -radius, count + 2 * radius)
    style = jnp.asarray(config.style, jnp.float32)

    def predict(**given):
        return {
            "speech": mesh_inference.predict(config, variables, mesh_inference.SpeechWindow(**given), style)
        }

    def draw(**given):
        controls = face_mesh.Controls(**given)
        return {"frames": mesh_inference.draw_bytes(config, variables, ready.portrait, controls)}

    controls = jax.tree.map(lambda x: x[:count], mesh_animator.controls_of(ready.track, 0, count))
    about = f"how {count} frames' mouths move; {radius} frames more are heard on both sides"
    programs = {
        "predict": ExportedProgram(predict, heard._asdict(), about),
        "draw": ExportedProgram(
            draw,
            {name: x for name, x in controls._asdict().items() if x is not None},
            f"{count} frames of the portrait",
        ),
    }
    return programs, MESH_UNITS


def _keypoints(animator, ready, count) -> tuple[dict[str, ExportedProgram], dict[str, str]]:
    config, variables = animator.config, animator.variables
    radius = config.avct.window_radius
    image = jnp.asarray(ready.portrait, jnp.float32) / 255
    outside = keypoint_animator.inputs_of(ready.track, -1, 0)
    opening = keypoint_animator.inputs_of(ready.track, 0, 2 * radius)
    portrait = jax.jit(functools.partial(keypoint_inference.encode_portrait, config))(variables, image)
    names = keypoint_inference.KeypointInputs._fields

    def start(**given):
        around = keypoint_inference.KeypointInputs(*(given[f"outside_{name}"] for name in names))
        first = keypoint_inference.KeypointInputs(*(given[f"opening_{name}"] for name in names))
        begun = keypoint_inference.start(config, variables, image, around, first)
        return {**begun.carry._asdict(), **begun.reference._asdict()}

    def draw(**given):
        inputs = keypoint_inference.KeypointInputs(*(given[name] for name in names))
        carry = keypoint_inference.WindowCarry(given["encoded"], given["decoded"])
        moved = keypoint_inference.motion.Motion(given["keypoints"], given["jacobians"])
        begun = keypoint_inference.Start(portrait, carry, moved)
        after, drawn = keypoint_inference.animate_chunk(config, variables, begun, carry, inputs)
        return {**after._asdict(), "frames": drawn}

    first = {f"outside_{n}": x for n, x in outside._asdict().items()}
    first |= {f"opening_{n}": x for n, x in opening._asdict().items()}
    carried = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(start, **first))
    chunk = keypoint_animator.inputs_of(ready.track, radius, count)._asdict()
    programs = {
        "start": ExportedProgram(
            start, first, f"what is known before the first call; opening: frames 0 to {2 * radius - 1}"
        ),
        "draw": ExportedProgram(
            draw,
            {**carried, **chunk},
            f"{count} frames, {radius} behind the inputs; encoded and decoded go on to the next call",
        ),
    }
    return programs, KEYPOINT_UNITS


def _export(program: ExportedProgram, platforms: Sequence[str]) -> Any:
    """Export with inputs and outputs in the order of the index, without trees of our own types."""
    names, outputs = list(program.inputs), list(_outputs(program))

    def ordered(*arrays):
        found = program.function(**dict(zip(names, arrays, strict=True)))
        return tuple(found[name] for name in outputs)

    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in program.inputs.values()]
    return jax_export.export(jax.jit(ordered), platforms=list(platforms))(*shapes)


def _outputs(program: ExportedProgram) -> Mapping[str, Any]:
    return jax.eval_shape(program.function, **program.inputs)


def _signature(program: ExportedProgram, exported: Any, name: str) -> dict[str, Any]:
    listed = lambda arrays: [
        {"name": n, "shape": list(x.shape), "dtype": str(np.dtype(x.dtype))} for n, x in arrays.items()
    ]
    return {
        "about": program.about,
        "files": [f"{name}.jax", f"{name}.mlirbc"],
        "calling_convention_version": exported.calling_convention_version,
        "inputs": listed(program.inputs),
        "outputs": listed(_outputs(program)),
    }
