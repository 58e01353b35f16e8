"""Cues: what is taken, how values go from one to the next, and which are refused by their number."""

import json

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.direction import cues, timeline

SMILE = {"time": 1, "what": "smile", "value": 0.8}


def test_file_and_list_are_the_same_in_order_of_time(tmp_path):
    given = [SMILE, {"time": 0.5, "what": "gaze", "value": "camera", "ease": "hold"}]
    (tmp_path / "cues.json").write_text(json.dumps(given))
    found = cues.read(tmp_path / "cues.json")
    assert found == cues.read(given) == cues.read(found)
    assert found == (cues.Cue(0.5, "gaze", (0.0, 0.0), "hold"), cues.Cue(1.0, "smile", 0.8, "smooth"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"time": -1}, "cue 2: time is -1; give seconds from 0"),
        ({"time": "soon"}, "cue 2: time is 'soon'; give seconds from 0"),
        ({"what": "smlie"}, "cue 2: what is 'smlie'; choose of head_motion, blink, mouth, blink_once, gaze,"),
        ({"value": 2}, "cue 2: smile is 2; it must be a number from 0 to 1, 0 is usual"),
        ({"ease": "bounce"}, "cue 2: ease is 'bounce'; choose of smooth, linear, hold, step"),
        ({"vaule": 2}, "cue 2 has 'vaule', which is not known; choose of time, what, value, ease"),
        ({"what": "yaw", "value": 40}, "cue 2: yaw is 40; it must be from -15 to 15 degrees"),
        ({"what": "mouth", "value": None}, "cue 2: mouth is None; it must be from 0 to 2"),
        ({"what": "gaze", "value": [90, 0]}, "cue 2: gaze is [90, 0]; give x,y in degrees, x -25 to 25"),
        ({"what": "blink_once"}, "cue 2: blink_once takes no value, 0.8 is given; leave it out"),
    ],
)
def test_wrong_cue_is_refused_by_its_number(changed, said):
    with pytest.raises(errors.UserError) as caught:
        cues.read([SMILE, SMILE | changed])
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [SMILE, "no such file.json", 3])
def test_what_is_no_list_is_refused(given):
    with pytest.raises(errors.UserError):
        cues.read(given)


@pytest.mark.parametrize(
    ("ease", "halfway", "late"), [("linear", 0.5, 0.75), ("smooth", 0.5, 0.84375), ("hold", 0, 0)]
)
def test_values_go_from_cue_to_cue(ease, halfway, late):
    found = cues.values(cues.read([SMILE | {"ease": ease, "value": 1}]), 0.0, 60)
    np.testing.assert_allclose(found[[0, 25, 59]], [0, 1, 1], atol=1e-6)
    half = cues.values(cues.read([SMILE | {"ease": ease, "value": 1, "time": 1.6}]), 0.0, 60)
    np.testing.assert_allclose(half[[20, 30]], [halfway, late], atol=1e-6)


def test_gaze_is_let_go_and_taken_again():
    told = cues.read(
        [
            {"time": 0.4, "what": "gaze", "value": [10, -5], "ease": "hold"},
            {"time": 0.8, "what": "gaze", "value": "free", "ease": "hold"},
        ]
    )
    assert cues.read(told) == told
    looks, share = cues.looks(told, None, 30)
    np.testing.assert_array_equal(share[[9, 10, 19, 20]], [0, 1, 1, 0])
    np.testing.assert_array_equal(looks[10], [10, -5])


def test_pose_cues_turn_up_right_and_clockwise():
    told = timeline.FaceDirection(cues=cues.read([{"time": 0, "what": x, "value": 9} for x in cues.POSE]))
    found = timeline.make(told, {"head_motion": 1.0, "blink": 1.0, "mouth": 1.0}, 3)
    np.testing.assert_allclose(np.degrees(found.turned), [[-9, -9, 9]] * 3, atol=1e-6)
    assert found.shown is None and found.looks is None and found.blinks is None
