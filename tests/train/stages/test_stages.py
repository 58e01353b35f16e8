"""What all stages promise alike: a seed for their first values, and a metric that tells of a spoilt step."""

import dataclasses

import jax
import pytest

from avct_jax.data.faces import face_basis
from avct_jax.presets import avct, head_motion, renderer, sync
from avct_jax.train import run
from avct_jax.train.core import grad_accumulation, init_params
from avct_jax.train.mesh_stages import speech_dataset, speech_stage
from tests import training_batches
from tests.models.mesh import test_speech_motion
from tests.train.mesh_stages import test_painter_stage

PRESETS = {"renderer": renderer.TINY, "sync": sync.TINY, "avct": avct.TINY, "head-motion": head_motion.TINY}
BATCHES = {
    "renderer": training_batches.pairs,
    "sync": training_batches.sync_windows,
    "avct": training_batches.sequences,
    "head-motion": training_batches.poses,
}
STAGES = (*PRESETS, "painter", "speech")


def make(name, variables, seed=0):
    """A stage and a batch for it."""
    if name == "painter":
        return test_painter_stage.make(seed=seed), test_painter_stage.made_batch()
    if name == "speech":
        known, basis = test_speech_motion.made_set(), face_basis.embedded()
        made = speech_stage.make_stage(
            test_speech_motion.SMALL, speech_stage.SpeechStageConfig(), test_painter_stage.RULE,
            grad_accumulation.ComputeConfig(), basis=speech_stage.basis_of(basis.components, basis.scales),
            people=5, seed=seed,
        )  # fmt: skip
        source = speech_dataset.SpeechSource(known, radius=5, frames=8)
        return made, source.batch("speech", None, seed=0, step=0, batch_size=2)
    config = dataclasses.replace(run.complete(PRESETS[name], "a"), seed=seed)
    given = {part: variables[part] for part in ("keypoint_detector", "renderer")} if name == "avct" else {}
    if name == "avct" and config.stage.sync:
        given["sync_discriminator"] = init_params.sync_discriminator_variables(
            config.stage.sync_discriminator
        )
    options = run.find_networks(config, given, None)
    if name == "avct":
        options["mean_keypoints"] = training_batches.sequences().motion.keypoints.mean((0, 1))
    return run.make_stage(name, config, options), BATCHES[name]()


@pytest.mark.parametrize("name", STAGES)
def test_step_reports_the_norm_of_its_gradient(name, tiny_variables):
    made, batch = make(name, tiny_variables)
    _, metrics = jax.eval_shape(
        made.step, jax.eval_shape(made.initial), made.frozen, batch, jax.random.key(0)
    )
    assert metrics["gradient_norm"].shape == ()


@pytest.mark.parametrize("name", STAGES)
def test_seed_decides_the_first_values_of_every_network(name, tiny_variables):
    first, other = (make(name, tiny_variables, seed)[0].initial().network_states for seed in (0, 1))
    for part in first:
        trees = jax.device_get((first[part].params, other[part].params))
        for x, z in zip(*map(jax.tree.leaves, trees), strict=True):
            # Biases, scales and what begins at 0 hang on no seed.
            assert x.ndim < 2 or not x.any() or (x != z).any(), part
