"""D_sync: the reference's embeddings, sizes, and the window of mouths it sees."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.convert import parity
from avct_jax.models import sync_discriminator

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
TINY = sync_discriminator.SyncDiscriminatorConfig(width=0.0625, residual=False)


def test_sync_discriminator_matches_the_reference():
    golden = np.load(GOLDENS / "training.npz")
    shapes = json.loads((GOLDENS / "training_state_shapes.json").read_text())["syncnet_color"]
    variables = parity.stand_in_variables("syncnet_color", shapes, parity.TRAINING_SEED)
    mel, face = (
        jnp.asarray(golden[f"syncnet/{n}"], jnp.float32).transpose(0, 2, 3, 1) for n in ("mel", "face")
    )
    audio, face = jax.jit(sync_discriminator.SyncDiscriminator().apply)(variables, mel, face)
    found = {
        "audio_embedding": audio,
        "face_embedding": face,
        "cosine": sync_discriminator.cosine(audio, face),
    }
    for name, value in found.items():
        expected = golden[f"syncnet/{name}"]
        assert np.abs(value - expected).max() < 1e-4 * np.abs(expected).max(), name


def test_sync_discriminator_embeddings_have_length_one():
    network = sync_discriminator.SyncDiscriminator(TINY)
    keys = jax.random.split(jax.random.key(0), 3)
    mel = jax.random.normal(keys[0], (3, 80, 16, 1))
    face = jax.random.uniform(keys[1], (3, 48, 96, 15))
    variables = jax.jit(network.init)(keys[2], mel, face)
    apply = jax.jit(lambda v: network.apply(v, mel, face, train=True, mutable=["batch_stats"]))
    embeddings, _ = apply(variables)
    for e in embeddings:
        assert e.shape == (3, 32) and float(e.min()) >= 0
        np.testing.assert_allclose(jnp.linalg.norm(e, axis=-1), 1, rtol=1e-5)


def test_sync_discriminator_gives_a_gradient_even_to_empty_embeddings():
    gradient = jax.grad(lambda x: sync_discriminator._unit(x).sum())(jnp.zeros((1, 4)))
    assert np.isfinite(gradient).all()


def test_mouth_window_is_the_lower_half_in_bgr():
    crops = jax.random.uniform(jax.random.key(0), (2, 5, 96, 96, 3))
    window = sync_discriminator.mouth_window(crops)
    np.testing.assert_array_equal(window[1, 0, 7, 6:9], crops[1, 2, 48, 7, ::-1])
