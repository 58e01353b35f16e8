"""Names and values of expressions: what is taken, and what is refused in one line."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax import face_topology as topology
from avct_jax.data.direction import expressions


def test_text_and_mapping_are_the_same():
    wanted = {"smile": 0.3, "brows": -0.2}
    assert expressions.read("smile=.3, brows=-.2") == wanted == expressions.read(wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("smile", "expression 'smile' must be such as smile=.3,brows=.2"),
        ("smile=2", "expression smile is '2'; it must be a number from 0 to 1, 0 is usual"),
        ("brows=-2", "expression brows is '-2'; it must be a number from -1 to 1, 0 is usual"),
        ({"smile": "much"}, "expression smile is 'much'; it must be a number"),
        ({"smile": True}, "expression smile is True; it must be a number"),
        ({"smlie": 0.3}, "expression 'smlie' is not known; choose of smile, frown,"),
        ({"jawOpen": 0.3}, "expression 'jawOpen' is speech's, or not drawn; choose of smile,"),
        ({"eyeLookUpLeft": 0.3}, "expression 'eyeLookUpLeft' is where eyes look; say it by gaze"),
        (0.3, "expression is 0.3; give names and values"),
    ],
)
def test_what_is_no_expression_is_refused(given, said):
    with pytest.raises(errors.UserError) as caught:
        expressions.read(given)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in expressions.DIRECTIONS if "eye" not in n])
def test_no_direction_opens_the_lips_or_moves_lids_by_displacement(name):
    moves = expressions.shown({name: np.ones(1)}, 1).offset()[0]
    upper, lower = (list(row[1:-1]) for row in (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP))
    apart = moves[lower, 1] - moves[upper, 1]
    assert apart.max() < 2e-3 and apart.min() > -0.03
    for rows in topology.APERTURES[1:]:
        assert np.abs(moves[list(rows[0] + rows[1])]).max() == 0


def test_a_blink_shuts_eyes_that_are_wide_or_narrow():
    lids = np.array([[-0.2, 0.25]])
    np.testing.assert_allclose(expressions.with_blinks(np.ones((1, 2)), lids), 1)
    np.testing.assert_allclose(expressions.with_blinks(np.zeros((1, 2)), lids), lids)
