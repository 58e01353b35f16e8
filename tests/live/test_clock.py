"""Callers of a stream come between the chunks of its worker."""

import threading

import pytest

from avct_jax.live import clock


def test_caller_comes_after_the_chunk_that_is_being_planned():
    """The worker locks again at once, and would always be first."""
    turns, order, inside = clock.Turns(), [], threading.Event()

    def work():
        with turns.worker():
            inside.set()
            with turns._changed:
                assert turns._changed.wait_for(lambda: turns._callers, 10)
        with turns.worker():
            order.append("worker")

    def call():
        with turns.caller(), turns.caller():  # within one's own turn as well
            order.append("caller")

    threads = [threading.Thread(target=target, daemon=True) for target in (work, call)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert order == ["caller", "worker"]


def test_caller_that_fails_lets_the_worker_go_on():
    turns, done = clock.Turns(), threading.Event()

    def work():
        with turns.worker():
            done.set()

    with pytest.raises(ValueError, match="bad"), turns.caller():
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        assert not done.wait(0.05)
        raise ValueError("bad")
    assert done.wait(10)
