"""From a plan to an example: the columns of its frames put into a batch's fields.

Images stay (clip, frame) pairs here; each source puts its own pixels in their place.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from avct_jax.data.clips import mel_steps
from avct_jax.data.dataset import batch_types, dataset_index, sampler
from avct_jax.data.phonemes import symbols

IMAGES = {
    "pairs": ("source", "driving"),
    "sync": ("frames",),
    "sequences": ("portrait", "frames"),
    "poses": (),
}

# rows(column's name, clip, frames; steps for "mel") -> that column there
Rows = Callable[[str, int, Int[np.ndarray, "*m"]], np.ndarray]


def make_example(
    known: dataset_index.Catalog, config: batch_types.DrawConfig, plan: sampler.Plan, rows: Rows
) -> Any:
    """Fill one example of the kind that the plan is of; fields as in schema, without the batch's axis.

    Args:
      rows: reads columns; frames lie inside their clip.
    """
    if isinstance(plan, sampler.PairPlan):
        return _pair(plan, rows)
    if isinstance(plan, sampler.SyncPlan):
        return _sync(known, config, plan, rows)
    if isinstance(plan, sampler.SequencePlan):
        return _sequence(known, config, plan, rows)
    frames = np.arange(plan.first, plan.first + config.pose_frames)
    return batch_types.Poses(rows("audio", plan.clip, frames), rows("poses", plan.clip, frames))


def stack(examples: Sequence[Any]) -> Any:
    """Make a batch of examples: every array gets a first axis; None stays."""
    first = examples[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        return type(first)(*(stack(values) for values in zip(*examples, strict=True)))
    return np.stack(examples)


def map_images(batch: Any, kind: str, show: Callable[[Any], Any]) -> Any:
    """Put `show(field)` in the place of each field that is of images."""
    fields = {name: getattr(batch, name) for name in IMAGES[kind]}
    return batch._replace(**{name: show(value) for name, value in fields.items() if value is not None})


def _pair(plan: sampler.PairPlan, rows: Rows) -> batch_types.Pairs:
    frames = np.concatenate([[plan.source], plan.driving])
    moves = _motion(plan.clip, frames, rows)
    shown = _images(plan.clip, frames)
    source, driving = (batch_types.FaceMotion(*(x[at] for x in moves)) for at in (0, slice(1, None)))
    return batch_types.Pairs(shown[0], shown[1:], source, driving, plan.variation)


def _sync(known, config, plan: sampler.SyncPlan, rows: Rows) -> batch_types.SyncWindows:
    frames = np.arange(plan.first, plan.first + sampler.SYNC_FRAMES)
    return batch_types.SyncWindows(
        frames=_images(plan.clip, frames),
        boxes=_boxes(known, config, plan.clip, frames, rows),
        mel=_mel(known, plan.clip, np.array([plan.heard]), rows)[0],
        in_sync=np.asarray(plan.heard == plan.first, np.float32),
        variation=plan.variation,
    )


def _sequence(known, config, plan: sampler.SequencePlan, rows: Rows) -> batch_types.Sequences:
    """Before and after the clip is silence, and the head is as in the first or last frame."""
    which, radius, last = plan.clip, config.radius, known.length(plan.clip) - 1
    inner = np.arange(plan.first, plan.first + config.frames)
    frames = np.arange(plan.first - radius, plan.first + config.frames + radius)
    inside, at = (frames >= 0) & (frames <= last), np.clip(frames, 0, last)
    labels = rows("phonemes" if plan.transcribed else "recognised", which, at)
    shown = np.array([plan.portrait])
    portrait = batch_types.FaceMotion(*(x[0] for x in _motion(plan.portrait_clip, shown, rows)))
    return batch_types.Sequences(
        portrait=_images(plan.portrait_clip, shown)[0],
        portrait_motion=portrait,
        portrait_pose=rows("poses", plan.portrait_clip, shown)[0],
        rest_motion=batch_types.FaceMotion(known.rest_keypoints[which], known.rest_jacobians[which]),
        rest_pose=known.rest_pose[which],
        phonemes=np.where(inside, labels, symbols.SIL).astype(np.int32),
        audio=np.where(inside[:, None, None], rows("audio", which, at), np.float32(0)),
        silent=np.where(inside, rows("silent", which, at), True).astype(np.float32),
        poses=rows("poses", which, at),
        motion=_motion(which, at, rows),
        mel=_mel(known, which, inner, rows),
        boxes=_boxes(known, config, which, inner, rows) if config.with_frames else None,
        frames=_images(which, inner) if config.with_frames else None,
        variation=plan.variation,
    )


def _motion(which: int, frames: Int[np.ndarray, " m"], rows: Rows) -> batch_types.FaceMotion:
    return batch_types.FaceMotion(rows("keypoints", which, frames), rows("jacobians", which, frames))


def _mel(known, which: int, frames: Int[np.ndarray, " m"], rows: Rows) -> Float[np.ndarray, "m 80 16"]:
    """The windows that begin at these frames."""
    steps = rows("mel", which, mel_steps.places(frames, int(known.mel_steps[which])))
    return np.ascontiguousarray(steps.transpose(0, 2, 1), np.float32)


def _boxes(known, config, which: int, frames: Int[np.ndarray, " m"], rows: Rows) -> np.ndarray:
    return rows("mouth_boxes", which, frames) * np.float32(config.image_size / known.size)


def _images(which: int, frames: Int[np.ndarray, " m"]) -> Int[np.ndarray, "m 2"]:
    return np.stack([np.full(len(frames), which), frames], -1).astype(np.int32)
