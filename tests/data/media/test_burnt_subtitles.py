"""Burnt subtitles: where they stand, that they fit, which font they have."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.media import burnt_subtitles, subtitles


@pytest.mark.parametrize("height, width", [(256, 256), (720, 1280)])
def test_frames_show_a_cue_while_it_lasts_at_the_bottom_and_nothing_else(height, width):
    grey = np.full((10, height, width, 3), 128, np.uint8)
    blocks = [grey[:4], grey[4:]]
    cues = [subtitles.Subtitle("Hello, my dear Peter, how are you today?", 0.08, 0.24)]
    found = np.concatenate(list(burnt_subtitles.burned(blocks, cues, 25.0)))
    changed = (found != grey).any((2, 3))
    assert changed.any(1).tolist() == [False] * 2 + [True] * 4 + [False] * 4
    rows = np.flatnonzero(changed[2])
    assert rows.min() > 0.75 * height and rows.max() < height * (1 - 0.02)
    columns = np.flatnonzero((found[2] != grey[2]).any((0, 2)))
    assert columns.min() >= 0.02 * width and abs(columns.min() + columns.max() - width) < 0.03 * width
    assert found[2].max() > 240 and found[2].min() < 15  # white letters, black edges
    np.testing.assert_array_equal(found[2], found[5])
    assert (grey == 128).all()


def test_a_font_with_all_letters_is_sought(monkeypatch):
    assert burnt_subtitles.font_for(["Hello, Peter!"]) == ""
    monkeypatch.setattr(burnt_subtitles, "FONTS", ("", "no such font.ttf", "wide.ttf"))
    known = burnt_subtitles._font
    wide = lambda name, size: Wide() if name == "wide.ttf" else known(name, size)
    monkeypatch.setattr(burnt_subtitles, "_font", wide)
    assert burnt_subtitles.font_for(["Bäume"]) == "wide.ttf"
    with pytest.raises(errors.UserError, match=r"no font here has the letters '你'; name a \.srt file"):
        burnt_subtitles.font_for(["ä 你"])


class Wide:
    """A font of all letters below U+1000."""

    def getmask(self, letter):
        return letter.encode() if letter < "\u1000" else b"?"


def drawn(texts, height, width):
    """Where the first of some cues is drawn: rows and columns; and what it looks like."""
    grey = np.full((1, height, width, 3), 128, np.uint8)
    cues = [subtitles.Subtitle(text, i, i + 1.0) for i, text in enumerate(texts)]
    (found,) = burnt_subtitles.burned([grey], cues, 25.0)
    changed = (found[0] != 128).any(-1)
    return np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0)), found[0]


@pytest.mark.parametrize("height, width", [(256, 256), (640, 360), (360, 640)])
@pytest.mark.parametrize("text", ["W" * 41 + " " + "M" * 41, "Donau" * 16, "W i " * 21])
def test_any_cue_fits_into_the_frame(height, width, text):
    rows, columns, _ = drawn([text], height, width)
    assert columns.min() >= 0.02 * width and columns.max() < 0.98 * width
    assert rows.min() > 0.7 * height and rows.max() < 0.98 * height


def test_a_long_word_is_broken_and_does_not_make_all_cues_small():
    tall = lambda *texts: np.ptp(drawn(texts, 256, 256)[0])
    assert tall("Hello, Peter.", "Verordnung" * 4) == tall("Hello, Peter.")


def test_words_stand_apart_by_more_than_letters_do():
    """At 256 px edges once filled the spaces: the least dark column between two words is looked at."""
    _, columns, found = drawn(["moon room"], 256, 256)
    bright = (found[..., 0] > 200).any(0)[columns.min() : columns.max()]
    runs = "".join(".#"[int(x)] for x in bright).strip(".").split("#")
    *_, second, widest = sorted(map(len, runs))
    assert widest >= second + 2 and widest >= 4


def test_lines_from_right_to_left_are_drawn_whole():
    font = burnt_subtitles._font("", 20)
    assert burnt_subtitles._words(font, "שלום לך")[0] == ["שלום לך"]
    words, steps = burnt_subtitles._words(font, "to you")
    assert words == ["to", "you"] and sum(steps) == pytest.approx(
        sum(map(font.getlength, ("to", " ", "you"))) + 0.1 * 20
    )
