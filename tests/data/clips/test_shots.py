"""Cuts of a video, and what is none."""

import numpy as np
import pytest
import skimage.data

from avct_jax.data.clips import shots

PHOTO = skimage.data.astronaut()
OTHER = skimage.data.coffee()[:, :512]


def cuts_of(frames):
    changes, before = [], None
    for frame in frames:
        now = shots.look(frame)
        changes.append(shots.change(before, now) if before else shots.STILL)
        before = now
    return [i for cut, i in shots.mark_cuts((change, i) for i, change in enumerate(changes)) if cut]


def moving(count, step=4, begin=0):
    """A head that goes right."""
    return [PHOTO[:300, begin + step * i : begin + step * i + 300] for i in range(count)]


@pytest.mark.parametrize("step", [0, 2, 6])
def test_cut_to_another_scene_is_found_however_the_head_moves(step):
    frames = moving(12, step) + [OTHER[:300, 2 * i : 2 * i + 300] for i in range(12)]
    assert cuts_of(frames) == [12]


def test_cuts_in_quick_succession_are_found():
    assert cuts_of([PHOTO] * 8 + [OTHER] * 2 + [255 - PHOTO] * 8) == [8, 10]


@pytest.mark.parametrize("step", [3, 10])
def test_moving_head_is_no_cut(step):
    assert cuts_of(moving(20, step)) == []


def test_head_that_starts_to_move_is_no_cut():
    assert cuts_of([PHOTO[:300, :300]] * 8 + moving(10, 8)) == []


def test_doubled_frames_of_a_slow_video_are_no_cuts():
    assert cuts_of([frame for frame in moving(12, 12) for _ in range(2)]) == []


def test_flash_is_no_cut():
    frames = moving(16, 2)
    frames[8] = np.minimum(frames[8].astype(int) + 35, 255).astype(np.uint8)
    assert cuts_of(frames) == []


def test_face_that_jumps_in_a_steady_image_is_a_cut():
    def marked(ways):
        changes = ((shots.Change(2.0, 0.05, way), i) for i, way in enumerate(ways))
        return [i for cut, i in shots.mark_cuts(changes) if cut]

    assert marked([0.01] * 8 + [0.12] + [0.01] * 8) == [8]
    assert marked([0.01] * 8 + [0.12] * 3 + [0.01] * 8) == []  # a quick turn takes several frames
    assert marked([0.01] * 8 + [0.03] + [0.01] * 8) == []


def test_mark_cuts_answers_for_every_frame_in_order():
    for count in (0, 1, 3, 20):
        answers = list(shots.mark_cuts((shots.STILL, i) for i in range(count)))
        assert answers == [(False, i) for i in range(count)]
