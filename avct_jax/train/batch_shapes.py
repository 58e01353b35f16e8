"""Shapes and types of a training batch before there is any data: to lower, count or compile a step ahead."""

import jax
import numpy as np

from avct_jax import errors, speech_format
from avct_jax.data.dataset import batch_types


def batch_shapes(
    kind: str, draw: batch_types.DrawConfig, size: int
) -> batch_types.Pairs | batch_types.SyncWindows | batch_types.Sequences | batch_types.Poses:
    """What a source draws of a kind, as jax.ShapeDtypeStruct in the place of arrays.

    Args:
      kind: of batch_types.KINDS.
      size: examples of the batch.

    Raises:
      UserError: there is no such kind.
    """
    made = {"pairs": _pairs, "sync": _sync_windows, "sequences": _sequences, "poses": _poses}
    if kind not in made:
        raise errors.UserError(
            f"there is no kind of batch {kind!r}; choose of {', '.join(batch_types.KINDS)}"
        )
    return made[kind](draw, size)


def _pairs(draw, b):
    side = draw.image_size
    return batch_types.Pairs(
        _bytes(b, side, side, 3),
        _bytes(b, draw.driving, side, side, 3),
        _motion(b),
        _motion(b, draw.driving),
        _variation(b),
    )


def _sync_windows(draw, b):
    side = draw.image_size
    return batch_types.SyncWindows(
        _bytes(b, 5, side, side, 3), _floats(b, 5, 4), _floats(b, 80, 16), _floats(b), _variation(b)
    )


def _sequences(draw, b):
    side, t = draw.image_size, draw.frames
    n = t + 2 * draw.radius
    seen = draw.with_frames
    return batch_types.Sequences(
        portrait=_bytes(b, side, side, 3),
        portrait_motion=_motion(b),
        portrait_pose=_floats(b, 6),
        rest_motion=_motion(b),
        rest_pose=_floats(b, 6),
        phonemes=jax.ShapeDtypeStruct((b, n), np.int32),
        audio=_floats(b, n, speech_format.ROWS, speech_format.COLUMNS),
        silent=_floats(b, n),
        poses=_floats(b, n, 6),
        motion=_motion(b, n),
        mel=_floats(b, t, 80, 16),
        boxes=_floats(b, t, 4) if seen else None,
        frames=_bytes(b, t, side, side, 3) if seen else None,
        variation=_variation(b),
    )


def _poses(draw, b):
    t = draw.pose_frames
    return batch_types.Poses(_floats(b, t, speech_format.ROWS, speech_format.COLUMNS), _floats(b, t, 6))


def _motion(*leading):
    return batch_types.FaceMotion(_floats(*leading, 10, 2), _floats(*leading, 10, 2, 2))


def _variation(b):
    return batch_types.Variation(jax.ShapeDtypeStruct((b,), np.bool_), _floats(b, 4), _floats(b, 4))


def _floats(*shape):
    return jax.ShapeDtypeStruct(shape, np.float32)


def _bytes(*shape):
    return jax.ShapeDtypeStruct(shape, np.uint8)
