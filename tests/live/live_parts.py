"""Parts of a stream that need no checkpoint: small networks, a mouth without any, drawers, a clock."""

import functools
import math
import threading

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.data.faces import face_basis, head_motion_bank
from avct_jax.data.speech import mesh_features
from avct_jax.live import demeanour, ears, frame_planner, frame_stream, mouth
from avct_jax.models import mesh_system
from avct_jax.models.mesh import mouth_painter, phoneme_net, speech_motion

TINY = mesh_system.MeshSystemConfig(
    phoneme_source="network",
    mean_motion=tuple(np.linspace(0.5, -0.2, 16).tolist()),
    phoneme_net=phoneme_net.PhonemeNetConfig(width=8, dilations=(1, 2), ahead=(1, 1)),
    speech_motion=speech_motion.SpeechMotionConfig(d_model=16, num_heads=2, feedforward=16),
    mouth_painter=mouth_painter.MouthPainterConfig(channels=(8, 8), canvas=2),
)


@functools.cache
def variables():
    """Random weights, the true face basis."""
    rng = np.random.default_rng(0)
    draw = lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32)
    parts = {part: jax.tree.map(draw, mesh_system.expected(TINY, part)) for part in mesh_system.parts(TINY)}
    parts["face_basis"]["params"] = face_basis.embedded()._asdict()
    return jax.tree.map(jnp.asarray, parts)


@functools.cache
def true_mouth(chunk=2):
    """Small networks, compiled."""
    return mouth.Mouth(TINY, variables(), chunk)


@functools.cache
def true_ears(chunk=2):
    """A small network, compiled."""
    return ears.NetworkEars(TINY, variables(), chunk)


class DeafEars:
    """Recognises silence."""

    chunk, ahead, back = 2, 5, 8

    def begin(self, reply, begin, known):
        """No phoneme."""
        return lambda: mesh_features.silence(self.chunk + 2 * TINY.speech_motion.window_radius).posteriors


class OpenMouth(mouth.Mouth):
    """Opens wide whatever is said; no network."""

    def predict(self, logs, audio, inside, said, poses, manner, scale=1.0):
        """As Mouth: one coefficient is 1."""
        wide = np.zeros((self.chunk, self.components), np.float32)
        wide[:, 0] = 1
        return wide, np.float32(scale) * wide


@functools.cache
def bank():
    """Stretches of head motion, short ones."""
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(0, 0.004, (400, 6)), 0)
    return head_motion_bank.Bank(walk, np.arange(0, 401, 80), np.zeros(400))


def new_session(*, true=False, **options):
    """A session of small parts, with networks or without."""
    settings = demeanour.settings(options.pop("seed", 5), stretches=bank(), **options)
    if true:
        return frame_planner.FramePlanner(true_ears(), true_mouth(), settings)
    return frame_planner.FramePlanner(DeafEars(), OpenMouth(TINY, variables(), 2), settings)


def draw(controls):
    """Images of one pixel: how far the mouth opens, the head's turn, the blink."""
    pixel = lambda c: [200 * c.speech[0], 128 + 300 * c.rotation[1], 255 * c.blink[0]]
    return np.array([[[pixel(c)]] for c in controls]).clip(0, 255).astype(np.uint8)


class FakeClock:
    """Time that goes on only while a frame is waited for, or as far as a slow drawer takes."""

    def __init__(self):
        """Begin at 100 s."""
        self.time = 100.0
        self._until, self._stopped, self._resting = None, False, False
        self._tick = threading.Condition()

    def now(self):
        """Seconds."""
        return self.time

    def sleep(self, condition, seconds):
        """Go on, but not past the end of a drawing, nor while one is planned."""
        while self._until is None and not (self._resting or self._stopped):
            condition.wait(0.01)
        if not self._advance(seconds):
            condition.wait(0.01)

    def wait(self, condition, seconds):
        """Go on while something is drawn, else wait for the other thread."""
        if self._until is None or not self._advance(math.inf if seconds is None else seconds):
            condition.wait(0.01)

    def rest(self, condition):
        """Have nothing to draw."""
        self._resting = True
        condition.wait()
        self._resting = False

    def take(self, seconds):
        """Be a drawing that takes so long."""
        with self._tick:
            self._until = self.time + seconds
            self._tick.wait_for(lambda: self._stopped or self.time >= self._until, 5)
            self._until = None

    def stop(self):
        """Let a drawing end that nobody waits for."""
        with self._tick:
            self._stopped = True
            self._tick.notify_all()

    def _advance(self, seconds):
        with self._tick:
            ends = self._until is not None and self.time + seconds >= self._until
            self.time = max(self.time, self._until) if ends else self.time + seconds
            self._tick.notify_all()
            return not ends


class PacedStream(frame_stream.FrameStream):
    """A paced stream of small parts; once it is closed its clock waits for nobody."""

    def __init__(self, draw=draw):
        """Begin."""
        super().__init__(new_session(), draw, paced=True, clock=FakeClock())

    def close(self):
        """End it."""
        self._clock.stop()
        super().close()
