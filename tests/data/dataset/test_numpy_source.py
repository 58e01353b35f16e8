"""Batches from a folder of clips, and the images kept of it."""

import json
import shutil
from concurrent import futures

import jax
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.clips import clip
from avct_jax.data.dataset import batch_types, dataset_index, frame_cache, numpy_source, source
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import symbols
from tests import made_clips

CONFIG = batch_types.DrawConfig(image_size=32, speaker="s1", pose_frames=20, cross_identity_prob=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("clips"), people=4, own=4)


@pytest.fixture(scope="module")
def opened(folder):
    return numpy_source.NumpySource(folder)


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "clips", ignore=shutil.ignore_patterns(".frames", "packed"))


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other))


def drawn(opened, kind, count=4, *, step=0, config=CONFIG, **options):
    return opened.batch(kind, config, seed=3, step=step, batch_size=count, **options)


@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_source_gives_slices_that_join_to_the_whole_batch(opened, kind):
    whole = drawn(opened, kind, 6, step=5)
    parts = [drawn(opened, kind, 6, step=5, part=(i, 3)) for i in range(3)]
    assert same(whole, jax.tree.map(lambda *x: np.concatenate(x), *parts))
    assert not same(whole, drawn(opened, kind, 6, step=6))
    twice = drawn(opened, kind, 3, step=11)  # examples 33, 34, 35: the later half of batch 5 of 6
    assert same(jax.tree.map(lambda x: x[3:], whole), twice)


def test_source_goes_on_at_any_step(opened):
    batches = opened.batches("sync", CONFIG, seed=3, batch_size=4, first_step=7)
    assert all(same(next(batches), drawn(opened, "sync", step=step)) for step in (7, 8, 9))
    batches.close()


def test_source_images_are_the_video_at_the_places_named(opened, folder):
    batch, places = (drawn(opened, "pairs", 5, images=shown) for shown in (True, False))
    assert places.source.dtype == np.int32 and places.driving.shape == (5, 1)
    assert np.array_equal(opened.store(32)[places.driving], batch.driving)
    which = np.searchsorted(opened.catalog.begins, places.source[0], side="right") - 1
    frame = places.source[0] - opened.catalog.begins[which]
    video = list(video_io.read_frames(folder / f"{opened.catalog.names[which]}.mp4"))
    wanted = frame_cache.resize(video[frame], 32).astype(int)
    assert np.array_equal(batch.source[0], wanted)
    assert np.abs(wanted - frame_cache.resize(video[frame - 1], 32)).mean() > 5


def test_sequence_is_silent_outside_its_clip_and_its_columns_are_of_its_frames(opened):
    batch = drawn(opened, "sequences", 64, config=batch_types.DrawConfig(speaker="s1", image_size=32))
    time = batch.audio[..., 0, 0] % 100  # frame + 1; 0 outside
    outside = time == 0
    assert outside.any() and (outside[:, :5] | outside[:, -5:]).sum() == outside.sum()
    assert (batch.phonemes[outside] == symbols.SIL).all() and (batch.silent[outside] == 1).all()
    inside, poses = ~outside, batch.poses[..., 0] % 100
    assert np.allclose(poses[inside], (time - 1)[inside])
    assert not poses[:, :5][outside[:, :5]].any()  # before the clip the head is as in its frame 0
    assert np.allclose(16 * (batch.mel[..., 0, 0] + 2), time[:, 5:-5] - 1)
    assert np.allclose(batch.boxes[..., 0], (16 + (time[:, 5:-5] - 1) / 8) / 2)  # 64 px shown as 32
    assert np.array_equal(batch.silent[inside] == 1, time[inside] <= 8)


def test_sequence_says_what_is_written_as_often_as_asked(opened):
    for chance in (0.0, 1.0):
        config = batch_types.DrawConfig(speaker="s1", image_size=32, transcript_prob=chance)
        said = drawn(opened, "sequences", config=config).phonemes[:, 5:-5]
        assert set(np.unique(said)) <= ({5, symbols.SIL} if chance else {6, symbols.SIL + 1})


