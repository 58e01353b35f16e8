"""Images of any kind as upright 8-bit RGB arrays."""

import contextlib
import io
import logging
import os
import struct
import warnings
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
from jaxtyping import UInt8

from avct_jax import arguments, errors
from avct_jax.data.media import colour, png_chunks, video_io

MOST_PIXELS = 150_000_000  # 0.45 GB of RGB; larger headers are more often attacks than portraits
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # brands, ISO 23008-12
AVIF = {b"avif", b"avis"}  # its other codec, which Pillow reads
HEAD = 1 << 16  # bytes of a file that tell what it is
PRIMARIES, TRANSFER = (
    {1: "bt709", 9: "bt2020", 12: "smpte432"},
    {16: colour.PQ, 18: colour.HLG},
)  # ITU-T H.273
SAME = 2  # of 255: a profile that moves no colour farther is sRGB's
ROWS = 256  # that are taken out of Pillow at a time
BACKGROUND = (255, 255, 255)  # under transparent pixels: white, as cut-out portraits are usually shown
Path = str | os.PathLike

_log = logging.getLogger(__name__)


def read_image(path: Path, *, most: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image as RGB: any format of Pillow's, or the first frame of a video.

    EXIF rotation and the colour profile are applied, grey and palette become RGB, 16 bits become 8,
    transparency lies over white.

    Args:
      most: pixels, MOST_PIXELS by default.

    Raises:
      UserError: no such file, an empty or corrupt one, no image, or one of more pixels.
    """
    video_io.check_readable(path)
    most = MOST_PIXELS if most is None else most
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size (checked below) and of metadata that leave pixels alone
            with _open(path) as opened:  # reads the header only
                if (pixels := opened.width * opened.height) > most:
                    raise _too_large(path, f"{pixels / 1e6:.0f}", most)
                _tell_of_frames(path, opened)
                PIL.ImageOps.exif_transpose(opened, in_place=True)  # else it is held twice
                return _to_rgb(opened)
    except errors.UserError:
        raise
    except PIL.UnidentifiedImageError:
        return _first_frame(path)
    except PIL.Image.DecompressionBombError:
        raise _too_large(path, "more than 178", most) from None  # Pillow's own limit
    except Exception as error:  # decoders fail on damaged files in every way there is
        raise _damaged(path, error) from None


def _tell_of_frames(path: Path, opened: PIL.Image.Image) -> None:
    """Log that a moving image, or one of several pages, has others; a phone's depth map is none."""
    count = 1
    with contextlib.suppress(Exception):  # of damage behind the first, which is not looked at
        count = getattr(opened, "n_frames", 1)
    if opened.tell():
        opened.seek(0)
    if count > 1 and opened.format != "MPO":
        _log.warning("%r has %d frames: the first is the image", os.fspath(path), count)


def _open(path: Path) -> PIL.Image.Image:
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if head.startswith(png_chunks.SIGNATURE):
        content, profile = png_chunks.without_texts(path)
        opened = PIL.Image.open(content)
        opened.info |= {"icc_profile": profile} if profile else {}
    else:
        opened = _open_heic(path) if _is_heic(head) else PIL.Image.open(path)
    if opened.format in ("PNG", "AVIF", "HEIF", None):
        opened.info["code points"] = _code_points(head)
    return opened


def _code_points(head: bytes) -> tuple[str, str]:
    """Primaries and curve, named as `colour` does, where a png or a file of HEIF's family tells them."""
    for label in (b"cICP", b"colrnclx"):
        at = head.find(label) + len(label)
        if at >= len(label) and len(head) >= at + 4:
            primaries, transfer = struct.unpack_from(">BB" if label == b"cICP" else ">HH", head, at)
            return PRIMARIES.get(primaries, ""), TRANSFER.get(transfer, "")
    return "", ""


def _is_heic(head: bytes) -> bool:
    """Whether a file begins as one of HEIF's images by HEVC: its name may say anything."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}
    return head[4:8] == b"ftyp" and bool(brands & HEIC) and not brands & AVIF


def _open_heic(path: Path) -> PIL.Image.Image:
    """Read by libheif, which joins the tiles that a phone's image is made of; ffmpeg may give one of them.

    Raises:
      UserError: the extra is not installed.
    """
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise errors.UserError(
            f"{os.fspath(path)!r} is HEIC; pip install 'avct-jax[heic]', or save it as jpg or png"
        ) from None
    return pillow_heif.open_heif(path).to_pillow()


def check_kind(path: Path) -> None:
    """Look whether a file is an image or a video, by its header alone.

    Raises:
      UserError: it is neither, or cannot be read.
    """
    video_io.check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _open(path).close()
    except errors.UserError:
        raise
    except PIL.UnidentifiedImageError:
        try:
            moves = video_io.probe(path).has_video
        except errors.UserError:
            moves = False
        if not moves:
            raise _no_image(path) from None
    except Exception:  # damaged, which reading it says
        return


def from_pixels(given: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Take an image that is in memory: a Pillow image, or 8-bit pixels that are RGB, RGBA or grey.

    Raises:
      UserError: pixels of another type or shape.
    """
    if isinstance(given, PIL.Image.Image):
        return _from_pillow(given)
    pixels = arguments.array(given, "an image")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise errors.UserError(
            f"an image of {pixels.dtype} and shape {pixels.shape} is given; it must be uint8 (0 to 255), "
            "height x width x 3 (RGB)"
        )
    if not pixels.size:
        raise errors.UserError(f"an image of shape {pixels.shape} is given; it has no pixel")
    return pixels if pixels.shape[-1] == 3 and not grey else _to_rgb(PIL.Image.fromarray(pixels))


def _from_pillow(given: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if (count := given.width * given.height) > MOST_PIXELS:
        raise _too_large("the image", f"{count / 1e6:.0f}", MOST_PIXELS)
    try:
        return _to_rgb(PIL.ImageOps.exif_transpose(given))
    except Exception as error:  # read at last: its file is closed, cut short, or damaged
        raise _damaged("in memory", error) from None


def _damaged(path: Path, error: Exception) -> errors.UserError:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return errors.UserError(f"the image {os.fspath(path)!r} is damaged ({reason}); save it anew")


def _no_image(path: Path) -> errors.UserError:
    return errors.UserError(
        f"{os.fspath(path)!r} is not an image that can be read; use a jpg, png or webp file"
    )


def _too_large(path: Path, million: str, most: int) -> errors.UserError:
    limit = most // 1_000_000
    message = (
        f"{os.fspath(path)!r} has {million} million pixels, the limit is {limit} million; make it smaller"
    )
    return errors.UserError(message)


def _to_rgb(image: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(np.asarray(image).astype(np.float32))
    if not image.has_transparency_data:
        return _pixels(_to_srgb(image))
    alpha = image.convert("RGBA").getchannel("A")
    colours = image.convert("RGB" if image.mode in ("P", "PA") else image.mode.rstrip("Aa"))
    colours.info = image.info
    below = PIL.Image.new("RGB", image.size, BACKGROUND)
    return _pixels(PIL.Image.composite(_to_srgb(colours).convert("RGB"), below, alpha))


def _pixels(image: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """What an image shows in RGB, some rows at a time: at once, Pillow would make it twice over beside it."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, ROWS):
        below = min(top + ROWS, image.height)
        pixels[top:below] = np.asarray(image.crop((0, top, image.width, below)).convert("RGB"))
    return pixels


def _to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Apply the image's own colour profile (Display P3 of phones, Adobe RGB); sRGB's changes nothing."""
    profile = image.info.get("icc_profile")
    primaries, transfer = image.info.get("code points", ("", ""))
    if transfer or (primaries in colour.TO_709 and not profile):
        return _by_code_points(image.convert("RGB"), primaries or "bt2020", transfer)
    if profile and image.mode in ("P", "1"):
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "L", "CMYK", "LAB"):
        with contextlib.suppress(PIL.ImageCms.PyCMSError, OSError):  # a damaged one: as if there were none
            own = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
            to_srgb = PIL.ImageCms.buildTransform(own, PIL.ImageCms.createProfile("sRGB"), image.mode, "RGB")
            if image.mode in ("CMYK", "LAB") or _changes(to_srgb, image.mode):
                return PIL.ImageCms.applyTransform(image, to_srgb) or image
    return image


def _by_code_points(image: PIL.Image.Image, primaries: str, transfer: str) -> PIL.Image.Image:
    pixels = _pixels(image)
    for row in pixels:  # one at a time: the sums take 24 bytes and more for each pixel
        row[:] = np.round(255 * colour.to_srgb(row / 255, transfer, primaries))
    return PIL.Image.fromarray(pixels)


def _changes(to_srgb: PIL.ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours become others; profiles that are sRGB's have many names, and so have others."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
    sample = PIL.Image.fromarray(grid).convert(mode)
    made = PIL.ImageCms.applyTransform(sample, to_srgb)
    return bool(np.abs(np.asarray(made, int) - np.asarray(sample.convert("RGB"), int)).max() > SAME)


def _deep_grey(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Bring 16-bit, 32-bit or floating-point grey to 8 bits; Pillow itself would clip at 255."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    scale = 255.0 if top <= 1 else 1.0 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
    grey = np.clip(values * scale + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _first_frame(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        with contextlib.closing(video_io.read_frames(path, frame_rate=None)) as frames:
            first, moves = np.array(next(frames)), next(frames, None) is not None
    except errors.UserError:
        raise _no_image(path) from None
    if moves:
        _log.warning("%r is a video: its first frame is the image", os.fspath(path))
    return first
