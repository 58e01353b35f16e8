"""hama's network in JAX gives what hama's own library gives."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util

from avct_jax import errors
from avct_jax.data.speech import audio_io, mesh_features
from avct_jax.files import tensor_package
from avct_jax.models.frozen import hama_conformer

hama = pytest.importorskip("hama", reason="needs hama")
# What the weights of windows hear of one window: most likely tokens, and every fourth's logarithm.
SAID = (
    *("<wb>", *3 * ("<blank>",), "ɛ", "<blank>", "n", "n", "<blank>", "<wb>", "<wb>", "ð"),
    *("i", "<blank>", "<wb>", "b", "<blank>", "<blank>", "oʊ", *5 * ("<blank>",)),
)
LOGS = [-0.0279, -0.0554, -0.0759, -0.0284, -0.0032, -0.0010]


@pytest.fixture(scope="module")
def voice():
    """A synthetic voice, 16 kHz."""
    return audio_io.read_audio(pathlib.Path(__file__).parents[2] / "voices" / "flite.flac")


@pytest.fixture(scope="module")
def hear():
    """Compiled, for one length at a time."""
    return jax.jit(hama_conformer.HamaConformer().apply)


@pytest.mark.parametrize("samples", [640, 16_000, 18_560, 20_123])
def test_numbers_are_hamas(hear, voice, samples):
    wav = voice[8000 : 8000 + samples] / np.abs(voice).max()
    found = np.asarray(hear(hama_conformer.variables(), wav[None]))[0]
    given = {"waveform": wav[None], "waveform_lengths": np.array([samples])}
    (expected,) = hama.ASRModel().session.run(["log_probs"], given)
    np.testing.assert_allclose(found, expected[0], atol=3e-3)  # logarithms, down to -30
    np.testing.assert_array_equal(found.argmax(-1), expected[0].argmax(-1))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)


def test_something_is_recognised_in_a_voice(hear, voice):
    wav = voice[:32_000] / np.abs(voice).max()
    names = np.array(hama.ASRModel().decoder_tokens)
    best = names[np.asarray(hear(hama_conformer.variables(), wav[None]))[0].argmax(-1)]
    assert len(set(best) & set(mesh_features.TOKENS[2:])) > 8


def test_silence_has_no_phoneme(hear):
    found = np.asarray(hear(hama_conformer.variables(), np.zeros((1, 6400), np.float32)))[0]
    blank = list(hama.ASRModel().decoder_tokens).index("<blank>")
    assert np.isfinite(found).all() and set(found.argmax(-1)) == {blank}


def test_recordings_of_a_batch_do_not_mix(hear, voice):
    first, second, other = voice[:6400], voice[6400:12_800], voice[12_800:19_200]
    once = lambda *waves: np.asarray(hear(hama_conformer.variables(), np.stack(waves)))
    together = once(first, second)
    np.testing.assert_array_equal(together[0], once(first, other)[0])
    np.testing.assert_array_equal(together[1], once(other, second)[1])
    # By another program logarithms of what is improbable are rounded otherwise, by 0.003 on some CPUs.
    alone = np.concatenate([once(first), once(second)])
    np.testing.assert_allclose(np.exp(together), np.exp(alone), atol=2e-4)


def test_weights_of_windows_are_hamas_but_for_what_was_learned():
    own, learned = (f()["params"] for f in (hama_conformer.variables, hama_conformer.window_variables))
    assert jax.tree.map(np.shape, own) == jax.tree.map(np.shape, learned)
    own, learned = (traverse_util.flatten_dict(params, sep="/") for params in (own, learned))
    same = {name for name in own if np.array_equal(own[name], learned[name])}
    assert same == {"cosines", "mel", "sines"}
    for name, value in learned.items():
        assert value.dtype == np.float32 and np.isfinite(value).all()
        assert np.abs(value - own[name]).max() < 0.5, name  # fine-tuned, not anew


def test_numbers_of_a_window(hear, voice):
    wav = voice[8000:26_560] / np.abs(voice).max()
    found = np.asarray(hear(hama_conformer.window_variables(), wav[None]))[0]
    best = np.array(hama.ASRModel().decoder_tokens)[found[30:54].argmax(-1)]
    assert tuple(best) == SAID
    np.testing.assert_allclose(found[30:54].max(-1)[::4], LOGS, atol=0.005)


def test_window_weights_that_are_missing_are_told(tmp_path):
    with pytest.raises(errors.UserError, match=r"cannot be read .* reinstall avct-jax"):
        hama_conformer.window_variables(tmp_path / "none.safetensors")


def test_another_hama_is_refused(monkeypatch):
    true = tensor_package.read
    hama_conformer.variables.cache_clear()
    changed = {
        "renamed": lambda t: t | {"mel": t.pop("mel_fb")},
        "wider": lambda t: t | {"mel_fb": t["mel_fb"].T},
    }
    for change in changed.values():
        monkeypatch.setattr(tensor_package, "read", lambda path, change=change: change(true(path)))
        with pytest.raises(
            errors.UserError, match=r"another network than hama 1\.7, run `pip install 'hama>=1.7,<1.8'`"
        ):
            hama_conformer.variables()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match="is missing; run `pip install hama`"):
        hama_conformer.variables()
