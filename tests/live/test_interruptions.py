"""A thousand interruptions at random moments, beside a plain account of what must come."""

import collections

import numpy as np
import pytest

from avct_jax.data.speech import hearing, pcm, streaming_features
from avct_jax.live import frame_stream
from tests.live import live_parts

FRAME = hearing.FRAME
RATES = (16000, 16000, 8000, 22050, 24000, 48000)  # samples/s
LONGEST = 0.4  # seconds of a piece


@pytest.fixture(autouse=True)
def _no_measures(monkeypatch):
    """Speed: what the voice is like takes most of the time of these tests."""
    monkeypatch.setattr(streaming_features, "pitch", lambda audio: np.zeros(4))
    monkeypatch.setattr(hearing, "silent", lambda heard, begin, count, known: np.zeros(count, bool))


class Account:
    """What must come out of a stream: the replies that were pushed and not dropped, and what they still have.

    Attributes:
      kept: replies that ended.
      dropped: replies that were interrupted.
      interruptions: in all.
    """

    def __init__(self, stream, rng):
        """Begin with nothing said."""
        self.stream, self.rng = stream, rng
        self.replies, self.index = collections.deque(), 0
        self.kept = self.dropped = self.interruptions = 0
        self.since = 10**6  # frames without speech since the last interruption

    def push(self):
        """Push a piece of noise of any length and rate, which may be the last of its reply."""
        if not self.replies or self.replies[-1]["ended"]:
            self.replies.append(
                {"sound": np.zeros(0, np.int16), "ended": False, "resampler": pcm.Resampler()}
            )
        rate, last = int(self.rng.choice(RATES)), self.rng.random() < 0.2
        count = int(self.rng.integers(LONGEST * rate)) if self.rng.random() < 0.9 else 0
        piece = self.rng.integers(-9000, 9000, count).astype(np.int16)
        self.stream.push_audio(piece, rate, last_chunk=last)
        self._hear(self.replies[-1]["resampler"].push(piece, rate))
        if last:
            self._end()

    def flush(self):
        """End a reply, if there is one."""
        open_ = bool(self.replies) and not self.replies[-1]["ended"]
        assert self.stream.flush() is open_
        if open_:
            self._end()

    def interrupt(self):
        """Drop all."""
        self.stream.interrupt()
        self.interruptions += 1
        self.dropped += len(self.replies)
        self.replies.clear()
        self.since = 0

    def see(self, frame):
        """Compare a frame with what must come."""
        assert frame.index == self.index and frame.speaking == (frame.audio is not None)
        self.index += 1
        self.since = 10**6 if frame.speaking else self.since + 1
        if 3 <= self.since < 10**6:
            assert frame.image[0, 0, 0] == 0, "the mouth is open in the third frame"
        if frame.speaking:
            reply = self.replies[0]
            expected, reply["sound"] = reply["sound"][:FRAME], reply["sound"][FRAME:]
            assert len(expected) == FRAME or (reply["ended"] and frame.end_of_speech)
            np.testing.assert_array_equal(frame.audio, np.pad(expected, (0, FRAME - len(expected))))
        if frame.end_of_speech:
            reply = self.replies.popleft()
            assert reply["ended"] and not len(reply["sound"])
            self.kept += 1

    def _hear(self, samples):
        self.replies[-1]["sound"] = np.append(self.replies[-1]["sound"], samples)

    def _end(self):
        self._hear(self.replies[-1]["resampler"].finish())
        self.replies[-1]["ended"] = True


def converse(account, interruptions, take, drain):
    """Push, end, interrupt and take as it comes, then say what is left."""
    rng = account.rng
    while account.interruptions < interruptions:
        deed = rng.choice(["push", "flush", "interrupt", "take"], p=[0.34, 0.08, 0.25, 0.33])
        if deed == "take":
            take(int(rng.integers(1, 9)))
        else:
            getattr(account, deed)()
    account.push()
    account.flush()
    drain()
    assert not account.replies and account.kept > interruptions / 20 and account.dropped > interruptions / 5


def test_unpaced_stream_keeps_account():
    with frame_stream.FrameStream(live_parts.new_session(), live_parts.draw) as stream:
        account = Account(stream, np.random.default_rng(1))

        def take(count):
            for _ in range(count):
                if (frame := stream.next_frame()) is None:
                    break
                account.see(frame)
            if not account.replies:
                for frame in stream.idle(count):
                    account.see(frame)

        def drain():
            for frame in stream:
                account.see(frame)

        converse(account, 500, take, drain)


def test_paced_stream_keeps_account():
    session, clock = live_parts.new_session(), live_parts.FakeClock()
    with frame_stream.FrameStream(session, live_parts.draw, paced=True, clock=clock) as stream:
        account = Account(stream, np.random.default_rng(2))

        def take(count):
            for _ in range(count):
                account.see(stream.next_frame())

        def drain():
            while account.replies:
                account.see(stream.next_frame())

        converse(account, 500, take, drain)
