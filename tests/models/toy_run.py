"""Saves, loads, animates and trains a system whose renderer is the toy; run by test_networks.py."""

import dataclasses
import sys

import jax
import numpy as np

from avct_jax import weights_file
from avct_jax.animator import factory, keypoint_animator
from avct_jax.models import networks, system_config, toy_renderer
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.stages import renderer_stage
from tests import training_batches


def ones_of(shapes):
    return jax.tree.map(lambda x: np.full(x.shape, 0.01, np.float32), shapes)


def main(folder):
    config = dataclasses.replace(system_config.TINY, renderer=toy_renderer.ToyRendererConfig(0.5))
    variables = {part: ones_of(networks.expected(config, part)) for part in networks.PARTS}
    variables["renderer"]["params"]["colour"] = np.array([0.25, 0, 0], np.float32)
    weights_file.save(f"{folder}/toy.safetensors", weights_file.System(config, variables))
    system = factory.load(f"{folder}/toy.safetensors")
    assert system.config == config

    rng = np.random.default_rng(0)
    poses = np.tile(np.array([0, 0, 0, 0, 0, 250], np.float32), (3, 1))
    track = keypoint_animator.KeypointTrack(np.full(3, 31, np.int32), np.zeros((3, 4, 41), np.float32), poses)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (frames,) = system.draw(pixels, track)
    # Nothing moves, for all is silence: the portrait, redder by a quarter.
    redder = np.clip(pixels + np.array([0.25 * 255, 0, 0]), 0, 255)
    assert np.abs(frames - redder).max() <= 1

    stage = renderer_stage.make_stage(
        config,
        renderer_stage.RendererStageConfig(perceptual=0.0, l1=1.0, train_detector=False),
        optimizer.OptimizerConfig(learning_rate=0.1),
        grad_accumulation.ComputeConfig(),
        init={**variables},
        perceptual=None,
    )
    state = stage.initial()
    trained, metrics = jax.jit(stage.step)(
        state, stage.frozen, training_batches.pairs(b=1, n=1), jax.random.key(0)
    )
    colour = lambda s: np.asarray(s.network_states["renderer"].params["colour"])
    assert np.isfinite(metrics["l1"]) and (colour(trained) != colour(state)).all()
    print("trained", *metrics)


if __name__ == "__main__":
    main(sys.argv[1])
