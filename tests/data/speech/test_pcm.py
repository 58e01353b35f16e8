"""Pieces of audio of any kind to 16 kHz, the same whatever the pieces."""

import numpy as np
import pytest
import soxr

from avct_jax import errors
from avct_jax.data.speech import pcm

WAVE = np.round(8000 * np.sin(np.arange(9000) / 7)).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
@pytest.mark.parametrize("step", [1, 480, 9000])
def test_pieces_are_resampled_as_the_whole(rate, step):
    resampler = pcm.Resampler()
    wave = WAVE[:1500] if step == 1 else WAVE
    pieces = [resampler.push(wave[i : i + step], rate) for i in range(0, len(wave), step)]
    found = np.concatenate([*pieces, resampler.finish()])
    whole = soxr.resample((wave / 32768).astype(np.float32), rate, pcm.RATE)
    np.testing.assert_array_equal(found, pcm.whole(whole))
    assert found.dtype == np.int16 and len(found) == pytest.approx(len(wave) * 16000 / rate, abs=1)


def test_samples_of_16_khz_stay_as_they_are_and_are_copied():
    taken = pcm.samples(given := WAVE.copy())
    given[:] = 0
    resampler = pcm.Resampler()
    np.testing.assert_array_equal(np.append(resampler.push(taken, 16000), resampler.finish()), WAVE)
    raw = WAVE.astype("<i2").tobytes()
    for form in (raw, bytearray(raw), WAVE.astype(">i2"), WAVE[:, None], WAVE[None]):
        np.testing.assert_array_equal(pcm.samples(form), WAVE)
    np.testing.assert_array_equal(pcm.whole(pcm.samples(WAVE / 32768)), WAVE)
    assert pcm.whole(np.array([2.0, -2.0])).tolist() == [32767, -32768]


def test_nothing_is_a_piece_too():
    for nothing in (b"", [], np.zeros(0, np.float32)):
        assert len(pcm.samples(nothing)) == 0


@pytest.mark.parametrize("given", ["hello.wav", None])
def test_what_is_no_audio_is_called_so(given):
    with pytest.raises(errors.UserError, match="give int16 or float samples, or bytes of int16"):
        pcm.samples(given)


@pytest.mark.parametrize("rate", [True, 100, 10**7, "16000", None, 16000.0])
def test_rates_of_no_sound_are_refused(rate):
    with pytest.raises(errors.UserError, match="sample rate"):
        pcm.checked_rate(rate)
    assert pcm.checked_rate(np.int64(22050)) == 22050
