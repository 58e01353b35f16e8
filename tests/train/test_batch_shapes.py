"""Shapes that are told before there is data are those of the data."""

import jax
import pytest

from avct_jax import errors
from avct_jax.data.dataset import batch_types, numpy_source
from avct_jax.train import batch_shapes
from tests import made_clips


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return numpy_source.NumpySource(made_clips.make(tmp_path_factory.mktemp("clips"), people=3, own=3))


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_shapes_are_those_of_what_a_source_draws(opened, kind, seen):
    config = batch_types.DrawConfig(
        image_size=32, speaker=made_clips.SPEAKER, driving=2, frames=6, pose_frames=9, with_frames=seen
    )
    drawn = opened.batch(kind, config, seed=0, step=0, batch_size=3)
    told = batch_shapes.batch_shapes(kind, config, 3)
    assert jax.tree.structure(drawn) == jax.tree.structure(told)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), drawn) == jax.tree.map(
        lambda x: (x.shape, x.dtype), told
    )


def test_unknown_kind_is_refused():
    with pytest.raises(errors.UserError, match="no kind of batch 'faces'; choose of pairs"):
        batch_shapes.batch_shapes("faces", batch_types.DrawConfig(), 1)
