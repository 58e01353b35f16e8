"""Frames with a mark: hardly another picture, and the mark is found whatever is done with them."""

import functools
import types

import cv2
import jax
import numpy as np
import pytest
from scipy.io import wavfile

from avct_jax import errors
from avct_jax.marks import mark_detector, mark_pattern, mark_payload, watermark
from tests.marks import marked_film


@functools.cache
def film():
    """A film, and the same with a mark."""
    shown = marked_film.frames()
    return shown, marked_film.marked(shown)


def looked(shown, rate=25.0, key=mark_pattern.KEY):
    """What is found in frames in memory."""
    scale = mark_detector.SIDE / max(shown.shape[1:3])
    size = [round(n * scale) for n in shown.shape[2:0:-1]]
    grey = [
        cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for x in shown
    ]
    image = mark_detector.demodulated(np.stack(grey), rate)
    return mark_detector.judged(*mark_detector.look(image, key), tuple(size[::-1]), len(shown) / rate)


def test_a_mark_is_hardly_seen():
    plain, marked = film()
    error = marked.astype(float) - plain
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 46
    assert np.abs(error).max() <= 8 and abs(error.mean()) < 0.05
    smooth = error[:, :30, :30]  # of the wall
    assert np.abs(smooth).max() <= 1 and np.square(smooth).mean() < 0.5 * np.square(error).mean()
    assert np.abs(cv2.blur(error[:13].mean(0), (16, 16))).max() < 0.15
    each = np.square(error).mean((1, 2, 3))  # no frame bears more than others
    assert each.max() < 1.2 * each.min()


@pytest.mark.parametrize(("side", "psnr"), [(256, 46.0), (384, 46.4), (1024, 46.8)])
def test_a_small_picture_bears_more_of_it(side, psnr):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (side, side, 3), np.uint8)
    change = watermark.changes(marked_film.PAYLOAD, noise).astype(float)
    assert 10 * np.log10(255**2 / np.square(change).mean()) == pytest.approx(psnr, abs=0.1)
    # A flat picture bears little at any size: a level here and there.
    flat = watermark.changes(marked_film.PAYLOAD, np.full((side, side, 3), 128, np.uint8)).astype(float)
    assert np.abs(flat).max() == 1 and 10 * np.log10(255**2 / np.square(flat).mean()) > 49


def test_blocks_of_any_length_and_single_frames_make_the_same():
    plain, marked = film()
    np.testing.assert_array_equal(marked_film.marked(plain[:30], step=7), marked[:30])
    mark = watermark.Watermark(marked_film.PAYLOAD)
    mark(plain[:1], first=0)
    np.testing.assert_array_equal(mark(plain[17:18], first=17)[0], marked[17])


def test_thirteen_frames_bear_four_waves_of_both_patterns():
    change = watermark.changes(marked_film.PAYLOAD, np.full((64, 64, 3), 128, np.uint8)).astype(float)
    spectrum = np.abs(np.fft.fft(change, axis=0))
    power = np.square(spectrum).sum((1, 2))
    assert power[4] + power[9] > 0.5 * power[1:].sum()
    wave = np.fft.fft(change, axis=0)[4]
    known = mark_pattern.drawn(mark_pattern.known(), (64, 64))
    other = mark_pattern.drawn(mark_pattern.carrying(marked_film.PAYLOAD), (64, 64))
    assert np.corrcoef(wave.real.ravel(), known.ravel())[0, 1] > 0.6
    assert np.corrcoef(wave.imag.ravel(), -other.ravel())[0, 1] > 0.6


def test_what_is_drawn_with_the_mark_is_what_is_marked_after():
    shown = np.random.default_rng(0).integers(0, 256, (15, 40, 36, 3), np.uint8)
    shown[:, :8] = 0
    shown[:, 8:16] = 255
    mark = watermark.Watermark(marked_film.PAYLOAD)
    drawn = jax.jit(watermark.add)(shown, watermark.changes(marked_film.PAYLOAD, shown[0]), 6)
    np.testing.assert_array_equal(mark(shown, first=6), drawn)
    np.testing.assert_array_equal(mark(shown[4:9], first=10), drawn[4:9])


def test_a_mark_is_found_and_read():
    plain, marked = film()
    found = looked(marked)
    assert found.found and found.payload == marked_film.PAYLOAD
    np.testing.assert_allclose(found.box, (0, 0, 1, 1), atol=0.02)
    for unmarked in (looked(plain), looked(marked, key="another")):
        assert not unmarked.found and unmarked.payload is None and unmarked.score < found.score / 2


