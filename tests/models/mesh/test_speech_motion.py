"""E_avct of the mesh: shapes, its window, and a stage that learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.data.faces import face_basis
from avct_jax.models.mesh import speech_motion
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.mesh_stages import person_embeddings, speech_dataset, speech_stage
from tests import quick

SMALL = speech_motion.SpeechMotionConfig(d_model=32, num_heads=2, feedforward=32, symbols=7, dropout=0.0)


@pytest.fixture(scope="module")
def basis():
    found = face_basis.embedded()
    return speech_stage.basis_of(found.components, found.scales)


def inputs(frames, seed=0):
    rng = np.random.default_rng(seed)
    logs = np.log(rng.dirichlet(np.ones(7), (1, frames, 2)))
    shapes = ((1, frames, 6), (1, frames, 4, 41))
    return tuple(jnp.asarray(x, jnp.float32) for x in (logs, *(rng.normal(0, 1, s) for s in shapes), [0.1]))


def test_each_frame_sees_its_window_and_nothing_else():
    network = speech_motion.SpeechMotion(SMALL)
    given = inputs(20)
    variables = quick.jit(network.init)(jax.random.key(0), *given)

    def third(audio):
        found = network.apply(variables, given[0], given[1], audio, given[3])
        assert found.shape == (1, 10, 16)
        return found[0, 3].sum()

    slopes = quick.jit(jax.grad(third))(given[2])
    seen = np.flatnonzero(np.abs(slopes[0]).sum((1, 2)))
    np.testing.assert_array_equal(seen, np.arange(3, 14))  # frame 3 + 5, five to each side


def made_set(clips=6, frames=60, late=0):
    """Clips whose lips follow a loudness that every feature and phoneme shows, `late` frames after it."""
    rng = np.random.default_rng(1)
    names, parts = [], {"posteriors": [], "audio": [], "speech": [], "gap": []}
    scales = np.zeros(16)
    scales[0] = 1
    for i in range(clips):
        drive = np.convolve(rng.normal(0, 1, frames + 10), np.ones(4) / 2, "same")[:frames]
        names.append(f"clip{i}")
        logs = np.full((frames, 2, 7), -3.0)
        logs[..., 1] += drive[:, None]
        parts["posteriors"].append(logs)
        parts["audio"].append(np.tile(drive[:, None, None], (1, 4, 41)))
        lips = np.roll(drive, late)
        parts["speech"].append(lips[:, None] * scales)
        parts["gap"].append(0.1 + 0.05 * lips)
    stack = {name: np.concatenate(part).astype(np.float32) for name, part in parts.items()}
    return speech_dataset.SpeechSet(
        tuple(names), tuple(names), np.arange(clips) == 0, np.arange(clips + 1) * frames,
        poses=np.zeros((clips * frames, 6), np.float32), style=np.zeros(clips, np.float32),
        lag=np.zeros(clips, np.int64), fit=np.full(clips, np.nan, np.float32),
        revoiced=np.zeros(clips, bool), **stack,
    )  # fmt: skip


PEOPLE = 5  # of any training here, be there fewer: one program for all


def train(known, basis, steps=120):
    source = speech_dataset.SpeechSource(known, radius=5, frames=8)
    rule = optimizer.OptimizerConfig(learning_rate=3e-3, steps=300, betas=(0.9, 0.99), clip=1.0)
    config = speech_stage.SpeechStageConfig(noise=0.0, bands=0.0, drop=0.0, ema_decay=0.9)
    rest = {"basis": basis, "people": PEOPLE}
    made = speech_stage.make_stage(SMALL, config, rule, grad_accumulation.ComputeConfig(), **rest)
    current, step = made.initial(), jax.jit(made.step)
    for i in range(steps):
        batch = source.batch("speech", None, seed=0, step=i, batch_size=8)
        current, _ = step(current, made.frozen, batch, jax.random.key(0))
    return made, current, source


def test_stage_learns_lips_that_follow_the_audio(basis):
    made, current, source = train(made_set(), basis)
    held = source.batch("speech", None, seed=0, step=0, batch_size=8, held_out=True)
    judged = quick.jit(made.eval_step)(current, made.frozen, held, jax.random.key(0))
    assert judged["opening_r"] > 0.9 and 0.7 < judged["opening_spread"] < 1.3


def test_what_is_one_persons_alone_goes_into_his_code(basis):
    """Of two people who say the same, one opens the lips twice as far."""
    known = made_set(clips=4)
    far = np.repeat([1.0, 2.0, 1.0, 2.0], 60).astype(np.float32)[:, None]
    known = known._replace(
        persons=("a", "b", "a", "b"), held_out=np.zeros(4, bool), speech=known.speech * far
    )
    _, current, source = train(known, basis, steps=300)
    batch = source.batch("speech", None, seed=9, step=0, batch_size=16)
    network = speech_motion.SpeechMotion(SMALL)
    network_states = {name: own.ema_params for name, own in current.network_states.items()}
    given = [jnp.asarray(x) for x in (batch.posteriors, batch.poses, batch.audio, batch.style)]

    @quick.jit
    def spread(person):
        rows = jnp.full(len(batch.style), person)
        own = network_states[speech_stage.PART]["code"]
        code = person_embeddings.lookup(network_states[speech_stage.CODES], rows, own)
        return network.apply({"params": network_states[speech_stage.PART]}, *given, code)[..., 0].std()

    assert source.names == ["a", "b"] and set(batch.person.tolist()) == {0, 1}
    assert spread(1) > 1.4 * spread(0)
    assert spread(0) < spread(person_embeddings.STRANGER) < spread(1)


def test_examples_hang_on_seed_and_step_alone():
    source = speech_dataset.SpeechSource(made_set(), radius=5, frames=8)
    whole = source.batch("speech", None, seed=3, step=2, batch_size=4)
    half = source.batch("speech", None, seed=3, step=2, batch_size=4, part=(1, 2))
    np.testing.assert_array_equal(whole.audio[2:], half.audio)
    other = source.batch("speech", None, seed=3, step=3, batch_size=4)
    assert np.abs(whole.audio - other.audio).max() > 0.1


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_lags_are_found_and_taken_out(late):
    known = made_set(late=late)
    predicted = [known.audio[known.rows(i), 0, 0] for i in range(len(known.names))]
    found = speech_dataset.with_lags(known, predicted)
    np.testing.assert_array_equal(found.lag, late)
    _, _, audio, _, speech, _, _ = speech_dataset.example(found, 1, 10, 8, 5)
    np.testing.assert_allclose(audio[5:13, 0, 0], speech[:, 0], atol=1e-6)


def test_clips_that_fit_nothing_are_left_out():
    known = made_set()
    fit = np.ones(len(known.names), np.float32)
    fit[2] = 0.1
    source = speech_dataset.SpeechSource(known._replace(fit=fit), radius=5, frames=8)
    drawn = source.batch("speech", None, seed=0, step=0, batch_size=64)
    rows = known.audio[known.rows(2), 0, 0]
    assert not any(np.isin(example[5:13, 0, 0], rows).all() for example in drawn.audio)


def test_revoiced_copies_are_drawn_as_often_as_asked():
    known = made_set(clips=4)
    known = known._replace(
        names=("a", "a~0", "b", "b~0"), persons=("a", "a", "b", "b"), held_out=np.zeros(4, bool),
        revoiced=np.array([False, True, False, True]),
    )  # fmt: skip
    rows = {float(x): i for i in range(4) for x in known.audio[known.rows(i), 0, 0]}
    for share in (0.0, 0.25, 1.0):
        source = speech_dataset.SpeechSource(known, radius=5, frames=8, revoiced_share=share)
        batch = source.batch("speech", None, seed=0, step=0, batch_size=256)
        drawn = np.array([rows[float(x)] for x in batch.audio[:, 8, 0, 0]])
        assert abs(known.revoiced[drawn].mean() - share) < 0.08
    alone = known._replace(revoiced=np.zeros(4, bool))
    assert speech_dataset.SpeechSource(alone, radius=5, frames=8, revoiced_share=1.0).batch(
        "speech", None, seed=0, step=0, batch_size=4
    )


def test_closure_counts_only_where_lips_are_shut(basis):
    config = speech_stage.SpeechStageConfig(closure=1.0)
    batch = speech_dataset.SpeechSource(made_set(), radius=5, frames=8).batch(
        "speech", None, seed=0, step=0, batch_size=4
    )
    wrong = batch.speech + np.eye(16, dtype=np.float32)[0]
    closure = lambda gap: speech_stage.speech_losses(
        config, basis, jnp.asarray(wrong), batch._replace(gap=gap)
    )["closure"]
    assert closure(np.full_like(batch.gap, 0.2)) == 0 and closure(np.full_like(batch.gap, 0.01)) > 0


def test_gain_widens_around_the_centre_and_leaves_shut_lips_shut():
    gap, centre = np.array([0.05, 0.0, 0.02], np.float32), np.array([1.0, 0.3, 0.5], np.float32)
    spoken = np.random.default_rng(0).normal(0, 0.3, (400, 3)).astype(np.float32) + centre
    amplify = lambda x, gain, centre=centre: np.asarray(
        speech_motion.amplify(jnp.asarray(x), gain, jnp.asarray(centre), jnp.asarray(gap))
    )
    far = spoken @ gap > 0.03  # shut they are not, even when amplified
    np.testing.assert_allclose((amplify(spoken, 1.5) - centre)[far], 1.5 * (spoken - centre)[far], atol=1e-5)
    np.testing.assert_array_equal(amplify(np.zeros((1, 3), np.float32), 1.5), 0)
    small = 0.1 * np.abs(spoken)  # nearly shut: shut, and not across each other
    assert (small @ gap > 0).all()
    np.testing.assert_allclose(amplify(small, 1.5) @ gap, 0, atol=1e-6)
    np.testing.assert_array_equal(amplify(spoken, 1.0), spoken)
    np.testing.assert_allclose(amplify(spoken, 1.5, 0 * centre), 1.5 * spoken, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_scaled_mouths_move_so_far_and_press_no_harder(scale):
    gap, centre = np.array([0.05, 0.0, 0.02], np.float32), np.array([1.0, 0.3, 0.5], np.float32)
    spoken = np.random.default_rng(0).normal(0, 0.8, (400, 3)).astype(np.float32) + centre
    amplify = lambda gain: np.asarray(speech_motion.amplify(*map(jnp.asarray, (spoken, gain, centre, gap))))
    usual, most = amplify(1.2), amplify(1.2 * max(scale, 1))
    found = speech_motion.rescale(most, spoken, 1.2, scale, gap)
    before, after = usual @ gap, found @ gap
    pressed = before < 0
    assert 20 < pressed.sum() < 200 and after[~pressed].min() > -1e-6, "lips do not cross"
    np.testing.assert_allclose(after[pressed], min(scale, 1) * before[pressed], atol=1e-6)
    if scale > 1:
        far = before > 0.05
        middle = centre @ gap
        np.testing.assert_allclose((after - middle)[far], scale * (before - middle)[far], atol=1e-5)
        np.testing.assert_array_equal(found[after > 1e-3], most[after > 1e-3])
    else:
        np.testing.assert_array_equal(found, np.float32(scale) * usual)


def test_mean_speech_is_that_of_other_people_who_train():
    known = made_set(clips=4)
    known = known._replace(persons=("me", "a", "b", "b"), held_out=np.array([False, False, True, False]))
    wanted = [known.speech[known.rows(i)] for i in (1, 3)]
    np.testing.assert_allclose(
        speech_dataset.mean_speech(known, "me"), np.concatenate(wanted).mean(0), atol=6e-4
    )
    alone = known._replace(persons=("me",) * 4)
    assert speech_dataset.mean_speech(alone, "me") != speech_dataset.mean_speech(known, "me")


def test_a_mouth_rests_in_pauses_and_parts_before_the_next_word():
    silent = np.zeros(60, bool)
    silent[:20] = silent[30:50] = True
    shown = speech_motion.rest_in_pauses(np.ones((60, 3), np.float32), silent)[:, 0]
    assert not shown[:14].any() and not shown[38:44].any()  # rests, and from the beginning on
    np.testing.assert_allclose(shown[14:20], [0, 1 / 3, 2 / 3, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(shown[30:38], [1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0], atol=1e-6)
    assert (shown[~silent] == 1).all() and shown.dtype == np.float32
    assert not speech_motion.rest_in_pauses(np.ones((9, 3), np.float32), np.ones(9, bool)).any()


def test_stops_within_words_are_no_pauses():
    silent = np.zeros(20, bool)
    silent[8:11] = True
    assert (speech_motion.rest_in_pauses(np.ones((20, 2), np.float32), silent) == 1).all()
