"""Preprocessed clips: cutting out, storing, refusing."""

import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data import clip, crop, face, phonemes, video


def make_clip(frames=9, step=2, person="someone", **fields):
    rng = np.random.default_rng(0)
    index = np.arange(0, frames, step)
    made = clip.Clip(
        rng.integers(0, 256, (len(index), 20, 20, 3), np.uint8),
        index,
        rng.normal(size=(frames, 468, 3)).astype(np.float32),
        np.ones(frames, np.float32),
        np.zeros((frames, 6), np.float32),
        person,
    )
    return made._replace(**fields)


def write_video(path, frames):
    with video.VideoWriter(path, size=frames[0].shape[:2]) as writer:
        for frame in frames:
            writer.write(frame)


def test_clip_comes_back_as_it_was_saved(tmp_path):
    sound = {"audio": np.ones((9, 4, 41), np.float32), "silent": np.zeros(9, bool)}
    labels = {"phonemes": np.arange(9), "recognised": np.arange(9) + 1}
    for made in (make_clip(), make_clip(**sound, **labels)):
        clip.save(tmp_path / "a.npz", made)
        found = clip.load(tmp_path / "a.npz")
        assert found.person == "someone" and found.margin == 1.25
        assert all(np.array_equal(a, b) for a, b in zip(found, made, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_clip_refuses_files_that_are_no_clips(tmp_path):
    np.savez(tmp_path / "pickled.npz", frames=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("pickled", "other", "text", "absent"):
        with pytest.raises(errors.UserError, match=f"{name}.npz"):
            clip.load(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("size", [64, 128, 400])
def test_clip_points_lie_on_what_the_stored_picture_shows_there(size):
    """A blob at a place of the picture is found where to_square puts that place."""
    picture = np.zeros((500, 600, 3), np.uint8)
    x, y, half = 300, 220, size // 16
    picture[y - half : y + half, x - half : x + half] = 255
    square = crop.Square(x - size // 3, y - size // 2, size)
    stored = clip.cut_with_margin(picture, square).astype(float).sum(-1)
    rows, columns = np.mgrid[:160, :160]
    seen = np.array([(stored * columns).sum(), (stored * rows).sum()]) / stored.sum()
    point = clip.to_square(np.tile(np.float32([x, y, 0]), (1, 468, 1)), square)[0, 0, :2]
    assert np.abs(16 + (point + 1) / 2 * 127 - seen).max() < 0.1  # px of the stored picture


def test_clip_of_a_film_keeps_every_steps_picture(tmp_path):
    portrait = skimage.data.astronaut()[:256, 96:352]
    write_video(tmp_path / "a.mp4", [portrait] * 7)
    made = clip.prepare(tmp_path / "a.mp4", person="p", step=3, landmarker=face.FaceLandmarker())
    assert made.index.tolist() == [0, 3, 6] and made.frames.shape == (3, 160, 160, 3)
    assert made.points.shape == (7, 468, 3) and np.abs(made.points[..., :2]).max() < 1
    assert np.abs(made.poses[:, :3]).max() < 0.5 and made.audio is None
    # The chin is below the nose, which is to the right of the picture's left cheek.
    chin, nose, cheek = (made.points[0, i] for i in (face.CHIN, face.NOSE_TIP, face.LEFT_CHEEK))
    assert chin[1] > nose[1] and nose[0] > cheek[0]


def test_clip_without_a_steady_face_is_refused_with_the_share(tmp_path):
    write_video(tmp_path / "a.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 3)
    with pytest.raises(errors.UserError, match=r"a\.mp4: a face in 0% of frames, 80% are needed"):
        clip.prepare(tmp_path / "a.mp4", person="p", step=1, landmarker=face.FaceLandmarker())


def test_clip_hears_silence_where_the_picture_outlasts_the_sound():
    heard = clip.listen(np.zeros(16000, np.float32), 30)
    assert set(heard) == set(clip.SPEECH) and all(len(value) == 30 for value in heard.values())
    assert heard["silent"].all() and (heard["phonemes"] == phonemes.SIL).all()
    assert heard["audio"].shape == (30, 4, 41) and np.isfinite(heard["audio"]).all()
