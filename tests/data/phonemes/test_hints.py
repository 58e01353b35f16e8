"""Phonemes that come with the audio."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.phonemes import hints, symbols
from avct_jax.data.speech import mesh_features


def test_hints_raise_what_is_said_as_told_does():
    read = hints.read([("AA1", 0.08, 0.2), ("SIL", 0.2, 0.24)])
    quiet = mesh_features.silence(8)
    labels = np.full(8, symbols.NSN)
    labels[2:5], labels[5] = symbols.INDEX["AA"], symbols.SIL
    expected = mesh_features.told(quiet, labels).posteriors
    floors = hints.floors(read, 0, 8)
    np.testing.assert_allclose(np.maximum(quiet.posteriors, floors), expected)
    np.testing.assert_array_equal(hints.floors(read, 3, 4), floors[3:7])
    assert np.isneginf(hints.floors(read, -3, 3)).all() and np.isneginf(floors[6:]).all()


@pytest.mark.parametrize("symbol", ["aɪ", "AY", "ay2", "AX", "tʃ"])  # noqa: RUF001
def test_symbols_are_arpabet_or_ipa(symbol):
    (hint,) = hints.read([(symbol, 0, 0.04)])
    assert hint.columns and (hint.begin, hint.end) == (0, 2)
    assert hints.read(None) == [] and hints.read([("NSN", 0, 1)])[0].columns == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("AA", "phonemes of str"),
        (5, "phonemes of int"),
        ([("AA", 1)], "give \\(symbol, start, end\\)"),
        ([("AA", 0.5, 0.2)], "ends before it begins"),
        ([("AA", -1, 0.2)], "before 0"),
        ([("AA", 0, float("nan"))], "give \\(symbol"),
        ([("QQ9", 0, 1)], "not known"),
    ],
)
def test_others_are_refused_in_one_line(given, message):
    with pytest.raises(errors.UserError, match=message) as caught:
        hints.read(given)
    assert "\n" not in str(caught.value)
