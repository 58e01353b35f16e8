"""What a run leaves behind: each part's averaged weights, and the state to go on from."""

import io
import pathlib
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avct_jax import checkpoint_file, errors
from avct_jax.data import numpy_source
from avct_jax.models import sizes
from avct_jax.train import state

MEAN_FACE = "mean_face.npy"


def save(folder: pathlib.Path, part: str, current: state.State, config: sizes.SystemConfig) -> None:
    """Write the averaged weights as PART.safetensors, and everything as PART.state.npz.

    Either file appears under its name only when it is whole.
    """
    system = checkpoint_file.System(config, {part: jax.device_get(current.player.averaged)})
    checkpoint_file.save(folder / f"{part}.safetensors", system, dtype="float32")
    leaves: dict[str, Any] = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(current))}
    content = io.BytesIO()
    np.savez(content, **leaves)
    checkpoint_file.write_atomically(folder / f"{part}.state.npz", content.getvalue())


def resume(folder: pathlib.Path, part: str, fresh: state.State) -> state.State:
    """The state that `save` left, or `fresh` where there is none.

    Raises:
      UserError: it is damaged, or of a network of another size.
    """
    path = folder / f"{part}.state.npz"
    if not path.exists():
        return fresh
    leaves, tree = jax.tree.flatten(fresh)
    try:
        with np.load(path, allow_pickle=False) as file:
            found = [jnp.asarray(file[str(i)]) for i in range(len(file.files))]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise errors.UserError(f"{path} is damaged ({error}); delete it to begin again") from None
    if [x.shape for x in found] != [jnp.shape(x) for x in leaves]:
        raise errors.UserError(f"{path} is of a network of another size; choose another run folder")
    return jax.tree.unflatten(tree, found)


def load_part(folder: pathlib.Path, part: str, config: sizes.SystemConfig) -> dict[str, Any]:
    """Averaged weights that a stage left.

    Raises:
      UserError: the stage has not been run, or with networks of another size.
    """
    return load_weights(folder / f"{part}.safetensors", part, config)


def load_weights(path: pathlib.Path, part: str, config: sizes.SystemConfig) -> dict[str, Any]:
    """Weights of a part from any checkpoint whose part has the same shape.

    Raises:
      UserError: the file is missing, or its part has another shape.
    """
    if not path.is_file():
        raise errors.UserError(f"no {path}: the {part} is not trained yet; run its stage first")
    system = checkpoint_file.load(path, required=(part,))
    if getattr(system.config, part) != getattr(config, part):
        raise errors.UserError(f"{path} holds a {part} of another size; choose its --size, or another folder")
    return jax.tree.map(jnp.asarray, dict(system.variables[part]))


def mean_face(folder: pathlib.Path, bank: numpy_source.Bank) -> Float[np.ndarray, "468 2"]:
    """The mean face that all stages of this run measure Jacobians by; the first one makes it."""
    path = folder / MEAN_FACE
    if path.exists():
        return np.load(path, allow_pickle=False)
    content, mean = io.BytesIO(), numpy_source.mean_face(bank)
    np.save(content, mean)
    checkpoint_file.write_atomically(path, content.getvalue())
    return mean


def export(folder: pathlib.Path, output: pathlib.Path, config: sizes.SystemConfig) -> None:
    """Put a run's four parts into one float16 system file.

    Raises:
      UserError: a stage has not been run.
    """
    parts = {part: load_part(folder, part, config) for part in checkpoint_file.PARTS}
    checkpoint_file.save(output, checkpoint_file.System(config, jax.device_get(parts)))
