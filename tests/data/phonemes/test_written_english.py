"""Abbreviations are read out as what they stand for, and nothing else is touched."""

import pytest

from avct_jax.data.phonemes import written_english


@pytest.mark.parametrize(
    "text, read",
    [
        ("See No. 7 and Nos. 8, 9.", "See number 7 and numbers 8, 9."),
        ("No. I will not.", "No. I will not."),
        ("It is less, i.e. 20% less.", "It is less, that is, 20% less."),
        ("E.g., dogs etc., e. g. mice etc.", "For example, dogs et cetera, for example, mice et cetera."),
        ("On Jan. 5, 1990 and Sept. 2, 2026.", "On January 5th, 1990 and September 2nd, 2026."),
        ("May 3, 2024; March 21. December 11", "May 3rd, 2024; March 21st. December 11th"),
        ("In March 12 men came.", "In March 12 men came."),
        ("A vs. B, p. 3, pp. 4-5, approx. 6 km", "A versus B, page 3, pages 4-5, approximately 6 km"),
        ("Mr. Jan. said hello at 3.30 p.m.", "Mr. Jan. said hello at 3.30 p.m."),
    ],
)  # fmt: skip
def test_abbreviations(text, read):
    assert written_english.read_out(text) == read
