"""The judges of lips and speech, with random weights: what they look at, hear and answer."""

import functools
import itertools

import cv2
import jax
import numpy as np
import pytest

from avct_jax import errors, weights_file
from avct_jax.data.clips import clip, mel_steps
from avct_jax.data.dataset import batch_types, frame_cache
from avct_jax.data.speech import mel
from avct_jax.evaluation.scorers import face_crops, sync_scorers
from avct_jax.metrics import syncnet as metric
from avct_jax.models import sync_discriminator, system_config
from avct_jax.models.frozen import syncnet
from avct_jax.train.core import init_params
from avct_jax.train.stages import sync_stage

FRAMES = 22  # two chunks of windows
D_SYNC = sync_discriminator.SyncDiscriminatorConfig(width=0.0625, residual=False)


def audio(seed, seconds=2.4):
    """Noise whose loudness and colour change all the time."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=round(16000 * seconds)).astype(np.float32)
    level = 10 ** rng.uniform(-4, 0, -(-len(noise) // 1600)).astype(np.float32).repeat(1600)[: len(noise)]
    return (np.convolve(noise, rng.normal(size=8), "same") * level / 20).astype(np.float32)


def video(size=256, frames=FRAMES):
    """Images of noise, and landmarks within the face of each, which keeps still."""
    rng = np.random.default_rng(0)
    images = (
        rng.integers(0, 256, (frames, size // 8, size // 8, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    )
    points = np.tile(rng.uniform(0.25, 0.8, (1, 478, 3)) * size, (frames, 1, 1)).astype(np.float32)
    return images, points


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "sync.safetensors"
    variables = init_params.sync_discriminator_variables(D_SYNC)
    weights_file.save(
        path, weights_file.System(system_config.TINY, {"sync_discriminator": variables}), dtype="float32"
    )
    return sync_scorers.DSyncScorer(path)


@pytest.fixture(scope="module")
def released():
    """SyncNet, a thirty-second of its channels."""
    network = syncnet.SyncNet(syncnet.SyncNetConfig(width=1 / 32))
    inputs = [jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, 13, 20, 1), (1, 5, 224, 224, 3))]
    shapes, rng = jax.eval_shape(network.init, jax.random.key(0), *inputs), np.random.default_rng(0)
    fixed = {"bias": np.zeros, "mean": np.zeros, "scale": np.ones, "var": np.ones}
    fill = lambda path, x: fixed.get(path[-1].key, lambda shape: rng.normal(0, 0.1, shape))(x.shape)
    variables = jax.tree_util.tree_map_with_path(lambda *leaf: fill(*leaf).astype(np.float32), shapes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_scorers, "read", lambda file, part: variables)
        return sync_scorers.SyncNetScorer(__file__)


@pytest.fixture(params=["own", "released"])
def sync_scorer(request):
    return request.getfixturevalue(request.param)


def test_judges_find_by_how_much_the_audio_was_moved(sync_scorer):
    wav = audio(0)
    lip = sync_scorer.speech(wav[3200:-3200], 60)  # lips that say what is heard
    assert sync_scorer.compare(lip, sync_scorer.speech(wav[3200:-3200], 60)).offset == 0
    assert sync_scorer.compare(lip, sync_scorer.speech(wav[:-6400], 60)).offset == -5  # audio 5 frames late
    assert sync_scorer.compare(lip, sync_scorer.speech(wav[6400:], 60)).offset == 5


def test_judges_prefer_the_right_audio(sync_scorer):
    lip = sync_scorer.speech(audio(0), 60)
    right, wrong = (sync_scorer.compare(lip, sync_scorer.speech(audio(seed), 60)) for seed in (0, 1))
    assert right.distance < 0.1 * wrong.distance and right.confidence > wrong.confidence


def test_judges_count_windows_as_syncnet_python(sync_scorer):
    assert [len(sync_scorer.speech(audio(0), frames)) for frames in (60, 200, 5)] == [55, 55, 0]
    images, points = video()
    assert [len(sync_scorer.lips(images[:t], points[:t])) for t in (FRAMES, 5, 4)] == [FRAMES - 4, 1, 0]
    with pytest.raises(ValueError, match="0 lip and 0 speech"):
        sync_scorer.compare(sync_scorer.lips(images[:4], points[:4]), sync_scorer.speech(audio(0), 60))


def test_judges_see_the_same_lips_wherever_a_chunk_ends(sync_scorer):
    images, points = video()
    whole = sync_scorer.lips(images, points)
    part = sync_scorer.lips(iter(images[-7:]), points[-7:])
    np.testing.assert_allclose(part, whole[-3:], atol=1e-5 * np.abs(whole).max())
    assert np.abs(whole[1:] - whole[:-1]).max() > 1e-3 * np.abs(whole).max()


def test_judges_look_where_a_lost_face_would_be(sync_scorer):
    images, points = video()
    lost = points.copy()
    lost[3:9] = np.nan
    np.testing.assert_allclose(sync_scorer.lips(images, lost), sync_scorer.lips(images, points), atol=1e-5)
    with pytest.raises(errors.UserError, match="no frame of the video shows a face"):
        sync_scorer.lips(images, np.full_like(points, np.nan))
    with pytest.raises(ValueError, match="zip"):
        sync_scorer.lips(images[:-1], points)


def test_syncnet_judge_shows_blue_green_red_and_16_bit_audio(released, monkeypatch):
    seen, (_, points) = {}, video(frames=7)
    for half, rows in (("lips", 16), ("speech", 64)):
        record = lambda x, half=half, rows=rows: seen.update({half: x}) or np.zeros((rows, 32), np.float32)
        monkeypatch.setattr(released, f"_{half}", record)
    released.lips(np.tile(np.uint8([200, 100, 50]), (7, 256, 256, 1)), points)
    assert seen["lips"].shape == (20, 224, 224, 3) and (seen["lips"][:, :200] == [50, 100, 200]).all()
    wav = audio(0)
    released.speech(wav, 60)
    mfcc = mel.syncnet_mfcc(np.rint(wav * 32768).astype(np.int16))
    np.testing.assert_allclose(seen["speech"][3, ..., 0], mfcc[12:32].T, rtol=1e-5, atol=1e-4)


def test_lost_points_lie_between_their_neighbours():
    points = np.tile(np.arange(8.0)[:, None, None], (1, 478, 3))
    lost = points.copy()
    lost[[0, 3, 4, 7]] = np.nan
    np.testing.assert_allclose(face_crops.filled(lost)[:, 0, 0], [1, 1, 2, 3, 4, 5, 6, 6])


def test_own_judge_sees_and_hears_what_d_sync_is_trained_on(own):
    images, points = video()
    points += np.linspace(0, 20, FRAMES, dtype=np.float32)[:, None, None]
    wav, first = audio(3, FRAMES / 25), 6
    wav -= wav.mean()
    shown = np.stack([frame_cache.resize(x, 128) for x in images[first : first + 5]])
    boxes, heard = (
        clip.mouth_boxes(points) / 2,
        mel_steps.windows(mel_steps.of_sound(wav / np.abs(wav).max(), FRAMES), np.arange(FRAMES)),
    )
    still = batch_types.Variation(
        np.zeros(1, bool), np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)
    )
    batch = batch_types.SyncWindows(
        shown[None], boxes[None, first : first + 5], heard[None, first].astype(np.float32), np.ones(1), still
    )
    network = sync_discriminator.SyncDiscriminator(D_SYNC)
    similarities = jax.jit(functools.partial(sync_stage.similarities, network))
    expected = similarities(init_params.sync_discriminator_variables(D_SYNC), batch)[0, 0]
    found = own.lips(images, points)[first] @ own.speech(wav, FRAMES)[first]
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_own_judge_cuts_the_head_out_of_a_large_video(own):
    images, points = video(frames=6)
    large = np.pad(images.repeat(2, 1).repeat(2, 2), ((0, 0), (0, 0), (300, 200), (0, 0)))
    moved = points * 2 + np.array([300, 0, 0], np.float32)
    square = face_crops.head_square(moved, large.shape[1:])
    assert abs(square.size - 512) < 512 / 4 and 200 < square.left < 400
    assert np.isfinite(own.lips(large, moved)).all()
    assert face_crops.head_square(points, images.shape[1:]) == (0, 0, 256)


def test_own_judge_learns_nothing_from_the_zeros_beyond_a_clip(own):
    rng = np.random.default_rng(0)
    lip, speech = (np.float32([1, 0, 0]) * rng.uniform(0.9, 1, (20, 1)).astype(np.float32) for _ in range(2))
    plain, fair = metric.score(lip, speech), own.compare(lip, speech)
    assert plain.confidence > 0.2 and fair.confidence < 0.05
    assert fair.distance <= plain.distance + 1e-6


def test_face_crop_is_that_of_a_image_padded_with_grey():
    image = video(size=96)[0][0]
    for x, y, half in ((48.3, 40.7, 20.2), (10.0, 90.5, 33.3), (95.0, 3.0, 40.9)):
        edge = int(half * 1.8)
        padded = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), constant_values=110)
        top, left, right = y + edge - half, x + edge - 1.4 * half, x + edge + 1.4 * half
        part = padded[int(top) : int(y + edge + 1.8 * half), int(left) : int(right)]
        found = face_crops.face_crop(image, np.array([x, y, half]))
        np.testing.assert_array_equal(found, cv2.resize(part, (224, 224)))


def test_face_squares_follow_the_box_and_not_an_outlier():
    _, points = video()
    points[:, 0], points[:, 1] = (60, 50, 0), (160, 170, 0)
    points[:, 2:] = np.clip(points[:, 2:], 100, 140)
    points[10] += 50
    np.testing.assert_allclose(face_crops.face_squares(points), np.tile([110, 110, 60], (FRAMES, 1)))


def test_files_without_the_network_are_refused(tiny_checkpoint, monkeypatch, tmp_path):
    with pytest.raises(errors.UserError, match="lacks syncnet"):
        sync_scorers.SyncNetScorer(tiny_checkpoint)
    with pytest.raises(errors.UserError, match="lacks sync_discriminator"):
        sync_scorers.DSyncScorer(tiny_checkpoint)
    with pytest.raises(errors.UserError, match="nothing"):
        sync_scorers.SyncNetScorer(tmp_path / "nothing.model")
    monkeypatch.setattr(sync_scorers, "EMBEDDED", "nothing.safetensors")
    with pytest.raises(errors.UserError, match="this package has no pretrained/nothing"):
        sync_scorers.DSyncScorer()


def test_videos_are_taken_a_chunk_at_a_time(own, monkeypatch):
    images, points = video(frames=50)
    taken, seen = itertools.count(), []
    monkeypatch.setattr(
        own, "_lips", lambda shown, boxes: seen.append(next(taken)) or np.zeros((16, own.size), np.float32)
    )
    assert len(own.lips((x for x in images if next(taken) >= 0), points)) == 46
    assert seen == [20, 37, 52]
