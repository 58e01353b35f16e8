"""Planned frames drawn and handed over: as fast as they are asked for, or by a clock."""

import collections
import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from avct_jax import arguments, errors
from avct_jax.animator import scales as factors
from avct_jax.data.direction import eased
from avct_jax.data.speech import pcm
from avct_jax.live import clock as clocks
from avct_jax.live import frame_planner, frames
from avct_jax.live.latency import StreamLatency
from avct_jax.models.mesh import face_mesh

Sound = Any  # what pcm.samples takes
Rate = Any  # a whole number
Phonemes = Any  # what hints.read takes
Expression = Any  # what expressions.read takes
Gaze = Any  # what gaze.read takes
Some = TypeVar("Some", bound="FrameStream")
Draw = Callable[[Sequence[face_mesh.Controls]], UInt8[np.ndarray, "n h w 3"]]

FRAME = 1 / frame_planner.FRAME_RATE  # seconds
BEHIND = 2 * FRAME  # seconds: frames that would come later show the last image again
CATCH_UP = 25 * FRAME  # seconds: who asks so late, once, gets the next ones sooner; who later, begins anew
SPARE = 6  # frames planned beyond those being drawn, whose audio is there if their images are late
STARVING = 1  # frames: so few are left of a reply whose audio is late when the mouth is brought to rest
CLOSED = "the stream is closed; make another one"


