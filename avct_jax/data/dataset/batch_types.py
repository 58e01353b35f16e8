"""What training batches hold: the one agreement between data sources and training steps.

Sources fill the fields with numpy arrays; steps see the same fields as JAX arrays. Every example is decided
by (seed, index of the example) alone, its random flips and colours too, so neither the number of devices or
processes nor the source changes what is learned from.
"""

import dataclasses
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int, UInt8

# The kinds of batches, each with its own index maths in data/dataset/sampler.py.
KINDS = ("pairs", "sync", "sequences", "poses")


class FaceMotion(NamedTuple):
    """Keypoints in [-1, 1] and Jacobians of faces, as landmarks say (data/faces/landmark_motion.py)."""

    keypoints: Float[Any, "*n 10 2"]
    jacobians: Float[Any, "*n 10 2 2"]


class Variation(NamedTuple):
    """How an example's images are shown: one draw for all its images.

    Attributes:
      mirrored: left and right exchanged.
      view: change of log size (below 0 shows a smaller part, larger), turn in rad, shift x, y in [-1, 1]
        units.
      colours: changes of brightness, contrast, saturation and hue.
    """

    mirrored: Bool[Any, " b"]
    view: Float[Any, "b 4"]
    colours: Float[Any, "b 4"]


class Pairs(NamedTuple):
    """Renderer stage: a source frame and n driving frames of its clip."""

    source: UInt8[Any, "b s s 3"]
    driving: UInt8[Any, "b n s s 3"]
    source_motion: FaceMotion
    driving_motion: FaceMotion
    variation: Variation


class SyncWindows(NamedTuple):
    """Sync stage: five frames and the 16 mel steps of a window that does, or does not, belong to them.

    Attributes:
      boxes: of the lower half of the face, px of the images (left, top, right, bottom).
      mel: [-4, 4].
      in_sync: 1 or 0.
    """

    frames: UInt8[Any, "b 5 s s 3"]
    boxes: Float[Any, "b 5 4"]
    mel: Float[Any, "b 80 16"]
    in_sync: Float[Any, " b"]
    variation: Variation


class Sequences(NamedTuple):
    """AVCT stage: t = frames successive frames of speech, r more on each side (n = t + 2 r), a portrait.

    Attributes:
      portrait: a frame of the clip, or of another person.
      portrait_motion, portrait_pose: its own.
      rest_motion, rest_pose: the speaker's while silent.
      silent: 1 where nobody speaks.
      poses: rad and mm.
      motion: of all n frames by landmarks.
      frames, mel, boxes: of the t inner ones; frames and boxes are None where the stage renders nothing.
    """

    portrait: UInt8[Any, "b s s 3"]
    portrait_motion: FaceMotion
    portrait_pose: Float[Any, "b 6"]
    rest_motion: FaceMotion
    rest_pose: Float[Any, "b 6"]
    phonemes: Int[Any, "b n"]
    audio: Float[Any, "b n 4 columns"]
    silent: Float[Any, "b n"]
    poses: Float[Any, "b n 6"]
    motion: FaceMotion
    mel: Float[Any, "b t 80 16"]
    boxes: Float[Any, "b t 4"] | None
    frames: UInt8[Any, "b t s s 3"] | None
    variation: Variation


class Poses(NamedTuple):
    """Head-motion stage: audio, and the poses (rad, mm) that a head took."""

    audio: Float[Any, "b t 4 columns"]
    poses: Float[Any, "b t 6"]


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """What examples are drawn, and how they are varied. The defaults are FOMM's and the paper's.

    Attributes:
      image_size: side of the images in a batch, px; clips hold 256.
      speaker: the person whose speech is learned.
      driving: driving frames of a pair.
      speaker_prob: of pairs and sync windows of the speaker; the rest is drawn person by person alike. 0: the
        speaker is one person among the others.
      open_mouths: draw each pair's last driving frame from the clip's wide open mouths, and most sources from
        the shut ones: rare in speech, and hardest to draw.
      frames: t of a sequence.
      radius: r, further frames on each side of it.
      with_frames: also their images.
      cross_identity_prob: of portraits of other people, whom the speaker's motion is put on.
      transcript_prob: of phonemes by transcript; else those a recogniser hears, as in use.
      pose_frames: t of a pose sequence.
      negative_prob: of sync windows with other audio.
      hard_negative_prob: of negatives that are near the window; the rest is from anywhere in the clip.
      hard_negative_window: how near, frames.
      hard_negative_min_shift: how far at least, frames.
      mirror_prob: of a mirrored example.
      reverse_prob: that a pair's frames, else in order of time, come backwards; open_mouths orders them by
        the mouth instead.
      log_scale: range of the change of log size.
      rotation: largest, rad.
      translation: largest, [-1, 1] units.
      colour_jitter: largest change of brightness, contrast, saturation and hue (FOMM: 0.1).
    """

    image_size: int = 256
    speaker: str = "grid_s1"
    driving: int = 1
    speaker_prob: float = 0.0
    open_mouths: bool = False
    frames: int = 24
    radius: int = 5
    with_frames: bool = True
    cross_identity_prob: float = 0.0
    transcript_prob: float = 0.5
    pose_frames: int = 64
    negative_prob: float = 0.5
    hard_negative_prob: float = 0.5
    hard_negative_window: int = 15
    hard_negative_min_shift: int = 3
    mirror_prob: float = 0.5
    reverse_prob: float = 0.5
    log_scale: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    translation: float = 0.0
    colour_jitter: float = 0.1