def test_sequence_without_images_has_none(opened):
    batch = drawn(
        opened, "sequences", config=batch_types.DrawConfig(speaker="s1", image_size=32, with_frames=False)
    )
    assert batch.frames is None and batch.boxes is None and batch.portrait.shape == (4, 32, 32, 3)


def test_rest_is_the_silent_frames_with_the_lips_closest(opened):
    which = opened.catalog.names.tolist().index("s1_0")
    opening = opened.catalog.of(opened.catalog.opening, which)[:8]
    calm = np.flatnonzero(opening <= np.quantile(opening, 0.6))
    poses = opened.catalog.rest_pose[which][0] % 100
    assert 3 < len(calm) < 7 and np.isclose(poses, calm.mean(), atol=1e-3)
    assert np.isnan(opened.catalog.rest_pose[opened.catalog.names.tolist().index("id_1")]).all()  # no audio


def test_sync_says_whether_audio_and_lips_belong_together(opened):
    batch = drawn(opened, "sync", 64)
    heard = np.round(16 * (batch.mel[:, 0, 0] + 2))
    seen = np.round((batch.boxes[:, 0, 0] * 2 - 16) * 8)
    assert np.array_equal(batch.in_sync == 1, heard == seen) and 16 < batch.in_sync.sum() < 48
    assert np.abs(heard - seen)[batch.in_sync == 0].min() >= CONFIG.hard_negative_min_shift


def clips_of(opened, places):
    """Names of the clips at these places in the store."""
    which = np.searchsorted(opened.catalog.begins, np.ravel(places), side="right") - 1
    return {opened.catalog.names[i] for i in which}


