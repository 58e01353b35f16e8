"""`avct_jax.Stream`: a portrait that says what it hears, live."""

import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from avct_jax import arguments, errors
from avct_jax.animator import base, inputs, options
from avct_jax.data.direction import eased
from avct_jax.data.speech import pcm
from avct_jax.live import clock as clocks
from avct_jax.live import demeanour, ears, frame_planner, frame_stream, portrait
from avct_jax.live import mouth as mouths
from avct_jax.marks import badge, watermark
from avct_jax.models.mesh import face_mesh

CHUNK = 2  # frames drawn by one call: a frame costs the same in chunks of 8, and comes 240 ms sooner
MOST = 16  # frames
FARTHEST = 12  # frames of lookahead = 0.48 s
SIZE = 256  # px
QUEUE = 12  # frames = 0.5 s


class Stream(frame_stream.FrameStream):
    """Audio in, frames out, while both go on: for voice agents, and on two CPU cores.

    Between replies the face blinks and sways. Frames carry their own 40 ms of audio, each sample of a reply
    once. A paced stream yields 25 frames a second by the clock; else frames come as soon as the audio allows,
    iteration ends where more audio is needed, and `idle` gives frames in which nobody speaks::

        with avct_jax.Stream("portrait.jpg") as stream:
            stream.push_audio(pcm, 24000, last_chunk=True)  # any thread
            for frame in stream:
                show(frame.image, frame.audio)

    Attributes:
      frame_rate: frames a second.
      sample_rate: samples a second of the frames' audio.
      latency: delay by design and as measured.
      notes: what was decided about the portrait, a line each.
    """

    def __init__(
        self,
        image: base.Image,
        *,
        checkpoint: base.Path | None = None,
        animator: base.Animator | None = None,
        size: int = SIZE,
        seed: int | None = None,
        chunk: int = CHUNK,
        still: bool = False,
        head_motion: float = 1.0,
        blink: float = 1.0,
        mouth: float = 1.0,
        face: base.Face | None = None,
        framing: str = "head",
        expression: options.Expression | None = None,
        gaze: options.Gaze | None = None,
        recogniser: str = "hama",
        lookahead: int = ears.AHEAD,
        mark: bool = True,
        label: bool = False,
        paced: bool = True,
        queue: int = QUEUE,
        clock: clocks.Clock | None = None,
    ):
        """Read the portrait and compile everything; the first frame is quick.

        Args:
          image: a portrait: a file, a Pillow image, or pixels (uint8; RGB, RGBA or grey).
          checkpoint: a .safetensors file of the mesh family; None takes the one in the package.
          animator: instead of a checkpoint, one that is loaded already.
          size: side of the frames, px: 256 to 1024; with framing full that at which the head is drawn.
          seed: decides blinks, gaze and head motion; by default the image does.
          chunk: frames drawn by one call, 1 to 16; each delays by 40 ms.
          still: the head keeps its pose.
          head_motion: factor on how far the head turns and shifts, 0 to 3; 0 is `still`. `adjust` changes
            this and the next two later.
          blink: factor on how often the eyes blink, 0 to 4.
          mouth: factor on how far the mouth moves, 0 to 2.
          face: which of several, by its number from the left or a place in it, see `Animator.animate`.
          framing: "head", a square around it, or "full", the whole picture, scaled to 1280x720 px in all
            where it has more.
          expression: names and values, {"smile": 0.3}, shown beside speech, see `Animator.animate`.
          gaze: where the eyes look: "camera", or degrees off it, (right, up); by default made up.
          recogniser: of phonemes: "hama", which `Animator.animate` hears with too, or "network", the
            checkpoint's own, which takes 4 ms of processor time a frame less and knows fewer voices.
          lookahead: frames of audio that are waited for after a chunk, 5 to 12; by more, hama hears better.
          mark: frames bear an imperceptible watermark that says they are synthetic, see `Animator.animate`.
          label: the letters AI are drawn into a corner.
          paced: frames come at 25 a second.
          queue: frames at most that are ahead of the one that was handed over last.
          clock: what tells the time, for tests.

        Raises:
          UserError: something cannot be read or used.
        """
        seed = arguments.whole_number(seed, "the seed")
        chunk = arguments.whole_number(chunk, "the chunk", least=1) or CHUNK
        size = arguments.whole_number(size, "the size") or SIZE
        lookahead = arguments.whole_number(lookahead, "the lookahead") or 0
        queue = arguments.whole_number(queue, "the queue", least=1) or QUEUE
        inputs.check_size(size)
        _check_frames(chunk, lookahead, queue)
        paced, mark = arguments.flag(paced, "paced"), arguments.flag(mark, "mark")
        asked, face = options.scales_of(still, head_motion, blink, mouth), options.face_of(face)
        found = portrait.animator(checkpoint, animator)
        heard_by = ears.choose(recogniser, found.config, found.variables, chunk, lookahead)
        moves = mouths.Mouth(found.config, found.variables, heard_by.chunk)
        read = _read(framing)(found, image, size, face)
        settings = demeanour.settings(
            read.seed if seed is None else seed,
            head_motion=asked.head_motion,
            blink=asked.blink,
            turned=read.turned,
        )
        draw, told = portrait.Drawer(found, read, chunk), None
        if expression is not None or gaze is not None:
            told = eased.at_rest().told(expression, gaze).jumped()
        new_session = lambda: frame_planner.FramePlanner(
            heard_by, moves, settings, asked.mouth, read.face, told
        )
        ready = _rehearse(new_session(), draw, chunk, directed=told is not None)
        marked = _marks(mark, arguments.flag(label, "label"))
        if marked is not None:
            marked(draw([ready])[:1], first=0)  # compiled, and fitted to the portrait
        self.notes = read.notes
        self.size = (size, size) if read.picture is None else read.picture.pixels.shape[:2]
        super().__init__(
            new_session(),
            draw,
            mark=marked,
            chunk=chunk,
            paced=paced,
            queue=queue,
            clock=clock,
            ready_direction=lambda: draw.direct(ready),
        )


