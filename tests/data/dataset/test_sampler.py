"""Which clip and frames each example shows."""

import dataclasses

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import batch_types, dataset_index, sampler

CONFIG = batch_types.DrawConfig(speaker="s1", pose_frames=20, cross_identity_prob=0.5)
# name, person, frames, audio, in sync, held out
CLIPS = (
    ("a0", "a", 30, True, True, False),
    ("a1", "a", 40, False, False, False),
    ("b0", "b", 30, True, False, False),
    ("c0", "c", 30, True, True, True),
    ("d0", "d", 8, True, True, False),
    ("s0", "s1", 60, True, True, False),
    ("s1", "s1", 60, True, True, True),
    ("s2", "s1", 23, True, True, False),
)
KNOWN = dataset_index.make(
    [
        manifest.Entry(name, person, t, audio, in_sync=sync, held_out=held)
        for name, person, t, audio, sync, held in CLIPS
    ],
    [
        dataset_index.summarise(
            {
                "keypoints": np.cumsum(np.ones((t, 10, 2), np.float32) * [[0, 0], *[[0, 1]] * 9], 0) / 100,
                "jacobians": np.zeros((t, 10, 2, 2), np.float32),
                "poses": np.zeros((t, 6), np.float32),
                "score": (np.arange(t) != 3).astype(np.float32),
                "silent": np.arange(t)[: t if audio else 0] < 12,
                "mel": np.zeros((4 * t if audio else 0, 80), np.float16),
            }
        )
        for _, _, t, audio, _, _ in CLIPS
    ],
    size=64,
)


