"""One speaker's features made another's: known answers, and consistency with the features of real audio."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.data.speech import mel, speech_features
from avct_jax.train.augmentation import speech_augmentation

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def audio():
    """Half a second of a buzz through two resonances, and hiss."""
    random = np.random.default_rng(0)
    t = np.arange(16000) / mel.SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 60))
    wav = buzz * (1 + np.sin(2 * np.pi * 3 * t)) + 0.05 * random.standard_normal(len(t))
    return speech_features.frame_features(speech_features.audio_features(wav.astype(np.float32), f0="dio"))[
        None, :20
    ]


def test_nothing_strange_leaves_features_as_they_are(audio):
    same = speech_augmentation.augment_speech(
        jnp.asarray(audio), KEY, speech_augmentation.SpeechAugmentation(tract=1e-7)
    )
    # The cepstra are computed anew of the energies: that they come out alike proves the two consistent.
    np.testing.assert_allclose(same, audio, atol=2e-3)
    assert (
        not speech_augmentation.SpeechAugmentation().any
        and speech_augmentation.SpeechAugmentation(background=0.1).any
    )
    assert not speech_augmentation.SpeechAugmentation(background=0.1, share=0.0).any


def test_loudness_moves_all_energies_and_no_shape(audio):
    louder = speech_augmentation.augment_speech(
        jnp.asarray(audio), KEY, speech_augmentation.SpeechAugmentation(loudness=(3.0, 3.0))
    )
    np.testing.assert_allclose(louder[..., 13:39], audio[..., 13:39] + 3, atol=1e-4)
    np.testing.assert_allclose(louder[..., 0], audio[..., 0] + 3, atol=1e-3)
    np.testing.assert_allclose(louder[..., 1:13], audio[..., 1:13], atol=2e-3)


def test_everything_strange_keeps_pitch_and_its_cepstra_are_those_of_its_energies(audio):
    augmented = speech_augmentation.SpeechAugmentation(
        tract=0.2, loudness=(-2.0, 5.0), microphone=0.5, background=1.0
    )
    found = np.asarray(speech_augmentation.augment_speech(jnp.asarray(audio), KEY, augmented))
    np.testing.assert_array_equal(found[..., 39:], audio[..., 39:])
    expected = found[..., 13:39] @ mel.lifted_cosines().T.astype(np.float32)
    np.testing.assert_allclose(found[..., 1:13], expected[..., 1:], atol=1e-3)
    assert np.isfinite(found).all() and np.abs(found[..., 13:39] - audio[..., 13:39]).mean() > 0.3


def test_longer_tract_brings_resonances_down():
    bands = np.arange(26)
    peak = -0.5 * ((bands - 12) / 2) ** 2
    energies = jnp.asarray(np.tile(peak, (3, 2, 4, 1)), jnp.float32)
    moved = speech_augmentation.change_tract(energies, jnp.array([-0.2, 0.0, 0.2]))
    tops = np.asarray(moved[:, 0, 0].argmax(-1))
    assert tops[0] < tops[1] == 12 < tops[2]
    np.testing.assert_allclose(moved[1], energies[1], atol=1e-4)


def test_examples_become_different_strangers_and_the_same_key_the_same(audio):
    pair = jnp.concatenate([jnp.asarray(audio)] * 2)
    augmented = speech_augmentation.SpeechAugmentation(tract=0.2, microphone=0.5)
    found, again = (speech_augmentation.augment_speech(pair, KEY, augmented) for _ in range(2))
    np.testing.assert_array_equal(found, again)
    assert jnp.abs(found[0] - found[1]).max() > 0.1


def test_rooms_fill_the_gaps_and_leave_what_is_loud(audio):
    found = np.asarray(
        speech_augmentation.augment_speech(
            jnp.asarray(audio), KEY, speech_augmentation.SpeechAugmentation(background=1.0)
        )
    )
    change = found[..., 13:39] - audio[..., 13:39]
    loud, quiet = (np.unravel_index(f(audio[..., 13:39]), change.shape) for f in (np.argmax, np.argmin))
    assert (change >= -1e-4).all() and change[quiet] > 10 * change[loud]


def test_share_of_the_examples_stays_the_speaker(audio):
    many = jnp.repeat(jnp.asarray(audio[:, :1]), 200, 0)
    found = speech_augmentation.augment_speech(
        many, KEY, speech_augmentation.SpeechAugmentation(loudness=(1.0, 1.0), share=0.25)
    )
    changed = (found != many).any((1, 2, 3))
    assert 0.15 < changed.mean() < 0.35
    np.testing.assert_array_equal(found[~changed], many[~changed])
