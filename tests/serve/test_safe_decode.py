"""Strangers' files are decoded within limits, by content."""

import asyncio
import io
import subprocess
import zlib

import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest
from scipy.io import wavfile

from avct_jax import errors
from avct_jax.data.media import container
from avct_jax.serve import safe_decode, settings
from tests.serve import serve_parts

LIMITS = settings.Limits()


def decode(kind, content, tmp_path, limits=LIMITS):
    """Decode bytes to a file, whose path is returned too."""
    source, target = (
        tmp_path / "given",
        tmp_path / ("image.png" if kind is safe_decode.image else "audio.wav"),
    )
    source.write_bytes(content)
    return asyncio.run(kind(source, target, limits)), target


def test_images_become_upright_pixels(tmp_path):
    turned, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6  # shown a quarter to the right
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 200
    PIL.Image.fromarray(pixels).save(turned, "png", exif=exif)
    found, target = decode(safe_decode.image, turned.getvalue(), tmp_path)
    assert found == safe_decode.Decoded(0.0, ())
    np.testing.assert_array_equal(iio.imread(target), np.rot90(pixels, -1))


def test_a_video_is_its_first_frame_and_says_so(tmp_path):
    gif = io.BytesIO()
    frames = [PIL.Image.new("RGB", (64, 64), (level, 0, 0)) for level in (10, 200)]
    frames[0].save(gif, "gif", save_all=True, append_images=frames[1:])
    found, target = decode(safe_decode.image, gif.getvalue(), tmp_path)
    assert found.notes == ("the file has 2 frames: the first is the image",)
    assert iio.imread(target)[0, 0, 0] == 10


def test_audio_becomes_48_khz(tmp_path):
    found, target = decode(safe_decode.audio, serve_parts.wav(0.5, 16000), tmp_path)
    rate, samples = wavfile.read(target)
    assert found.seconds == 0.5 and rate == 48000 and samples.dtype == np.int16 and len(samples) == 24000
    inner = slice(3000, -3000)
    expected = 8000 * np.sin(np.arange(24000) / 3 * 0.2)
    assert np.abs(samples[inner] - expected[inner]).max() < 80  # a hundredth


def test_what_is_no_image_is_told_without_a_path(tmp_path):
    for content, why in ((b"text", "is not an image"), (serve_parts.png()[:60], "damaged|not an image")):
        with pytest.raises(errors.UserError, match=why) as refused:
            decode(safe_decode.image, content, tmp_path)
        assert str(tmp_path) not in str(refused.value) and str(refused.value).startswith("the image: ")


def test_what_is_no_audio_is_told_without_a_path(tmp_path):
    for content in (b"text", serve_parts.png(), b"#EXTM3U\nfile:///etc/passwd\n"):
        with pytest.raises(errors.UserError, match=r"^the audio: ") as refused:
            decode(safe_decode.audio, content, tmp_path)
        assert str(tmp_path) not in str(refused.value) and "passwd" not in str(refused.value)


def test_too_many_pixels_are_told_by_the_header(tmp_path):
    with pytest.raises(errors.UserError, match="pixels, the limit is"):
        decode(safe_decode.image, bomb(20_000), tmp_path)


def bomb(side):
    """A png of a few kilobytes that unpacks to side x side pixels."""
    packed = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    chunk = lambda kind, data: (
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    )
    head = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_memory_is_bounded(tmp_path):
    small = LIMITS._replace(decode_memory=700_000_000, pixels=500_000_000)
    with pytest.raises(errors.UserError, match=r"^the image: "):
        decode(safe_decode.image, bomb(20_000), tmp_path, small)
    assert not (tmp_path / "image.png").exists() or not (tmp_path / "image.png").stat().st_size


def test_time_is_bounded(tmp_path):
    with pytest.raises(errors.UserError, match="within the limits of this server"):
        decode(safe_decode.audio, serve_parts.wav(), tmp_path, LIMITS._replace(decode_seconds=0.01))


def test_audio_that_lasts_too_long_is_refused_by_what_it_says_and_by_what_it_is(tmp_path):
    brief = LIMITS._replace(audio_seconds=1)
    with pytest.raises(errors.UserError, match="it lasts 2 s; 1 s are the most"):
        decode(safe_decode.audio, serve_parts.wav(2.0), tmp_path, brief)
    streamed = bytearray(serve_parts.wav(2.0))
    streamed[4:8] = streamed[40:44] = b"\xff" * 4  # written before the length was known
    with pytest.raises(errors.UserError, match="it lasts 2 s; 1 s are the most"):
        decode(safe_decode.audio, bytes(streamed), tmp_path, brief)


def test_the_audio_of_a_video_is_taken(tmp_path):
    video = tmp_path / "video.mkv"
    (tmp_path / "tone.wav").write_bytes(serve_parts.wav(1.0))
    command = [
        *container.command_line(),
        "-f",
        "lavfi",
        "-i",
        "color=red:s=64x64:d=1",
        "-i",
        str(tmp_path / "tone.wav"),
    ]
    subprocess.run([*command, "-c:a", "flac", str(video)], check=True, capture_output=True)
    found, target = decode(safe_decode.audio, video.read_bytes(), tmp_path)
    assert abs(found.seconds - 1) < 0.05 and np.abs(wavfile.read(target)[1]).max() > 7000
