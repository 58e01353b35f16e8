"""What a mark says: encoded and read again, with errors, and refused where it is none."""

import datetime

import numpy as np

from avct_jax.marks import mark_payload

SAID = mark_payload.MarkPayload(installation=0xABCDEF, hours=7951)


def test_a_payload_is_read_again():
    for said in (SAID, mark_payload.MarkPayload(), mark_payload.MarkPayload(2**24 - 1, 2**18 - 1)):
        signs = mark_payload.encode(said)
        assert signs.shape == (1024,) and set(signs) == {-1, 1}
        assert mark_payload.decode(signs.astype(float)) == said


def test_most_signs_may_be_wrong_or_soft():
    rng, signs = np.random.default_rng(0), mark_payload.encode(SAID)
    wrong = signs.astype(float)
    wrong[rng.choice(1024, 320, replace=False)] *= -1
    assert mark_payload.decode(3 * wrong) == SAID
    noisy = [mark_payload.decode(signs + rng.normal(0, 2.5, 1024)) for _ in range(4)]
    assert noisy.count(SAID) == 4


def test_what_is_none_is_refused():
    rng = np.random.default_rng(1)
    assert [mark_payload.decode(rng.normal(0, 1, 1024)) for _ in range(5)] == [None] * 5
    assert mark_payload.decode(np.ones(1024)) is None
    assert mark_payload.decode(-mark_payload.encode(SAID).astype(float)) != SAID


def test_time_is_told_by_the_hour():
    time = datetime.datetime(2026, 11, 28, 7, 59, tzinfo=datetime.UTC)
    said = mark_payload.now(5, time)
    assert said == mark_payload.MarkPayload(5, 7951) and said.time == time.replace(minute=0)
    before = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    assert mark_payload.now(0, before).hours == 0
