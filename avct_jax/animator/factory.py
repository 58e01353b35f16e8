"""Animators of checkpoints, whichever family of networks they hold."""

from avct_jax import arguments, errors, weights_file
from avct_jax.animator import base, keypoint_animator, mesh_animator  # noqa: F401 - they enter base.FAMILIES

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
        return _of(checkpoint, weights_file.load(checkpoint, required=None), landmarks)
    with weights_file.embedded() as path:
        return _of(path, weights_file.load(path, required=None, known=True), landmarks)


def _of(checkpoint: base.Path, system: weights_file.System, landmarks: str) -> Animator:
    animator = make(system, landmarks=landmarks)
    animator.checkpoint = checkpoint
    return animator


def make(system: weights_file.System, *, landmarks: str = "mediapipe") -> Animator:
    """Make the animator that a system's family needs."""
    return base.FAMILIES[weights_file.family_of(system.config)](system, landmarks=landmarks)
