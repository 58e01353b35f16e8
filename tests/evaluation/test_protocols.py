"""Videos made of held-out clips: by whom, of what, and what becomes of those that cannot be made."""

import logging
import os

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.animator import keypoint_animator
from avct_jax.benchmark import throughput
from avct_jax.data.clips import clip, manifest
from avct_jax.data.media import video_io
from avct_jax.evaluation import protocols, sidecar
from avct_jax.models import system_config
from avct_jax.workers import shard
from tests import made_clips

TEST_CLIPS = ("s1_1", "s1_2", "s1_3")


@pytest.fixture
def clips(tmp_path):
    """Made-up clips of which three of the speaker's are held out; their videos have no audio track."""
    folder = tmp_path / "clips"
    folder.mkdir()
    made_clips.make(folder, people=2, own=4)
    listing = (folder / "manifest.json").read_text()
    for name in TEST_CLIPS:
        listing = listing.replace(
            f'"split": "train", "source": "{name}.mpg"', f'"split": "test", "source": "{name}.mpg"'
        )
    (folder / "manifest.json").write_text(listing)
    return folder


class Actor:
    """Stands in for an animator: notes what it is asked for, and writes a video of the portrait at rest."""

    def __init__(self):
        self.asked = []
        self.refuses = ""

    def animate(self, portrait, audio, output, **given):
        if audio.stem == self.refuses:
            raise errors.UserError("no face\nwas found")
        self.asked.append((audio.stem, portrait, given))
        with video_io.VideoWriter(output, size=portrait.shape[0]) as writer:
            writer.write(np.repeat(portrait[None], 3, 0))


@pytest.fixture
def actor(monkeypatch):
    made = Actor()
    monkeypatch.setattr(protocols.animators, "load", lambda checkpoint: made)
    return made


def make(name, clips, output, **options):
    """Of a checkpoint whose content nobody reads: another animator stands in."""
    checkpoint = clips / "stand_in.safetensors"
    checkpoint.write_bytes(b"weights")
    return protocols.make(name, clips, output, checkpoint=checkpoint, **options)


def names(folder):
    return sorted(path.stem for path in folder.glob("*.mp4"))


def test_speech_is_driven_by_the_clips_own_poses_in_its_own_square(clips, actor, tmp_path):
    made = make("speech", clips, tmp_path / "out")
    assert names(made.generated) == names(made.real) == list(TEST_CLIPS) and made.paired and not made.failed
    for name, portrait, given in actor.asked:
        known = clip.load(clips / f"{name}.npz")
        first = next(video_io.read_frames(clips / f"{name}.mp4"))
        assert np.array_equal(portrait, first) and np.array_equal(given["poses"], known.poses)
        assert given["cropped"] and given["phonemes"] is None


def test_predicted_speech_has_no_poses_and_may_have_transcribed_phonemes(clips, actor, tmp_path):
    make("speech-predicted", clips, tmp_path / "out", transcribed=True)
    for name, _, given in actor.asked:
        assert given["poses"] is None
        assert np.array_equal(given["phonemes"], clip.load(clips / f"{name}.npz").phonemes)


def test_videos_that_are_there_stay_until_their_clip_changes(clips, actor, tmp_path):
    again = lambda: make("speech", clips, tmp_path / "out")
    made = again()
    assert again() == made and len(actor.asked) == 3
    later = (made.generated / "s1_2.mp4").stat().st_mtime + 5
    os.utime(clips / "s1_2.npz", (later, later))
    again()
    assert [name for name, *_ in actor.asked[3:]] == ["s1_2"]


def test_video_that_cannot_be_made_is_told_and_the_rest_goes_on(clips, actor, tmp_path, caplog):
    make("speech", clips, tmp_path / "out")
    later = (tmp_path / "out" / "speech" / "s1_2.mp4").stat().st_mtime + 5
    os.utime(clips / "s1_2.npz", (later, later))
    actor.refuses = "s1_2"
    with caplog.at_level(logging.WARNING):
        made = make("speech", clips, tmp_path / "out")
    assert made.failed == {"s1_2": "no face was found"} and "s1_2 cannot be made" in caplog.text
    assert names(made.generated) == names(made.real) == ["s1_1", "s1_3"]


def test_run_without_any_video_is_refused(clips, actor, tmp_path):
    actor.refuses = "s1_1"
    with pytest.raises(errors.UserError, match="no video of speech could be made: no face was found"):
        make("speech", clips, tmp_path / "out", videos=1)


def test_real_videos_are_those_of_the_videos_asked_for(clips, actor, tmp_path):
    for videos, wanted in ((0, 3), (1, 1), (2, 2)):
        made = make("speech", clips, tmp_path / "out", videos=videos)
        assert len(names(made.real)) == wanted
    assert len(actor.asked) == 3
    assert all((made.real / f"{n}.mp4").samefile(clips / f"{n}.mp4") for n in names(made.real))


def test_link_follows_the_clip_where_links_are_not_to_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(protocols.pathlib.Path, "symlink_to", lambda *_: os.link("/", "/"))
    (tmp_path / "a.mp4").write_bytes(b"one")
    for content in (b"one", b"another"):
        (tmp_path / "a.mp4").write_bytes(content)
        protocols._link(tmp_path / "a.mp4", tmp_path / "b.mp4")
        assert (tmp_path / "b.mp4").read_bytes() == content


def test_what_is_said_lies_beside_the_real_videos(clips, actor, tmp_path):
    made = make("speech", clips, tmp_path / "out", videos=2)
    for name in names(made.real):
        said = sidecar.phonemes_of(made.real / f"{name}.mp4")
        assert np.array_equal(said, clip.load(clips / f"{name}.npz").phonemes)
    assert made.names == tuple(names(made.real)) and sidecar.portrait_of(made.real / "s1_1.mp4") is None


