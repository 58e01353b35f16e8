"""Pictures of any kind as upright 8-bit RGB arrays."""

import contextlib
import io
import os
import warnings
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
from jaxtyping import UInt8

from avct_jax import errors
from avct_jax.data import in_memory, video

MOST_PIXELS = 150_000_000  # 0.45 GB of RGB; larger headers are more often attacks than portraits
BACKGROUND = (255, 255, 255)  # under transparent pixels: white, as cut-out portraits are usually shown
Path = str | os.PathLike


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB: any format of Pillow's, or the first frame of a video.

    EXIF rotation and the colour profile are applied, grey and palette become RGB, 16 bits become 8,
    transparency lies over white.

    Raises:
      UserError: no such file, an empty or corrupt one, no picture, or more than MOST_PIXELS pixels.
    """
    video.check_readable(path)
    if str(path).lower().endswith((".heic", ".heif")):  # ffmpeg would answer with one tile of the picture
        raise errors.UserError(
            f"{os.fspath(path)!r} is HEIC, which cannot be read here; save it as jpg or png"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size (checked below) and of metadata that leave pixels alone
            with PIL.Image.open(path) as opened:  # reads the header only
                if (pixels := opened.width * opened.height) > MOST_PIXELS:
                    raise _too_large(path, f"{pixels / 1e6:.0f}")
                return _to_rgb(PIL.ImageOps.exif_transpose(opened))
    except errors.UserError:
        raise
    except PIL.UnidentifiedImageError:
        return _first_frame(path)
    except PIL.Image.DecompressionBombError:
        raise _too_large(
            path, "more than 178"
        ) from None  # Pillow's own limit, checked before we see the size
    except ValueError as error:
        if "MAX_TEXT" in str(error):  # a png with a long text or profile, which Pillow will not unpack
            return _first_frame(path)
        raise _damaged(path, error) from None
    except Exception as error:  # decoders fail on damaged files in every way there is
        raise _damaged(path, error) from None


def from_pixels(given: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Take a picture that is in memory: a Pillow image, or 8-bit pixels that are RGB, RGBA or grey.

    Raises:
      UserError: pixels of another type or shape.
    """
    if isinstance(given, PIL.Image.Image):
        return _from_pillow(given)
    pixels = in_memory.array(given, "a picture")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise errors.UserError(
            f"a picture of {pixels.dtype} and shape {pixels.shape} is given; it must be uint8 (0 to 255), "
            "height x width x 3 (RGB)"
        )
    if not pixels.size:
        raise errors.UserError(f"a picture of shape {pixels.shape} is given; it has no pixel")
    return pixels if pixels.shape[-1] == 3 and not grey else _to_rgb(PIL.Image.fromarray(pixels))


def _from_pillow(given: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if (count := given.width * given.height) > MOST_PIXELS:
        raise _too_large("the picture", f"{count / 1e6:.0f}")
    try:
        return _to_rgb(PIL.ImageOps.exif_transpose(given))
    except Exception as error:  # read at last: its file is closed, cut short, or damaged
        raise _damaged("in memory", error) from None


def _damaged(path: Path, error: Exception) -> errors.UserError:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return errors.UserError(f"the picture {os.fspath(path)!r} is damaged ({reason}); save it anew")


def _too_large(path: Path, million: str) -> errors.UserError:
    limit = MOST_PIXELS // 1_000_000
    message = (
        f"{os.fspath(path)!r} has {million} million pixels, the limit is {limit} million; make it smaller"
    )
    return errors.UserError(message)


def _to_rgb(image: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(np.asarray(image).astype(np.float32))
    if image.has_transparency_data:
        over = PIL.Image.new("RGBA", image.size, (*BACKGROUND, 255))
        over.alpha_composite(image.convert("RGBA"))
        over.info = image.info
        image = over
    return np.array(_to_srgb(image))


def _to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Apply the picture's own colour profile (Display P3 of phones, Adobe RGB); sRGB's changes nothing."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(PIL.ImageCms.PyCMSError, OSError):  # a damaged one: as if there were none
            own = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in (own.profile.profile_description or ""):
                srgb = PIL.ImageCms.createProfile("sRGB")
                converted = PIL.ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
                return converted or image.convert("RGB")
    return image.convert("RGB")


def _deep_grey(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Bring 16-bit, 32-bit or floating-point grey to 8 bits; Pillow itself would clip at 255."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    scale = 255.0 if top <= 1 else 1.0 if top <= 255 else 255 / 65535 if top <= 65535 else 255 / top
    grey = np.clip(values * scale + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _first_frame(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        frames = video.read_frames(path, frame_rate=None)
        return np.array(next(frames))
    except errors.UserError:
        message = f"{os.fspath(path)!r} is not a picture that can be read; use a jpg, png or webp file"
        raise errors.UserError(message) from None
