"""What a speaker does beside speaking, frame by frame as the voice arrives: head_motion_bank.py, live.

Stretches of real people's head motion are laid one after another, whatever is said; nods and brows follow
the voice through smooth filters, which a voice that breaks off leaves without a jump. All that is drawn by
lot hangs on the seed and on how many were drawn before: a state can be returned to.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from avct_jax.data.faces import head_motion_bank as bank

AHEAD = 5  # frames of voice that are known after the frame that is made
NOD_AHEAD = 2  # frames: the filter's delay
NOD_PACE, STRESS_PACE, BROW_PACE, ACTIVITY_PACE = 0.5, 0.5, 0.3, 0.08  # shares of the way, a frame
# What a push of 1 comes to after three poles.
BROW_PEAK = max(n * (n + 1) / 2 * BROW_PACE**3 * (1 - BROW_PACE) ** (n - 1) for n in range(1, 20))
STRESS_GAP = 15  # frames
IDLE = 0.5  # of the head's motion while nobody speaks
RESERVE = 2 * bank.FADE + 12  # frames of head motion that are laid ahead
SCALE_PACE, SCALE_NEAR = 0.3, 1e-3  # of the way to another scale, a frame: 89 % in 10; so near is there
GAZE_MEAN = 3  # frames over which the eyes jump
HEAD, EYELIDS, EYES, EYEBROWS = range(4)  # what is drawn by lot


class Settings(NamedTuple):
    """What no frame changes.

    Attributes:
      seed: decides all that is drawn by lot.
      scale: factor on the head's motion, and below 1 on the brows; heads ease from one to another.
      blink: factor on how often the eyes blink.
      low, high: limits of the head's turn, rad.
      bank: head motion.
    """

    seed: int
    scale: float
    blink: float
    low: Float[np.ndarray, " 3"]
    high: Float[np.ndarray, " 3"]
    bank: bank.Bank


class Demeanour(NamedTuple):
    """A speaker's state, all numbers of it.

    Attributes:
      path: head motion of the coming frames.
      start: of the way from the portrait's pose, what is left.
      scale: of the motion, eased, the slow pole last.
      drawn: how many stretches, blinks, looks and brows there were.
      activity, nod, stress, brow: filters, the slow pole last.
      stresses: the last two of `stress`.
      calm: frames since the last stress.
      lids: the time by which eyes blink, frames; it goes as fast as they blink often.
      blink: when the next comes, whether it waits for a pause, and how far the present one is.
      looks: of the last frames.
      left: frames of the present look.
      frame: that comes next.
    """

    path: Float[np.ndarray, "m 6"]
    start: Float[np.ndarray, " 6"]
    scale: tuple[float, ...]
    drawn: tuple[int, int, int, int] = (0, 0, 0, 0)
    activity: tuple[float, ...] = (0.0, 0.0)
    nod: tuple[float, ...] = (0.0, 0.0)
    stress: tuple[float, ...] = (0.0, 0.0)
    brow: tuple[float, ...] = (0.0, 0.0, 0.0)
    stresses: tuple[float, float] = (0.0, 0.0)
    calm: int = STRESS_GAP
    lids: float = 0.0
    blink: tuple[float, bool, int] = (0.0, False, -1)
    look: tuple[float, float] = (0.0, 0.0)
    looks: Float[np.ndarray, "g 2"] = np.zeros((GAZE_MEAN, 2))
    left: int = 0
    frame: int = 0


def settings(
    seed: int,
    *,
    head_motion: float = 1.0,
    blink: float = 1.0,
    turned: Float[np.ndarray, " 3"] | None = None,
    stretches: bank.Bank | None = None,
) -> Settings:
    """Decide what no frame changes.

    Args:
      seed: decides all that is drawn by lot.
      head_motion: factor on the head's motion; 0: head and brows keep still.
      blink: factor on how often the eyes blink; 0: never.
      turned: rotation vector (rad) of the portrait's own head.
    """
    limits = bank.room(np.zeros(3) if turned is None else turned)
    return Settings(seed, head_motion, blink, *limits, stretches or bank.embedded())


def begin(fixed: Settings) -> Demeanour:
    """Begin in the portrait's pose, the eyes open."""
    state = _lay(fixed, Demeanour(np.zeros((0, 6)), np.zeros(6), (fixed.scale, fixed.scale)))
    first = int(_lot(fixed, EYELIDS, 0).uniform(0.4, 1.0) * bank.BLINK_GAP * bank.FRAME_RATE)
    waits = bool(_lot(fixed, EYELIDS, 0).random() < bank.BLINK_AT_PAUSE)
    return state._replace(start=state.path[0], blink=(first, waits, -1))


