"""SyncNet: the reference's embeddings, and the offset and confidence computed from them."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.convert import parity
from avct_jax.metrics import syncnet as metric
from avct_jax.models.frozen import syncnet

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"


def test_syncnet_matches_the_reference():
    golden = np.load(GOLDENS / "training.npz")
    shapes = json.loads((GOLDENS / "training_state_shapes.json").read_text())["syncnet_v2"]
    variables = parity.stand_in_variables("syncnet_v2", shapes, parity.TRAINING_SEED)
    mfcc = jnp.asarray(golden["syncnet_v2/mfcc"].transpose(0, 2, 3, 1))
    # Stored at 28 x 28, shown at 224 x 224 with each pixel repeated.
    lips = golden["syncnet_v2/lip_28"].transpose(0, 2, 3, 4, 1).repeat(8, 2).repeat(8, 3)
    speech, lip = jax.jit(syncnet.SyncNet().apply)(variables, mfcc, jnp.asarray(lips, jnp.float32))
    for value, name in ((speech, "audio_embedding"), (lip[:, 0], "lip_embedding")):
        expected = golden[f"syncnet_v2/{name}"]
        assert np.abs(value - expected).max() < 1e-4 * np.abs(expected).max(), name


def test_syncnet_windows_of_a_clip_are_those_of_its_parts():
    network = syncnet.SyncNet(syncnet.SyncNetConfig(width=0.03))
    clip = 255 * jax.random.uniform(jax.random.key(0), (1, 6, 224, 224, 3))
    variables = jax.jit(network.init)(jax.random.key(1), None, clip)
    speech, whole = jax.jit(network.apply)(variables, None, clip)
    _, last = jax.jit(network.apply)(variables, None, clip[:, 1:])
    assert speech is None and whole.shape[1] == 2
    np.testing.assert_allclose(whole[:, 1], last[:, 0], rtol=1e-4, atol=1e-4)


def test_sync_score_matches_the_reference():
    golden = np.load(GOLDENS / "training.npz")
    # The reference's function was called with its own default of 10; its programs pass 15.
    found = metric.score(golden["av/feat_lip"], golden["av/feat_audio"], max_shift=10)
    assert found.offset == golden["av/offset"]
    assert found.distance == pytest.approx(float(golden["av/min_dist"]), rel=1e-5)
    assert found.confidence == pytest.approx(float(golden["av/confidence"]), rel=1e-5)


@pytest.mark.parametrize("late", [-7, 0, 12])
def test_sync_score_finds_how_late_the_lips_are(late):
    speech = np.random.default_rng(0).standard_normal((80, 16))
    found = metric.score(np.roll(speech, late, axis=0), speech)
    assert found.offset == late and found.confidence > 1


def test_sync_score_refuses_unequal_counts():
    with pytest.raises(ValueError, match="3 lip and 4 speech windows"):
        metric.score(np.zeros((3, 8)), np.zeros((4, 8)))


def test_window_count_follows_the_shorter_stream():
    assert metric.window_count(100, 640 * 60 + 639) == 55
    assert metric.window_count(100, 640 * 200) == 95
    assert metric.window_count(4, 640 * 200) == 0
