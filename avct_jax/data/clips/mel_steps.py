"""The mel image of a clip's sound: stored once, step by step; windows are cut out of it when they are needed.

Wav2Lip's image has 80 steps a second, 3.2 a frame; the 16 steps of a frame's window are in four others too.
"""

import numpy as np
from jaxtyping import Float16, Float32, Int

from avct_jax.data.media import video_io
from avct_jax.data.speech import mel

WINDOW = 16  # steps that go with 5 frames
RATE = 80  # steps/s
PEAK = 0.9  # of the audio that the image is made of: Wav2Lip hparams, rescaling_max


def of_sound(wav: Float32[np.ndarray, " m"], frames: int) -> Float16[np.ndarray, "s 80"]:
    """The steps of a recording as far as its frames' windows reach; at least one window.

    Args:
      wav: `speech_features.normalised`.
      frames: 1 or more.
    """
    steps = mel.mel_spectrogram(wav * np.float32(PEAK))
    steps = np.pad(steps, ((0, 0), (0, max(0, WINDOW - steps.shape[1]))), mode="edge")
    return np.ascontiguousarray(steps[:, : longest(frames)].T, np.float16)


def longest(frames: int) -> int:
    """Steps as far as the windows of so many frames reach."""
    return (frames - 1) * RATE // video_io.FRAME_RATE + WINDOW


def places(frames: Int[np.ndarray, " n"], steps: int) -> Int[np.ndarray, "n 16"]:
    """The steps of the window that begins at each frame; the last whole window is repeated at the end.

    Args:
      steps: that the clip has.
    """
    starts = np.minimum(frames * RATE // video_io.FRAME_RATE, steps - WINDOW)
    return starts[:, None] + np.arange(WINDOW)


def windows(
    steps: Float16[np.ndarray, "s 80"], frames: Int[np.ndarray, " n"]
) -> Float16[np.ndarray, "n 80 16"]:
    """The window that begins at each frame."""
    return np.ascontiguousarray(steps[places(frames, len(steps))].transpose(0, 2, 1))


def of_windows(known: Float16[np.ndarray, "t 80 16"]) -> Float16[np.ndarray, "s 80"]:
    """Put steps together again that were stored as the window of each frame, as files of version 1 have them.

    Raises:
      ValueError: windows that overlap say different things.
    """
    frames = np.arange(len(known))
    # Where the sound ends before the images, the last windows are one; it begins between two frames' places.
    differ = np.flatnonzero((known != known[-1]).any((1, 2)))
    first = int(differ[-1]) + 1 if len(differ) else 0
    lengths = [longest(first + 1), longest(first) + 1] if first else [WINDOW, WINDOW]
    for length in (longest(len(known)), *range(lengths[0], lengths[1] - 1, -1)):
        steps = np.zeros((length, known.shape[1]), known.dtype)
        steps[places(frames, length)] = known.transpose(0, 2, 1)
        if np.array_equal(windows(steps, frames), known):
            return steps
    raise ValueError("windows of the mel image that overlap are not alike")
