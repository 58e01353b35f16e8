"""Which clip and frames each training example shows: index maths alone, no image and no audio.

Example `index` is decided by (seed, kind, index) and by nothing before it, so that any process can make any
example, and training goes on anywhere in the stream.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from avct_jax import errors
from avct_jax.data.dataset import batch_types, dataset_index

SYNC_FRAMES = 5  # Wav2Lip's window
LEAST_FACES = 6  # frames with a face that make a clip worth drawing pairs from
SHUT_SOURCES = 0.6  # share of sources with a shut mouth where open mouths are asked for


class PairPlan(NamedTuple):
    """Frames of one clip."""

    clip: int
    source: int
    driving: Int[np.ndarray, " n"]
    variation: batch_types.Variation


class SyncPlan(NamedTuple):
    """Five frames from `first`, and the audio that begins at frame `heard`."""

    clip: int
    first: int
    heard: int
    variation: batch_types.Variation


class SequencePlan(NamedTuple):
    """Frames from `first`; their neighbours may lie outside the clip.

    Attributes:
      transcribed: which phonemes.
    """

    clip: int
    first: int
    portrait_clip: int
    portrait: int
    transcribed: bool
    variation: batch_types.Variation


class PosePlan(NamedTuple):
    """Frames from `first`."""

    clip: int
    first: int


Plan = PairPlan | SyncPlan | SequencePlan | PosePlan


class Pool(NamedTuple):
    """Clips that may be drawn: the speaker's, and everybody else's, person by person.

    For sequences, others' clips give portraits only.
    """

    speaker: Int[np.ndarray, " m"]
    people: tuple[Int[np.ndarray, " _"], ...]


def find_pool(
    known: dataset_index.Catalog, config: batch_types.DrawConfig, kind: str, *, held_out: bool = False
) -> Pool:
    """Find the clips that fit a kind of batch, of those trained on or of those held out.

    Raises:
      UserError: there is none.
      ValueError: unknown kind.
    """
    if kind not in batch_types.KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(batch_types.KINDS)}")
    mine = _is_person(known, config.speaker)
    faces = known.faces
    learned, heard, long = known.held_out == held_out, known.audio, known.frames
    others = learned & ~mine
    if kind == "pairs":
        mine, others = mine & learned & (faces >= LEAST_FACES), others & (faces >= LEAST_FACES)
    elif kind == "sync":
        fit = heard & known.in_sync & (long >= _least_sync_frames(config))
        mine, others = mine & learned & fit, others & fit
    elif kind == "sequences":
        rested = np.isfinite(known.rest_pose[:, 0]) & (faces > 0)
        mine = mine & learned & heard & rested & (long >= config.frames)
        others = others & (faces > 0)
    else:
        mine, others = mine & learned & heard & (long >= config.pose_frames), np.zeros_like(mine)
    found = Pool(np.flatnonzero(mine), _by_person(known, np.flatnonzero(others)))
    if not len(found.speaker) and (kind in ("sequences", "poses") or not found.people):
        raise errors.UserError(_why_none(known, config, kind, held_out))
    return found


def make_plan(
    known: dataset_index.Catalog,
    pool: Pool,
    config: batch_types.DrawConfig,
    kind: str,
    *,
    seed: int,
    index: int,
) -> Plan:
    """Decide example `index` of the stream that (seed, kind) names.

    Args:
      pool: of the same catalog, config and kind.
      seed, index: 0 or more.
    """
    rng = np.random.default_rng((seed, batch_types.KINDS.index(kind), index))
    return _PLANS[kind](known, pool, config, rng)


def _pair(known, pool, config, rng) -> PairPlan:
    which = _draw_clip(pool, config, rng)
    faces = np.flatnonzero(known.of(known.face, which))
    count = config.driving + 1
    # In order of time, as FOMM draws them, until they are reversed.
    places = np.sort(faces[rng.choice(len(faces), count, replace=len(faces) < count)])
    if rng.random() < config.reverse_prob:
        places = places[::-1]
    if config.open_mouths:
        mouth = known.of(known.opening, which)[faces]
        places = rng.permutation(places)
        places[-1] = rng.choice(faces[mouth >= known.wide[which]])
        if rng.random() < SHUT_SOURCES:
            places[0] = rng.choice(faces[mouth <= known.shut[which]])
    return PairPlan(which, int(places[0]), places[1:].copy(), draw_variation(config, rng))


def _sync(known, pool, config, rng) -> SyncPlan:
    which = _draw_clip(pool, config, rng)
    first = int(rng.integers(known.length(which) - SYNC_FRAMES + 1))
    heard = first
    if rng.random() < config.negative_prob:
        heard = _other_audio(known, which, first, config, rng)
    return SyncPlan(which, first, heard, draw_variation(config, rng))


def _other_audio(known, which, first, config, rng) -> int:
    """A window that lips from `first` do not say: near in time, or anywhere in the clip."""
    windows = np.arange(known.length(which) - SYNC_FRAMES + 1)
    away = np.abs(windows - first)
    fit = away >= config.hard_negative_min_shift
    hard = rng.random() < config.hard_negative_prob
    # Silence fits any other silence: such a pair could not be told from one in sync.
    silent = np.lib.stride_tricks.sliding_window_view(known.of(known.silent, which), SYNC_FRAMES)
    pauses = np.asarray(silent.all(1))
    if pauses[first] and (fit & ~pauses).any():
        fit = fit & ~pauses
    if hard and (fit & (away <= config.hard_negative_window)).any():
        fit = fit & (away <= config.hard_negative_window)
    return int(rng.choice(windows[fit]))


def _sequence(known, pool, config, rng) -> SequencePlan:
    which = int(rng.choice(pool.speaker))
    first = int(rng.integers(known.length(which) - config.frames + 1))
    shown = which
    if rng.random() < config.cross_identity_prob and pool.people:
        shown = int(rng.choice(pool.people[rng.integers(len(pool.people))]))
    portrait = int(rng.choice(np.flatnonzero(known.of(known.face, shown))))
    transcribed = bool(rng.random() < config.transcript_prob)
    return SequencePlan(which, first, shown, portrait, transcribed, draw_variation(config, rng))


def _poses(known, pool, config, rng) -> PosePlan:
    which = int(rng.choice(pool.speaker))
    return PosePlan(which, int(rng.integers(known.length(which) - config.pose_frames + 1)))


_PLANS = {"pairs": _pair, "sync": _sync, "sequences": _sequence, "poses": _poses}


def draw_variation(config: batch_types.DrawConfig, rng: np.random.Generator) -> batch_types.Variation:
    """Draw how one example is shown."""
    mirrored = np.asarray(rng.random() < config.mirror_prob)
    zoom, turn, x, y = rng.uniform(-1, 1, 4)
    low, high = config.log_scale
    view = (
        (low + high) / 2 + zoom * (high - low) / 2,
        turn * config.rotation,
        x * config.translation,
        y * config.translation,
    )
    colours = rng.uniform(-config.colour_jitter, config.colour_jitter, 4)
    return batch_types.Variation(mirrored, np.array(view, np.float32), colours.astype(np.float32))


def _draw_clip(pool: Pool, config: batch_types.DrawConfig, rng: np.random.Generator) -> int:
    """A clip of the speaker as often as said, else of any person alike."""
    people = pool.people
    chosen = rng.random() < config.speaker_prob
    if len(pool.speaker) and config.speaker_prob == 0:
        people = (*people, pool.speaker)
    if not people or (chosen and len(pool.speaker)):
        return int(rng.choice(pool.speaker))
    return int(rng.choice(people[rng.integers(len(people))]))


def _is_person(known: dataset_index.Catalog, name: str) -> Bool[np.ndarray, " c"]:
    number = known.people.index(name) if name in known.people else -1
    return known.person == number


def _by_person(
    known: dataset_index.Catalog, clips: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " _"], ...]:
    if not len(clips):
        return ()
    person = known.person[clips]
    order = np.argsort(person, kind="stable")
    return tuple(np.split(clips[order], np.flatnonzero(np.diff(person[order])) + 1))


def _least_sync_frames(config: batch_types.DrawConfig) -> int:
    """Frames from which every window has another one `least_shift` away."""
    return SYNC_FRAMES + 2 * config.hard_negative_min_shift


def _why_none(known: dataset_index.Catalog, config: batch_types.DrawConfig, kind: str, held_out: bool) -> str:
    needs = {
        "pairs": f"{LEAST_FACES} frames with a face",
        "sync": f"sound in sync with the lips and {_least_sync_frames(config)} frames",
        "sequences": f"sound, a pause and {config.frames} frames",
        "poses": f"sound and {config.pose_frames} frames",
    }[kind]
    split = "held-out" if held_out else "training"
    of = f" of the speaker {config.speaker!r}" if kind in ("sequences", "poses") else ""
    remedy = "preprocess more videos"
    if of and config.speaker not in known.people:
        often = known.people[int(np.bincount(known.person).argmax())]
        remedy = f"set speaker to a person of these clips, such as {often!r} (--draw.speaker)"
    return f"no {split} clip{of} among {len(known.names)} has {needs}, as {kind!r} need; {remedy}"
