"""What a director says, from constants and cues to numbers for every frame."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from avct_jax.data.direction import blink_times, cues, expressions, gaze
from avct_jax.data.faces import head_motion_bank

Cue = cues.Cue  # a field below bears its module's name, which would hide it
Factor = Any  # a number, or one a frame


class FaceDirection(NamedTuple):
    """What is told, in its form.

    Attributes:
      expression: values of names, from the start.
      gaze: degrees to the right and up, from the start; None: made up.
      blinks: seconds at which eyes blink instead of made-up times; None: made up.
      cues: what changes, in order of time.
    """

    expression: Mapping[str, float] = {}
    gaze: tuple[float, float] | None = None
    blinks: tuple[float, ...] | None = None
    cues: tuple[Cue, ...] = ()

    @property
    def names(self) -> set[str]:
        """What is told at some time."""
        return {cue.what for cue in self.cues} | set(self.expression)

    @property
    def shows(self) -> bool:
        """Whether an expression or a gaze is told, for which eyes must be whole."""
        return self.gaze is not None or bool(self.names & {cues.GAZE, *expressions.DIRECTIONS})


class Timeline(NamedTuple):
    """What is told, of each of t frames.

    Attributes:
      head_motion, blink, mouth: factors, a number or one a frame.
      shown: expression; None: none.
      looks: degrees to the right and up; None: made up.
      told: how far eyes do so, 0 to 1.
      turned: pitch, yaw and roll that are added to the head's, rad.
      blinks: how far eyes are shut instead of the made-up blinks; None: these.
      winks: how far they are shut besides.
    """

    head_motion: Factor
    blink: Factor
    mouth: Factor
    shown: expressions.ShownExpression | None
    looks: Float[np.ndarray, "t 2"] | None
    told: Float[np.ndarray, " t"] | None
    turned: Float[np.ndarray, "t 3"] | None
    blinks: Float[np.ndarray, " t"] | None
    winks: Float[np.ndarray, " t"] | None


def make(told: FaceDirection, factors: Mapping[str, float], count: int) -> Timeline:
    """Lay out what is told over the frames.

    Args:
      factors: of `cues.FACTORS`, from the start.
    """
    of = lambda what: cues.of(told.cues, what)
    along = {
        name: cues.values(found, usual, count) if (found := of(name)) else usual
        for name, usual in factors.items()
    }
    names = [name for name in expressions.DIRECTIONS if name in told.names]
    values = {name: cues.values(of(name), told.expression.get(name, 0.0), count) for name in names}
    looks = share = None
    if told.gaze is not None or of(cues.GAZE):
        looks, share = cues.looks(of(cues.GAZE), told.gaze, count)
    turned = None
    if any(of(axis) for axis in cues.POSE):
        angles = [cues.values(of(axis), 0.0, count) for axis in cues.POSE]
        turned = np.radians(np.stack(angles, -1)) * SIGNS
    once = of(cues.BLINK_ONCE)
    return Timeline(
        along["head_motion"],
        along["blink"],
        along["mouth"],
        expressions.shown(values, count) if told.shows else None,
        looks,
        share,
        turned,
        None if told.blinks is None else blink_times.shut(told.blinks, count),
        blink_times.shut([cue.time for cue in once], count) if once else None,
    )


# Of rotation vectors (x right, y down, z away): pitch up, yaw to the image's right, roll clockwise as seen.
SIGNS = np.array([-1.0, -1.0, 1.0])


def apply(
    found: Timeline,
    made_up: head_motion_bank.Behaviour,
    eyes: gaze.OwnEyes | None,
    turned: Float[np.ndarray, " 3"],
    silent: Bool[np.ndarray, " t"],
    seed: int,
) -> head_motion_bank.Behaviour:
    """Do what is told instead of what is made up.

    Args:
      eyes: the portrait's own, where they are told to look somewhere.
      turned: the portrait's head, rotation vector, rad.
      silent: where nobody speaks.
      seed: decides what is drawn by lot.
    """
    if found.turned is not None:
        made_up = made_up._replace(rotation=(made_up.rotation + found.turned).astype(np.float32))
    if found.blinks is not None:
        made_up = made_up._replace(blink=_both(found.blinks))
    elif np.ndim(found.blink):
        made_up = made_up._replace(blink=_both(blink_times.at_rate(found.blink, silent, seed)))
    if found.winks is not None:
        made_up = made_up._replace(blink=np.maximum(made_up.blink, _both(found.winks)))
    lids = None if found.shown is None else found.shown.lids
    if found.looks is not None and found.told is not None and eyes is not None:
        there = gaze.look(found.looks, made_up.rotation, eyes, turned)
        share = found.told[:, None].astype(np.float32)
        made_up = made_up._replace(gaze=made_up.gaze + share * (there.gaze - made_up.gaze))
        lids = share * there.lids if lids is None else lids + share * there.lids
    if lids is not None:
        lids = lids.clip(expressions.LIDS_LEAST, 1)
        made_up = made_up._replace(blink=expressions.with_blinks(made_up.blink, lids))
    return made_up


def _both(shut: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 2"]:
    return np.repeat(shut[:, None], 2, 1).astype(np.float32)