class FrameStream:
    """Planned frames, drawn; see `Stream`."""

    frame_rate = frame_planner.FRAME_RATE
    sample_rate = pcm.RATE
    size: tuple[int, int] = (0, 0)  # px; what a Stream sets, and so are the notes
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        planner: frame_planner.FramePlanner,
        draw: Draw,
        *,
        chunk: int = 2,
        paced: bool = False,
        queue: int = 12,
        clock: clocks.Clock | None = None,
        mark: Callable[..., Any] | None = None,
        ready_direction: Callable[[], None] = lambda: None,
    ):
        """Take what plans and what draws.

        Args:
          planner: whose frames they are.
          draw: makes images of at most a chunk of controls.
          chunk: frames that are drawn at once.
          paced: frames come at 25 a second, and a thread draws them ahead.
          queue: frames at most that are ahead of the one that was handed over last.
          clock: the time by which they come.
          mark: marks frames of which the first has the number `first`, see marks/watermark.py.
          ready_direction: called before the first expression or gaze is told.
        """
        self._ready_direction, self._mark = ready_direction, mark
        self.latency = StreamLatency(planner.chunk, planner.ahead)
        self._planner, self._draw, self._queue, self._chunk = planner, draw, queue, chunk
        self._paced, self._clock = paced, clock or clocks.RealClock()
        # Planning takes the first lock, for it takes long; taking frames the second, interrupting both.
        self._planning, self._changed = clocks.Turns(), threading.Condition()
        self._changes = 0
        self._closed, self._failed = False, None
        self._last: Any = None  # image
        self._start: float | None = None  # when frame 0 was due
        self._drawing = 0.0  # seconds that the last chunk took
        self._dropped = 0  # how often all was dropped
        self._begun: collections.deque[float | None] = collections.deque()  # replies were; None: in a row
        self._told = True  # whether the reply's first frame has come
        self._worker = threading.Thread(target=self._work, name="avct stream", daemon=True) if paced else None
        if self._worker:
            self._worker.start()

    def push_audio(
        self, pcm: Sound, sample_rate: Rate, *, phonemes: Phonemes | None = None, last_chunk: bool = False
    ) -> None:
        """Say a piece of audio: of the present reply, or of a new one.

        Args:
          pcm: mono, of any length: int16, floats of -1 to 1, or bytes of int16.
          sample_rate: samples a second.
          phonemes: (symbol, start, end) rows of what is known to be said, ARPAbet or IPA, seconds since the
            reply began; with the audio that they are about, or before it.
          last_chunk: the reply ends with it.

        Raises:
          UserError: it cannot be taken, or the stream is closed.
        """
        last_chunk = arguments.flag(last_chunk, "last_chunk")
        with self._planning.caller():
            self._check_open()
            speaking, open_ = self._planner.speaking, self._planner.open
            self._planner.push(pcm, sample_rate, phonemes=phonemes)
            if not open_:
                self._begun.append(None if speaking else self._clock.now())
            if last_chunk:
                self._planner.flush()
        self._tell()

    def flush(self) -> bool:
        """End the present reply, of which no audio will follow; False where there is none."""
        with self._planning.caller():
            self._check_open()
            ended = self._planner.flush()
        self._tell()
        return ended

    def interrupt(self) -> None:
        """Drop all that has not been handed over; the mouth is shut in the third frame, the head goes on."""
        with self._planning.caller(), self._changed:
            self._check_open()
            self._planner.interrupt()
            self._dropped += 1
            self._begun.clear()
            self._told = True
            if self._paced:  # at once: the next image may be late, its frame must not
                self._planner.plan_idle(self._chunk)
        self._tell()

    @property
    def scales(self) -> factors.Scales:
        """Factors on head motion, blinks and mouth, which the face goes towards."""
        return self._planner.scales

    def adjust(
        self,
        *,
        head_motion: float | None = None,
        blink: float | None = None,
        mouth: float | None = None,
        expression: Expression | None = None,
        gaze: Gaze | None = None,
    ) -> None:
        """Do more or less from the next chunk that is planned, from any thread.

        The face goes there within some 10 frames, so nothing jumps. What is not named stays. The first
        expression or gaze takes a second or more, for its program is another one; frames go on meanwhile.

        Args:
          head_motion: factor on how far the head turns and shifts, 0 to 3; below 1 on the brows as well.
          blink: factor on how often the eyes blink, 0 to 4.
          mouth: factor on how far the mouth moves, 0 to 2.
          expression: names and values, {"smile": 0.3}, instead of those before; {} is none.
          gaze: where the eyes look: "camera", degrees off it, (right, up), or "free": made up.

        Raises:
          UserError: one is no number or out of its range, which leaves all as they were; or the stream is
            closed.
        """
        told = expression is not None or gaze is not None
        if told:
            eased.at_rest().told(expression, gaze)  # or refused, before time is spent
            self._ready_direction()
        with self._planning.caller():
            self._check_open()
            self._planner.adjust(
                self._planner.scales.adjusted(head_motion=head_motion, blink=blink, mouth=mouth)
            )
            if told:
                self._planner.direct(expression=expression, gaze=gaze)

    @property
    def interruptions(self) -> int:
        """How many there were."""
        return self._dropped

    def unless_interrupted(self, since: int, call: Callable[[], Any]) -> None:
        """Call what is about a reply, but not where there were more interruptions than `since`."""
        with self._planning.caller():
            if self._dropped == since:
                call()

    def restart_latency(self) -> None:
        """Forget what has been measured so far."""
        with self._changed:
            self.latency = StreamLatency(self._planner.chunk, self._planner.ahead)

    def close(self) -> None:
        """End the stream; iterators end too."""
        with self._changed:
            self._closed = True
        self._tell()
        if self._worker and self._worker is not threading.current_thread():
            self._worker.join()

    def __enter__(self: Some) -> Some:
        """Be closed at the end."""
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __iter__(self) -> Iterator[frames.StreamFrame]:
        """Yield frames: of a paced stream without end, else those for which there is audio."""
        while (frame := self.next_frame()) is not None:
            yield frame

    def next_frame(self) -> frames.StreamFrame | None:
        """Return the next frame, a paced stream's when it is due; None where there is none."""
        if self._paced:
            return self._next_paced()
        if self._closed or not (self._planner.planned or self._planner.plan_speech()):
            return None
        return self._next_unpaced()

    def idle(self, count: int) -> Generator[frames.StreamFrame, None, None]:
        """Yield so many frames in which nobody speaks; of a stream that is not paced.

        Raises:
          UserError: a reply is being said, or the stream is closed or paced.
        """
        count = arguments.whole_number(count, "the number of idle frames") or 0
        self._check_open()
        if self._paced:
            raise errors.UserError("a paced stream has idle frames of its own; iterate over it")
        if self._planner.speaking or self._planner.planned:
            raise errors.UserError("a reply is being said; flush it and iterate over its frames first")
        for done in range(0, count, self._chunk):
            self._planner.plan_idle(min(self._chunk, count - done))
            while self._planner.planned:
                yield self._next_unpaced()

    def _next_unpaced(self) -> frames.StreamFrame:
        if self._planner.planned[0].image is None:
            began = self._clock.now()
            self._draw_all(self._undrawn(), began)
        return self._take()

    def _undrawn(self) -> list[frame_planner.FramePlan]:
        """The next frames to be drawn, at most a chunk; not those that would come too late anyway."""
        plans = [plan for plan in self._planner.planned if plan.image is None]
        if self._start is not None:
            ready = self._clock.now() + self._drawing
            kept = [plan for plan in plans if self._start + plan.index * FRAME + BEHIND >= ready]
            plans = kept or plans[-self._chunk :]
        return plans[: self._chunk]

    def _draw_all(self, plans, began):
        dropped = self._dropped
        started = self._clock.now()
        images = self._draw([plan.controls for plan in plans])
        with self._changed:
            for plan, image in zip(plans, images, strict=True):
                plan.image = image
            if dropped == self._dropped and self._paced:
                last = self._planner.planned[0].index if self._planner.planned else plans[-1].index + 1
                if plans[-1].index < last:  # all too late: still newer than what is shown
                    self._last = images[-1]
            self._drawing = self._clock.now() - started
            self.latency.saw_frames(self._clock.now() - began, len(plans))
            self._changed.notify_all()

    def _take(self) -> frames.StreamFrame:
        plan = self._planner.take()
        if plan.image is None:
            self.latency.repeated += 1
        else:
            self._last = plan.image
        speaking = plan.audio is not None
        if speaking and self._told and self._begun:
            began = self._begun.popleft()
            if began is not None:
                self.latency.saw_first_frame(self._clock.now() - began)
        self._told = plan.end_of_speech if speaking else self._told
        pts = plan.index * FRAME
        shown = self._last if self._mark is None else self._mark(self._last[None], first=plan.index)[0]
        return frames.StreamFrame(shown, plan.audio, pts, plan.index, speaking, plan.end_of_speech)

    def _next_paced(self) -> frames.StreamFrame | None:
        with self._changed:  # an interruption waits, so that what was waited for is there
            due = self.wait_until_due()
            return None if due is None else self.take_due(due)

    def wait_until_due(self) -> float | None:
        """Wait for the next frame of a paced stream; return when it was due, None where the stream is closed.

        Raises:
          Exception: drawing failed.
        """
        with self._changed:
            due = self._due()
            while not self._closed:
                if self._failed is not None:
                    raise self._failed
                now = self._clock.now()
                if now < due:
                    self._clock.sleep(self._changed, due - now)
                elif self._is_there(now, due):
                    return due
                else:  # once it is late, what is planned counts: without an end, for polling takes a core
                    left = due + BEHIND - now
                    self._clock.wait(self._changed, left if left > 0 and self._last is not None else None)
        return None

    def take_due(self, due: float) -> frames.StreamFrame | None:
        """Take the frame that was waited for; None where an interruption has dropped it since."""
        with self._changed:
            now = self._clock.now()
            if self._closed or not self._is_there(now, due):
                return None
            self.latency.saw_lateness(now - due)
            frame = self._take()
            self._tell()  # there is room
            return frame

    def _is_there(self, now: float, due: float) -> bool:
        """Whether the next frame is drawn, or so late that the last image has to do."""
        planned, late = self._planner.planned, self._last is not None and now - due >= BEHIND
        return bool(planned) and (late or planned[0].image is not None)

    def _due(self) -> float:
        """When the next frame is; later for who was very late to ask."""
        now, index = self._clock.now(), self._planner.index
        late = 0.0 if self._start is None else now - (self._start + index * FRAME)
        if self._start is None or late > CATCH_UP:
            self._start = now - index * FRAME
            self.latency.moved_on += late
        return self._start + index * FRAME

    def _work(self) -> None:
        """Plan and draw ahead until the stream is closed."""
        try:
            while not self._closed:
                began, seen = self._clock.now(), self._changes
                self._plan_ahead()
                with self._changed:
                    plans = self._undrawn()
                    self._changed.notify_all()  # frames whose images may be repeated
                    while not plans and self._changes == seen:
                        self._clock.rest(self._changed)
                if plans and not self._closed:
                    self._draw_all(plans, began)
        except Exception as error:
            with self._changed:
                self._failed = error
            self._tell()

    def _plan_ahead(self) -> None:
        """Plan as far as audio, queue and need go."""
        told = self._planner.told
        while self._plan_chunk(told):
            with self._changed:
                self._changed.notify_all()  # frames whose images may be repeated

    def _plan_chunk(self, told: bool) -> bool:
        """Plan the next frames; False where enough are. Where none of a reply was `told`, few are."""
        with self._planning.worker():
            planned = self._planner.planned
            with self._changed:
                ready = sum(plan.image is not None for plan in planned)
            needed = ready + self._chunk + (SPARE if told else 0)  # the first of a reply are drawn at once
            wanted = needed if self._planner.told else self._queue
            if (
                len(planned) < min(wanted, self._queue - self._planner.chunk + 1)
                and self._planner.plan_speech()
            ):
                return True
            if len(planned) <= (STARVING if self._planner.told else self._idle_ahead()):
                self._planner.plan_idle(self._chunk)
                return True
            return False

    def _idle_ahead(self) -> int:
        """Frames planned at least where nobody speaks: those that are shown while a chunk is drawn."""
        if self._start is None:
            return self._chunk
        busy = self._clock.now() + self._drawing - (self._start + self._planner.index * FRAME)
        return min(max(self._chunk, math.ceil(busy / FRAME)), self._queue - self._chunk)

    def _tell(self) -> None:
        """Wake the other threads."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _check_open(self):
        if self._closed:
            raise errors.UserError(CLOSED)
