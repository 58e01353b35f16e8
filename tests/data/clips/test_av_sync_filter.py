"""The check of audio against lips, on audio whose lips are known."""

import numpy as np

from avct_jax.data.clips import av_sync_filter

MIX = np.random.default_rng(1).normal(size=39)


def speech(seed, frames=250, late=0, sign=1.0, related=1.0):
    """Features that change as speech does, and an opening that they decide in part, `late` frames after."""
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=(frames + 60, 6))
    slow = sum(slow[i : frames + 40 + i] for i in range(4)) @ rng.normal(size=(6, 39))
    opening = sign * related * slow @ MIX / 10 + rng.normal(size=len(slow))
    audio = np.repeat(slow[20 : 20 + frames, None], 4, axis=1)
    return av_sync_filter.SyncSample(audio, np.exp(0.1 * opening[20 - late : 20 - late + frames]))


def estimate(**others):
    clips = {f"clip{i}": speech(i) for i in range(24)} | others
    return av_sync_filter.estimate(list(clips), [f"p{i % 7}" for i in range(len(clips))], clips.__getitem__)


def test_offset_is_the_number_of_frames_by_which_lips_come_late():
    shifts = {-11: 75, -3: 250, 0: 75, 1: 250, 4: 75, 9: 250}
    judged = estimate(**{str(late): speech(99 + late, frames, late) for late, frames in shifts.items()})
    for late in shifts:
        assert abs(judged[str(late)].offset - late) < 0.5, late
        assert judged[str(late)].in_sync == (abs(late) <= 2), late


def test_offset_is_told_between_frames():
    time = np.arange(200)
    wave = lambda shift: sum(np.sin((time - shift) * rate) for rate in (0.31, 0.47, 0.83))
    assert abs(av_sync_filter.compare(wave(0), wave(0.4)).offset - 0.4) < 0.15


def test_clips_in_sync_pass():
    assert sum(verdict.in_sync for verdict in estimate().values()) >= 23


def test_audio_of_something_else_is_not_in_sync():
    strangers = {f"stranger{i}": speech(100 + i, related=0.0) for i in range(12)}
    judged = estimate(**strangers)
    assert not any(judged[name].in_sync for name in strangers)


def test_clip_is_never_judged_by_a_fit_to_itself():
    """A clip longer than all others, whose lips do the contrary, would else have its own way."""
    verdict = estimate(contrary=speech(50, 2900, sign=-1.0))["contrary"]
    assert not (verdict.in_sync and verdict.agreement > 0.5)
    at_zero = estimate(same=speech(50, 2900))["same"]
    assert at_zero.in_sync and at_zero.agreement > 0.5


def test_nothing_is_judged_by_a_few_seconds():
    clips = {"a": speech(0), "b": speech(1)}
    assert av_sync_filter.estimate(list(clips), ["p", "q"], clips.__getitem__) is None


def test_lips_that_never_move_are_not_in_sync():
    frozen = speech(7)._replace(opening=np.full(250, 0.02))
    verdict = estimate(frozen=frozen)["frozen"]
    assert np.isfinite(verdict.offset) and not verdict.in_sync
