"""Images of every kind become upright 8-bit RGB; what is no image is refused in one line."""

import struct
import sys
import types
import zlib

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.PngImagePlugin
import pytest

from avct_jax import errors
from avct_jax.data.media import colour, image_io, video_io


@pytest.fixture
def image():
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 255 - 4 * x], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "jpg", "webp"])
def test_image_reads_the_usual_formats(tmp_path, image, suffix):
    PIL.Image.fromarray(image).save(tmp_path / f"ä 1.{suffix}", quality=95)
    found = image_io.read_image(tmp_path / f"ä 1.{suffix}")
    assert found.shape == (40, 60, 3)
    assert np.abs(found.astype(int) - image).mean() < 4


def test_image_turns_by_exif(tmp_path, image):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    PIL.Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(image_io.read_image(tmp_path / "a.png"), np.rot90(image, -1))


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "YCbCr"])
def test_image_reads_other_modes(tmp_path, image, mode):
    suffix = {"CMYK": "tiff", "YCbCr": "jpg"}.get(mode, "png")
    PIL.Image.fromarray(image).convert(mode).save(tmp_path / f"a.{suffix}")
    found = image_io.read_image(tmp_path / f"a.{suffix}")
    assert found.shape == (40, 60, 3)
    assert abs(found.mean() - image.mean()) < 12


@pytest.mark.parametrize("dtype, scale", [(np.uint16, 257), (np.int32, 257), (np.float32, 1 / 255)])
def test_image_reads_deep_grey_without_clipping(tmp_path, image, dtype, scale):
    grey = image[:, :, 0]
    PIL.Image.fromarray((grey * np.float64(scale)).astype(dtype)).save(tmp_path / "a.tiff")
    found = image_io.read_image(tmp_path / "a.tiff")
    assert np.abs(found[:, :, 1].astype(int) - grey).max() <= 1


def test_image_lays_transparency_over_white(tmp_path, image):
    alpha = np.concatenate([image, np.full((40, 60, 1), 255, np.uint8)], -1)
    alpha[:, :30, 3] = 0
    PIL.Image.fromarray(alpha).save(tmp_path / "a.png")
    found = image_io.read_image(tmp_path / "a.png")
    assert (found[:, :30] == 255).all()
    np.testing.assert_array_equal(found[:, 30:], image[:, 30:])


def test_image_takes_the_first_frame_of_gif_and_video_and_says_so(tmp_path, image, caplog):
    first, second = PIL.Image.fromarray(image), PIL.Image.fromarray(255 - image)
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    with video_io.VideoWriter(tmp_path / "a.mp4", size=(40, 60)) as writer:
        writer.write(np.stack([image, 255 - image]))
    for name in ("a.gif", "a.mp4"):
        assert np.abs(image_io.read_image(tmp_path / name).astype(int) - image).mean() < 16
    assert [("first" in r.getMessage(), r.levelname) for r in caplog.records] == 2 * [(True, "WARNING")]


def test_a_image_of_one_frame_is_not_remarked_on(tmp_path, image, caplog):
    PIL.Image.fromarray(image).save(tmp_path / "a.gif")
    with video_io.VideoWriter(tmp_path / "a.mp4", size=(40, 60)) as writer:
        writer.write(image[None])
    PIL.Image.fromarray(image).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[PIL.Image.new("L", (40, 60))]
    )
    for name in ("a.gif", "a.mp4", "a.jpg"):
        image_io.read_image(tmp_path / name)
    assert not caplog.records


def damaged(path, image):
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def bomb(path, image):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path, image: None, "no file"),
        (lambda path, image: path.mkdir(), "folder"),
        (lambda path, image: path.touch(), "empty"),
        (lambda path, image: path.write_text("hello"), "not an image"),
        (damaged, "damaged"),
        (bomb, "million pixels"),
    ],
)
def test_image_that_is_none_is_refused_in_one_line(tmp_path, image, make, reason):
    make(tmp_path / "a.png", image)
    with pytest.raises(errors.UserError, match=reason) as raised:
        image_io.read_image(tmp_path / "a.png")
    assert "\n" not in str(raised.value)


def test_image_of_a_hundred_million_pixels_is_read(tmp_path):
    PIL.Image.new("1", (10000, 9000)).save(tmp_path / "a.png")  # Pillow warns at 89 million
    assert image_io.read_image(tmp_path / "a.png").shape == (9000, 10000, 3)


