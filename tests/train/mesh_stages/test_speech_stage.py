"""E_avct of the mesh: what its stage compares, and what it takes away from examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.train.mesh_stages import person_embeddings, speech_dataset, speech_stage
from tests.models.mesh import test_speech_motion

KEY = jax.random.key(0)


def drawn(count=6):
    source = speech_dataset.SpeechSource(test_speech_motion.made_set(), radius=5, frames=8)
    return source.batch("speech", None, seed=0, step=0, batch_size=count)


def toy_basis():
    draw = lambda *shape: jnp.asarray(np.random.default_rng(len(shape)).normal(0, 0.1, shape), jnp.float32)
    return speech_stage.Basis(draw(16, 4, 3), draw(16, 5, 3), draw(16))


def test_points_of_lips_and_chin_are_compared_and_coefficients_a_little():
    basis, batch = toy_basis(), drawn()
    weight = np.float32([1, 1, 0, 1, 1, 1])
    off = np.random.default_rng(0).normal(0, 1, batch.speech.shape).astype(np.float32)
    config = speech_stage.SpeechStageConfig(jaw=0.4, coefficients=0.2)
    found = jnp.asarray(batch.speech + off)
    terms = speech_stage.speech_losses(config, basis, found, batch._replace(weight=weight))
    counted = off * weight[:, None, None]
    moved = lambda points: np.square(10 * np.einsum("btk,kld->btld", counted, points)).mean()
    wanted = {"lips": moved(basis.lips), "jaw": moved(basis.jaw), "coefficients": np.square(counted).mean()}
    wanted["total"] = wanted["lips"] + 0.4 * wanted["jaw"] + 0.2 * wanted["coefficients"]
    assert set(terms) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4)


def test_an_example_is_never_deprived_of_two_things_at_once():
    """Of what is said, what is heard, and how the head is turned: each a third of the time."""
    batch = drawn(60)
    batch = batch._replace(poses=np.ones_like(batch.poses), audio=np.ones_like(batch.audio))
    config = speech_stage.SpeechStageConfig(noise=0.0, bands=0.0, drop=1 / 3, stranger=0.0)
    varied = speech_stage.vary(config, batch, KEY)
    flat = -np.log(batch.posteriors.shape[-1])
    lacking = np.stack(
        [
            (np.abs(np.asarray(varied.posteriors) - flat) < 1e-6).all((1, 2, 3)),
            (np.asarray(varied.audio) == 0).all((1, 2, 3)),
            (np.asarray(varied.poses) == 0).all((1, 2)),
        ]
    )
    assert (lacking.sum(0) == 1).all() and (lacking.sum(1) > 8).all()
    kept = ~lacking
    np.testing.assert_array_equal(np.asarray(varied.posteriors)[kept[0]], batch.posteriors[kept[0]])
    np.testing.assert_array_equal(varied.speech, batch.speech)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_strangers_are_learned_from_people_whose_name_is_taken(share):
    batch = drawn(20)
    varied = speech_stage.vary(speech_stage.SpeechStageConfig(stranger=share), batch, KEY)
    wanted = np.full(20, person_embeddings.STRANGER) if share else batch.person
    np.testing.assert_array_equal(varied.person, wanted)
