"""Preprocessed clips: storing, refusing, what is heard and where the mouth is, and who is held out."""

import hashlib
import math

import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.clips import clip, mel_steps
from avct_jax.data.faces import crop
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import symbols


def make_clip(frames=9, person="someone", **fields):
    rng = np.random.default_rng(0)
    made = clip.Clip(
        rng.uniform(-1, 1, (frames, 478, 3)).astype(np.float16),
        np.ones(frames, np.float32),
        np.zeros((frames, 6), np.float32),
        np.tile(np.float32([80, 120, 170, 200]), (frames, 1)),
        person,
    )
    return made._replace(**fields)


def audio(frames=9):
    return {
        "audio": np.ones((frames, 4, 41), np.float32),
        "mel": np.zeros((mel_steps.longest(frames), 80), np.float16),
        "phonemes": np.arange(frames, dtype=np.int8),
        "recognised": np.arange(frames, dtype=np.int8) + np.int8(1),
        "silent": np.zeros(frames, bool),
    }


def test_clip_comes_back_as_it_was_saved(tmp_path):
    for made in (make_clip(), make_clip(**audio(), offset=1.5, in_sync=True)):
        clip.save(tmp_path / "a.npz", made)
        found = clip.load(tmp_path / "a.npz")
        assert found.person == "someone" and found.in_sync == made.in_sync
        assert found.offset == made.offset or math.isnan(made.offset)
        for name in ("points", "poses", "mouth_boxes", *clip.SPEECH):
            ours, theirs = getattr(found, name), getattr(made, name)
            assert np.array_equal(ours, theirs) and getattr(ours, "dtype", 0) == getattr(theirs, "dtype", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_clip_refuses_files_that_are_no_clips(tmp_path):
    np.savez(tmp_path / "pickled.npz", version=1, points=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    clip.save(tmp_path / "cut.npz", make_clip())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:9000])
    for name in ("pickled", "other", "text", "cut", "absent"):
        with pytest.raises(errors.UserError, match=rf"{name}\.npz.*preprocess") as caught:
            clip.load(tmp_path / f"{name}.npz")
        assert "\n" not in str(caught.value)


def test_clip_of_an_older_version_is_refused(tmp_path):
    clip.save(tmp_path / "a.npz", make_clip())
    with np.load(tmp_path / "a.npz") as file:
        np.savez(tmp_path / "b.npz", **{**file, "version": 0})
    with pytest.raises(errors.UserError, match=r"b\.npz is no clip, it is of version 0, not 2 or 1"):
        clip.load(tmp_path / "b.npz")


def test_clip_of_version_1_has_its_windows_joined(tmp_path):
    steps = np.random.default_rng(1).normal(size=(mel_steps.longest(9), 80)).astype(np.float16)
    clip.save(tmp_path / "new.npz", make_clip(**{**audio(), "mel": steps}))
    windows = mel_steps.windows(steps, np.arange(9))
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{**file, "version": 1, "mel": windows})
        np.savez(tmp_path / "torn.npz", **{**file, "version": 1, "mel": windows[::-1]})
    found = clip.load(tmp_path / "old.npz").mel
    assert np.array_equal(found, steps) and found.dtype == np.float16
    with pytest.raises(errors.UserError, match=r"torn\.npz is damaged; preprocess it again"):
        clip.load(tmp_path / "torn.npz")


@pytest.mark.parametrize("fields", [{"score": np.ones(8, np.float32)}, {"silent": np.zeros(9, bool)}])
def test_clip_columns_must_belong_together(tmp_path, fields):
    with pytest.raises(ValueError, match=r"columns of different lengths|only some are there"):
        clip.save(tmp_path / "a.npz", make_clip(**fields))
    assert not list(tmp_path.iterdir())


def test_clip_frames_are_those_of_its_video(tmp_path):
    portrait = skimage.data.astronaut()[:256, 96:352]
    with video_io.VideoWriter(tmp_path / "a.mp4", size=256) as writer:
        for level in (0, 40, 80):
            writer.write(np.maximum(portrait, np.uint8(level)))
    frames = clip.frames(tmp_path / "a.npz")
    assert frames.shape == (3, 256, 256, 3) and frames.dtype == np.uint8
    assert np.abs(frames[0].astype(int) - portrait).mean() < 4
    with pytest.raises(errors.UserError, match=r"b\.mp4"):
        clip.frames(tmp_path / "b")


@pytest.mark.parametrize("size", [128, 256, 400])
def test_clip_points_lie_on_what_the_image_shows_there(size):
    """A blob at a place of the video is found in the clip where to_unit puts that place."""
    image = np.zeros((500, 600, 3), np.uint8)
    x, y, half = 300, 220, size // 16
    image[y - half : y + half, x - half : x + half] = 255
    square = crop.Square(x - size // 3, y - size // 2, size)
    shown = crop.crop(image, square).astype(float).sum(-1)
    rows, columns = np.mgrid[:256, :256]
    seen = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
    point = clip.to_unit(np.tile(np.float32([x, y, 0]), (1, 478, 1)), square)[0, 0, :2]
    assert np.abs((point.astype(float) + 1) / 2 * 255 - seen).max() < 0.15  # px


def test_mouth_boxes_are_the_lower_half_of_the_face_and_steady():
    points = np.zeros((9, 478, 3), np.float32)
    points[:, 0], points[:, 1] = (60, 40, 0), (180, 200, 0)
    points[:, 2:] = (100, 100, 0)
    assert clip.mouth_boxes(points).tolist() == [[60, 120, 180, 200]] * 9
    points[4, 1, 1] = 250  # one frame errs by 50 px
    assert np.abs(clip.mouth_boxes(points)[:, 3] - 200).max() == 10


def test_listen_hears_silence_where_the_image_outlasts_the_audio():
    heard = clip.listen(np.zeros(16000, np.float32), 30)
    assert set(heard) == set(clip.SPEECH)
    assert all(len(heard[name]) == 30 for name in clip.SPEECH if name != "mel")
    assert heard["silent"].all() and (heard["phonemes"] == symbols.SIL).all()
    assert heard["audio"].shape == (30, 4, 41) and np.isfinite(heard["audio"]).all()
    made = make_clip(30)._replace(**heard)
    assert made.mel is not None and made.mel.shape == (81, 80)  # of 1 s; 30 frames would reach to step 108


def test_held_out_keeps_people_together_and_the_speakers_clips_apart():
    people = {f"person{i}" for i in range(300)}
    held = {p for p in people if clip.held_out("a", p, speaker="s")}
    assert held == {p for p in people if clip.held_out("b", p, speaker="s")} and 8 < len(held) < 40
    clips = [name for name in map(str, range(1000)) if clip.held_out(name, "s", speaker="s")]
    assert 30 < len(clips) < 70
    assert clip.held_out(clips[0], "s", speaker="") == (int(hashlib.md5(b"s").hexdigest(), 16) % 14 == 0)
