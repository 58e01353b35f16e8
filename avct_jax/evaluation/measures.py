"""What is measured of a video, and which way is better."""

from typing import Literal, NamedTuple

FID_SIZES = (64, 192, 768, 2048)


class Measure(NamedTuple):
    """One column of the report.

    Attributes:
      better: "lower", "higher", "zero" (nearest to 0) or "truth" (nearest to what the real videos have).
      of: "video" (the report has its mean over videos) or "system" (one number for all videos).
      paired: only where the real video shows the same face saying the same.
      sparse: some videos have none of it without fault: the mean is of those that have.
    """

    key: str
    title: str
    better: Literal["lower", "higher", "zero", "truth"]
    digits: int
    about: str
    of: Literal["video", "system"] = "video"
    paired: bool = False
    sparse: bool = False


def frechet(size: int) -> Measure:
    """FID of Inception's features of one size; sizes do not compare with each other."""
    return Measure(
        f"fid_{size}",
        f"FID-{size}",
        "lower",
        3,
        f"Fréchet distance of the videos' frames and the real ones, {size} features of the FID network",
        "system",
        True,
    )


STAND_IN = Measure(
    "frechet_vgg16",
    "Fréchet-VGG16",
    "lower",
    3,
    "Fréchet distance of VGG-16 features: no FID, for want of the FID network",
    "system",
    True,
)
AV_OFFSET = Measure(
    "av_offset", "AVOff", "zero", 2, "frames by which the lips come after the sound, mean over videos"
)
AV_NEAR = Measure(
    "av_near", "AVOff within 1", "higher", 2, "share of videos that are in sync within one frame"
)
AV_CONFIDENCE = Measure(
    "av_confidence",
    "AVConf",
    "higher",
    3,
    "how surely lips and sound fit (LSE-C); compares within one network",
)
LSE_D = Measure(
    "lse_d", "LSE-D", "lower", 3, "distance of lips and sound at the best shift; compares within one network"
)
IDENTITY = Measure(
    "identity",
    "identity",
    "lower",
    3,
    "distance of dlib's face descriptors, frame by frame; .6 is another person",
    paired=True,
)
VIDEO_MEASURES = (
    Measure("cpbd", "CPBD", "higher", 3, "sharpness, 0 to 1 (Narvekar and Karam 2011)"),
    Measure("lmd", "LMD", "lower", 4, "lip landmarks around their centroid, over eye distance", paired=True),
    AV_OFFSET,
    AV_NEAR,
    AV_CONFIDENCE,
    LSE_D,
    Measure("l1", "L1", "lower", 4, "mean absolute difference of pixels in [0, 1]", paired=True),
    Measure("psnr", "PSNR", "higher", 2, "peak signal to noise ratio, dB", paired=True),
    Measure("ssim", "SSIM", "higher", 3, "structural similarity (Wang et al. 2004)", paired=True),
    Measure("lpips", "LPIPS", "lower", 4, "learned perceptual distance (Zhang et al. 2018)", paired=True),
    Measure("akd", "AKD", "lower", 2, "distance of all 478 landmarks, px of 256", paired=True),
    IDENTITY,
    Measure("jitter", "jitter", "truth", 4, "acceleration of the landmarks, over the eyes' distance"),
    Measure("opening_correlation", "opening r", "higher", 3, "mouth opening, correlation with the real one"),
    Measure(
        "opening_best_correlation",
        "opening r (best lag)",
        "higher",
        3,
        "the same where one video may come up to 5 frames before the other: each clip's own lag taken out",
    ),
    Measure("opening_spread", "opening spread", "truth", 3, "spread of mouth opening over the real video's"),
    Measure("opening_std", "opening std", "truth", 4, "standard deviation of mouth opening, face heights"),
    Measure("opening_std_eyes", "opening std (eyes)", "truth", 4, "the same of the lips' gap, eye distances"),
    Measure("open_share", "frames open", "truth", 3, "share of frames open by .04 of face height or more"),
    Measure("width_correlation", "width r", "higher", 3, "mouth width (rounding), correlation with the real"),
    Measure("width_spread", "width spread", "truth", 3, "spread of mouth width over the real video's"),
    Measure("width_std", "width std", "truth", 4, "standard deviation of mouth width, eye distances"),
    Measure("closure", "p/b/m shut", "higher", 3, "share of p, b, m with lips within .025 eye distances"),
    Measure("opening_in_silence", "open in silence", "truth", 4, "mouth opening in silence over face height"),
    Measure("blinks", "blinks a minute", "truth", 1, "eyes that shut for at most .5 s"),
    Measure("blink_length", "blink length", "truth", 0, "median time that eyes are shut, ms", sparse=True),
    Measure("head_pitch", "head pitch", "truth", 2, "standard deviation of nodding within 3 s, degrees"),
    Measure("head_yaw", "head yaw", "truth", 2, "standard deviation of shaking within 3 s, degrees"),
    Measure("head_roll", "head roll", "truth", 2, "standard deviation of leaning aside within 3 s, degrees"),
    Measure(
        "face_sharpness",
        "face sharpness",
        "truth",
        3,
        "Laplacian's spread in the face over the real video's, or the portrait's where videos are unpaired",
    ),
    Measure("mouth_sharpness", "mouth sharpness", "truth", 3, "the same about the mouth"),
    Measure("faces", "faces", "higher", 3, "share of frames that show a face"),
)  # fmt: skip
KEYS = tuple(measure.key for measure in VIDEO_MEASURES)
SPARSE = tuple(measure.key for measure in VIDEO_MEASURES if measure.sparse)
OF_AUDIO = ("lse_d", "opening_in_silence")  # keys that a video without audio, or without silence, lacks
# Keys of what a video shows by itself, to be set beside what other people's videos show.
OF_PEOPLE = (
    "opening_std", "opening_std_eyes", "open_share", "width_std", "closure", "opening_in_silence", "blinks",
    "blink_length", "head_pitch", "head_yaw", "head_roll", "face_sharpness", "mouth_sharpness", "cpbd",
    "jitter", "av_near", "av_confidence", "faces",
)  # fmt: skip