def plans(kind, count=300, *, held_out=False, seed=0, known=KNOWN, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    pool = sampler.find_pool(known, config, kind, held_out=held_out)
    return [sampler.make_plan(known, pool, config, kind, seed=seed, index=i) for i in range(count)]


def clips(drawn, field="clip"):
    return {KNOWN.names[getattr(plan, field)] for plan in drawn}


@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_plan_hangs_on_seed_kind_and_index_alone(kind):
    first, again, other = plans(kind, 20), plans(kind, 20), plans(kind, 20, seed=1)
    assert repr(first) == repr(again) != repr(other)
    assert len({repr(plan) for plan in first}) > 10


def test_pairs_take_every_person_alike_and_the_speaker_as_often_as_said():
    drawn = plans("pairs", 600)
    persons = [KNOWN.people[KNOWN.person[plan.clip]] for plan in drawn]
    assert clips(drawn) == {"a0", "a1", "b0", "d0", "s0", "s2"}  # c0 and s1 are held out
    assert max(abs(persons.count(person) / 600 - 0.25) for person in ("a", "b", "d", "s1")) < 0.06
    share = np.mean(
        [KNOWN.people[KNOWN.person[plan.clip]] == "s1" for plan in plans("pairs", 600, speaker_prob=0.7)]
    )
    assert abs(share - 0.7) < 0.06
    assert clips(plans("pairs", 200, held_out=True)) == {"c0", "s1"}


def test_pairs_are_two_frames_with_a_face_in_either_order():
    drawn = plans("pairs", 400, driving=2)
    frames = np.array([[plan.source, *plan.driving] for plan in drawn])
    assert not (frames == 3).any() and (frames < KNOWN.frames[[plan.clip for plan in drawn]][:, None]).all()
    rising, falling = (np.diff(frames, axis=1) > 0).all(1), (np.diff(frames, axis=1) < 0).all(1)
    assert (rising | falling).all() and abs(rising.mean() - 0.5) < 0.08
    assert all(plan.source < plan.driving[0] for plan in plans("pairs", 100, reverse_prob=0.0))


def test_pairs_go_from_shut_to_wide_open_mouths_when_asked():
    drawn = plans("pairs", 400, driving=2, open_mouths=True)  # mouths open more and more
    last = [KNOWN.frames[plan.clip] - 1 for plan in drawn]
    assert min(plan.driving[-1] / t for plan, t in zip(drawn, last, strict=True)) >= 0.69
    shut = np.mean([plan.source <= t / 2 for plan, t in zip(drawn, last, strict=True)])
    assert abs(shut - (sampler.SHUT_SOURCES + (1 - sampler.SHUT_SOURCES) / 2)) < 0.08


def test_sync_windows_are_inside_clips_that_are_in_sync():
    drawn = plans("sync", 400)
    assert clips(drawn) == {"a0", "s0", "s2"}  # b0 is late, d0 short, a1 dumb
    ends = [KNOWN.frames[plan.clip] - sampler.SYNC_FRAMES for plan in drawn]
    assert all(
        min(p.first, p.heard) >= 0 and max(p.first, p.heard) <= t for p, t in zip(drawn, ends, strict=True)
    )
    assert abs(np.mean([plan.first != plan.heard for plan in drawn]) - 0.5) < 0.08


def test_sync_negatives_are_near_but_not_too_near_and_never_silence_for_silence():
    hard = plans("sync", 400, negative_prob=1.0, hard_negative_prob=1.0)
    away = np.array([abs(plan.first - plan.heard) for plan in hard])
    pause = [(p.first <= 7, p.heard <= 7) for p in hard]  # silent up to frame 11
    assert away.min() == CONFIG.hard_negative_min_shift and away.max() == CONFIG.hard_negative_window
    assert (True, True) not in pause and (True, False) in pause
    easy = [
        abs(plan.first - plan.heard) for plan in plans("sync", 400, negative_prob=1.0, hard_negative_prob=0.0)
    ]
    assert min(easy) >= CONFIG.hard_negative_min_shift and max(easy) > 2 * CONFIG.hard_negative_window


def test_sequences_are_of_the_speaker_and_portraits_of_whom_is_asked():
    drawn = plans("sequences", 300)
    assert clips(drawn) == {"s0"}  # s2 has one frame too few
    assert {plan.first for plan in drawn} == set(range(60 - CONFIG.frames + 1))
    assert clips(drawn, "portrait_clip") == {"s0", "a0", "a1", "b0", "d0"}
    own = np.mean([plan.portrait_clip == plan.clip for plan in drawn])
    assert abs(own - 0.5) < 0.1 and 3 not in {plan.portrait for plan in drawn}
    assert clips(plans("sequences", 50, cross_identity_prob=0.0), "portrait_clip") == {"s0"}
    held = plans("sequences", 200, held_out=True)
    assert clips(held) == {"s1"} and clips(held, "portrait_clip") == {"s1", "c0"}


def test_sequences_need_a_pause():
    loud = KNOWN._replace(rest_pose=np.full_like(KNOWN.rest_pose, np.nan))
    with pytest.raises(errors.UserError, match="a pause and 24 frames"):
        plans("sequences", known=loud)


def test_poses_are_inside_the_speakers_clips():
    drawn = plans("poses", 900)
    assert clips(drawn) == {"s0", "s2"}
    assert {plan.first for plan in drawn if plan.clip == 5} == set(range(60 - 20 + 1))


def test_pool_that_is_empty_names_the_need_and_the_remedy():
    with pytest.raises(errors.UserError, match=r"sound and 64 frames.*; preprocess more videos"):
        plans("poses", pose_frames=64)
    with pytest.raises(errors.UserError, match=r"'nobody'.*set speaker to .*such as 's1'"):
        plans("sequences", speaker="nobody")
    with pytest.raises(ValueError, match="kind is 'pear'"):
        sampler.find_pool(KNOWN, CONFIG, "pear")


def test_variation_stays_in_its_ranges_and_can_be_nothing():
    drawn = plans("pairs", 300, log_scale=(-0.2, 0.1), rotation=0.3, translation=0.05, mirror_prob=0.25)
    view = np.stack([plan.variation.view for plan in drawn])
    low, high = view.min(0), view.max(0)
    assert np.allclose(low, [-0.2, -0.3, -0.05, -0.05], atol=0.02)
    assert np.allclose(high, [0.1, 0.3, 0.05, 0.05], atol=0.02)
    assert abs(np.mean([plan.variation.mirrored for plan in drawn]) - 0.25) < 0.08
    still = plans("pairs", 50, mirror_prob=0.0, colour_jitter=0.0)
    assert not any(p.variation.mirrored or p.variation.view.any() or p.variation.colours.any() for p in still)
