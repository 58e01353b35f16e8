"""Animators of checkpoints, whichever family of networks they hold."""

from avct_jax import animation, checkpoint_file, errors, keypoint_animator, mesh_animator
from avct_jax.data import in_memory
from avct_jax.models import mesh_system

Report = animation.Report
Animator = keypoint_animator.KeypointAnimator | mesh_animator.MeshAnimator


def load(checkpoint: animation.Path | None = None, *, landmarks: str = "mediapipe") -> Animator:
    """Make an animator.

    Args:
      checkpoint: a .safetensors file of training or `avct convert`; None takes the one in the package.
      landmarks: "mediapipe" (built in) or "face-alignment" (an extra).
    Raises:
      UserError: no such checkpoint, or it is damaged or incomplete; unknown or missing landmarks.
    """
    if checkpoint is not None:
        if not in_memory.is_path(checkpoint):
            raise errors.UserError(f"the checkpoint is {checkpoint!r}; name a .safetensors file")
        return make(checkpoint_file.load(checkpoint, required=None), landmarks=landmarks)
    with checkpoint_file.embedded() as path:
        return make(checkpoint_file.load(path, required=None), landmarks=landmarks)


def make(system: checkpoint_file.System, *, landmarks: str = "mediapipe") -> Animator:
    """Make the animator that a system's family needs."""
    if isinstance(system.config, mesh_system.MeshSystemConfig):
        return mesh_animator.MeshAnimator(system, landmarks=landmarks)
    return keypoint_animator.KeypointAnimator(system, landmarks=landmarks)
