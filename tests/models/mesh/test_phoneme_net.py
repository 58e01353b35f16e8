"""The phoneme network: its view, pieces against the whole, and how it learns from another's logarithms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.models.mesh import phoneme_net
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.mesh_stages import phoneme_dataset, phoneme_stage, speech_dataset
from tests import quick

SMALL = phoneme_net.PhonemeNetConfig(
    width=16, dilations=(1, 2, 4, 1), ahead=(1, 2, 0, 1), symbols=7, dropout=0.0
)


@pytest.fixture(scope="module")
def small():
    model = phoneme_net.PhonemeNet(SMALL)
    variables = quick.jit(model.init)(jax.random.key(0), jnp.zeros((1, SMALL.frames_seen, 4, 41)))
    return jax.jit(functools.partial(model.apply, variables))


def test_default_sizes_are_small_and_look_200_ms_ahead():
    config = phoneme_net.PhonemeNetConfig()
    assert (config.frames_back, config.frames_ahead) == (13, 5)
    zeros = jnp.zeros((1, config.frames_seen, 4, 41))
    made = jax.eval_shape(phoneme_net.PhonemeNet(config).init, jax.random.key(0), zeros)
    assert 300_000 < sum(x.size for x in jax.tree.leaves(made)) < 600_000


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_pieces_of_a_audio_are_recognised_as_the_whole(small, chunk):
    features = np.random.default_rng(0).normal(size=(23, 4, 41)).astype(np.float32)
    pad = ((SMALL.frames_back, SMALL.frames_ahead), (0, 0), (0, 0))
    whole = small(np.pad(features, pad)[None])[0]
    found = phoneme_net.recognise(SMALL, small, features, chunk=chunk)
    assert found.shape == (23, 2, 7)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, rtol=1e-5)


def test_an_answer_hangs_on_its_neighbours_and_on_no_other_frame(small):
    back, ahead = SMALL.frames_back, SMALL.frames_ahead
    features = jax.random.normal(jax.random.key(1), (1, 30, 4, 41))
    wanted = 5  # of the answers: frame 5 + back
    weights = jax.random.normal(jax.random.key(2), (2, 7))
    slope = quick.jit(jax.grad(lambda x: (small(x)[0, wanted] * weights).sum()))(features)
    heard = np.flatnonzero(np.abs(slope[0]).max((1, 2)) > 0)
    np.testing.assert_array_equal(heard, np.arange(wanted, wanted + back + ahead + 1))


def test_look_ahead_must_fit():
    for dilations, ahead in (((1, 2), (1,)), ((1, 2), (1, 2)), ((1, 2), (4, 0))):
        with pytest.raises(ValueError, match="ahead"):
            phoneme_net.PhonemeNetConfig(dilations=dilations, ahead=ahead)


def sounds(count=6, frames=60, groups=None):
    """Phonemes that can be read off the features: symbol s where filter bank s is high."""
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 5, (count * frames, 2))
    audio = np.zeros((count * frames, 2, 2, 41), np.float32)
    np.put_along_axis(audio, 13 + symbols[..., None, None], 3.0, -1)
    logs = np.full((count * frames, 2, 7), -6.0, np.float32)
    np.put_along_axis(logs, symbols[..., None], np.log(1 - 6 * np.exp(-6.0)), -1)
    return phoneme_dataset.Sounds(
        groups or ("people",) * count, np.arange(count) == 0, np.arange(count + 1) * frames,
        audio.reshape(-1, 4, 41), logs,
    )  # fmt: skip


def drawn_from(known, **shares):
    back, ahead = SMALL.frames_back, SMALL.frames_ahead
    return phoneme_dataset.PhonemeSource(
        known, frames=6, back=back, ahead=ahead, shares=shares or {"people": 1.0}
    )


def test_the_stage_learns_what_the_features_say():
    config = phoneme_stage.PhonemeStageConfig(noise=0.0, bands=0.0, tract=0.0, hidden=0.0, ema_decay=0.5)
    rule = optimizer.OptimizerConfig(learning_rate=1e-2, schedule="constant")
    stage = phoneme_stage.make_stage(SMALL, config, rule, grad_accumulation.ComputeConfig())
    source, current, step = drawn_from(sounds()), stage.initial(), jax.jit(stage.step)
    batch = lambda step, **which: source.batch("phonemes", None, seed=0, step=step, batch_size=8, **which)
    key, eval_step = jax.random.key(0), quick.jit(stage.eval_step)
    before = eval_step(current, {}, batch(0, held_out=True), key)
    for i in range(80):
        current, _ = step(current, {}, batch(i), key)
    after = eval_step(current, {}, batch(0, held_out=True), key)
    assert before["divergence"] > 1.4 and after["divergence"] < 0.3 and after["logs"] < 0.3 * before["logs"]


def test_losses_are_zero_where_all_is_found_and_count_no_frame_beyond_the_audio():
    config = phoneme_stage.PhonemeStageConfig()
    logs = jnp.maximum(jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (2, 4, 2, 7))), -14)
    weight = jnp.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])
    batch = phoneme_stage.PhonemeBatch(jnp.zeros((2, 4, 4, 41)), logs, weight)
    found = logs.at[0, 3].add(2.0).at[1, 2:].add(-1.0)
    assert max(map(abs, phoneme_stage.phoneme_losses(config, found, batch).values())) < 1e-6
    off = phoneme_stage.phoneme_losses(config, logs.at[0, 0].add(-1.0), batch)
    np.testing.assert_allclose([off["divergence"], off["logs"]], [1 / 5, 1 / 5], rtol=1e-4)
    assert float(off["total"]) == pytest.approx((1 + config.logs) / 5, rel=1e-4)


def test_stretches_are_silent_and_weigh_nothing_outside_of_their_audio():
    source = drawn_from(sounds())
    features, logs, weight = source.stretch(2, 57)
    assert features.shape == (6 + SMALL.frames_back + SMALL.frames_ahead, 4, 41) and logs.shape == (6, 2, 7)
    np.testing.assert_array_equal(weight, [1, 1, 1, 0, 0, 0])
    assert not features[SMALL.frames_back + 3 :].any() and features[: SMALL.frames_back + 3].any((1, 2)).all()


def test_groups_are_drawn_by_their_shares():
    known = sounds(groups=("speaker", "speaker", "people", "recordings", "recordings", "recordings"))
    known = known._replace(audio=known.audio + np.repeat(np.arange(6), 60)[:, None, None] * 100)
    source = drawn_from(known, speaker=0.5, people=0.3, recordings=0.2)
    batch = source.batch("phonemes", None, seed=0, step=0, batch_size=400)
    which = (batch.features[:, SMALL.frames_back].max((1, 2)) // 100).astype(int)
    assert not (which == 0).any()  # held out
    shares = [np.isin(which, kind).mean() for kind in ([1], [2], [3, 4, 5])]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.08)


def test_varied_features_stay_empty_where_there_is_no_audio():
    config = phoneme_stage.PhonemeStageConfig(noise=0.3, bands=0.3, hidden=0.0)
    features = jnp.ones((4, 50, 4, 41)).at[:, :7].set(0)
    varied = phoneme_stage.vary(config, features, jax.random.key(0))
    assert not varied[:, :7].any() and float(varied[:, 7:].std()) > 0.3


def test_runs_of_frames_and_filter_banks_are_hidden():
    config = phoneme_stage.PhonemeStageConfig(noise=0.0, bands=0.0, tract=0.0, hidden=0.4)
    varied = np.asarray(phoneme_stage.vary(config, jnp.ones((64, 50, 4, 41)), jax.random.key(0)))
    frames = (varied[..., 0] == 0).all(2)
    banks = (varied[:, :, 0, 13:39] == 0).mean(1) == 1
    assert 0.1 < frames.mean() < 0.25 and frames.mean(1).max() <= 0.42
    assert 0.1 < banks.mean() < 0.25 and (varied[..., :13] != 0)[~frames].all()


def test_filter_banks_stretch_as_throats_do():
    peak = jnp.exp(-0.5 * ((jnp.arange(26.0) - 10) / 1.5) ** 2)[None, None]
    for factor in (0.87, 1.0, 1.15):
        found = phoneme_stage.stretch(peak, jnp.float32(factor))[0, 0]
        centre = float((found * jnp.arange(26)).sum() / found.sum())
        assert abs(centre - 10 * factor) < 0.3


def test_a_folder_is_heard_audio_by_audio(tmp_path):
    with pytest.raises(errors.UserError, match="no sound file"):
        phoneme_dataset.of_folder(tmp_path, lambda *_: None)
    for name in ("b", "a"):
        (tmp_path / f"{name}.wav").write_bytes(b"")
    heard = []

    def hear(name, audio):
        heard.append(name)
        return speech_dataset.VoiceRows(np.zeros((len(heard), 2, 7)), np.zeros((len(heard), 4, 41)))

    found = phoneme_dataset.of_folder(tmp_path, hear)
    assert heard == ["sound_a", "sound_b"] and found.begins.tolist() == [0, 1, 3]
    both = phoneme_dataset.join(sounds(), found)
    assert both.begins[-1] == 363 and both.groups[-1] == "recordings" and len(both.audio) == 363
