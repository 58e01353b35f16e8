"""Head, eyes and brows, live: the same whatever the pieces, people's motion within limits, smooth."""

import numpy as np
import pytest

from avct_jax.data.faces import head_motion_bank
from avct_jax.live import demeanour
from tests.live import live_parts

AHEAD = demeanour.AHEAD


def voice(frames, seed=0):
    """Loudness and silence: syllables and pauses."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames + AHEAD)
    silent = (time // 40) % 3 == 2
    return np.where(silent, 0, 1.5 * np.sin(time / 3) + rng.normal(0, 0.3, len(time))), silent


def show(fixed, loudness, silent, pieces=(10**6,)):
    state, done, rows = demeanour.begin(fixed), 0, []
    for count in pieces:
        after = min(done + count, len(silent) - AHEAD)
        states, behaviour = demeanour.advance(
            fixed, state, loudness[done : after + AHEAD], silent[done : after + AHEAD]
        )
        rows.append(behaviour)
        state, done = states[-1], after
    return head_motion_bank.Behaviour(*(np.concatenate(x) for x in zip(*rows, strict=True)))


@pytest.fixture(scope="module")
def fixed():
    return demeanour.settings(3)


@pytest.fixture(scope="module")
def minute(fixed):
    return show(fixed, *voice(1500))


def test_any_pieces_give_the_same(fixed):
    whole = show(fixed, *voice(120))
    found = show(fixed, *voice(120), pieces=(1, 2, 50, 3, 64))
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_state_may_be_returned_to(fixed):
    loudness, silent = voice(60)
    states, first = demeanour.advance(fixed, demeanour.begin(fixed), loudness, silent)
    demeanour.advance(fixed, states[29], loudness * 0, ~silent | True)
    _, again = demeanour.advance(fixed, states[29], loudness[30:], silent[30:])
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[30:], other)


def test_head_moves_as_peoples_do_and_begins_in_the_portraits_pose(minute):
    degrees = np.degrees(minute.rotation)
    assert not minute.rotation[0, 1:].any() and np.abs(degrees[0]).max() < 0.5
    assert (degrees.std(0) > 0.5).all() and (degrees.std(0) < 4).all()
    assert np.abs(np.diff(degrees, axis=0)).max() < 3
    assert (np.abs(minute.rotation) <= head_motion_bank.ROTATION_LIMIT + 1e-6).all()


def test_eyes_blink_look_about_and_brows_go_up(minute):
    blinks = (np.diff((minute.blink[:, 0] > 0.5).astype(int)) == 1).sum()
    assert 12 <= blinks <= 40
    assert 0.003 < minute.gaze.std() < 0.02
    assert 0.01 < minute.brow.max() <= 1.1 * head_motion_bank.BROW_MOST
    assert np.abs(np.diff(minute.brow)).max() < 0.02


def test_idle_head_is_calmer_and_has_no_nods(fixed):
    nobody = np.zeros(1000 + AHEAD), np.ones(1000 + AHEAD, bool)
    calm, lively = show(fixed, *nobody), show(fixed, *voice(1000))
    assert calm.rotation.std(0).mean() < 0.8 * lively.rotation.std(0).mean()
    assert not calm.brow.any()


def test_still_head_has_living_eyes():
    kept = show(demeanour.settings(3, head_motion=0.0), *voice(200))
    assert not kept.rotation.any() and not kept.shift.any() and not kept.brow.any()
    assert kept.blink.max() == 1 and kept.gaze.any()


def test_scale_moves_the_head_alone(minute):
    found = show(demeanour.settings(3, head_motion=2.0), *voice(1500))
    ratio = found.rotation.std(0) / minute.rotation.std(0)
    assert (ratio > 1.4).all() and (ratio < 2).all()
    for name in ("blink", "gaze", "brow"):
        np.testing.assert_array_equal(getattr(found, name), getattr(minute, name))


def test_blink_rate_changes_how_often_eyes_blink_and_nothing_else(minute):
    count = lambda found: (np.diff((found.blink[:, 0] > 0.9).astype(int)) == 1).sum()
    often = show(demeanour.settings(3, blink=2.0), *voice(1500))
    never = show(demeanour.settings(3, blink=0.0), *voice(1500))
    assert 1.6 < count(often) / count(minute) < 2.4 and not never.blink.any()
    for found in (often, never):
        for name in ("rotation", "shift", "gaze", "brow"):
            np.testing.assert_array_equal(getattr(found, name), getattr(minute, name))


def change(before, after, frames=100):
    """Frames of a voice, 100 of them after the settings have changed."""
    loudness, silent = voice(frames + 100)
    first = slice(frames + AHEAD)
    states, one = demeanour.advance(before, demeanour.begin(before), loudness[first], silent[first])
    _, other = demeanour.advance(after, states[-1], loudness[frames:], silent[frames:])
    return head_motion_bank.Behaviour(*(np.concatenate(x) for x in zip(one, other, strict=True)))


def test_head_eases_to_another_scale_within_some_ten_frames(fixed, minute):
    found = change(fixed, fixed._replace(scale=0.0))
    np.testing.assert_array_equal(found.rotation[:100], change(fixed, fixed).rotation[:100])
    moving = np.abs(change(fixed, fixed).rotation[112:]).max()
    assert moving > 0.02 and np.abs(found.rotation[112:]).max() < 0.1 * moving
    assert not found.rotation[130:].any() and not found.brow[130:].any()
    up = change(fixed._replace(scale=0.0), fixed._replace(scale=3.0))
    for one in (found, up):
        assert np.abs(np.diff(np.degrees(one.rotation[95:115]), axis=0)).max() < 3  # of 8 in all
    assert np.degrees(np.abs(up.rotation[100] - up.rotation[99])).max() < 1


def test_blinks_stop_and_begin_again_at_once_and_are_whole(fixed):
    quiet = change(fixed, fixed._replace(blink=0.0))
    assert quiet.blink[:100].any() and not quiet.blink[100 + len(head_motion_bank.BLINK) :].any()
    begun = change(fixed._replace(blink=0.0), fixed._replace(blink=4.0))
    assert not begun.blink[:100].any() and begun.blink[100:130].max() == 1


def test_seed_decides(fixed, minute):
    other = show(demeanour.settings(4), *voice(200))
    assert np.abs(other.rotation - minute.rotation[:200]).max() > 0.01
    assert (show(demeanour.settings(3), *voice(200)).rotation == minute.rotation[:200]).all()


def test_coming_poses_are_those_that_come(fixed):
    loudness, silent = np.zeros(40 + AHEAD), np.ones(40 + AHEAD, bool)
    states, behaviour = demeanour.advance(fixed, demeanour.begin(fixed), loudness, silent)
    coming = demeanour.poses_ahead(fixed, states[9], 6)
    np.testing.assert_allclose(coming[:, :3], behaviour.rotation[10:16], atol=1e-6)
    np.testing.assert_allclose(coming[:, 3:], behaviour.shift[10:16], atol=1e-6)


def test_portrait_that_is_turned_away_moves_less_that_way():
    turned = demeanour.settings(3, turned=np.radians([0, 24.0, 0]), stretches=live_parts.bank())
    assert np.degrees(turned.high[1]) == pytest.approx(3) and np.degrees(turned.low[1]) == pytest.approx(8)
