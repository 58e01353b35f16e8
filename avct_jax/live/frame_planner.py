"""What a live stream shows and says, frame by frame, without pictures, threads or clock.

Audio goes in, planned frames come out in order. A frame counts once it is taken; what has been planned but
not taken can be dropped, and the face goes on from the last frame that was taken.
"""

import collections
import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from avct_jax.animator import scales as factors
from avct_jax.data.direction import eased
from avct_jax.data.faces import head_motion_bank
from avct_jax.data.phonemes import hints
from avct_jax.data.speech import hearing, pcm
from avct_jax.live import demeanour, ears, mouth
from avct_jax.live.reply import Reply
from avct_jax.models.mesh import face_mesh

FRAME_RATE = head_motion_bank.FRAME_RATE  # frames/s


class Face(NamedTuple):
    """All that a next frame hangs on beside the audio.

    Attributes:
      index: of the next frame.
      demeanour: head, eyes and brows.
      lips: where they are.
      manner: how far they usually open.
      poses: of the last frames, rotation vector (rad) and shift (eye distances).
      opening: scale of the mouth's motion, eased, the slow pole last.
      direction: expression and gaze; None: never told.
    """

    index: int
    demeanour: demeanour.Demeanour
    lips: mouth.Lips
    manner: mouth.Manner
    poses: Float[np.ndarray, "r 6"]
    opening: tuple[float, ...]
    direction: eased.EasedDirection | None = None


@dataclasses.dataclass(eq=False)
class FramePlan:
    """A frame before it is drawn.

    Attributes:
      index: number of the frame.
      controls: what moves the face, one row each.
      audio: its 40 ms of audio, None while nobody speaks.
      end_of_speech: whether a reply ends with it.
      after: the face's state once it has been shown.
      image: what has been drawn of it.
    """

    index: int
    controls: face_mesh.Controls
    audio: Int16[np.ndarray, " 640"] | None
    end_of_speech: bool
    after: Face
    image: Any = None


