"""Colours of videos: what is meant is what is read, of high dynamic range and without tags too."""

import re
import subprocess

import numpy as np
import pytest

from avct_jax.data.media import colour, container, image_io, video_io

SKIN = (224, 172, 140)
WIDE = np.linalg.inv(np.asarray(colour.TO_709["bt2020"]))
UNTAGGED = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"


def light(rgb):
    """Linear light of sRGB, white = 1."""
    signal = np.asarray(rgb) / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def pq(linear):
    """ITU-R BT.2100, paper white at 203 cd/m^2."""
    power = (203 * linear / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(linear):
    """ITU-R BT.2100, on a screen of 1000 cd/m^2 and gamma 1.2, paper white at 203."""
    shown = 203 / 1000 * linear
    scene = shown * (shown @ [0.2627, 0.678, 0.0593]) ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def video(path, rgb, filters, *, size=(64, 64), codec=("-c:v", "libx264", "-crf", "4")):
    """A video of one colour, given in [0, 1]."""
    frame = np.broadcast_to(np.round(np.asarray(rgb) * 65535).astype("<u2"), (*size, 3)).tobytes()
    given = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{size[1]}x{size[0]}", "-r", "25", "-i", "-"]
    tags = dict(re.findall(r"(colorspace|color_primaries|color_trc)=([\w-]+)", filters))
    named = [
        word for name, value in tags.items() for word in (f"-{name}", value)
    ]  # an old ffmpeg goes by these
    command = [container.ffmpeg(), "-v", "error", "-y", *given, "-vf", filters, *named, *codec, str(path)]
    subprocess.run(command, input=2 * frame, check=True)
    return path


def seen(path):
    return next(video_io.read_frames(path))[8:24, 8:24].reshape(-1, 3).mean(0)


@pytest.mark.parametrize("curve, transfer", [(pq, "smpte2084"), (hlg, "arib-std-b67")])
def test_videos_of_high_dynamic_range_are_as_bright_as_they_were_meant(tmp_path, curve, transfer):
    tags = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:range=tv:color_trc={transfer}"
    filters = f"scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le,{tags}"
    path = video(tmp_path / "a.mkv", curve(light(SKIN) @ WIDE.T), filters, codec=("-c:v", "ffv1"))
    np.testing.assert_allclose(seen(path), SKIN, atol=3)
    np.testing.assert_allclose(image_io.read_image(path)[8:24, 8:24].mean((0, 1)), SKIN, atol=3)


def test_lights_brighter_than_paper_keep_their_order_and_hue():
    nits = np.array([100, 203, 400, 1000, 4000])
    grey = colour.to_srgb(np.repeat(pq(nits / 203)[:, None], 3, 1), "smpte2084", "bt2020")
    assert (np.diff(grey[:, 0]) > 0.003).all() and grey[1, 0] > 0.93 and np.ptp(grey, axis=1).max() < 1e-3
    lamp = colour.to_srgb(pq(5 * np.array([1.0, 0.5, 0.25]) @ WIDE.T), "smpte2084", "bt2020")
    np.testing.assert_allclose(light(255 * lamp) / light(255 * lamp)[0], [1, 0.5, 0.25], atol=0.01)


def test_table_says_what_the_formula_does():
    text = colour.table("arib-std-b67", "bt2020").decode().splitlines()
    red, green, blue = 50, 40, 30
    row = np.array(text[1 + red + colour.SIDE * (green + colour.SIDE * blue)].split(), float)
    given = np.array([red, green, blue]) / (colour.SIDE - 1)
    np.testing.assert_allclose(row, colour.to_srgb(given, "arib-std-b67", "bt2020"), atol=1e-4)


@pytest.mark.parametrize(
    "size, matrix", [((720, 64), "bt709"), ((64, 1280), "bt709"), ((576, 64), "bt601"), ((64, 64), "bt601")]
)
def test_videos_without_tags_are_read_by_their_size(tmp_path, size, matrix):
    rgb = (224, 60, 40)
    filters = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p,{UNTAGGED}"
    path = video(tmp_path / "a.mp4", np.array(rgb) / 255, filters, size=size)
    assert container.probe(path).colours.matrix in ("", "unknown")
    np.testing.assert_allclose(seen(path), rgb, atol=3)


@pytest.mark.parametrize("matrix, tag", [("bt601", "smpte170m"), ("bt709", "bt709")])
def test_videos_with_tags_are_read_by_them(tmp_path, matrix, tag):
    size = (720, 64) if matrix == "bt601" else (64, 64)  # of which the other would be guessed
    filters = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p,setparams=colorspace={tag}"
    path = video(tmp_path / "a.mp4", np.array([224, 60, 40]) / 255, filters, size=size)
    np.testing.assert_allclose(seen(path), (224, 60, 40), atol=3)


def test_videos_of_wide_colours_are_brought_to_srgb(tmp_path):
    p3 = np.linalg.inv(np.asarray(colour.TO_709["smpte432"]))
    linear = light(SKIN) @ p3.T
    signal = 1.055 * linear ** (1 / 2.4) - 0.055
    tags = "setparams=colorspace=bt709:color_primaries=smpte432:color_trc=bt709"
    filters = f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{tags}"
    np.testing.assert_allclose(seen(video(tmp_path / "a.mp4", signal, filters)), SKIN, atol=3)


@pytest.mark.parametrize("suffix, size", [("mp4", 64), ("mov", 64), ("mkv", 720)])
def test_our_videos_say_what_they_are(tmp_path, suffix, size):
    path = tmp_path / f"a.{suffix}"
    with video_io.VideoWriter(path, size=(size, 64)) as writer:
        writer.write(np.full((2, size, 64, 3), (224, 60, 40), np.uint8))
    assert container.probe(path).colours == ("yuv420p", "bt709", "bt709", "bt709")
    np.testing.assert_allclose(seen(path), (224, 60, 40), atol=3)