def _check_frames(chunk: int, lookahead: int, queue: int) -> None:
    """Refuse numbers of frames that no stream can keep."""
    if chunk > MOST:
        raise errors.UserError(f"the chunk is {chunk} frames; {MOST} are the most, {CHUNK} is usual")
    if not ears.AHEAD <= lookahead <= FARTHEST:
        raise errors.UserError(f"the lookahead is {lookahead} frames; choose from {ears.AHEAD} to {FARTHEST}")
    if queue < 2 * chunk:
        raise errors.UserError(f"the queue is {queue} frames; give two chunks or more, {2 * chunk}")


def _read(framing: str) -> Callable[..., portrait.LivePortrait]:
    """What reads an image so that it is framed as wanted."""
    if framing not in (known := typing.get_args(options.Framing)):
        raise errors.UserError(f"the framing is {framing!r}; choose of {', '.join(known)}")
    return portrait.read_whole if framing == "full" else portrait.read


def _marks(mark: bool, label: bool) -> Callable[..., Any] | None:
    """What marks frames, of which the first has the number `first`; None: nothing does."""
    if not mark:
        return (lambda frames, *, first: badge.draw(frames)) if label else None
    marked = watermark.usual()
    return (lambda frames, *, first: marked(badge.draw(frames), first=first)) if label else marked


def _rehearse(
    planner: frame_planner.FramePlanner, draw: portrait.Drawer, chunk: int, *, directed: bool
) -> face_mesh.Controls:
    """Compile and load all that a reply needs; return the controls of a frame of it."""
    planner.push(np.zeros(pcm.RATE, np.int16), pcm.RATE)
    planner.plan_speech()
    controls = [plan.controls for plan in planner.planned][:chunk]
    if directed:
        draw.direct(controls[0])
    draw(controls)
    return controls[0]
