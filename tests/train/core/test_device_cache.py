"""Images held on devices are those that the numpy source reads."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from avct_jax.data.dataset import batch_types, numpy_source
from avct_jax.train import run
from avct_jax.train.core import device_cache, sharding
from tests import made_clips

CONFIG = batch_types.DrawConfig(image_size=32, speaker=made_clips.SPEAKER, frames=6, radius=2, pose_frames=8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return numpy_source.NumpySource(made_clips.make(tmp_path_factory.mktemp("clips")))


@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_held_source_yields_the_numpy_sources_batches_on_all_devices(clips, kind):
    mesh = sharding.make_mesh()
    held = device_cache.DeviceSource(clips, mesh)
    ask = {"seed": 3, "batch_size": 8}
    told = clips.batch(kind, CONFIG, step=5, **ask)
    found = next(held.batches(kind, CONFIG, first_step=5, **ask))
    chex.assert_trees_all_equal(jax.device_get(found), told)
    placed = sharding.place_batch(found, mesh)  # as the loop does: nothing moves
    assert all(a is b for a, b in zip(jax.tree.leaves(placed), jax.tree.leaves(found), strict=True))
    assert all(len(x.sharding.device_set) == 8 for x in jax.tree.leaves(found))


def test_speakers_mean_is_that_of_the_clips_on_any_number_of_devices(clips):
    """32 examples on five devices; each process finds the same."""
    config = run.AVCTTraining(draw=dataclasses.replace(CONFIG, radius=2))
    held = device_cache.DeviceSource(clips, sharding.make_mesh(5))
    found, wanted = run._mean_keypoints(config, held), run._mean_keypoints(config, clips)
    np.testing.assert_array_equal(found, wanted)
    assert isinstance(found, np.ndarray) and np.ptp(found) > 0
