"""Packing of mouths: who is packed, which frames, what is stored, and that it is the same every time."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import transform

from avct_jax import errors
from avct_jax import face_topology as topology
from avct_jax.data.clips import clip
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.models.mesh import mouth_patch
from avct_jax.train.mesh_stages import mouth_patches
from tests import made_clips

CANONICAL = face_basis.embedded().canonical
FRAMES, SIZE = 16, 64
OPTIONS = {"sources": 2, "per_source": 5, "speaker_per_clip": 3}


def talking(frames):
    """The mean face, moving right, its lower lip going down and up; the first frame's is not found."""
    time = np.arange(frames)
    points = np.repeat(CANONICAL[None] * 0.8, frames, 0)
    low = (*topology.LOWER_INNER_LIP[1:-1], *topology.LOWER_OUTER_LIP[1:-1])
    points[:, low, 1] += 0.08 * (1 - np.cos(time * 0.8))[:, None]
    points[:, :, 0] += 0.005 * time[:, None]
    return points


@pytest.fixture(scope="module", autouse=True)
def few_together():
    """Frames that are drawn in one call, of which these clips have five at most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mouth_patches, "FRAMES", 5)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three other people, the second held out, the third's clip not for commerce; and the speaker."""
    made = made_clips.make(tmp_path_factory.mktemp("clips"), people=3, own=2, frames=FRAMES, size=SIZE)
    listed = json.loads((made / "manifest.json").read_text())
    for entry in listed["clips"]:
        one = clip.load(made / f"{entry['name']}.npz")
        clip.save(made / f"{entry['name']}.npz", one._replace(points=talking(len(one.points)).astype("f2")))
        if entry["name"] == "id_2":
            entry["source"] = "videos/non-commercial/id_2.mp4"
    (made / "manifest.json").write_text(json.dumps(listed))
    return made


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("patches") / "new"
    mouth_patches.pack(folder, output, CANONICAL, **OPTIONS)
    return output


@pytest.fixture(scope="module")
def known(packed):
    return mouth_patches.load(packed)


def test_clips_that_may_not_be_used_are_left_out(packed, known):
    assert {path.stem for path in packed.iterdir()} == {"id_0", "id_1", "late_0", "s1_0", "s1_1"}
    assert known.persons == ("person0", "person1", "late", "s1", "s1")
    assert known.held_out.tolist() == [False, True, False, False, True]


def test_speaker_has_fewer_examples_of_a_clip(known):
    assert np.bincount(known.patches.clip).tolist() == [10, 10, 10, 3, 3]


def test_arrays_belong_together(known):
    patches, (h, w) = known.patches, mouth_patch.PATCH
    n, m = len(patches.clip), len(patches.own)
    assert n == 36 and m == 8
    for name in ("skin", "inside", "below", "above", "real"):
        assert getattr(patches, name).shape[:3] == (n, h, w)
    assert patches.own.shape == (m, h, w, 3) and patches.own_inside.shape == (m, h, w)
    dtypes = [x.dtype for x in patches[:7]]
    assert dtypes == ["uint8", "uint8", "int8", "int8", "uint8", "uint8", "uint8"]
    assert patches.source.tolist() == np.repeat(np.arange(m), [5] * 6 + [3] * 2).tolist()


def test_mouth_is_where_its_lips_say(known):
    patches = known.patches
    inside = patches.inside > 200
    assert inside.any((1, 2)).mean() > 0.5
    assert (patches.below[inside] > 0).all() and (patches.above[inside] > 0).all()
    assert patches.below[:, 0].max() < 0 < patches.below[:, -1].min()
    assert patches.above[:, -1].max() < 0 < patches.above[:, 0].min()


