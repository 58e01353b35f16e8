"""A live stream for an hour of its own time, faster than the clock: does memory grow, does audio drift?

  python -m scripts.benchmarks.live_soak --pace 0 --most-minutes 18 --json soak.json     every image drawn
  python -m scripts.benchmarks.live_soak --pace 4 --json soak.json                       by a faster clock
  python -m scripts.benchmarks.live_soak --pace 0 --hours 0.034                          to try it

The demo's portrait says parts of the demo's sentence, of random length, in random pieces; some replies are
interrupted. Pace 0 has no clock: frames come as fast as they are drawn, each of them, and an hour takes what
90,000 images take. By a clock every frame is heard, planned and marked, but where the machine draws slower
than the pace asks, images are repeated, and where it plans slower the clock is moved on, which is told as
drift. Smaller images hardly help: 29 ms of processor time a frame at 96 px, 37 at 256.
"""

import argparse
import functools
import gc
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from avct_jax import demo, malloc, progress
from avct_jax.data.speech import audio_io, pcm
from avct_jax.live import clock, frames, stream

WARM = 1500  # frames = a minute, in which memory may still grow
LOOKS = 60  # at memory, at most one a minute


class FastClock(clock.RealClock):
    """The machine's clock, run faster."""

    def __init__(self, pace: float):
        """Run it so many times as fast."""
        self._pace = pace

    def now(self) -> float:
        """Seconds that never go back."""
        return super().now() * self._pace

    def sleep(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until a frame is due."""
        super().sleep(condition, seconds / self._pace)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for another thread's notice."""
        super().wait(condition, None if seconds is None else seconds / self._pace)


def resident() -> int:
    """Bytes that the process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


class Talker:
    """Pushes replies at random, in a thread of its own as who talks does, and knows what has to come out."""

    def __init__(self, live: stream.Stream, voice: np.ndarray, seed: int):
        """Begin to talk."""
        self._live, self._voice, self._random = live, voice, random.Random(seed)
        self.expected: list[np.ndarray] = []
        self.replies = self.interrupted = 0

    def talk(self, *, beside: bool) -> None:
        """Push one reply, in pieces; beside what follows, or before it."""
        length = self._random.randint(4000, 80_000)
        begin = self._random.randrange(len(self._voice))
        reply = np.take(self._voice, np.arange(begin, begin + length), mode="wrap")
        ends = [0]
        while ends[-1] < length:
            ends.append(min(length, ends[-1] + self._random.randint(100, 20_000)))
        self.replies += 1
        self.expected.append(reply)
        said = threading.Thread(target=self._say, args=(reply, ends, self._live.interruptions))
        said.start()
        if not beside:
            said.join()

    def _say(self, reply: np.ndarray, ends: list[int], since: int) -> None:
        for begin, end in itertools.pairwise(ends):
            push = functools.partial(self._live.push_audio, reply[begin:end], pcm.RATE)
            self._live.unless_interrupted(since, push)
        self._live.unless_interrupted(since, self._live.flush)


def shown(live: stream.Stream) -> Iterator[frames.StreamFrame]:
    """Frames without end; where there is no clock, idle ones where nothing is to be said."""
    while True:
        if (frame := live.next_frame()) is not None:
            yield frame
        else:
            yield from list(live.idle(stream.CHUNK))


def soak(hours: float, pace: float, size: int, seed: int, most: float) -> dict[str, Any]:
    """Run it; what was seen.

    Args:
      pace: times the clock's speed; 0: without a clock.
      most: seconds after which it ends, however much has been said.
    """
    malloc.keep_freed()  # as `avct serve` does
    with demo.sentence() as path:
        voice = pcm.whole(audio_io.read_audio(path))
    wanted = int(hours * 3600 * stream.Stream.frame_rate)
    warm = min(WARM, wanted // 2)
    every = max(1, min(WARM, (wanted - warm) // LOOKS))
    ends = wrong = 0
    memory: list[int] = []
    heard: list[np.ndarray] = []
    timed: dict[str, Any] = {"clock": FastClock(pace)} if pace else {"paced": False}
    with stream.Stream(demo.portrait(), size=size, **timed) as live:
        gc.collect()
        gc.freeze()  # as it does
        talker, began, count = Talker(live, voice, seed), None, 0
        rest = random.Random(seed + 1)
        wait, cut = 25, None
        for count, frame in zip(range(wanted), shown(live), strict=False):
            began = time.monotonic() if began is None else began
            if time.monotonic() - began > most:
                break
            if frame.audio is not None:
                heard.append(frame.audio)
            if frame.end_of_speech:
                ends += 1
                wrong += not _same(heard, talker.expected.pop())
                heard, wait, cut = [], rest.randint(0, 75), None
            elif cut is not None and len(heard) >= cut:
                live.interrupt()
                talker.interrupted += 1
                wrong += not _begins(heard, talker.expected.pop())
                heard, wait, cut = [], rest.randint(0, 25), None
            elif wait is not None and (wait := wait - 1) < 0:
                talker.talk(beside=bool(pace))
                wait, cut = None, rest.randint(1, 20) if rest.random() < 0.3 else None
            if count >= warm and count % every == 0:
                memory.append(resident())
            if count % WARM == 0 and memory:
                progress.note(f"{count} of {wanted} frames, {memory[-1] / 2**20:.1f} MiB")
        spent = time.monotonic() - (began or 0.0)
        repeated, done, moved_on = live.latency.repeated, count + 1, live.latency.moved_on
        drift = spent * pace - (done - 1) / live.frame_rate if pace else 0.0
    memory = memory or [resident()]
    first, last = np.median(memory[:10]), np.median(memory[-10:])  # a reply's arrays come and go
    return {
        "frames": done, "pace": pace, "minutes": round(spent / 60, 1), "replies": talker.replies,
        "interrupted": talker.interrupted, "ends": ends, "wrong_replies": wrong, "drawn": done - repeated,
        "repeated": repeated, "drift_s": round(drift, 3), "moved_on_s": round(moved_on, 3),
        "memory_begin_MiB": round(first / 2**20, 1), "memory_end_MiB": round(last / 2**20, 1),
        "memory_growth": round(float(last / first - 1), 4),
        "memory_spread": round((max(memory) - min(memory)) / min(memory), 4),
    }  # fmt: skip


def _same(heard, reply):
    found = np.concatenate(heard)
    return np.array_equal(found[: len(reply)], reply) and not found[len(reply) :].any()


def _begins(heard, reply):
    found = np.concatenate([*heard, np.zeros(0, np.int16)])[: len(reply)]
    return np.array_equal(found, reply[: len(found)])


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(description="Run a live stream for an hour of its own time.")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--pace", type=float, default=4.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--most-minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args()
    found = soak(options.hours, options.pace, options.size, options.seed, 60 * options.most_minutes)
    for name, value in found.items():
        print(f"{name:<20}{value}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
    return int(bool(found["wrong_replies"]))


if __name__ == "__main__":
    sys.exit(main())
