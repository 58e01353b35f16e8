"""A film with another voice: the mouth moves, the rest is the film's."""

import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.animator.redubbing import redub
from avct_jax.data.media import video_io
from tests import made_sounds
from tests.animator import test_mesh_animator

animator, checkpoint = test_mesh_animator.animator, test_mesh_animator.checkpoint
FRAMES, BLANK = 14, (5, 11)  # frames; from where to where there is nobody
SIZE = (240, 302)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """She drifts to the right, 1 px a frame, and is away for a while."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with video_io.VideoWriter(path, size=SIZE) as writer:
        for i in range(FRAMES):
            frame = skimage.data.astronaut()[: SIZE[0], 90 - i : 90 - i + SIZE[1]]
            writer.write(np.full_like(frame, 90) if BLANK[0] <= i < BLANK[1] else frame)
    return path


@pytest.fixture(scope="module")
def made(animator, film):
    ready = animator.prepare(film, made_sounds.vowel(0.8), redub=True)
    return ready, np.concatenate(list(animator.draw(ready.portrait, ready.track)))


def test_a_film_is_as_long_as_its_sound_and_goes_back_and_forth(made):
    ready, frames = made
    assert frames.shape == (20, *SIZE, 3) and ready.frames == 20 and ready.size == SIZE
    assert ready.portrait.order[FRAMES - 1 :].tolist() == [13, 12, 11, 12, 13, 12, 11]
    assert any("show no face, the first at 0.20 s" in note for note in ready.notes)


def test_only_the_lower_face_differs_from_the_film(made, film):
    ready, frames = made
    given = np.stack(list(video_io.read_frames(film)))[ready.portrait.order]
    change = np.abs(frames.astype(int) - given).max(-1)
    assert not change[BLANK[0] : BLANK[1]].any(), "who is not seen says nothing"
    points = ready.portrait.film.stretches[0].face.points
    eyes, mouth = points[:, [33, 263], 1].max(), points[:, [13, 14], :2].mean(1)
    assert change[:5, : int(eyes)].max() <= 1 and change[:5, :, :40].max() <= 1
    for frame, (x, y) in enumerate(mouth[:5].astype(int)):
        assert change[frame, y - 8 : y + 8, x - 8 : x + 8].max() > 20


def test_the_mouth_speaks_with_the_sound_alone(animator, film):
    draw = lambda sound: np.concatenate(list(animator.frames(film, sound, redub=True)))[:5].astype(int)
    one, other = made_sounds.vowel(0.4), np.zeros(6400, np.float32)
    assert np.abs(draw(one) - draw(other)).max() > 20
    np.testing.assert_array_equal(draw(one), draw(one))


def test_teeth_are_those_of_one_frame_for_all(made):
    spoken = made[0].portrait.spoken
    assert sorted(spoken) == [0, 11] and all(len(one.squares) > 2 for one in spoken.values())
    assert spoken[0].size == 256


def test_lengths_that_differ_are_told_beforehand(film, caplog):
    redub.tell_of_length(film, 100)
    assert "lasts 0.56 s and the sound 4.00 s: the film goes back and forth" in caplog.messages[0]
    caplog.clear()
    redub.tell_of_length(film, 14)
    assert not caplog.messages


@pytest.mark.parametrize(
    "told",
    [{"still": True}, {"face": 2}, {"framing": "full"}, {"poses": 0.1 + np.zeros((9, 6))}, {"blink": 0}],
)
def test_what_only_a_portrait_is_told_is_refused(animator, film, told):
    name = next(iter(told))
    with pytest.raises(errors.UserError, match=f"leave {name} out"):
        animator.prepare(film, made_sounds.vowel(0.4), redub=True, **told)
