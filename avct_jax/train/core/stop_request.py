"""Being asked to stop: SIGTERM (a scheduler's), Ctrl-C or a closed terminal end the step, not the process."""

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class StopRequest:
    """Whether a stop was asked for, and by which signal's name."""

    def __init__(self):
        self.signal = ""

    def __bool__(self) -> bool:
        return bool(self.signal)


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Note the first signal in what is yielded; a second Ctrl-C ends at once.

    Signals reach Python's main thread only: elsewhere nothing is listened to.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def hear(number, frame):
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt("interrupted; the last checkpoint is kept")
        request.signal = signal.Signals(number).name

    hung_up = getattr(signal, "SIGHUP", None)  # left alone where nohup asks so
    ignored = hung_up and signal.getsignal(hung_up) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (ignored and number == hung_up)]
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
