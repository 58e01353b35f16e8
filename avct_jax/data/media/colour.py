"""Colours of video: how a stream's numbers become sRGB, images of high dynamic range and wide gamut too.

ffmpeg converts by the matrix that a video's tags name, and minds no other tag: PQ and HLG (ITU-R BT.2100)
would be taken for the usual curve, and look flat and dark. They go through a table, which any ffmpeg applies.
"""

import functools
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax.data.media import container

WHITE = 203.0  # cd/m^2 of a sheet of paper in HDR, ITU-R BT.2408
HLG_PEAK = 1000.0  # cd/m^2, of the screen that HLG is graded on
KNEE = 0.8  # of white, linear: below it colours stay as they are, above it lights are pressed together
SIDE = 65  # of the table: skin is off by 1 of 255 at most
HIGH_DEFINITION = (
    720,
    1280,
)  # px, height or width: from here on a video without tags is BT.709
TABLE = "colours.cube"

PQ, HLG = "smpte2084", "arib-std-b67"
# Linear RGB of other primaries to those of BT.709, which are sRGB's; all of white D65.
TO_709 = {
    "bt2020": ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    "smpte432": ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
NOT_YUV = ("rgb", "bgr", "gbr", "gray", "pal", "mono", "argb", "abgr", "0rgb", "0bgr", "ya")
# What makes our own videos what their tags say: filters, and options, by which older ffmpegs go and not by
# the frames.
WRITTEN = (
    "scale=out_color_matrix=bt709:out_range=tv",
    "format=yuv420p",
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv",
)
TAGS = [
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
]  # fmt: skip


class Reading(NamedTuple):
    """How a video is read.

    Attributes:
      scale: options of ffmpeg's scale filter.
      after: the filters after it.
      table: the file that they need.
    """

    scale: str
    after: tuple[str, ...]
    table: bytes | None


def reading(found: container.Probe) -> Reading:
    """Say how a video's colours become sRGB."""
    tags = found.colours
    primaries = tags.primaries
    if tags.transfer in (PQ, HLG) and primaries not in TO_709:
        primaries = "bt709" if primaries == "bt709" else "bt2020"
    wide = primaries in TO_709
    matrix = ""
    if tags.matrix in ("", "unknown") and tags.pixels and not tags.pixels.startswith(NOT_YUV):
        large = found.size[0] >= HIGH_DEFINITION[0] or found.size[1] >= HIGH_DEFINITION[1]
        matrix = ":in_color_matrix=bt2020" if wide else ":in_color_matrix=bt709" if large else ""
    if tags.transfer not in (PQ, HLG) and not wide:
        return Reading(matrix, (), None)
    after = ("format=gbrp16", f"lut3d=file={TABLE}:interp=tetrahedral")
    return Reading(matrix, after, table(tags.transfer, primaries))


@functools.lru_cache(maxsize=4)
def table(transfer: str, primaries: str) -> bytes:
    """The colours of a video with these tags as a .cube file: red changes fastest."""
    steps = np.linspace(0, 1, SIDE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    colours = to_srgb(np.stack([red, green, blue], -1).reshape(-1, 3), transfer, primaries)
    names = [f"{i / 10000:.4f}" for i in range(10001)]  # far quicker than to format each number
    columns = np.round(10000 * colours.T).astype(int).tolist()
    text = "\n".join(map(" ".join, zip(*([names[i] for i in column] for column in columns), strict=True)))
    return f"LUT_3D_SIZE {SIDE}\n{text}\n".encode()


def write_table(folder: str, content: bytes) -> None:
    """Put a table where ffmpeg, working in this folder, finds it."""
    with container.full_disk_refused():
        (pathlib.Path(folder) / TABLE).write_bytes(content)


def to_srgb(colours: Float[np.ndarray, "*n 3"], transfer: str, primaries: str) -> Float[np.ndarray, "*n 3"]:
    """Bring colours of a curve and primaries to sRGB, all in [0, 1].

    Up to KNEE of white nothing but the encoding changes; brighter lights keep their hue and are pressed
    together, so that ten times white is not yet cut off.
    """
    linear = _linear(np.asarray(colours, np.float64), transfer)
    if primaries in TO_709:
        linear = np.maximum(linear @ np.asarray(TO_709[primaries]).T, 0)
    if transfer in (PQ, HLG):
        brightest = np.maximum(linear.max(-1, keepdims=True), 1e-9)
        above = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
        linear = linear * np.where(above > 0, KNEE + (1 - KNEE) * above / (1 + above), brightest) / brightest
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _linear(signal: Float[np.ndarray, "*n 3"], transfer: str) -> Float[np.ndarray, "*n 3"]:
    """Light on the screen, white = 1."""
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        return (
            10000
            / WHITE
            * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        )
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = scene @ np.array([0.2627, 0.6780, 0.0593])
        return HLG_PEAK / WHITE * light[..., None] ** 0.2 * scene
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
