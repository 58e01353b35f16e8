"""Being asked to stop: SIGTERM (a scheduler's), Ctrl-C or a closed terminal end the step, not the process."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

from avct_jax import stuck_signals

SIGNALS = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class StopRequest:
    """Whether a stop was asked for, and by which signal's name."""

    def __init__(self):
        self.signal = ""

    def __bool__(self) -> bool:
        return bool(self.signal)


class Interrupted(KeyboardInterrupt):
    """A second signal. code: the process's exit code. What it says is asked once a last save has ended."""

    def __init__(self, words: Callable[[], str], number: int):
        super().__init__()
        self.words, self.code = words, 128 + number

    def __str__(self) -> str:
        return self.words()


@contextlib.contextmanager
def listening(has_kept: Callable[[], bool] = lambda: False) -> Iterator[StopRequest]:
    """Note the first signal in what is yielded; a second one ends at once, also in the middle of a step.

    Signals reach Python's main thread only: elsewhere nothing is listened to.

    Args:
      has_kept: whether there is a checkpoint.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    first = 0.0

    def last_words() -> str:
        return f"interrupted; {'the last checkpoint is kept' if has_kept() else 'nothing was kept yet'}"

    def hear(number, frame):
        nonlocal first
        handled()
        if not request:
            request.signal, first = signal.Signals(number).name, time.monotonic()
        elif not stuck_signals.is_echo(first, number):
            raise Interrupted(last_words, number)

    hung_up = getattr(signal, "SIGHUP", None)  # left alone where nohup asks so
    ignored = hung_up and signal.getsignal(hung_up) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (ignored and number == hung_up)]
    with stuck_signals.watched(heard, last_words) as handled:
        before = {number: signal.signal(number, hear) for number in heard}
        try:
            yield request
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
