"""Head motion, blinks, gaze and brows of a speaker: drawn anew for every seed, distributed as people's are.

Audio decides little of how a head moves: a regression (E_h of the paper) predicts the mean of what could be
meant, which is almost still. Here stretches of real people's head motion, numbers without images, are laid
one after another, chosen so that the head moves where the voice is lively, and nods fall on stressed
syllables.
"""

import copy
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avct_jax.files import array_file

FRAME_RATE = 25  # frames/s
FADE = 15  # frames over which one stretch passes into the next
CANDIDATES = 6  # stretches among which the one that fits the voice best is taken
NOD = np.radians(0.8)  # per standard deviation of loudness, downwards
SPREAD = 1.5  # smoothing, fading and limits take some of the motion; with this, people's 2, 2 and 1.3 degrees
SETTLE = 12  # frames in which the head leaves the portrait's pose
ROTATION_LIMIT = np.radians([7.0, 8.0, 6.0])  # pitch, yaw, roll: what the portrait's warp bears
# As far from the front as a warp can turn a portrait, before the far cheek folds; one that is turned farther
# already still moves a little that way.
FARTHEST = np.radians([25.0, 25.0, 40.0])
LEAST_ROOM = np.radians(3.0)
SHIFT_LIMIT = 0.06  # eye distances
# Blinks of 79 in 176 s of talking people: 27 a minute; gaps are log-normal. Fewer here: some fall together.
BLINK_GAP, BLINK_SPREAD, BLINK_LEAST, BLINK_MOST = 2.3, 0.55, 0.6, 8.0  # median s, of the logarithm, s, s
BLINK = np.array([0.45, 1.0, 0.95, 0.6, 0.3, 0.1])  # share shut, frame by frame: 120 ms below half open
BLINK_REST = 2  # frames at least with open eyes between two blinks, however often they come
BLINK_AT_PAUSE = 0.5  # chance that a blink waits for the next pause, if that is near
PAUSE_AWAY = 20  # frames
# Brows go up on some of the stresses: loudness (standard deviations) from which a peak is one, the share of
# them, the way in eye distances (median; spread of the logarithm; most), and half of its length in frames.
STRESS, BROW_CHANCE, BROW_WAY, BROW_SPREAD, BROW_MOST, BROW_LENGTH = 0.8, 0.4, 0.025, 0.5, 0.05, 5.0
GAZE_GAP, GAZE_SIZE = 1.8, 0.012  # s between small jumps of the eyes, and their size in eye distances


class Bank(NamedTuple):
    """Stretches of real head motion, one after another.

    Attributes:
      motion: rotation vector (rad) and shift (eye distances) around each stretch's mean.
      begins: of the stretches, and the end.
      liveliness: how loud the voice was in each frame, standard deviations of its clip.
    """

    motion: Float[np.ndarray, "n 6"]
    begins: Float[np.ndarray, " s"]
    liveliness: Float[np.ndarray, " n"]


class Behaviour(NamedTuple):
    """What a speaker does beside speaking, frame by frame: as in face_mesh.Controls."""

    rotation: Float[np.ndarray, "t 3"]
    shift: Float[np.ndarray, "t 3"]
    blink: Float[np.ndarray, "t 2"]
    gaze: Float[np.ndarray, "t 2"]
    brow: Float[np.ndarray, " t"]


def still(count: int) -> Behaviour:
    """Return what a face does that does nothing, for so many frames."""
    zeros = lambda *shape: np.zeros((count, *shape), np.float32)
    return Behaviour(zeros(3), zeros(3), zeros(2), zeros(2), zeros())


@functools.cache
def embedded() -> Bank:
    """Read the bank that comes with the package; scripts/make_head_motion_bank.py makes it."""
    read = array_file.read_asset("head_motion_bank.npz")
    return Bank(
        read["motion"].astype(np.float32),
        read["begins"].astype(int),
        read["liveliness"].astype(np.float32),
    )


