"""What is begun early: for which sound and image it holds, what it tells, that it needs no JAX."""

import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from scipy.io import wavfile

from avct_jax import errors, weights_file
from avct_jax.animator import base, head_start
from tests import portraits


@pytest.fixture
def sound(tmp_path):
    """A file of silence."""
    path = str(tmp_path / "a.wav")
    wavfile.write(path, 16000, np.zeros(3200, np.int16))
    return path


def test_it_holds_for_what_it_was_begun_for(sound):
    image = portraits.astronaut(256)[0]
    begun = head_start.HeadStart(image, sound, base.Request(size=256))
    told = {"size": 256, "cropped": False, "face": None}
    assert begun.is_of_image(image, **told) and not begun.is_of_image(image.copy(), **told)
    assert not begun.is_of_image(image, **told | {"size": 512})
    assert not begun.is_of_image(image, **told | {"face": 1})
    assert begun.is_of_sound(sound, base.Request(size=512))
    assert not begun.is_of_sound(sound, base.Request(audio_track=2)) and not begun.is_of_sound(
        "b.wav", base.Request()
    )
    notes = []
    assert begun.square.result(notes).pixels.shape == (256, 256, 3)
    speech, _ = begun.hearing.result(notes)
    assert len(speech.silent) == 5 and notes[-1] == "the sound is silent: the mouth stays shut"


def test_the_face_is_found_by_whom_the_animator_asks(sound, monkeypatch):
    monkeypatch.setattr(head_start.portrait, "landmarker", lambda name: pytest.fail(f"asked {name}"))
    begun = head_start.HeadStart(portraits.astronaut(256)[0], sound, base.Request(), landmarks="another")
    with pytest.raises(pytest.fail.Exception, match="asked another"):
        begun.square.result([])


@pytest.mark.parametrize("told", [{"framing": "full"}, {"redub": True}])
def test_other_pictures_than_a_heads_square_are_left_to_others(told, sound):
    begun = head_start.HeadStart("gone.png", [sound], base.Request(**told))
    assert begun.square is begun.layers is begun.hearing is None
    assert not begun.is_of_image("gone.png", size=None, cropped=False, face=None)


def test_a_refusal_comes_where_the_result_is_asked_for(sound):
    begun = head_start.HeadStart(np.zeros((64, 64, 3), np.uint8), sound, base.Request())
    for work in (begun.square, begun.layers):
        with pytest.raises(errors.UserError, match="no face was found"):
            work.result([])


def test_a_process_does_not_end_in_the_middle_of_a_portrait(sound):
    begun = head_start.HeadStart(portraits.astronaut(256)[0], sound, base.Request())
    with pytest.raises(errors.UserError, match="no GPU"), begun:
        raise errors.UserError("no GPU")
    assert begun.square._future.done() and begun.layers._future.done()


def test_the_mean_face_is_that_of_the_weights():
    with weights_file.embedded() as path:
        wanted = safetensors.numpy.load_file(path)[head_start.CANONICAL]
    np.testing.assert_array_equal(head_start.canonical(), wanted.astype(np.float32))


def test_jax_is_not_imported_for_it():
    code = "import sys, avct_jax.animator.head_start\nassert not {'jax', 'scipy', 'hama'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
