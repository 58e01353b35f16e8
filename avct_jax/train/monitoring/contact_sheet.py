"""Images of what a stage does, side by side: a sheet as PNG, and a short video."""

import pathlib
from collections.abc import Mapping

import imageio.v3 as iio
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from avct_jax.data.media import video_io
from avct_jax.files import atomic_write

GAP = 4  # px between images
LABEL = 28  # px of a column's name, in two lines
SMALL = 96  # px: narrower images are shown at twice their size
PAPER, INK = (255, 255, 255), (0, 0, 0)
ROWS = 8  # of a sheet
Images = Mapping[str, Float[np.ndarray, "n _ _ 3"]]


def sheet(images: Images, *, rows: int = ROWS) -> UInt8[np.ndarray, "height width 3"]:
    """Lay examples in rows and kinds of images in columns, under their names.

    Args:
      images: by name, in [0, 1], as many of each; smaller ones are enlarged to the largest's height, and
        all of them where they are small.
      rows: at most; more examples are thinned out evenly.
    """
    columns = as_bytes(images)
    if max(c.shape[2] for c in columns) < SMALL:
        columns = [_enlarged(c, 2 * c.shape[1]) for c in columns]
    count = len(columns[0])
    chosen = np.linspace(0, count - 1, min(count, rows)).astype(int)
    height = columns[0].shape[1]
    lefts = np.cumsum([0, *(c.shape[2] + GAP for c in columns)])
    canvas = Image.new("RGB", (int(lefts[-1]) - GAP, LABEL + len(chosen) * (height + GAP) - GAP), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for left, name, column in zip(lefts, images, columns, strict=False):
        pen.multiline_text((int(left) + 2, 0), _label(name, column.shape[2], pen, font), INK, font, spacing=0)
        for i, example in enumerate(chosen):
            canvas.paste(Image.fromarray(column[example]), (int(left), LABEL + i * (height + GAP)))
    return np.asarray(canvas)


def as_bytes(images: Images) -> list[UInt8[np.ndarray, "n height _ 3"]]:
    """All kinds at one height, 8 bits."""
    made = [(np.clip(np.asarray(p, np.float32), 0, 1) * 255).astype(np.uint8) for p in images.values()]
    height = max(p.shape[1] for p in made)
    return [_enlarged(p, height) for p in made]


def png(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Encode."""
    return iio.imwrite("<bytes>", image, extension=".png")


def save(path: pathlib.Path, images: Images) -> tuple[bytes, tuple[int, int]]:
    """Write a sheet as PNG; the file appears under its name only when it is whole.

    Returns:
      The file's bytes, and (height, width).

    Raises:
      UserError: it cannot be written.
    """
    drawn = sheet(images)
    content = png(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write(path, content)
    return content, drawn.shape[:2]


def save_video(path: pathlib.Path, images: Images) -> None:
    """Write successive examples as a video (H.264, 25 frames/s), the kinds side by side.

    Raises:
      UserError: it cannot be written.
    """
    frames = np.concatenate(as_bytes(images), axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_io.VideoWriter(path, size=frames.shape[1:3]) as writer:
        writer.write(frames)


def _enlarged(images: UInt8[np.ndarray, "n h w 3"], height: int) -> UInt8[np.ndarray, "n g v 3"]:
    h, w = images.shape[1:3]
    if h == height:
        return images
    size = (max(1, round(w * height / h)), height)
    # Nearest: a map of 16 px is shown as it is.
    return np.stack([np.asarray(Image.fromarray(p).resize(size, Image.Resampling.NEAREST)) for p in images])


def _label(name: str, width: int, pen, font) -> str:
    """A name in as many lines as it has words, where it is too long for one; cut where that does not help."""
    words = [name.replace("_", " ")]
    if pen.textlength(words[0], font) > width:
        words = name.split("_")
    return "\n".join(_fitting(word, width, pen, font) for word in words)


def _fitting(word: str, width: int, pen, font) -> str:
    while len(word) > 1 and pen.textlength(word, font) > width:
        word = word[:-1]
    return word