@pytest.mark.parametrize("held_out", [False, True])
def test_source_never_shows_in_training_what_is_held_out(opened, held_out):
    options = {"held_out": held_out, "images": False}
    pairs, sync = (drawn(opened, kind, 200, **options) for kind in ("pairs", "sync"))
    told, nods = (drawn(opened, kind, 200, **options) for kind in ("sequences", "poses"))
    shown = [
        clips_of(opened, x) for x in (pairs.source, pairs.driving, sync.frames, told.portrait, told.frames)
    ]
    shown += [{opened.catalog.names[i] for i in np.unique(nods.poses[..., 0] // 100).astype(int)}]
    own, others = ({"s1_1"}, {"id_1"}) if held_out else ({"s1_0", "s1_2", "s1_3"}, {"id_0", "id_2", "id_3"})
    late = set() if held_out else {"late_0"}
    hears = own | (others & {"id_0", "id_2"})
    assert shown == [own | others | late, own | others | late, hears, own | others | late, own, own]


def test_frames_are_decoded_once_and_again_where_a_video_changed(copied, monkeypatch):
    first, decoded = numpy_source.NumpySource(copied).store(16), []
    real = frame_cache.read_video
    monkeypatch.setattr(frame_cache, "read_video", lambda *x: decoded.append(x[0].stem) or real(*x))
    assert np.array_equal(numpy_source.NumpySource(copied).store(16), first) and not decoded
    old = np.array(first)
    with video_io.VideoWriter(copied / "id_2.mp4", size=64) as writer:
        writer.write(made_clips.images(77, 32))
    again = numpy_source.NumpySource(copied)
    begin, end = again.catalog.begins[2:4]
    changed = np.unique(np.flatnonzero((again.store(16) != old).any((1, 2, 3))))
    assert decoded == ["id_2"] and changed.min() >= begin and changed.max() < end and len(changed) > 20


def test_frames_go_on_where_a_kill_left_them(copied, monkeypatch):
    monkeypatch.setattr(frame_cache, "SAVED_EVERY", 2)
    real, decoded = frame_cache.read_video, []

    def fail(path, *shape):
        if path.stem == "s1_0":
            raise KeyboardInterrupt
        return real(path, *shape)

    monkeypatch.setattr(frame_cache, "read_video", fail)
    with pytest.raises(KeyboardInterrupt):
        numpy_source.NumpySource(copied).store(16)
    monkeypatch.setattr(frame_cache, "read_video", lambda *x: decoded.append(x[0].stem) or real(*x))
    kept = numpy_source.NumpySource(copied)
    whole = numpy_source.NumpySource(copied, in_memory=True).store(16)
    decoded.clear()
    assert np.array_equal(kept.store(16), whole) and sorted(decoded) == [
        "late_0",
        *(f"s1_{i}" for i in range(4)),
    ]


def test_frames_wait_for_another_who_decodes_them(copied, monkeypatch):
    real, decoded = frame_cache.read_video, []
    monkeypatch.setattr(frame_cache, "read_video", lambda *x: decoded.append(x[0].stem) or real(*x))
    opened = [numpy_source.NumpySource(copied) for _ in range(2)]
    with futures.ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda x: x.store(16), opened)
    assert np.array_equal(one, other) and len(decoded) == len(opened[0].catalog.names)


def test_source_in_memory_writes_nothing(copied):
    kept = numpy_source.NumpySource(copied, in_memory=True)
    assert kept.store(16).shape == (kept.catalog.begins[-1], 16, 16, 3)
    assert not (copied / ".frames").exists() and not (copied / "packed").exists()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: (d / "s1_0.mp4").unlink(), r"s1_0.mp4 is missing; run"),
        (lambda d: (d / "s1_0.mp4").write_bytes(b"no video"), r"s1_0.mp4' is no sound or video file"),
        (lambda d: shutil.copy(d / "s1_1.mp4", d / "s1_0.mp4"), r"s1_0.mp4 holds 30 images, 32 are listed"),
        (lambda d: (d / "s1_0.npz").unlink(), r"no clip at .*s1_0.npz"),
        (lambda d: (d / "s1_0.npz").write_bytes(b"PK"), r"s1_0.npz is damaged"),
        (lambda d: (d / "mean_face.npy").unlink(), r"mean_face.npy cannot be read"),
        (lambda d: (d / "manifest.json").write_text("{"), r"manifest.json is damaged"),
        (lambda d: (d / "manifest.json").unlink(), r"no manifest.json in .*avct preprocess"),
        (
            lambda d: (d / "manifest.json").write_text('{"version": 1}'),
            r"is of version 1, this program reads 2; run `avct preprocess`",
        ),
    ],
)
def test_source_names_the_file_that_is_missing_or_damaged(copied, harm, message):
    harm(copied)
    with pytest.raises(errors.UserError, match=message) as caught:
        numpy_source.NumpySource(copied).store(16)
    assert "\n" not in str(caught.value)


def test_source_says_when_the_disk_is_full(copied, monkeypatch):
    usage = shutil.disk_usage(copied)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(errors.UserError, match=r"16.bin .*which takes 0.0 GB; free space"):
        numpy_source.NumpySource(copied).store(16)


def test_prefetch_keeps_order_passes_errors_on_and_stops(opened):
    asked = []

    def make(n):
        asked.append(n)
        if n == 5:
            raise errors.UserError("five")
        return n

    ahead = source.prefetch(make, ahead=2, workers=2)
    assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(errors.UserError, match="five"):
        next(ahead)
    assert max(asked) <= 9
    assert list(source.prefetch(lambda n: n * n, range(3))) == [0, 1, 4]


def test_part_must_divide_the_batch():
    assert source.part_of(6, (1, 3)) == range(2, 4)
    for wrong in ((0, 4), (3, 3)):
        with pytest.raises(ValueError, match="batch size 6 must be a multiple"):
            source.part_of(6, wrong)


def test_columns_that_are_not_what_the_manifest_lists_are_refused(copied):
    listed = json.loads((copied / "manifest.json").read_text())
    listed["clips"][0]["frames"] += 1
    (copied / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(errors.UserError, match=r"id_0.npz is not the clip that manifest.json lists"):
        numpy_source.NumpySource(copied)
    assert clip.load(copied / "id_0.npz").audio is not None and len(dataset_index.COLUMNS) == 10
