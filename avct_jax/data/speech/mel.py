"""Mel-scaled spectra of speech: the MFCC and filter-bank energies of the paper, the mel image of Wav2Lip.

In float64. Wav2Lip's filters are librosa's; the paper's, with corners on whole FFT bins, are no library's.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

SAMPLE_RATE = 16000  # samples/s, every network of the system hears this rate
WINDOW = 400  # samples = 25 ms, python_speech_features' default
STEP = 160  # samples = 10 ms
FFT_SIZE = 512
FILTERS = 26
CEPSTRA = 13
LIFTER = 22
PRE_EMPHASIS = 0.97
BLOCK_ROWS = 1000  # rows worked on at once: 10 s of audio, so that memory does not grow with its length

WAV2LIP_FFT = 800  # samples; Wav2Lip hparams
WAV2LIP_HOP = 200  # samples = 80 columns/s
WAV2LIP_MELS = 80
WAV2LIP_BAND = (55.0, 7600.0)  # Hz


def row_count(samples: int) -> int:
    """How many 10 ms rows python_speech_features makes: the last window is padded with zeros."""
    return 1 + max(0, math.ceil((samples - WINDOW) / STEP))


def mfcc_and_filterbank(
    wav: Float[np.ndarray, "n"] | Int[np.ndarray, "n"], *, offset: float = 0.0, scale: float = 1.0
) -> tuple[Float[np.ndarray, "rows 13"], Float[np.ndarray, "rows 26"]]:
    """13 cepstral coefficients and 26 log filter-bank energies every 10 ms.

    python_speech_features' `mfcc` and `logfbank` with their defaults: no window function, pre-emphasis 0.97,
    512-point power spectrum, 26 triangles on whole FFT bins, lifter 22, c0 replaced by the log energy.

    Args:
      wav: audio at 16 kHz; energies follow its scale (int16 gives syncnet_python's values).
      offset, scale: the audio heard is (wav - offset) * scale; here, so that no float64 copy of all is made.
    """
    rows = row_count(len(wav))
    cepstra, energies = np.empty((rows, CEPSTRA)), np.empty((rows, FILTERS))
    for first in range(0, rows, BLOCK_ROWS):
        last = min(rows, first + BLOCK_ROWS)
        block = _windows(wav, first, last, offset, scale)
        cepstra[first:last], energies[first:last] = measure(block)
    return cepstra, energies


def measure(
    windows: Float[np.ndarray, "rows 400"],
) -> tuple[Float[np.ndarray, "rows 13"], Float[np.ndarray, "rows 26"]]:
    """The same of windows that are cut and pre-emphasised already."""
    power = np.abs(np.fft.rfft(windows, FFT_SIZE)) ** 2 / FFT_SIZE
    energies = _safe_log(power @ triangle_filters().T)
    cepstra = energies @ lifted_cosines().T
    cepstra[:, 0] = _safe_log(power.sum(1))
    return cepstra, energies


def syncnet_mfcc(wav: Int[np.ndarray, "n"]) -> Float[np.ndarray, "rows 13"]:
    """The 13 MFCC every 10 ms that syncnet_python hears: of 16-bit integers, not normalised."""
    return mfcc_and_filterbank(wav)[0]


def mel_spectrogram(wav: Float[np.ndarray, "n"]) -> Float[np.ndarray, "80 columns"]:
    """Wav2Lip's mel image of a recording in [-1, 1]: 80 bands, 80 columns a second, values in [-4, 4].

    Magnitudes of an 800-point STFT (Hann, centred, mirrored ends) of the pre-emphasised audio on Slaney mels
    of 55-7600 Hz, in decibels over 20 dB, with -100 dB at -4 and 0 dB at 4. 1 + n // 200 columns, float32.
    """
    columns = 1 + len(wav) // WAV2LIP_HOP
    emphasised = np.append(wav[:1], wav[1:] - np.float32(PRE_EMPHASIS) * wav[:-1])
    padded = np.pad(emphasised, WAV2LIP_FFT // 2, mode="reflect" if len(wav) > 1 else "edge")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WAV2LIP_FFT) / WAV2LIP_FFT)
    out = np.empty((WAV2LIP_MELS, columns), np.float32)
    for first in range(0, columns, BLOCK_ROWS):
        starts = np.arange(first, min(columns, first + BLOCK_ROWS)) * WAV2LIP_HOP
        magnitude = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(WAV2LIP_FFT)] * window))
        decibels = 20 * np.log10(np.maximum(1e-5, slaney_filters() @ magnitude.T)) - 20
        out[:, first : first + len(starts)] = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    return out


@functools.cache
def triangle_filters() -> Float[np.ndarray, "26 257"]:
    """26 triangles, evenly spaced in mel (HTK) over 0-8000 Hz, corners rounded down to FFT bins."""
    left, peak, right = _corners(np.floor((FFT_SIZE + 1) * triangle_corners() / SAMPLE_RATE))
    bins = np.arange(FFT_SIZE // 2 + 1)[None]
    rising = np.where((bins >= left) & (bins < peak), (bins - left) / (peak - left), 0)
    return rising + np.where((bins >= peak) & (bins < right), (right - bins) / (right - peak), 0)


def triangle_corners() -> Float[np.ndarray, " 28"]:
    """Hz at which the 26 triangles begin, peak and end, each where its neighbours peak."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)


@functools.cache
def slaney_filters() -> Float[np.ndarray, "80 401"]:
    """80 triangles of equal area, linear below 1 kHz and logarithmic above (Slaney's Auditory Toolbox)."""
    import librosa.filters  # 1 s, which only Wav2Lip's image is worth

    low, high = WAV2LIP_BAND
    return librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=WAV2LIP_FFT, n_mels=WAV2LIP_MELS, fmin=low, fmax=high, dtype=np.float64
    )


def _corners(points: Float[np.ndarray, "p"]) -> Iterator[Float[np.ndarray, "m 1"]]:
    return (points[i : len(points) - 2 + i, None] for i in range(3))


@functools.cache
def lifted_cosines() -> Float[np.ndarray, "13 26"]:
    """What makes the cepstra of the log energies; c0 is then replaced by the energy of all."""
    order = np.arange(CEPSTRA)[:, None]
    cosines = np.cos(np.pi * order * (2 * np.arange(FILTERS) + 1)[None] / (2 * FILTERS)) * math.sqrt(
        2 / FILTERS
    )
    cosines[0] /= math.sqrt(2)
    return cosines * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))


def _windows(wav: np.ndarray, first: int, last: int, offset: float, scale: float) -> np.ndarray:
    """Rows first..last of the pre-emphasised audio; its very first sample has no predecessor to lose."""
    begin, end = first * STEP, (last - 1) * STEP + WINDOW
    piece = (wav[max(0, begin - 1) : end].astype(np.float64) - offset) * scale
    emphasised = piece[1:] - PRE_EMPHASIS * piece[:-1]
    if begin == 0:
        emphasised = np.append(piece[:1], emphasised)
    emphasised = np.pad(emphasised, (0, end - begin - len(emphasised)))
    return np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW)[::STEP]


def _safe_log(energy: np.ndarray) -> np.ndarray:
    return np.log(np.where(energy == 0, np.finfo(np.float64).eps, energy))