def advance(
    fixed: Settings, state: Demeanour, loudness: Float[np.ndarray, " m"], silent: Bool[np.ndarray, " m"]
) -> tuple[list[Demeanour], bank.Behaviour]:
    """Go on by m - AHEAD frames.

    Args:
      loudness: in standard deviations of the voice.
      silent: where nobody speaks.

    Returns:
      The state after each frame, and the frames.
    """
    states, rows = [], []
    lively = np.where(silent, 0.0, loudness)
    for i in range(len(lively) - AHEAD):
        state, row = _step(fixed, state, lively[i : i + AHEAD + 1], silent[i : i + AHEAD + 1])
        states.append(state)
        rows.append(row)
    return states, bank.Behaviour(*(np.stack(x).astype(np.float32) for x in zip(*rows, strict=True)))


def poses_ahead(fixed: Settings, state: Demeanour, count: int) -> Float[np.ndarray, "t 6"]:
    """Return the poses of the next frames if nothing is said that changes them."""
    way = state.start * np.exp(-np.arange(count)[:, None] / bank.SETTLE)
    return _pose(fixed, state, state.path[:count] - way)


def _pose(fixed, state, motion):
    """Rotation and shift within what the portrait bears."""
    calmed = motion * (IDLE + (1 - IDLE) * state.activity[-1])
    calmed[:, 0] += bank.NOD * state.nod[-1]
    scaled = bank.SPREAD * state.scale[-1] * calmed
    shifts = np.full(3, bank.SHIFT_LIMIT)
    turned = bank.soft_limit(scaled[:, :3], fixed.low, fixed.high)
    return np.concatenate([turned, bank.soft_limit(scaled[:, 3:], shifts, shifts)], 1)


def _step(fixed, state, lively, silent):
    state = _lay(fixed, state)
    state = state._replace(
        scale=ease(state.scale, fixed.scale),
        activity=_follow(state.activity, float(not silent[AHEAD]), ACTIVITY_PACE),
        nod=_follow(state.nod, float(lively[NOD_AHEAD]), NOD_PACE),
    )
    state = _raise_brows(fixed, state, float(lively[AHEAD]))
    pose = _pose(fixed, state, state.path[:1] - state.start)[0]
    state, shut = _blink(fixed, state, bool(silent[0]))
    state = state._replace(lids=state.lids + fixed.blink)
    state = _look(fixed, state)
    brow = min(state.scale[-1], 1.0) * state.brow[-1]
    row = bank.Behaviour(pose[:3], pose[3:], np.full(2, shut), state.looks.mean(0), np.array(brow))
    rest = state.start * np.exp(-1 / bank.SETTLE)
    return state._replace(path=state.path[1:], start=rest, frame=state.frame + 1), row


def _lot(fixed, what, number) -> np.random.Generator:
    """The generator of one draw, whatever was drawn before."""
    return np.random.default_rng((fixed.seed, 7, what, number))


def _count(state, what):
    return tuple(n + (i == what) for i, n in enumerate(state.drawn))


