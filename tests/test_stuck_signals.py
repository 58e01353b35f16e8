"""Signals to a process whose main thread is in a call that never ends, so that Python's handlers wait."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from avct_jax import compile_cache, stuck_signals
from avct_jax.cli import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into a lock of glibc")

# A lock taken twice: the second call waits for ever, and goes on waiting after a signal. glibc's lock is 2
# where somebody waits; a signal that came before would be heard by the handlers.
STUCK = """
import ctypes, pathlib, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from avct_jax.cli import main
from avct_jax.train.core import loop, stop_request
lock, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
libc.pthread_mutex_lock(lock)
def tell():
    while lock[0] != b"\\2":
        time.sleep(0.01)
    print("in", flush=True)
with {listening}:
    threading.Thread(target=tell, daemon=True).start()
    libc.pthread_mutex_lock(lock)
"""
TRAINING = "stop_request.listening(lambda: loop.has_checkpoint(pathlib.Path({!r})))"
WAIT = 60  # seconds, for a test that fails


def run_stuck(listening, number):
    """Returns the exit code and the lines that came after the first and the second signal."""
    command = [sys.executable, "-c", STUCK.format(listening=listening)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        late = threading.Timer(WAIT, process.kill)
        late.start()
        try:
            assert process.stdout.readline() == "in\n", process.stderr.read()
            for _ in range(1 if number == signal.SIGINT else 2):
                process.send_signal(number)  # `timeout` does so twice: to the process, and to its group
            first = process.stderr.readline()
            process.send_signal(number)
            said = process.communicate()[1]
        finally:
            late.cancel()
            process.kill()
    return process.returncode, first, said


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_a_command_in_the_middle_of_a_computation(number, code):
    ended, first, said = run_stuck("main._ending_cleanly()", number)
    assert ended == code and main_said(said) == "interrupted in the middle of a computation; " + (
        "unfinished files may be left"
    )
    assert "the running computation is waited for; once more ends at once" in first


@pytest.mark.parametrize("kept", [False, True])
def test_a_second_signal_ends_a_step_and_says_what_is_kept(tmp_path, kept):
    (tmp_path / "checkpoints" / ("12" if kept else "12.orbax-checkpoint-tmp")).mkdir(parents=True)
    ended, _, said = run_stuck(TRAINING.format(str(tmp_path)), signal.SIGTERM)
    assert ended == 143
    assert main_said(said) == "interrupted; " + (
        "the last checkpoint is kept" if kept else "nothing was kept yet"
    )


def main_said(text):
    return text.splitlines()[-1].removeprefix("avct: ")


class Left(Exception):
    """Stands for the end of a process."""


def _leave(code):
    raise Left(code)


@pytest.mark.parametrize(
    "end, code, line",
    [
        (KeyboardInterrupt(), 130, "avct: interrupted; nothing was left behind"),
        (SystemExit(143), 143, "avct: ended by SIGTERM; nothing was left behind"),
    ],
)
def test_what_a_signal_ends_leaves_at_once_with_a_line(end, code, line, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_in_use", tmp_path)
    for name, age in (("old", 10.0), ("half-written", 0.0)):
        (tmp_path / name).write_bytes(b"a program")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with pytest.raises(Left, match=str(code)), stuck_signals.ending_at_once(_leave):
        raise end
    assert capfd.readouterr().err == line + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_what_ends_otherwise_is_not_left_at_once():
    with stuck_signals.ending_at_once(_leave):
        pass
    for end in (SystemExit(2), SystemExit("a line"), ValueError()):
        with pytest.raises(type(end)), stuck_signals.ending_at_once(_leave):
            raise end


@pytest.fixture
def handlers():
    """A command that was ended ignores further signals; the tests go on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *main.ENDING)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in a shell's background
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number, end", [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_within_the_import_machinery_ends_the_command_after_it(handlers, number, end):
    """Raised there, it leaves Python's import lock taken, for which other threads then wait for ever."""
    done = []
    source = f"kill({os.getpid()}, {int(number)}); sleep({5 * stuck_signals.AGAIN}); done.append(1)"
    within = compile(source, stuck_signals.IMPORTER, "exec")
    with pytest.raises(end), main._ending_cleanly():
        exec(within, {"kill": os.kill, "sleep": time.sleep, "done": done})
        time.sleep(WAIT)
    assert done == [1]


@contextlib.contextmanager
def signal_within_gc(number, times=1):
    """Send the process a signal where Python can only print what its handler raises; so often."""
    sent = []

    def send(phase, _):
        if phase == "start" and len(sent) < times:
            sent.append(number)
            os.kill(os.getpid(), number)

    gc.callbacks.append(send)
    try:
        yield sent
    finally:
        gc.callbacks.remove(send)


@pytest.mark.parametrize(
    "number, kind, code", [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
@pytest.mark.parametrize("seconds", [20, 0])
def test_a_signal_within_garbage_collection_ends_a_command(number, kind, code, seconds, capsys, handlers):
    begun, alarm = time.monotonic(), signal.getsignal(signal.SIGALRM)
    with signal_within_gc(number) as sent, pytest.raises(kind) as ended, main._ending_cleanly():
        gc.collect()
        assert sent == [number]
        while time.monotonic() - begun < seconds:  # it would go on
            time.sleep(0.01)
    assert getattr(ended.value, "code", None) == code and time.monotonic() - begun < 10
    assert capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGALRM) is alarm and signal.getitimer(signal.ITIMER_REAL)[0] == 0
