"""Factors on what a face does: what is taken, and what is refused in one line."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.animator import base, inputs, scales


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"head_motion": 3.1}, "head_motion is 3.1; it must be a number from 0 to 3, 1 is usual"),
        ({"blink": -1}, "blink is -1; it must be a number from 0 to 4, 1 is usual"),
        ({"blink": "off"}, "blink is 'off'; it must be a number from 0 to 4, 1 is usual"),
        ({"mouth": True}, "mouth is True; it must be a number from 0 to 2, 1 is usual"),
        ({"mouth": float("nan")}, "mouth is nan; it must be a number from 0 to 2, 1 is usual"),
        ({"still": True, "head_motion": 2}, "still is given and a head_motion of 2 is too; leave one"),
        (
            {"poses": np.zeros((9, 6)), "head_motion": 0.5},
            "poses are given and head_motion is too; leave one",
        ),
    ],
)
def test_what_is_out_of_range_or_contradicts_itself_is_refused(given, said):
    with pytest.raises(errors.UserError) as caught:
        base.Request(**given).checked()
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


CUE = {"time": 0, "what": "blink", "value": 2}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"blinks": [1], "blink": 2}, "blinks are given and how often eyes blink is too; leave one"),
        ({"blinks": [1], "direction": [CUE]}, "blinks are given and how often eyes blink is too; leave one"),
        (
            {"poses": np.zeros((9, 6)), "direction": [CUE | {"what": "head_motion"}]},
            "poses are given and a cue of head_motion is too; leave one of them out",
        ),
        ({"direction": [CUE | {"what": "smile"}]}, "cue 1: smile is 2; it must be a number from 0 to 1"),
        ({"expression": "smile=x"}, "expression smile is 'x'; it must be a number from 0 to 1"),
        ({"gaze": "up"}, "gaze is 'up'; give x,y in degrees"),
    ],
)
def test_direction_that_is_wrong_or_twice_there_is_refused(given, said):
    with pytest.raises(errors.UserError) as caught:
        base.Request(**given).checked()
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given"),
    [("expression", {"smile": 0.3}), ("gaze", "camera"), ("blinks", [1.0]), ("direction", [CUE])],
)
def test_learned_keypoints_refuse_a_direction(name, given, tiny_checkpoint):
    request = base.Request(**{name: given}, phonemes=np.zeros(3, np.int32))
    with pytest.raises(errors.UserError, match=f"--{name} needs a checkpoint of the mesh family"):
        inputs.look(None, None, request, checkpoint=tiny_checkpoint)


def test_still_is_no_head_motion():
    assert base.Request(still=True, mouth=2).checked().scales == scales.Scales(0.0, 1.0, 2.0)
    assert base.Request(head_motion=np.float32(0.5)).checked().scales == scales.Scales(0.5)


@pytest.mark.parametrize(("name", "given"), [("head_motion", 2.0), ("blink", 0.0), ("mouth", 1.5)])
def test_learned_keypoints_refuse_what_they_cannot_do(name, given, tiny_checkpoint):
    request = base.Request(**{name: given}, phonemes=np.zeros(3, np.int32))
    option = f"--{name.replace('_', '-')}"
    said = f"{option} {given:g} needs a checkpoint of the mesh family.*; leave {option} out"
    with pytest.raises(errors.UserError, match=said):
        inputs.look(None, None, request, checkpoint=tiny_checkpoint)
    for more in ({"framing": "full"}, {"redub": True}):
        with pytest.raises(errors.UserError, match="a checkpoint of learned keypoints"):
            inputs.look(None, None, base.Request(**more), checkpoint=tiny_checkpoint)
    inputs.look(None, None, request._replace(head_motion=0.0, blink=1, mouth=1), checkpoint=tiny_checkpoint)