def test_image_higher_than_the_rows_taken_at_a_time_is_whole(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2 * image_io.ROWS + 7, 9, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(image_io.read_image(tmp_path / "a.png"), pixels)


def test_image_in_memory_may_be_of_pillow_or_of_one_to_four_channels(image):
    opened = PIL.Image.fromarray(image)
    grey = np.asarray(opened.convert("L"))
    for given in (opened, image, np.asarray(opened.convert("RGBA"))):
        np.testing.assert_array_equal(image_io.from_pixels(given), image)
    np.testing.assert_array_equal(image_io.from_pixels(grey), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("shape, dtype", [((9, 9, 3), np.float32), ((9, 9, 2), np.uint8), ((9,), np.uint8)])
def test_image_in_memory_of_another_kind_is_refused(shape, dtype):
    with pytest.raises(errors.UserError, match="it must be uint8"):
        image_io.from_pixels(np.zeros(shape, dtype))
    with pytest.raises(errors.UserError, match="has no pixel"):
        image_io.from_pixels(np.zeros((0, 9, 3), np.uint8))


def swapped():
    """An sRGB profile whose red and green have changed places, under another name."""
    made = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    made = made.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")
    return made.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def test_image_is_shown_by_its_own_colour_profile(tmp_path, image):
    opened = PIL.Image.fromarray(image)
    opened.save(tmp_path / "a.png", icc_profile=swapped())
    found = image_io.read_image(tmp_path / "a.png").astype(int)
    np.testing.assert_allclose(found, image[..., [1, 0, 2]], atol=3)
    own = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, b"no profile at all"):
        opened.save(tmp_path / "b.png", icc_profile=profile)
        np.testing.assert_array_equal(image_io.read_image(tmp_path / "b.png"), image)


def test_image_with_a_very_long_text_or_profile_is_read(tmp_path, image):
    opened, text = PIL.Image.fromarray(image), PIL.PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 1_500_000, zip=True)
    opened.save(tmp_path / "a.png", pnginfo=text)
    opened.save(tmp_path / "b.png", icc_profile=bytes(1_300_000))
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(image_io.read_image(tmp_path / name), image)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_image_of_any_mode_is_shown_by_its_profile(tmp_path, image, mode):
    opened = PIL.Image.fromarray(image).quantize(200) if mode == "P" else PIL.Image.fromarray(image)
    opened.convert(mode).save(tmp_path / "a.png", icc_profile=swapped())
    shown = np.asarray(opened.convert("RGB"))[..., [1, 0, 2]]
    np.testing.assert_allclose(image_io.read_image(tmp_path / "a.png").astype(int), shown, atol=3)


def test_image_of_grey_is_shown_by_its_profile(tmp_path, image):
    """A curve of gamma 1 instead of sRGB's: the greys in between are brighter than they are stored."""
    grey = PIL.Image.fromarray(image).convert("L")
    white = struct.pack(">III", 63190, 65536, 54061)  # D50
    parts = (b"desc" + bytes(96), b"XYZ " + bytes(4) + white, b"curv" + struct.pack(">IIHH", 0, 1, 256, 0))
    offsets = [128 + 4 + 3 * 12 + sum(map(len, parts[:i])) for i in range(4)]
    kind = (0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    head = struct.pack(">I4xI4s4s4s12x4s28x12s", offsets[3], *kind, white)
    profile = head.ljust(128, b"\0") + struct.pack(">I", 3)
    for name, offset, part in zip((b"desc", b"wtpt", b"kTRC"), offsets[:3], parts, strict=True):
        profile += name + struct.pack(">II", offset, len(part))
    profile += b"".join(parts)
    grey.save(tmp_path / "a.png", icc_profile=profile)
    found = image_io.read_image(tmp_path / "a.png")[..., 0]
    assert abs(int(found[np.asarray(grey) == 128].mean()) - 188) < 4  # 128 / 255 of light


def test_image_with_a_long_text_keeps_its_turn_alpha_and_profile(tmp_path, image):
    """What a decoder that only knows pixels would lose."""
    alpha = np.concatenate([image, np.full((40, 60, 1), 255, np.uint8)], -1)
    alpha[:, :30, 3] = 0
    text, exif = PIL.PngImagePlugin.PngInfo(), PIL.Image.Exif()
    text.add_itxt("prompt", "ü" * 800_000, zip=True)
    exif[0x0112] = 6
    PIL.Image.fromarray(alpha).save(tmp_path / "a.png", pnginfo=text, exif=exif, icc_profile=swapped())
    found = image_io.read_image(tmp_path / "a.png").astype(int)
    expected = np.where(alpha[..., 3:] > 0, image[..., [1, 0, 2]], 255)
    np.testing.assert_allclose(found, np.rot90(expected, -1), atol=3)


def test_image_with_a_profile_too_long_for_pillow_is_shown_by_it(tmp_path, image):
    """The profile's own length says where it ends; what follows is filler."""
    long = swapped() + np.random.default_rng(0).bytes(1_300_000)
    PIL.Image.fromarray(image).save(tmp_path / "a.png", icc_profile=struct.pack(">I", len(long)) + long[4:])
    found = image_io.read_image(tmp_path / "a.png").astype(int)
    np.testing.assert_allclose(found, image[..., [1, 0, 2]], atol=3)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_image_of_a_phone_needs_an_extra_whatever_its_name(tmp_path, monkeypatch, image, name):
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.UserError, match=r"is HEIC; pip install 'avct-jax\[heic\]', or save"):
        image_io.read_image(tmp_path / name)
    opened = types.SimpleNamespace(to_pillow=lambda: PIL.Image.fromarray(image))
    module = types.SimpleNamespace(open_heif=lambda path: opened)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    np.testing.assert_array_equal(image_io.read_image(tmp_path / name), image)


def test_image_of_avif_is_not_taken_for_heic(tmp_path, image, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    PIL.Image.fromarray(image).save(tmp_path / "a.heic", "avif", quality=95)
    assert np.abs(image_io.read_image(tmp_path / "a.heic").astype(int) - image).mean() < 4


@pytest.mark.parametrize("transfer, name", [(16, "smpte2084"), (18, "arib-std-b67")])
def test_image_of_high_dynamic_range_is_as_bright_as_it_was_meant(tmp_path, transfer, name):
    """A png's chunk cICP says so. 0.55 and 0.70 of PQ and HLG: somewhat darker than paper."""
    signal = np.full((8, 8, 3), 140 if transfer == 16 else 178, np.uint8)
    PIL.Image.fromarray(signal).save(tmp_path / "a.png")
    body = b"cICP" + bytes([9, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    found = image_io.read_image(tmp_path / "a.png")
    expected = 255 * colour.to_srgb(signal[0, 0] / 255, name, "bt2020")
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.51)
    assert 200 < found.min() < 245
