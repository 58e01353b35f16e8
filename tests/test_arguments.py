"""What callers of the Python API may hand over: taken, or refused in one line before any work."""

import array
import inspect
import io
import pathlib

import numpy as np
import PIL.Image
import pytest

import avct_jax
from avct_jax import arguments, errors
from avct_jax.animator import base
from avct_jax.convert import released
from avct_jax.data.faces import head_pose
from avct_jax.data.media import image_io as image
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import audio_io

FACE = np.random.default_rng(0).integers(0, 256, (32, 24, 3), np.uint8)
WAV = np.linspace(-0.5, 0.5, 800).astype(np.float32)
POSE = [0.1, 0, 0, 5, 5, 250.0]


class Unwilling:
    """numpy asks it, and it fails in a way of its own."""

    def __array__(self, *_, **__):
        raise RuntimeError("not\nnow")


class Reached(Exception):
    """The work began."""


class Idle(base.Animator):
    """Takes everything, and does not draw."""

    def _ready(self, image, audio, request, notes, clock):
        raise Reached(audio, request)

    def draw(self, portrait, track, clock=None):
        """Never asked."""


def cut_short():
    whole = io.BytesIO()
    PIL.Image.fromarray(FACE).save(whole, "png")
    return PIL.Image.open(io.BytesIO(whole.getvalue()[:-900]))


def refusal(call, *given, **named):
    with pytest.raises(errors.UserError) as refused:
        call(*given, **named)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "F", "YCbCr", "HSV"])
def test_images_of_pillow_are_taken_in_any_mode(mode):
    taken = image.from_pixels(PIL.Image.fromarray(FACE).convert(mode))
    assert taken.shape == FACE.shape and taken.dtype == np.uint8


def test_pixels_may_be_grey_with_an_axis():
    np.testing.assert_array_equal(image.from_pixels(FACE[..., :1]), np.repeat(FACE[..., :1], 3, 2))


@pytest.mark.parametrize(
    "given",
    [
        *(None, b"face.png", [[1, 2], [3]], {}, 5, Unwilling(), cut_short(), io.BytesIO(b"x")),
        *(FACE / 255.0, FACE.astype(np.uint16), FACE > 9, FACE[None], FACE.transpose(2, 0, 1)),
    ],
)
def test_no_image_is_refused_in_one_line(given):
    assert "image" in refusal(image.from_pixels, given)


def test_a_image_in_memory_has_a_limit_too(monkeypatch):
    monkeypatch.setattr(image, "MOST_PIXELS", 100)
    assert "million pixels" in refusal(image.from_pixels, PIL.Image.fromarray(FACE))


@pytest.mark.parametrize(
    "given, said",
    [
        (None, "NoneType"),
        (b"x", "of bytes"),
        (bytearray(1600), "np.frombuffer"),  # of 16 bits; numpy would take them for 8
        (memoryview(bytes(1600)), "np.frombuffer"),
        (array.array("B", bytes(1600)), "np.frombuffer"),
        (np.ma.masked_array(WAV, WAV > 0.2), "masked"),
        ((16000, WAV), "resampled to 16 000"),
        ((WAV, 16000), "resampled to 16 000"),
        ([WAV.tolist(), 8000.0], "resampled to 16 000"),
        ([[0.1], [0.1, 0.2]], "no array"),
        (Unwilling(), "not now"),
        (WAV[None], "one row"),
        (WAV > 0, "one row"),
        (WAV + 0j, "one row"),
        ((32767 * WAV).astype(np.int16).tolist(), "full scale is unknown"),
        ((32767 * WAV).astype(np.uint16), "full scale is unknown"),
        ((32767 * WAV).astype(np.float32), "floats go from -1 to 1"),
        (WAV[:100], "640 are the least"),
    ],
)
def test_no_audio_is_refused_in_one_line(given, said):
    assert said in refusal(audio_io.from_samples, given)


@pytest.mark.parametrize("kind", [memoryview, lambda samples: array.array("h", samples.tobytes())])
def test_buffers_that_say_what_they_hold_are_taken(kind):
    samples = (32767 * WAV).astype(np.int16)
    np.testing.assert_allclose(audio_io.from_samples(kind(samples)), WAV, atol=1e-4)


def test_samples_that_are_no_numbers_are_silence_and_loud_ones_stay(caplog):
    given = np.where(np.arange(800) % 2, 1.5, np.nan)
    np.testing.assert_array_equal(audio_io.from_samples(given), np.where(np.arange(800) % 2, 1.5, 0))
    assert "no numbers (NaN, Inf), 400 in all" in caplog.text


def test_phonemes_and_poses_are_taken_as_lists():
    assert symbols.from_indices([3, 40]).tolist() == [3, 40]
    np.testing.assert_allclose(head_pose.from_array([POSE] * 3), np.tile(np.float32(POSE), (3, 1)))


@pytest.mark.parametrize("given", [[99], [-1], [1.0], ["AA"], [[1]], [], 3, [[1], [2, 3]], Unwilling()])
def test_no_phonemes_are_refused_in_one_line(given):
    assert "phonemes" in refusal(symbols.from_indices, given)


@pytest.mark.parametrize(
    "given", [POSE, [["a"] * 6], [[0] * 6], [[np.nan] * 6], [[30, 0, 0, 0, 0, 250]], [[1], [2, 3]], 5, {}]
)
def test_no_poses_are_refused_in_one_line(given):
    assert "poses" in refusal(head_pose.from_array, given)


@pytest.mark.parametrize(
    "named",
    [{"transcript": 5}, {"seed": 1.5}, {"seed": -1}, {"seed": True}, {"size": "256"}, {"size": 256.0}]
    + [{"still": "no"}, {"still": 1}, {"cropped": "no"}, {"audio_track": 0}]
    + [{"recogniser": "x"}, {"phonemes": [99]}, {"poses": [POSE[:5]]}, {"audio": WAV[None]}]
    + [{"output": o} for o in (None, 5, b"o.mp4", "a\0b.mp4", "", "o.avi", "l" * 300 + ".mp4")],
)  # fmt: skip
def test_options_of_another_kind_are_refused_before_the_work(named, tmp_path):
    # As called from outside of the tests, where nobody checks the types of arguments.
    animate = inspect.unwrap(base.Animator.animate)
    refusal(animate, Idle(), **({"image": FACE, "audio": WAV, "output": tmp_path / "o.mp4"} | named))


def test_what_is_given_reaches_the_work_in_its_form(tmp_path):
    samples = (32767 * WAV).astype(np.int16)
    with pytest.raises(Reached) as reached:
        Idle().animate(FACE, samples, tmp_path / "o.mp4", poses=[POSE], phonemes=[3], seed=4)
    wav, request = reached.value.args
    np.testing.assert_allclose(wav, WAV, atol=1e-4)
    assert request.poses.dtype == np.float32 and request.phonemes.tolist() == [3] and request.seed == 4


def test_a_path_is_text():
    assert arguments.is_path("a") and arguments.is_path(pathlib.Path("a")) and not arguments.is_path(b"a")
    assert "safetensors" in refusal(inspect.unwrap(avct_jax.load), 5)
    assert "gone.pth" in refusal(released.convert, "gone.pth", "o.safetensors")