class FramePlanner:
    """Replies in, planned frames out."""

    def __init__(
        self,
        heard_by: ears.Ears,
        moves: mouth.Mouth,
        settings: demeanour.Settings,
        opening: float = 1.0,
        face: eased.LiveFace | None = None,
        direction: eased.EasedDirection | None = None,
    ):
        """Begin with a face at rest.

        Args:
          heard_by: what recognises phonemes.
          moves: the mouth, for chunks of the same length.
          settings: head, eyes and brows.
          opening: factor on the mouth's motion, 0 to 2.
          face: that is directed; None: none is.
          direction: from the start; None: none.
        """
        self._face, self._direction = face, direction
        self.chunk, self.ahead = heard_by.chunk, heard_by.ahead
        self.planned: collections.deque[FramePlan] = collections.deque()
        self._ears, self._mouth, self._settings = heard_by, moves, settings
        self._replies: collections.deque[Reply] = collections.deque()
        self._opening = opening
        self._heard: hearing.Hearing | None = None  # of the reply before
        poses = np.zeros((moves.radius, 6), np.float32)
        state = demeanour.begin(settings)
        begun = Face(0, state, moves.lips_at_rest(), mouth.Manner(), poses, (opening, opening), direction)
        self._shown = self._planned_to = begun

    @property
    def speaking(self) -> bool:
        """Whether a reply has been begun and not been planned to its end."""
        return bool(self._replies)

    @property
    def open(self) -> bool:
        """Whether a reply goes on, to which audio is added."""
        return bool(self._replies) and not self._replies[-1].ended

    @property
    def told(self) -> bool:
        """Whether the present reply has been planned in part."""
        return bool(self._replies) and self._replies[0].next > 0

    @property
    def index(self) -> int:
        """Number of the next frame to be taken."""
        return self._shown.index

    @property
    def scales(self) -> factors.Scales:
        """Factors on what the face does, which it goes towards."""
        return factors.Scales(self._settings.scale, self._settings.blink, self._opening)

    def adjust(self, wanted: factors.Scales) -> None:
        """Go towards other factors, from the next frame that is planned."""
        self._settings = self._settings._replace(scale=wanted.head_motion, blink=wanted.blink)
        self._opening = wanted.mouth

    def direct(self, *, expression: Any = None, gaze: Any = None) -> None:
        """Go towards another expression or gaze, see `eased.EasedDirection.told`.

        Raises:
          UserError: one is of another kind or out of its range.
        """
        self._direction = (self._direction or eased.at_rest()).told(expression, gaze)

    def push(self, pcm_: Any, sample_rate: Any, *, phonemes: Any = None) -> None:
        """Take a piece of the present reply, or begin one.

        Raises:
          UserError: it is no mono audio, or the phonemes are of another form.
        """
        rate, piece, told = pcm.checked_rate(sample_rate), pcm.samples(pcm_), hints.read(phonemes)
        if not self.open:
            self._replies.append(Reply(self._ears.back))
        self._replies[-1].hints.extend(told)
        self._replies[-1].push(piece, rate)

    def flush(self) -> bool:
        """End the present reply; False where there is none."""
        if not self.open:
            return False
        self._replies[-1].end()
        return True

    def interrupt(self) -> None:
        """Drop all that has not been taken; the mouth shuts, the head goes on."""
        self._finish_hearing()
        self._replies.clear()
        self.planned.clear()
        self._planned_to = self._shown._replace(lips=mouth.cut(self._shown.lips))

    def plan_speech(self) -> bool:
        """Plan the next chunk of the present reply; False where its audio has not come, or there is none."""
        if not self._replies:
            return False
        reply = self._replies[0]
        if reply.empty:
            self._replies.popleft()
            self.plan_idle(1, end_of_speech=True)
            return True
        known = reply.next + self.chunk + self._ears.ahead
        if not reply.receive(known):
            return False
        logs = self._ears.begin(reply, reply.next, known)  # beside the measuring
        reply.measure(self._heard)
        self._plan_chunk(reply, known, logs)
        return True

    def plan_idle(self, count: int, *, end_of_speech: bool = False) -> None:
        """Plan frames in which nobody speaks.

        Args:
          end_of_speech: a reply without audio ends with the last of them.
        """
        nobody = np.zeros(count + demeanour.AHEAD), np.ones(count + demeanour.AHEAD, bool)
        states, behaviour = demeanour.advance(self._settings, self._planned_to.demeanour, *nobody)
        lips, manner, plans = self._planned_to.lips, self._planned_to.manner, []
        for i, state in enumerate(states):
            lips = mouth.rest(lips)
            plans.append(self._plan(i, state, behaviour, lips, manner))
        plans[-1].end_of_speech = end_of_speech
        self.planned.extend(plans)  # whole: another thread may take them

    def take(self) -> FramePlan:
        """Take the next planned frame: it has been shown."""
        plan = self.planned.popleft()
        self._shown = plan.after
        return plan

    def _plan_chunk(self, reply, known, logs):
        """Plan frames whose audio has been heard."""
        part, heard, m = reply.take(self.chunk), reply.heard, self._mouth
        count = len(part.audio)
        near = (part.begin, count + demeanour.AHEAD, known)
        silent, loudness = hearing.silent(heard, *near), hearing.loudness(hearing.stretch(heard, *near))
        states, behaviour = demeanour.advance(self._settings, self._planned_to.demeanour, loudness, silent)
        spoken, lively = self._predict(reply, part.begin, known, logs, states[-1], behaviour)
        lips, manner, plans = self._planned_to.lips, self._planned_to.manner, []
        for i, state in enumerate(states):
            lips = mouth.speak(lips, lively[i], silent[i : i + demeanour.AHEAD + 1])
            manner = manner if silent[i] else mouth.learn(manner, float(spoken[i] @ m.opening))
            plans.append(self._plan(i, state, behaviour, lips, manner, audio=part.audio[i]))
        plans[-1].end_of_speech = part.last
        self.planned.extend(plans)
        reply.heard = hearing.forget(heard, reply.next - self._ears.back)
        if part.last:
            self._finish_hearing()
            self._replies.popleft()

    def _predict(self, reply, begin, known, logs, state, behaviour):
        """The mouth of a chunk; frames beyond a reply's end are silence."""
        m, face = self._mouth, self._planned_to
        first, count = begin - m.radius, self.chunk + 2 * m.radius
        index = np.arange(first, first + count)
        inside = (index >= 0) & (index < (reply.frames if reply.ended else np.inf))
        audio = hearing.stretch(reply.heard, first, count, known)
        planned = np.concatenate([behaviour.rotation, behaviour.shift], 1)
        coming = demeanour.poses_ahead(self._settings, state, count - m.radius - len(planned))
        poses = np.concatenate([face.poses, planned, coming])
        said, opening = hints.floors(reply.hints, first, count), face.opening
        for _ in range(self.chunk):
            opening = demeanour.ease(opening, self._opening)
        return m.predict(logs(), audio, inside, said, poses, face.manner, opening[-1])

    def _plan(self, i, state, behaviour, lips, manner, audio=None):
        row = {name: rows[i] for name, rows in behaviour._asdict().items()}
        face = self._planned_to
        pose = np.concatenate([row["rotation"], row["shift"]])[None]
        poses, opening = np.concatenate([face.poses[1:], pose]), demeanour.ease(face.opening, self._opening)
        after = Face(face.index + 1, state, lips, manner, poses, opening)
        direction, shown = self._directed(face.direction), None
        if direction is not None and self._face is not None:
            row, found = eased.direct(direction, self._face, row)
            shown = face_mesh.FaceExpression(found.offset()[0], found.raised[0])
        after = after._replace(direction=direction)
        fields: dict[str, Any] = {**row, "expression": shown}
        controls = face_mesh.Controls(lips.shown, **fields)
        self._planned_to = after
        return FramePlan(face.index, controls, audio, False, after)

    def _directed(self, before):
        """Go on by a frame to what is told."""
        if self._direction is None:
            return None
        poles = (before or eased.at_rest()).poles
        return self._direction._replace(poles=poles).eased()

    def _finish_hearing(self):
        """Keep what is known of the voice for the next reply."""
        if self._replies and self._replies[0].heard is not None:
            self._heard = self._replies[0].heard
