"""The mel image is stored once; each frame's window is that of Wav2Lip."""

import numpy as np
import pytest

from avct_jax.data.clips import mel_steps
from avct_jax.data.speech import mel


def sound(samples=25 * 640):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def wav2lip(wav, frames):
    """The windows as Wav2Lip cuts them, each by itself."""
    steps = mel.mel_spectrogram(wav * np.float32(0.9)).astype(np.float16)
    steps = np.pad(steps, ((0, 0), (0, max(0, 16 - steps.shape[1]))), mode="edge")
    starts = [min(int(80 * frame / 25), steps.shape[1] - 16) for frame in range(frames)]
    return np.stack([steps[:, start : start + 16] for start in starts])


@pytest.mark.parametrize(("samples", "frames"), [(16000, 25), (16000, 40), (40000, 25), (900, 9), (900, 1)])
def test_windows_are_wav2lips_and_end_with_the_audio(samples, frames):
    wav, numbers = sound(samples), np.arange(frames)
    steps, wanted = mel_steps.of_sound(wav, frames), wav2lip(wav, frames)
    assert steps.dtype == np.float16 and len(steps) <= mel_steps.longest(frames)
    found = mel_steps.windows(steps, numbers)
    assert found.dtype == np.float16 and np.array_equal(found, wanted)
    some = np.random.default_rng(1).permutation(frames)[:7]
    assert np.array_equal(mel_steps.windows(steps, some), wanted[some])
    assert np.array_equal(mel_steps.windows(mel_steps.of_windows(wanted), numbers), wanted)


@pytest.mark.parametrize("frames", [12, 17, 19, 22, 24])
def test_windows_that_were_stored_come_back_wherever_the_sound_ends(frames):
    for samples in range(frames * 640 - 2000, frames * 640 + 4000, 400):
        wanted = wav2lip(sound(samples), frames)
        found = mel_steps.of_windows(wanted)
        assert np.array_equal(mel_steps.windows(found, np.arange(frames)), wanted)
        assert np.array_equal(found, mel_steps.of_sound(sound(samples), frames))


def test_windows_of_silence_come_back():
    silence = np.full((9, 80, 16), -4, np.float16)
    assert np.array_equal(mel_steps.of_windows(silence), np.full((mel_steps.longest(9), 80), -4, np.float16))


def test_windows_that_contradict_each_other_are_refused():
    torn = wav2lip(sound(), 25)
    torn[3, 5, 8] += 1
    with pytest.raises(ValueError, match="not alike"):
        mel_steps.of_windows(torn)