def _lay(fixed, state):
    """Lay stretches of head motion until there are enough."""
    while len(state.path) < RESERVE:
        rng = _lot(fixed, HEAD, state.drawn[HEAD])
        which = int(rng.integers(len(fixed.bank.begins) - 1))
        piece = fixed.bank.motion[fixed.bank.begins[which] : fixed.bank.begins[which + 1]].astype(np.float64)
        if rng.random() < 0.5:  # a mirrored head: yaw, roll and sideways shift change sign
            piece = piece * [1, -1, -1, -1, 1, 1]
        state = state._replace(path=bank.join(state.path, piece), drawn=_count(state, HEAD))
    return state


def _follow(poles: tuple[float, ...], value: float, pace: float) -> tuple[float, ...]:
    """Go a share of the way to a value, pole after pole: neither place nor speed jumps."""
    found = []
    for pole in poles:
        value = pole + pace * (value - pole)
        found.append(value)
    return tuple(found)


def ease(poles: tuple[float, ...], target: float) -> tuple[float, ...]:
    """Go on a frame towards another scale, and be there at last."""
    found = _follow(poles, target, SCALE_PACE)
    return (target,) * len(found) if max(abs(x - target) for x in found) < SCALE_NEAR else found


def _raise_brows(fixed, state, lively: float):
    """Brows go up on some of the stresses, known AHEAD of the frame."""
    stress = _follow(state.stress, lively, STRESS_PACE)
    before, last = state.stresses
    peak = last > max(before, stress[-1]) and last > bank.STRESS and state.calm >= STRESS_GAP
    push = 0.0
    if peak:
        rng = _lot(fixed, EYEBROWS, state.drawn[EYEBROWS])
        way = min(bank.BROW_WAY * np.exp(rng.normal(0, bank.BROW_SPREAD)), bank.BROW_MOST)
        push = float(way) * (rng.random() < bank.BROW_CHANCE) / BROW_PEAK
        state = state._replace(drawn=_count(state, EYEBROWS))
    calm = 0 if peak else min(state.calm + 1, STRESS_GAP)
    brow = _follow(state.brow, push, BROW_PACE)
    return state._replace(stress=stress, brow=brow, stresses=(last, stress[-1]), calm=calm)


def _blink(fixed, state, silent: bool) -> tuple[Demeanour, float]:
    """Shut the eyes at random gaps, some of them put off to the next pause."""
    due, waits, phase = state.blink
    latest = due + bank.PAUSE_AWAY * min(fixed.blink, 1.0)
    if phase < 0 and fixed.blink and state.lids >= due and (not waits or silent or state.lids >= latest):
        phase = 0
    if phase < 0:
        return state, 0.0
    shut = float(bank.BLINK[phase])
    if phase + 1 < len(bank.BLINK):
        return state._replace(blink=(due, waits, phase + 1)), shut
    drawn = _count(state, EYELIDS)
    rng = _lot(fixed, EYELIDS, drawn[EYELIDS])
    gap = np.clip(rng.lognormal(np.log(bank.BLINK_GAP), bank.BLINK_SPREAD), bank.BLINK_LEAST, bank.BLINK_MOST)
    begun = state.lids - fixed.blink * (len(bank.BLINK) - 1)
    due = max(begun + int(gap * bank.FRAME_RATE), state.lids + fixed.blink * (1 + bank.BLINK_REST))
    waits = bool(rng.random() < bank.BLINK_AT_PAUSE)
    return state._replace(blink=(due, waits, -1), drawn=drawn), shut


def _look(fixed, state):
    """Small jumps of the eyes around the viewer."""
    if state.left == 0:
        rng = _lot(fixed, EYES, state.drawn[EYES])
        left = max(6, int(rng.exponential(bank.GAZE_GAP) * bank.FRAME_RATE))
        look = rng.normal(0, bank.GAZE_SIZE, 2) * [1.0, 0.5]
        state = state._replace(left=left, look=tuple(look), drawn=_count(state, EYES))
    looks = np.concatenate([state.looks[1:], [state.look]])
    return state._replace(looks=looks, left=state.left - 1)
