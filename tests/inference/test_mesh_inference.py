"""Whole examples of the mesh family at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import speech_format
from avct_jax.inference import mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh, speech_motion

CONFIG = mesh_system.MeshSystemConfig(
    speech_motion=speech_motion.SpeechMotionConfig(d_model=16, num_heads=2, feedforward=16)
)
RADIUS = CONFIG.speech_motion.window_radius


def sound(n, seed=0):
    rng = np.random.default_rng(seed)
    logs = rng.normal(-3, 1, (n, speech_format.STEPS, CONFIG.speech_motion.symbols))
    audio = rng.normal(0, 1, (n, speech_format.ROWS, speech_format.COLUMNS))
    return logs.astype(np.float32), audio.astype(np.float32)


def test_make_inputs_puts_silence_around_a_sound_and_holds_the_head():
    logs, audio = sound(3)
    turned = np.array([[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0]])
    made = mesh_inference.make_inputs(CONFIG, logs, audio, rotation=turned)
    assert len(made.heard.audio) == 3 + 2 * RADIUS
    np.testing.assert_array_equal(made.heard.audio[RADIUS : RADIUS + 3], audio)
    outside = [*range(RADIUS), *range(RADIUS + 3, 3 + 2 * RADIUS)]
    assert not np.asarray(made.heard.audio)[outside].any()
    quiet = np.asarray(made.heard.posteriors)[outside]
    assert (quiet[..., 0] == 0).all() and (quiet[..., 1:] == speech_format.LEAST_LOG).all()
    np.testing.assert_allclose(made.heard.poses[:, 0], [0.1] * RADIUS + [0.1, 0.2, 0.3] + [0.3] * RADIUS)
    assert made.controls.blink.shape == (3, 2) and not np.asarray(made.controls.blink).any()


@pytest.mark.parametrize("shared", [True, False])
def test_animate_draws_every_example_as_alone(monkeypatch, shared):
    """The drawing itself is stubbed: what it is given must be each example's own."""

    def predict(config, variables, heard, style):
        return heard.audio[RADIUS:-RADIUS, 0, :9]

    def draw(config, variables, prepared, controls):
        told = prepared.portrait.image.sum() + controls.speech.sum(1) + controls.gaze[:, 0]
        return jnp.broadcast_to(told[:, None, None, None], (len(told), 1, 1, 3))

    monkeypatch.setattr(mesh_inference, "draw", draw)
    monkeypatch.setattr(
        mesh_inference, "predict", lambda config, v, heard, style: heard.audio[RADIUS:-RADIUS, 0, :9]
    )
    images = np.random.default_rng(1).uniform(0, 1, (2, 4, 4, 3)).astype(np.float32)
    portraits = make_portraits(images[0] if shared else images)
    each = [
        mesh_inference.make_inputs(
            CONFIG, *sound(3, seed), gaze=np.full((3, 2), seed), speech=np.ones((3, 9))
        )
        for seed in range(2)
    ]
    config = dataclasses.replace(CONFIG, style=0.5)
    both = jax.tree.map(lambda *x: jnp.stack(x), *each)
    drawn = mesh_inference.animate(config, {}, portraits, both)
    for i in range(2):
        image = images[0 if shared else i]
        wanted = image.sum() + (1 + sound(3, i)[1][:, 0, :9]).sum(1) + i
        np.testing.assert_allclose(drawn[i, :, 0, 0, 0], wanted, rtol=1e-5)


def make_portraits(images):
    fields = dict.fromkeys(face_mesh.MeshPortrait._fields)
    portrait = face_mesh.MeshPortrait(**(fields | {"image": jnp.asarray(images)}))
    return mesh_inference.PreparedPortrait(portrait, None, None)
