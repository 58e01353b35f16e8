"""Three sizes of the whole system: PAPER, LITE and TINY."""

import dataclasses
from typing import Literal

from avct_jax.models import avct, dense_motion, head_motion, keypoint_detector, renderer

# The fields below bear the modules' names, which would hide them.
DetectorConfig = keypoint_detector.KeypointDetectorConfig
RendererConfig = renderer.RendererConfig
AVCTConfig = avct.AVCTConfig
HeadMotionConfig = head_motion.HeadMotionConfig


@dataclasses.dataclass(frozen=True)
class SystemConfig:
    """The shapes of the four networks that animate a portrait.

    Attributes:
      image_size: side of the square images that go in and come out, px.
      reference: which predicted motion counts as the portrait's own in eq. 3: that of the "first" frame, as
        in the paper, or that of a driver at "rest", who is silent; then the first sample may be speech.
      motion_scale: factor on the keypoints' movement since that reference. A regression predicts the mean of
        what could be meant, which moves less than any speaker: this gives the missing spread back.
      mouth_closing: share by which a portrait's open mouth is shut before it speaks; speech is added to the
        portrait's expression, and a mouth that stands open could never close. More than 1 where the renderer
        follows only in part. For keypoints taught by landmarks.
      relative_head_motion: let the predicted head sway around the portrait's own pose instead of taking the
        predicted one, which a small network reads inexactly: the head would drift away in the first second.
      head_motion_scale: factor on that movement.
      pitch: how F0 is found: "harvest" as in the paper, or "dio", many times faster, flags less exact.
    """

    image_size: int = 256
    reference: Literal["first", "rest"] = "first"
    motion_scale: float = 1.0
    mouth_closing: float = 0.0
    relative_head_motion: bool = False
    head_motion_scale: float = 1.0
    pitch: Literal["harvest", "dio"] = "harvest"
    keypoint_detector: DetectorConfig = DetectorConfig()
    renderer: RendererConfig = RendererConfig()
    avct: AVCTConfig = AVCTConfig()
    head_motion: HeadMotionConfig = HeadMotionConfig()

    def __post_init__(self):
        counts = {"keypoint_detector": self.keypoint_detector.num_keypoints, "avct": self.avct.num_keypoints}
        if isinstance(self.renderer, RendererConfig):
            counts["renderer"] = self.renderer.motion.num_keypoints
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise ValueError(f"keypoints: {said}; they must be as many, see with_keypoints")


def with_keypoints(config: SystemConfig, count: int) -> SystemConfig:
    """Return a config of another number of keypoints.

    Those of LITE are taught by landmarks, each of a part of the face: others have to be learned from images
    alone, and no place is foreseen for them (`prior_reach`).

    Args:
      config: sizes of the networks.
      count: keypoints.
    """
    replace = dataclasses.replace
    return replace(
        config,
        keypoint_detector=replace(config.keypoint_detector, num_keypoints=count),
        avct=replace(config.avct, num_keypoints=count),
        renderer=replace(
            config.renderer, motion=replace(config.renderer.motion, num_keypoints=count, prior_reach=())
        ),
    )


PAPER = SystemConfig()

# Of upper lip, lower lip, mouth corners, chin, nose, eyes, forehead and head (data/faces/landmark_motion.py).
LITE_REACH = (0.06, 0.06, 0.07, 0.07, 0.16, 0.14, 0.14, 0.14, 0.25, 0.4)

LITE_DETECTOR = keypoint_detector.KeypointDetectorConfig(
    block_expansion=16, num_blocks=4, max_features=128, padding=3
)
LITE_RENDERER = renderer.RendererConfig(
    motion=dense_motion.DenseMotionConfig(
        block_expansion=32,
        num_blocks=4,
        max_features=256,
        downsampling=2,
        kernel_size=3,
        align_corners=True,
        prior=True,
        prior_reach=LITE_REACH,
    ),
    block_expansion=48,
    max_features=96,
    num_down_blocks=1,
    num_bottleneck_blocks=4,
    kernel_size=5,
    working_downsampling=2,
    blend=True,
    motion_map=True,
    motion_map_turns=True,
)
LITE_AVCT = avct.AVCTConfig(
    d_model=128,
    num_heads=4,
    feedforward=512,
    encoder_layers=2,
    decoder_layers=2,
    dropout=0.0,
    channels=(8, 16, 32, 64, 128),
    phoneme_encoder="embedding",
    audio_encoder="mlp",
    feature_channels=LITE_DETECTOR.feature_channels,
)
LITE_HEAD_MOTION = head_motion.HeadMotionConfig(
    features=64,
    blocks=(1, 1, 1, 1),
    widths=(8, 16, 32, 64),
    audio_encoder="mlp",
    tanh=True,
)
LITE = SystemConfig(
    reference="rest",
    motion_scale=1.4,
    mouth_closing=1.5,
    relative_head_motion=True,
    head_motion_scale=1.4,
    keypoint_detector=LITE_DETECTOR,
    renderer=LITE_RENDERER,
    avct=LITE_AVCT,
    head_motion=LITE_HEAD_MOTION,
)

TINY = SystemConfig(
    image_size=64,
    reference="rest",
    relative_head_motion=True,
    pitch="dio",
    keypoint_detector=dataclasses.replace(LITE_DETECTOR, block_expansion=4, num_blocks=2, max_features=8),
    renderer=dataclasses.replace(
        LITE_RENDERER,
        motion=dataclasses.replace(LITE_RENDERER.motion, block_expansion=4, num_blocks=2, max_features=8),
        block_expansion=4,
        max_features=8,
        num_bottleneck_blocks=1,
    ),
    avct=dataclasses.replace(
        LITE_AVCT,
        d_model=32,
        num_heads=2,
        feedforward=32,
        encoder_layers=1,
        decoder_layers=1,
        channels=(4, 8),
        pose_size=16,
        feature_size=16,
        feature_channels=7,
    ),
    head_motion=dataclasses.replace(LITE_HEAD_MOTION, features=16, blocks=(1, 1), widths=(4, 8)),
)
