"""Animators of checkpoints, whichever family of networks they hold."""

import jax

from avct_jax import arguments, errors, weights_file, weights_folder
from avct_jax.animator import base, keypoint_animator, mesh_animator
from avct_jax.models import mesh_system

Report = base.Report
Animator = base.Animator


def load(checkpoint: base.Path | None = None, *, landmarks: str = "mediapipe") -> Animator:
    """Make an animator.

    Args:
      checkpoint: a .safetensors file of training or `avct convert`; None takes the one in the package.
      landmarks: "mediapipe" (built in) or "face-alignment" (an extra).
    Raises:
      UserError: no such checkpoint, or it is damaged or incomplete; unknown or missing landmarks.
    """
    if checkpoint is not None:
        if not arguments.is_path(checkpoint):
            raise errors.UserError(f"the checkpoint is {checkpoint!r}; name a .safetensors file")
        return make(weights_file.load(checkpoint, required=None), landmarks=landmarks)
    with weights_file.embedded() as path:
        return make(weights_file.load(path, required=None), landmarks=landmarks)


def make(system: weights_file.System, *, landmarks: str = "mediapipe") -> Animator:
    """Make the animator that a system's family needs."""
    if isinstance(system.config, mesh_system.MeshSystemConfig):
        return mesh_animator.MeshAnimator(system, landmarks=landmarks)
    return keypoint_animator.KeypointAnimator(system, landmarks=landmarks)


def from_pretrained(
    name: base.Path, *, revision: str | None = None, landmarks: str = "mediapipe"
) -> Animator:
    """Make an animator of a folder or a hub's repository, see `Animator.from_pretrained`."""
    return make(weights_folder.load(weights_folder.find(name, revision=revision)), landmarks=landmarks)


def save_pretrained(animator: Animator, folder: base.Path) -> None:
    """Write an animator's weights and config into a folder, see `Animator.save_pretrained`."""
    weights_folder.save(folder, weights_file.System(animator.config, jax.device_get(animator.variables)))
