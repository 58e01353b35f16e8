"""One picture of what was found: the face with its mesh and square, the sound, and curves below it."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from jaxtyping import Float

from avct_jax import face_topology as topology
from avct_jax.inspection import findings

FACE, LEAST, MOST, SECOND = 560, 1200, 4000, 110  # px: the face's side; the picture's width, and of a second
MARGIN, TITLE, TEXT, SMALL = 16, 18, 15, 13  # px
WAVE, CURVE, GAP = 150, 130, 34  # px: heights of panels, and between them
PAPER, INK, FAINT, GRID = (255, 255, 255), (30, 30, 30), (120, 120, 120), (222, 222, 222)
BLUE, ORANGE, GREEN, SILENCE = (31, 98, 180), (214, 96, 16), (32, 138, 60), (240, 240, 240)
MESH, SQUARE, EYE = (0, 220, 255), (255, 214, 0), (255, 80, 80)
LEFT = 56  # px for the scale beside a panel


class _Panel(NamedTuple):
    """A box in which time goes from left to right."""

    left: int
    top: int
    width: int
    height: int
    seconds: float

    def x(self, time):
        return self.left + np.asarray(time) / max(self.seconds, 1e-6) * self.width


def draw(found: findings.Findings) -> PIL.Image.Image:
    """Draw all that was found."""
    seconds = _seconds(found)
    width = int(np.clip(LEFT + SECOND * seconds + 2 * MARGIN, LEAST, MOST)) if seconds else LEAST
    rows = _panels(found)
    texts = _rows(found.lines, width - 2 * MARGIN)
    top = MARGIN + (FACE if found.face else len(texts) * (TEXT + 6)) + GAP
    image = PIL.Image.new("RGB", (width, top + sum(h + GAP for _, h in rows)), PAPER)
    pen = PIL.ImageDraw.Draw(image)
    left = MARGIN
    if found.face is not None:
        picture = face_picture(found.face)
        image.paste(picture, (MARGIN, MARGIN))
        left += picture.width + MARGIN
    for i, text in enumerate(_rows(found.lines, width - left - MARGIN)):
        _text(pen, (left, MARGIN + i * (TEXT + 6)), text, TEXT, INK)
    for title, height in rows:
        panel = _Panel(MARGIN + LEFT, top, width - LEFT - 2 * MARGIN, height, seconds)
        DRAWERS[title](pen, panel, found)
        top += height + GAP
    return image


def _seconds(found) -> float:
    if found.curves is not None:
        return len(found.curves.opening) / findings.RATE
    return len(found.sound.samples) / 16000 if found.sound is not None else 0.0


def _panels(found) -> list[tuple[str, int]]:
    rows = [("sound", WAVE)] if found.sound is not None else []
    if found.curves is not None:
        rows.append(("mouth", CURVE))
        if np.isfinite(found.curves.pose).any():
            rows.append(("head", CURVE))
    return rows


def face_picture(face: findings.SeenFace) -> PIL.Image.Image:
    """Draw the mesh and the square over the part of the picture around them."""
    height, width = face.pixels.shape[:2]
    left, top, side = face.square
    reach = side // 8
    box = (
        max(0, left - reach),
        max(0, top - reach),
        min(width, left + side + reach),
        min(height, top + side + reach),
    )
    scale = FACE / max(box[2] - box[0], box[3] - box[1], 1)
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    image = PIL.Image.fromarray(face.pixels).crop(box).resize(size, PIL.Image.Resampling.LANCZOS)
    pen = PIL.ImageDraw.Draw(image)
    place = lambda points: [((x - box[0]) * scale, (y - box[1]) * scale) for x, y in points]
    for x, y in place(face.points[:, :2]):
        pen.ellipse((x - 1, y - 1, x + 1, y + 1), fill=MESH)
    for row, closed in _OUTLINES:
        corners = place(face.points[list(row), :2])
        pen.line([*corners, *corners[:1]] if closed else corners, fill=MESH, width=2)
    for iris in (topology.LEFT_IRIS, topology.RIGHT_IRIS):
        corners = place(face.points[list(iris[1:]), :2])
        pen.line([*corners, corners[0]], fill=EYE, width=2)
    first, last = place([(left, top), (left + side, top + side)])
    pen.rectangle((*first, *last), outline=SQUARE, width=3)
    _text(pen, (first[0] + 6, max(first[1], 0) + 4), "what is drawn", TEXT, SQUARE, stroke=True)
    return image


_OUTLINES = (
    (topology.FACE_OVAL, True),
    (topology.UPPER_OUTER_LIP, False), (topology.LOWER_OUTER_LIP, False),
    (topology.UPPER_INNER_LIP, False), (topology.LOWER_INNER_LIP, False),
    (topology.LEFT_UPPER_LID, False), (topology.LEFT_LOWER_LID, False),
    (topology.RIGHT_UPPER_LID, False), (topology.RIGHT_LOWER_LID, False),
    (topology.LEFT_BROW[:5], False), (topology.RIGHT_BROW[:5], False),
)  # fmt: skip


def _rows(lines: Sequence[str], width: int) -> list[str]:
    """Break lines to a width (px), no more of them than stand beside a face."""
    font = PIL.ImageFont.load_default(TEXT)
    return [row for line in lines for row in _wrapped(line, font, width)][: FACE // (TEXT + 6)]


def _wrapped(line: str, font, width: int) -> list[str]:
    """Break a line at its spaces, four times at most."""
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= width or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows if len(rows) <= 4 else [*rows[:3], f"{rows[3]} ..."]


def _wave(pen, panel: _Panel, found: findings.Findings) -> None:
    sound = found.sound
    assert sound is not None
    _frame(pen, panel, "the sound, and the phonemes that are heard (grey: nobody speaks)")
    for i in np.flatnonzero(sound.silent):
        x = panel.x([i / findings.RATE, (i + 1) / findings.RATE])
        pen.rectangle((x[0], panel.top + 1, x[1], panel.top + panel.height - 1), fill=SILENCE)
    middle, half = panel.top + 0.62 * panel.height, 0.36 * panel.height
    peak = max(float(np.abs(sound.samples).max(initial=0)), 1e-6)
    edges = np.linspace(0, len(sound.samples), panel.width + 1).astype(int)
    span = len(sound.samples) / 16000 / max(panel.seconds, 1e-6)
    for i, (begin, end) in enumerate(itertools.pairwise(edges)):
        piece = sound.samples[begin : max(end, begin + 1)]
        if len(piece):
            x = panel.left + i * min(span, 1.0)
            pen.line(
                (x, middle - half * piece.max() / peak, x, middle - half * piece.min() / peak), fill=BLUE
            )
    font, free, row = PIL.ImageFont.load_default(SMALL), [-1e9, -1e9], 0
    for name, time in sound.phonemes:
        x = float(panel.x(time))
        if name == "|":
            pen.line((x, panel.top + 36, x, panel.top + panel.height), fill=GRID)
            continue
        length = font.getlength(name)
        row = min((r for r in (0, 1) if free[r] < x - length / 2), default=None)
        if row is not None:
            _text(pen, (x - length / 2, panel.top + 2 + 16 * row), name, SMALL, INK)
            free[row] = x + length / 2 + 2


def _opening(pen, panel: _Panel, found: findings.Findings) -> None:
    assert found.curves is not None
    _frame(pen, panel, "the mouth's opening, eye distances; marks: blinks")
    top = max(0.1, float(np.nanmax(found.curves.opening)))
    _scale(pen, panel, (0.0, top / 2, top), (0.0, top), "{:.2f}")
    _curve(pen, panel, np.maximum(found.curves.opening, 0), (0.0, top), ORANGE)
    for time in findings.blinks(found.curves.blink):
        x = float(panel.x(time))
        pen.line((x, panel.top, x, panel.top + 12), fill=GREEN, width=3)


def _pose(pen, panel: _Panel, found: findings.Findings) -> None:
    assert found.curves is not None
    _frame(pen, panel, "the head, degrees:")
    most = max(2.0, float(np.nanmax(np.abs(found.curves.pose))))
    _scale(pen, panel, (-most, 0.0, most), (-most, most), "{:+.0f}")
    x = panel.left + 150
    names = ("pitch (up)", "yaw (right)", "roll (clockwise)")
    for name, values, colour in zip(names, found.curves.pose.T, (BLUE, ORANGE, GREEN), strict=True):
        _curve(pen, panel, values, (-most, most), colour)
        _text(pen, (x, panel.top - TITLE - 3), name, TEXT, colour)
        x += 120


DRAWERS = {"sound": _wave, "mouth": _opening, "head": _pose}


def _frame(pen, panel: _Panel, title: str) -> None:
    _text(pen, (panel.left, panel.top - TITLE - 3), title, TEXT, INK)
    right, bottom = panel.left + panel.width, panel.top + panel.height
    pen.rectangle((panel.left, panel.top, right, bottom), outline=GRID)
    step = next(s for s in (0.5, 1, 2, 5, 10, 30, 60, 120) if panel.seconds / s <= 40 or s == 120)
    for time in np.arange(0, panel.seconds + 1e-6, step):
        x = float(panel.x(time))
        pen.line((x, bottom, x, bottom + 4), fill=FAINT)
        _text(pen, (x + 2, bottom + 1), f"{time:g} s", SMALL - 2, FAINT)


def _scale(pen, panel: _Panel, values, limits, form: str) -> None:
    for value in values:
        y = _height(panel, value, limits)
        pen.line((panel.left, y, panel.left + panel.width, y), fill=GRID)
        _text(pen, (MARGIN, y - SMALL / 2), form.format(value), SMALL, FAINT)


def _height(panel: _Panel, value, limits):
    low, high = limits
    return panel.top + panel.height - (value - low) / (high - low) * panel.height


def _curve(pen, panel: _Panel, values: Float[np.ndarray, " t"], limits, colour) -> None:
    """Draw a line, broken where values are NaN."""
    places = np.stack(
        [panel.x((np.arange(len(values)) + 0.5) / findings.RATE), _height(panel, values, limits)], 1
    )
    for before, after in itertools.pairwise(places):
        if np.isfinite(before).all() and np.isfinite(after).all():
            pen.line((*before, *after), fill=colour, width=2)


def _text(pen, place, text: str, size: int, colour, *, stroke: bool = False) -> None:
    font = PIL.ImageFont.load_default(size)
    pen.text(place, text, font=font, fill=colour, stroke_width=2 if stroke else 0, stroke_fill=(0, 0, 0))