def behave(
    loudness: Float[np.ndarray, " t"],
    silent: Bool[np.ndarray, " t"],
    *,
    seed: int,
    scale: float | Float[np.ndarray, " t"] = 1.0,
    blink_rate: float = 1.0,
    turned: Float[np.ndarray, " 3"] | None = None,
    bank: Bank | None = None,
) -> Behaviour:
    """Draw how a speaker moves head and eyes; the same arguments give the same.

    Args:
      loudness: log energy of each frame.
      silent: frames in which nobody speaks.
      scale: factor on the motion of the head, and below 1 of the brows, one or one a frame; 0 keeps them
        still, eyes still live.
      blink_rate: factor on how often the eyes blink; nothing else hangs on it.
      turned: rotation vector (rad) of the portrait's own head; not told, it looks at the viewer.
    """
    from scipy import ndimage  # late: inputs are looked at before it is there

    rng = np.random.default_rng((seed, 7))
    lively = _lively(loudness)
    motion = head_motion(lively, rng, bank or embedded())
    motion[:, 0] += NOD * ndimage.gaussian_filter1d(lively * ~silent, 2)
    motion -= motion[:1] * np.exp(-np.arange(len(motion)) / SETTLE)[:, None]
    spread = SPREAD * np.asarray(scale, np.float64)[..., None]
    rotation = soft_limit(spread * motion[:, :3], *room(np.zeros(3) if turned is None else turned))
    shift = soft_limit(spread * motion[:, 3:], *2 * [np.full(3, SHIFT_LIMIT)])
    own = copy.deepcopy(rng)
    blink = blinks(silent, rng)
    if blink_rate != 1:  # gaze and brows are drawn as after the usual blinks
        blink = blinks(silent, own, blink_rate)
    return Behaviour(
        rotation.astype(np.float32),
        shift.astype(np.float32),
        np.repeat(blink[:, None], 2, 1),
        gaze(len(silent), rng),
        (np.minimum(scale, 1.0) * brows(lively, silent, rng)).astype(np.float32),
    )


def room(turned: Float[np.ndarray, " 3"]) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Return how far a head may turn the negative and the positive way: less farther away from the viewer."""
    within = lambda way: np.clip(way, LEAST_ROOM, ROTATION_LIMIT)
    return within(FARTHEST + turned), within(FARTHEST - turned)


def soft_limit(
    values: Float[np.ndarray, "t d"], low: Float[np.ndarray, " d"], high: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "t d"]:
    """Bend values so that none passes -low or high; small ones stay as they are."""
    limit = np.where(values < 0, low, high)
    return limit * np.tanh(values / limit)


def _lively(loudness):
    """Loudness in standard deviations, smoothed; 0 where nothing changes."""
    from scipy import ndimage  # late: inputs are looked at before it is there

    smooth = ndimage.gaussian_filter1d(np.asarray(loudness, np.float64), 3)
    return (smooth - smooth.mean()) / max(float(smooth.std()), 1e-3)


def head_motion(
    lively: Float[np.ndarray, " t"], rng: np.random.Generator, bank: Bank
) -> Float[np.ndarray, "t 6"]:
    """Lay stretches one after another until they are as long as the voice."""
    count = len(lively)
    lengths = np.diff(bank.begins)
    motion = np.zeros((0, 6))
    while len(motion) < count:
        drawn = rng.choice(len(lengths), min(CANDIDATES, len(lengths)), replace=False)
        begin = max(0, len(motion) - FADE)
        fits = [_fit(lively[begin : begin + lengths[i]], bank, i) for i in drawn]
        which = drawn[int(np.argmax(fits))]
        piece = bank.motion[bank.begins[which] : bank.begins[which + 1]].astype(np.float64)
        if rng.random() < 0.5:  # a mirrored head: yaw, roll and sideways shift change sign
            piece = piece * [1, -1, -1, -1, 1, 1]
        motion = join(motion, piece)
    return motion[:count]


def _fit(lively, bank, which):
    """How well a stretch's own voice was lively where this one is."""
    begin, end = bank.begins[which], bank.begins[which + 1]
    theirs = bank.liveliness[begin:end][: len(lively)]
    ours = lively[: len(theirs)]
    return float((ours * theirs).mean()) if len(ours) else 0.0


