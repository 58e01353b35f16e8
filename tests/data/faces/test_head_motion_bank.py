"""How a speaker moves beside speaking: reproducible, and spread as people are."""

import numpy as np
import pytest
from scipy import ndimage

from avct_jax.data.faces import head_motion_bank as bank

FRAMES = 1500  # a minute


@pytest.fixture(scope="module")
def voice():
    loudness = ndimage.gaussian_filter1d(np.random.default_rng(3).normal(size=FRAMES), 4)
    return loudness, loudness < np.quantile(loudness, 0.2)


def test_same_seed_gives_the_same_and_another_another(voice):
    first, again, other = (bank.behave(*voice, seed=seed) for seed in (5, 5, 6))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(first.rotation - other.rotation).max() > 0.01
    assert (first.blink != other.blink).any()


def test_heads_move_as_far_as_people(voice):
    """Talking people: 1.8, 2.2 and 1.5 degrees within 3 s (71 clips)."""
    spreads = []
    for seed in range(4):
        degrees = np.degrees(bank.behave(*voice, seed=seed).rotation)
        spreads += [degrees[i : i + 75].std(0) for i in range(0, FRAMES - 75, 75)]
    pitch, yaw, roll = np.mean(spreads, 0)
    assert 1.4 < pitch < 2.6 and 1.4 < yaw < 2.8 and 0.9 < roll < 2.0


def test_head_begins_at_the_portrait_and_stays_within_limits(voice):
    for seed in range(3):
        behaviour = bank.behave(*voice, seed=seed)
        assert np.abs(behaviour.rotation[0]).max() < 1e-6 and np.abs(behaviour.shift[0]).max() < 1e-6
        assert (np.abs(behaviour.rotation) <= bank.ROTATION_LIMIT).all()
        assert np.abs(np.diff(behaviour.rotation, axis=0)).max() < np.radians(3)  # a frame, no jump


def test_a_turned_portrait_hardly_turns_further_and_may_turn_back(voice):
    turned = np.radians([0.0, 25.0, 0.0])
    yaws = np.concatenate([bank.behave(*voice, seed=seed, turned=turned).rotation[:, 1] for seed in range(3)])
    assert yaws.max() <= bank.LEAST_ROOM and yaws.min() < -np.radians(4)
    mirrored = bank.behave(*voice, seed=0, turned=-turned).rotation[:, 1]
    assert mirrored.min() >= -bank.LEAST_ROOM and mirrored.max() > np.radians(2)


def test_still_head_still_blinks(voice):
    behaviour = bank.behave(*voice, seed=0, scale=0.0)
    assert not behaviour.rotation.any() and not behaviour.shift.any() and behaviour.blink.max() == 1
    assert not behaviour.brow.any()


def differing(one, other):
    """Names of the parts in which two behaviours differ."""
    return [name for name in one._fields if (getattr(one, name) != getattr(other, name)).any()]


def test_scale_moves_the_head_alone_and_calms_brows(voice):
    usual = bank.behave(*voice, seed=1)
    half, most = (bank.behave(*voice, seed=1, scale=scale) for scale in (0.5, 3.0))
    spread = lambda found: found.rotation.std(0) / usual.rotation.std(0)
    assert differing(half, usual) == ["rotation", "shift", "brow"]
    assert differing(most, usual) == ["rotation", "shift"]
    assert (spread(half) > 0.48).all() and (spread(half) < 0.6).all()
    assert (spread(most) > 1.7).all() and (spread(most) < 3).all()
    assert (np.abs(most.rotation) <= bank.ROTATION_LIMIT).all()
    np.testing.assert_allclose(half.brow, 0.5 * usual.brow, atol=1e-7)


def blink_count(blink):
    return (np.diff((blink[:, 0] > 0.9).astype(int)) == 1).sum()


def test_blink_rate_changes_how_often_eyes_blink_and_nothing_else(voice):
    usual = [bank.behave(*voice, seed=seed) for seed in range(4)]
    counts = {1.0: sum(blink_count(found.blink) for found in usual)}
    for rate in (0.0, 0.5, 2.0, 4.0):
        found = [bank.behave(*voice, seed=seed, blink_rate=rate) for seed in range(4)]
        assert all(differing(one, other) == ["blink"] for one, other in zip(found, usual, strict=True))
        counts[rate] = sum(blink_count(one.blink) for one in found)
    assert counts[0.0] == 0 and 0.4 < counts[0.5] / counts[1.0] < 0.65
    assert 1.7 < counts[2.0] / counts[1.0] < 2.3 and 3 < counts[4.0] / counts[1.0] < 4.5


def test_brows_go_up_on_some_stresses(voice):
    loudness = voice[0]
    brow = np.concatenate([bank.behave(*voice, seed=seed).brow for seed in range(4)])
    raised = np.flatnonzero(np.diff((brow > 0.01).astype(int)) == 1)
    assert 4 * 4 < len(raised) < 4 * 40  # times in four minutes
    assert brow.max() <= bank.BROW_MOST and brow.min() > -0.01
    louder = loudness[brow[: len(loudness)] > 0.015]
    assert louder.mean() > loudness.mean() + 0.5 * loudness.std()


def test_people_blink_twelve_to_thirty_times_a_minute(voice):
    counts = []
    for seed in range(8):
        shut = bank.behave(*voice, seed=seed).blink[:, 0] > 0.5
        counts.append((np.diff(shut.astype(int)) == 1).sum())
    assert 12 < np.mean(counts) < 30


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_shortest_voices_work(frames):
    behaviour = bank.behave(np.zeros(frames), np.ones(frames, bool), seed=1)
    assert all(len(part) == frames and np.isfinite(part).all() for part in behaviour)


def test_peaks_are_those_of_scipy():
    from scipy import signal

    rng = np.random.default_rng(0)
    for round_ in range(300):
        values = rng.normal(size=rng.integers(0, 80))
        values = np.round(2 * values) / 2 if round_ % 3 == 0 else values  # level tops
        distance = int(rng.integers(1, 12))
        wanted, _ = signal.find_peaks(values, height=0.2, distance=distance)
        np.testing.assert_array_equal(bank.peaks(values, 0.2, distance), wanted)