def test_cross_leaves_each_portrait_beside_its_video(clips, actor, tmp_path):
    listing = (clips / "manifest.json").read_text()
    (clips / "manifest.json").write_text(listing.replace('"split": "train"', '"split": "test"'))
    made = make("cross", clips, tmp_path / "out")
    assert not made.paired and names(made.generated)[0] == "id_1_says_id_0"
    portrait = sidecar.portrait_of(made.generated / "id_1_says_id_0.mp4")
    assert np.array_equal(portrait, next(video_io.read_frames(clips / "id_1.mp4")))


def entry(name, *, audio=True, in_sync=True):
    return manifest.Entry(name, name[0], 50, audio, in_sync=in_sync, held_out=True)


def test_cross_gives_each_person_once_the_voice_of_another_that_is_in_sync():
    people = [entry("a0"), entry("a1"), entry("b0"), entry("c0", in_sync=False), entry("d0", audio=False)]
    jobs = protocols.plan("cross", manifest.Manifest("nobody", tuple(people), (), {}, {}))
    assert [job.portrait for job in jobs] == ["a0", "b0", "c0", "d0"]
    assert [job.driver for job in jobs] == ["b0", "a1", "b0", "a0"]
    assert len({job.name for job in jobs}) == 4


def test_one_shot_shows_each_held_out_clip_of_others_that_is_heard_with_its_own_voice():
    people = [entry("a0"), entry("s0"), entry("b0", in_sync=False), entry("c0", audio=False)]
    listed = manifest.Manifest(people[1].person, tuple(people), (), {}, {})
    for name in ("one-shot", "one-shot-predicted"):
        assert protocols.plan(name, listed) == [protocols.VideoJob("a0", "a0", "a0")]


def test_voices_out_of_sync_are_used_where_there_are_no_others():
    people = [entry("a0", in_sync=False), entry("b0", in_sync=False)]
    jobs = protocols.plan("cross", manifest.Manifest("nobody", tuple(people), (), {}, {}))
    assert [job.driver for job in jobs] == ["b0", "a0"]


def test_reasons_take_the_place_of_what_the_evaluation_could_not_know():
    unknown = [{"system": s, "video": "a", "reason": "there is no such video"} for s in ("x", "y")]
    told = protocols.tell({"version": 1, "failed": unknown}, {"x": {"a": "no face"}})
    assert told["failed"] == [unknown[1], {"system": "x", "video": "a", "reason": "no face"}]


@pytest.fixture(scope="module")
def tiny():
    return keypoint_animator.KeypointAnimator(throughput.random_system(system_config.TINY))


def test_reenactment_is_as_long_as_its_clip_and_begins_with_its_image(clips, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(protocols.animators, "load", lambda checkpoint: tiny)
    made = make("reenactment", clips, tmp_path / "out")
    assert names(made.generated) == ["id_1"]
    frames = list(video_io.read_frames(made.generated / "id_1.mp4"))
    assert len(frames) == len(list(video_io.read_frames(clips / "id_1.mp4"))) == 31
    assert frames[0].shape == (64, 64, 3) and np.ptp(np.stack(frames)) > 0


def test_cropped_image_is_taken_whole(tiny):
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    portrait, first_pose = tiny._read_portrait(image, [], cropped=True, with_pose=False)
    assert portrait.shape == (64, 64, 3) and first_pose is None
    np.testing.assert_allclose(portrait[0, 0], image[:2, :2].mean((0, 1)), atol=1)
    with pytest.raises(errors.UserError, match="no face was found"):
        tiny._read_portrait(image, [], cropped=True)
    with pytest.raises(errors.UserError, match="64x128 px; a cropped image must be square"):
        tiny._read_portrait(image[:, :64], [], cropped=True)


def test_protocols_take_held_out_clips_alone(tmp_path):
    made_clips.make(tmp_path)
    listed = manifest.read(tmp_path)
    plans = {name: protocols.plan(name, listed) for name in ("speech", "reenactment")}
    assert [job.portrait for job in plans["speech"]] == ["s1_1"]
    assert [job.driver for job in plans["reenactment"]] == ["id_1"]
    with pytest.raises(errors.UserError, match="kept for tests"):
        protocols.plan("cross", listed)  # its only other person has no audio
    with pytest.raises(errors.UserError, match="no protocol"):
        protocols.plan("dance", listed)


def test_videos_of_another_checkpoint_are_not_taken_for_this_ones(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    maker = lambda transcribed=False: protocols.maker("speech", tmp_path / "a.safetensors", transcribed)
    protocols._begin(tmp_path, maker())
    video_file = tmp_path / "a.mp4"
    video_file.write_bytes(b"video")
    protocols._begin(tmp_path, maker())
    assert video_file.exists() and maker() != maker(True)
    (tmp_path / "a.safetensors").write_bytes(b"two")
    protocols._begin(tmp_path, maker())
    assert not video_file.exists()
    with pytest.raises(errors.UserError, match="cannot be read"):
        protocols.maker("speech", tmp_path / "none.safetensors", False)


def test_shards_make_their_own_videos_and_leave_the_others(clips, actor, tmp_path):
    whole = protocols.make("speech", clips, tmp_path / "one")
    for number in (1, 2):
        made = protocols.make("speech", clips, tmp_path / "two", part=shard.Shard(number, 2))
        assert list(made.names) == list(whole.names)[number - 1 :: 2]
    again = protocols.make("speech", clips, tmp_path / "two", part=shard.Shard(9, 9))
    assert again.names == () and again.failed == {}
    for name in ("speech", "speech-real"):
        listed = [sorted(path.name for path in (tmp_path / each / name).iterdir()) for each in ("one", "two")]
        assert listed[0] == listed[1] and len(listed[0]) > 3