def join(before: Float[np.ndarray, "n 6"], after: Float[np.ndarray, "m 6"]) -> Float[np.ndarray, "k 6"]:
    """Lay a stretch after another, cross-faded over FADE frames."""
    if not len(before):
        return after
    share = np.linspace(0, 1, FADE + 2)[1:-1, None]
    share = share * share * (3 - 2 * share)
    both = before[-FADE:] * (1 - share) + after[:FADE] * share
    return np.concatenate([before[:-FADE], both, after[FADE:]])


def blinks(
    silent: Bool[np.ndarray, " t"], rng: np.random.Generator, rate: float = 1.0
) -> Float[np.ndarray, " t"]:
    """Draw when eyes shut: at random gaps, some of them put off to the next pause.

    Args:
      rate: factor on how often; 0: never.
    """
    shut = np.zeros(len(silent) + len(BLINK), np.float32)
    if rate == 0:
        return shut[: len(silent)]
    away, least = int(PAUSE_AWAY / max(rate, 1.0)), (len(BLINK) + BLINK_REST) / FRAME_RATE
    time = rng.uniform(0.4, 1.0) * BLINK_GAP / rate
    while (frame := int(time * FRAME_RATE)) < len(silent):
        pauses = np.flatnonzero(silent[frame : frame + away])
        if len(pauses) and rng.random() < BLINK_AT_PAUSE:
            frame += int(pauses[0])
        shut[frame : frame + len(BLINK)] = np.maximum(shut[frame : frame + len(BLINK)], BLINK)
        gap = np.clip(rng.lognormal(np.log(BLINK_GAP), BLINK_SPREAD), BLINK_LEAST, BLINK_MOST)
        time = frame / FRAME_RATE + max(gap / rate, least)
    return shut[: len(silent)]


def gaze(count: int, rng: np.random.Generator) -> Float[np.ndarray, "t 2"]:
    """Draw small jumps of the eyes around the viewer."""
    from scipy import ndimage  # late: inputs are looked at before it is there

    looks = np.zeros((count, 2), np.float32)
    frame = 0
    while frame < count:
        length = max(6, int(rng.exponential(GAZE_GAP) * FRAME_RATE))
        looks[frame : frame + length] = rng.normal(0, GAZE_SIZE, 2) * [1.0, 0.5]
        frame += length
    return ndimage.uniform_filter1d(looks, 3, axis=0)


def brows(
    lively: Float[np.ndarray, " t"], silent: Bool[np.ndarray, " t"], rng: np.random.Generator
) -> Float[np.ndarray, " t"]:
    """Draw which stresses brows go up on, eye distances."""
    raised, time = np.zeros(len(lively)), np.arange(len(lively))
    for peak in peaks(lively * ~silent, STRESS, int(3 * BROW_LENGTH)):
        way = min(BROW_WAY * np.exp(rng.normal(0, BROW_SPREAD)), BROW_MOST)
        if rng.random() < BROW_CHANCE:
            raised = np.maximum(raised, way * np.exp(-(((time - peak) / BROW_LENGTH) ** 2)))
    return raised - raised[0] * np.exp(-time / SETTLE) if len(raised) else raised


def peaks(values: Float[np.ndarray, " t"], height: float, distance: int) -> Int[np.ndarray, " p"]:
    """Return where values have peaks; of a level top the middle.

    As scipy.signal.find_peaks, whose module takes longer to import than the whole drawing.

    Args:
      height: of a peak at least.
      distance: between two at least; the higher one stays.
    """
    steps = np.diff(values)
    changes = np.flatnonzero(steps)
    rises = (steps[changes][:-1] > 0) & (steps[changes][1:] < 0)
    middles = (changes[:-1] + 1 + changes[1:])[rises] // 2
    found = middles[values[middles] >= height]
    kept = np.ones(len(found), bool)
    for index in np.argsort(values[found])[::-1]:
        if kept[index]:
            kept &= (np.abs(found - found[index]) >= distance) | (np.arange(len(found)) == index)
    return found[kept]