CHANGES = {
    "half the size": lambda shown: [cv2.resize(x, (128, 128), interpolation=cv2.INTER_AREA) for x in shown],
    "cropped": lambda shown: shown[:, 40:220, 30:210],
    "in a larger picture": lambda shown: [cv2.copyMakeBorder(x, 60, 40, 100, 60, 1) for x in shown],
    "blurred and brighter": lambda shown: [
        np.uint8(255 * (cv2.GaussianBlur(x, (0, 0), 1) / 255) ** 0.8) for x in shown
    ],
    "cut": lambda shown: shown[13:90],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_mark_is_found_after(change):
    found = looked(np.stack(CHANGES[change](film()[1])))
    assert found.found and found.payload == marked_film.PAYLOAD


def test_a_mark_is_found_in_a_film_of_another_frame_rate(tmp_path):
    _, marked = film()
    index = np.minimum(np.round(np.arange(120) * 25 / 30).astype(int), 99)  # shown at 30 frames/s
    assert looked(marked[index], rate=30.0).payload == marked_film.PAYLOAD


def test_a_sound_has_no_frames_to_look_in(tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(1600, np.int16))
    with pytest.raises(errors.UserError, match="no frames to look for a watermark in; give a film"):
        mark_detector.read(tmp_path / "a.wav")


def test_a_file_is_read(tmp_path):
    path = marked_film.write(tmp_path / "a.mp4", film()[1])
    found = mark_detector.read(path)
    assert found.payload == marked_film.PAYLOAD and found.seconds == pytest.approx(4.0)


def played(monkeypatch, pieces, rate=25.0):
    """Let a film be made of given frames, and pieces of 4 s."""
    shown = np.concatenate(pieces)
    asked = []

    def read(path, *, frame_rate, size):
        asked.append(frame_rate)
        yield from (cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA) for x in shown)

    probe = types.SimpleNamespace(frame_rate=rate, size=shown.shape[1:3], has_video=True)
    monkeypatch.setattr(mark_detector.video_io, "probe", lambda path: probe)
    monkeypatch.setattr(mark_detector.video_io, "read_frames", read)
    monkeypatch.setattr(mark_detector, "PIECE", 4.0)
    return asked


def test_a_mark_that_begins_late_is_found(monkeypatch):
    plain, marked = film()
    played(monkeypatch, [plain, plain, marked, plain])
    found = mark_detector.read("film.mp4")
    assert found.payload == marked_film.PAYLOAD and found.seconds == 12.0


def test_of_long_films_so_much_is_looked_at_and_of_fast_ones_so_many_frames(monkeypatch):
    plain, marked = film()
    monkeypatch.setattr(mark_detector, "LONGEST", 4.0)
    asked = played(monkeypatch, [plain, marked])
    assert not mark_detector.read("film.mp4").found
    assert asked == [None]
    asked = played(monkeypatch, [plain], rate=1000.0)
    assert [seconds for _, seconds in mark_detector.images("film.mp4")] == [2.0]  # of 100 frames
    assert asked == [mark_detector.SLOWED]


def test_pieces_are_read_together_where_they_agree(monkeypatch):
    signs = mark_payload.encode(marked_film.PAYLOAD) * np.sqrt(60 / 1024)
    noise = np.random.default_rng(4).normal(0, 1, (3, 1024))
    fit = mark_detector.Fit(25.0, 320.0, 0.0, 0.0, 1 + 0j)
    look = lambda fit, noise: mark_detector.MarkLook(fit, signs + noise, (320, 320), 8.0)
    told = lambda seen: monkeypatch.setattr(mark_detector, "looks", lambda path, key: iter(seen))
    told([look(fit, x) for x in noise])
    found = mark_detector.read("film.mp4")
    assert found.payload == marked_film.PAYLOAD and found.found
    told([look(fit._replace(top=10.0 * index), x) for index, x in enumerate(noise)])
    assert mark_detector.read("film.mp4").payload is None


def test_later_looks_ask_for_more():
    """A score that is enough in a film's first piece is not in its hundredth."""
    signs = np.zeros(1024, np.float32)
    fit = mark_detector.Fit(mark_detector.SURE + 1, 100.0, 0.0, 0.0, 1.0)
    told = lambda number: mark_detector.judged(fit, signs, (100, 100), 8.0, look_number=number).found
    assert told(1) and not told(100)