def test_real_patch_shows_the_driving_frame_and_own_the_source_s():
    points = talking(2)
    y, x = np.mgrid[:SIZE, :SIZE] * 255 / (SIZE - 1)
    frames = np.stack([np.stack([x, y, y * 0], -1), np.full((SIZE, SIZE, 3), 90.0)]).astype(np.uint8)
    fitted = mouth_patches.heads(points, CANONICAL)
    portrait = mouth_patches.portrait_of(portrait_layers.make(frames[0], points[0], CANONICAL))
    given = (points, fitted.head, fitted.origin, frames.astype(np.float32))
    fields, (own, _) = mouth_patches.draw(portrait, *(jnp.asarray(x, jnp.float32) for x in given))
    skin, inside, _, _, real = map(np.asarray, fields)
    assert (real[1] == 90).all() and inside[1].max() == 255 and not inside[0].any()
    # The source is read between its pixels, the real frame is not: they differ by rounding.
    np.testing.assert_allclose(own.astype(int), real[0], atol=2)
    assert np.abs(skin[0].astype(int) - real[0]).max() <= 3  # a mesh that has not moved moves nothing
    middle = (points[0, [13, 14], :2].mean(0) + 1) / 2 * 255
    row = round(-mouth_patch.PATCH_TOP / (mouth_patch.PATCH_BOTTOM - mouth_patch.PATCH_TOP) * 63)
    np.testing.assert_allclose(real[0, row, 47:49, :2].mean(0), middle, atol=3)


def test_packing_again_keeps_what_is_there_and_makes_the_same(folder, packed, tmp_path):
    old = {path.name: path.stat().st_mtime_ns for path in packed.iterdir()}
    told = []
    mouth_patches.pack(folder, packed, CANONICAL, **OPTIONS, progress=lambda *done: told.append(done))
    assert told == [(i, 5) for i in range(1, 6)]
    assert old == {path.name: path.stat().st_mtime_ns for path in packed.iterdir()}
    mouth_patches.pack(folder, tmp_path, CANONICAL, **OPTIONS)
    for path in packed.iterdir():
        with np.load(path) as one, np.load(tmp_path / path.name) as two:
            assert one.files == two.files
            for name in one.files:
                np.testing.assert_array_equal(one[name], two[name])


def test_sources_are_shut_mouths_but_for_the_last():
    gap = np.where(np.arange(40) % 4, 0.15, 0.01)
    seen, rng = np.arange(4, 40), np.random.default_rng(0)
    drawn = [mouth_patches.choose_sources(gap, seen, 3, rng) for _ in range(30)]
    assert all(gap[first] < 0.03 and gap[second] < 0.03 for first, second, _ in drawn)
    assert any(gap[last] > 0.03 for _, _, last in drawn) and np.min(drawn) >= 4
    assert len(mouth_patches.choose_sources(gap, seen, 1, rng)) == 1


def test_driving_frames_are_seen_turned_little_and_rather_open():
    angles = np.where(np.arange(60) < 50, 0.0, 0.4)
    turn = transform.Rotation.from_rotvec(angles[:, None] * np.array([[0, 1, 0]]))
    gap = np.where(np.arange(60) % 2, 0.15, 0.0)
    seen, rng = np.arange(5, 60), np.random.default_rng(0)
    chosen = mouth_patches.choose_driving(turn, gap, seen, 10, 20, rng)
    assert len(set(chosen)) == 20 and chosen.min() >= 5 and chosen.max() < 50 and 10 not in chosen
    assert (gap[chosen] > 0.1).mean() > 0.6
    assert len(mouth_patches.choose_driving(turn, gap, seen, 10, 100, rng)) == 44
    assert not len(mouth_patches.choose_driving(turn, gap, np.array([10, 55]), 10, 5, rng))


def test_nothing_to_pack_or_to_load_says_what_to_do(folder, tmp_path):
    with pytest.raises(errors.UserError, match="preprocess others"):
        mouth_patches.pack(folder, tmp_path, CANONICAL, leave_out="mp")
    with pytest.raises(errors.UserError, match="pack some clips first"):
        mouth_patches.load(tmp_path)
