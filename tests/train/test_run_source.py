"""Which source a run's options open, and that it is asked for the same batches."""

import importlib.util

import jax
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.cli import training_options
from avct_jax.data.dataset import batch_types
from avct_jax.train import run
from avct_jax.train.core import sharding
from tests import made_clips

pytestmark = pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="no Grain (extra `grain`)")
CONFIG = batch_types.DrawConfig(image_size=32, speaker=made_clips.SPEAKER, pose_frames=20)


def test_options_choose_grain_and_its_workers(tmp_path):
    clips = made_clips.make(tmp_path, people=2, own=3)
    words = ["--clips", str(clips), "--run", "runs", "--source", "grain", "--workers", "3"]
    where = training_options.parse("head-motion", words).where
    opened = [
        run.open_source(
            run.TrainingPaths(clips, where.run, name, workers=where.workers), sharding.make_mesh(), quiet=True
        )
        for name in (where.source, "numpy")
    ]
    assert type(opened[0]).__name__ == "GrainSource" and opened[0].workers == 3
    one, other = (x.batch("poses", CONFIG, seed=1, step=2, batch_size=4) for x in opened)
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))
    with pytest.raises(errors.UserError, match="--workers -1 must be 0 or more"):
        run.open_source(run.TrainingPaths(clips, where.run, "grain", workers=-1), sharding.make_mesh())
