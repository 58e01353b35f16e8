"""Work beside other work."""

import logging
import threading

import pytest

from avct_jax import errors
from avct_jax.animator import background, notes

log = logging.getLogger("avct_jax.tests")


def test_work_is_done_beside_and_its_notes_come_with_what_it_returns():
    begun, told = threading.Event(), ["before"]

    def work(noted):
        begun.wait(10)
        noted.append("a note")
        log.warning("a  warning")
        return 3

    with notes.gathered(told):
        beside = background.Background(work)
        log.warning("meanwhile")
        begun.set()
        assert beside.result(told) == 3
    assert told == ["before", "meanwhile", "a note", "a warning"]


def test_what_it_raises_is_raised_where_it_is_waited_for():
    def work(noted):
        raise errors.UserError("no sound")

    beside = background.Background(work)
    with pytest.raises(errors.UserError, match="no sound"):
        beside.result([])
