"""The letters AI in a corner of the picture, for all to see."""

import functools

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from jaxtyping import Float, UInt8

TEXT = "AI"
HEIGHT, MARGIN = 0.07, 0.025  # of the picture's shorter side
LEAST = 16  # px, of the height


def draw(frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Draw it into the upper right corner of frames: white on black, which is seen on any picture."""
    shown, opaque = _picture(min(frames.shape[1:3]))
    height, width = opaque.shape[:2]
    margin = round(MARGIN * min(frames.shape[1:3]))
    made = frames.copy()
    place = made[:, margin : margin + height, frames.shape[2] - margin - width : frames.shape[2] - margin]
    place[:] = np.round(place * (1 - opaque) + shown * opaque)
    return made


@functools.cache
def _picture(side: int) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 1"]]:
    """The badge, and how much it covers what lies behind, 0 to 1."""
    height = max(LEAST, round(HEIGHT * side))
    fine = 4 * height  # drawn larger, for smooth edges
    font = PIL.ImageFont.load_default(0.72 * fine)
    left, top, right, bottom = font.getbbox(TEXT)
    width = round(right - left + 0.7 * fine)
    colour = PIL.Image.new("L", (width, fine), 20)
    cover = PIL.Image.new("L", (width, fine), 0)
    PIL.ImageDraw.Draw(cover).rounded_rectangle((0, 0, width - 1, fine - 1), 0.25 * fine, 235)
    place = ((width - right - left) / 2, (fine - bottom - top) / 2)
    PIL.ImageDraw.Draw(colour).text(place, TEXT, 255, font)
    small = (round(width / 4), height)
    planes = (
        np.asarray(x.resize(small, PIL.Image.Resampling.BOX), float)[..., None] for x in (colour, cover)
    )
    shown, opaque = planes
    return np.repeat(shown, 3, -1), opaque / 255
