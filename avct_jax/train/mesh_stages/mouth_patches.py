"""What the mouth painter learns from: patches of real mouths beside what a warp makes of another frame.

Warping is done once, when the patches are packed; training then reads arrays. Everything is 8 bits wide.
"""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import transform

from avct_jax import errors
from avct_jax.data.clips import clip, manifest
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.layers.geometry import grid, mesh_warp
from avct_jax.models.mesh import face_mesh, mouth_painter, mouth_patch

PARTIAL = ".partial.npz"  # end of the name of a file that is being written
FRAMES = 32  # of one source, drawn together
TURNED = 0.25  # rad between the heads of two frames, beyond which a warp is no help
SHUT = 0.03  # eye distances between the lips of a shut mouth
DEPTHS = 0.4  # eye distances that a depth of +-127 stands for
ARRAYS = ("skin", "inside", "below", "above", "real", "own", "own_inside", "source", "clip")


class MouthPatches(NamedTuple):
    """n examples of m source frames in c clips, 8 bits: colours and masks 0 to 255, depths in DEPTHS / 127.

    Attributes:
      source: of each example among the sources (own, own_inside).
      clip: of each example.
    """

    skin: UInt8[np.ndarray, "n h w 3"]
    inside: UInt8[np.ndarray, "n h w"]
    below: Int[np.ndarray, "n h w"]
    above: Int[np.ndarray, "n h w"]
    real: UInt8[np.ndarray, "n h w 3"]
    own: UInt8[np.ndarray, "m h w 3"]
    own_inside: UInt8[np.ndarray, "m h w"]
    source: Int[np.ndarray, " n"]
    clip: Int[np.ndarray, " n"]


class HeadFrames(NamedTuple):
    """Canonical frame to image, and the head's turn, of t frames."""

    head: Float[np.ndarray, "t 3 3"]
    origin: Float[np.ndarray, "t 3"]
    turn: transform.Rotation


def heads(points: Float[np.ndarray, "t 478 3"], canonical: Float[np.ndarray, "478 3"]) -> HeadFrames:
    """Fit the canonical face to landmarks."""
    fit = face_basis.align(points, canonical)
    turn = transform.Rotation.from_matrix(np.swapaxes(fit.rotation, 1, 2))
    return HeadFrames(*face_basis.heads(fit), turn)


def portrait_of(layers: portrait_layers.PortraitLayers) -> face_mesh.MeshPortrait:
    """Bring a portrait's layers to JAX."""
    a: dict[str, Any] = {name: jnp.asarray(value) for name, value in layers._asdict().items()}
    for side in ("upper", "lower"):
        a[side] = face_mesh.Field(a[side], mesh_warp.barycentric(a["vertices"][:, :2], a[side]))
    return face_mesh.MeshPortrait(**a)


@jax.jit
def draw(portrait, points, head, origin, frames):
    """Warped patches, and the real ones, of driving frames."""
    moved = face_mesh.follow(portrait, points, head, origin)
    places = mouth_patch.patch_places(moved.head, moved.origin, portrait.anchor)
    real = grid.grid_sample(frames / 255, places, align_corners=True, padding_mode="border")
    patch, own = mouth_patch.draw_patch(portrait, moved), mouth_painter.own_patch(portrait)
    byte = lambda x: jnp.round(x * 255).clip(0, 255).astype(jnp.uint8)
    depth = lambda x: jnp.round(x * 127 / DEPTHS).clip(-127, 127).astype(jnp.int8)
    fields = (byte(patch.skin), byte(patch.inside), depth(patch.below), depth(patch.above), byte(real))
    return fields, (byte(own.image)[0], byte(own.inside)[0])


def pack(
    folder: pathlib.Path,
    output: pathlib.Path,
    canonical: Float[np.ndarray, "478 3"],
    *,
    sources: int = 3,
    per_source: int = 96,
    speaker_per_clip: int = 12,
    leave_out: str = "non-commercial",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Pack a folder of clips into `output`, one .npz for each clip; those that are there stay.

    Args:
      sources: frames of a clip that are warped; of the speaker's one.
      per_source: driving frames of each.
      leave_out: sources whose path has this are not used.

    Raises:
      UserError: no clip fits.
    """
    output.mkdir(parents=True, exist_ok=True)
    found = manifest.read(folder)
    rows = found.without(leave_out)
    if not rows:
        raise errors.UserError(f"no clip of {folder} may be used; preprocess others")
    for done, entry in enumerate(rows):
        path = output / f"{entry.name}.npz"
        if not path.exists():
            mine = entry.person == found.speaker
            counts = (1, speaker_per_clip) if mine else (sources, per_source)
            rng = np.random.default_rng(
                (seed, int.from_bytes(entry.name.encode(errors="surrogateescape")[-6:], "little"))
            )
            one = clip.load(folder / f"{entry.name}.npz")
            frames = clip.frames(folder / f"{entry.name}.npz")
            made: dict[str, Any] = pack_clip(one, frames, canonical, counts, rng)
            partial = path.with_suffix(PARTIAL)
            np.savez(partial, person=entry.person, split=entry.split, **made)
            os.replace(partial, path)
        progress(done + 1, len(rows))


def pack_clip(
    one: clip.Clip,
    frames: UInt8[np.ndarray, "t s s 3"],
    canonical,
    counts: tuple[int, int],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Warp some frames of a clip to others of it."""
    points = one.points.astype(np.float32)
    fitted = heads(points, canonical)
    gap = np.array([portrait_layers.opening(p) for p in points])
    seen = np.flatnonzero(one.score > 0)
    parts: list[dict[str, np.ndarray]] = []
    if len(seen) < 2:
        return {}
    for source in choose_sources(gap, seen, counts[0], rng):
        driving = choose_driving(fitted.turn, gap, seen, source, counts[1], rng)
        if not len(driving):
            continue
        portrait = portrait_of(portrait_layers.make(frames[source], points[source], canonical))
        parts += list(_warp(portrait, points, fitted, frames, driving))
    if not parts:
        return {}
    made = {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS[:5]}
    sizes = [len(part["skin"]) for part in parts]
    made["own"] = np.stack([part["own"] for part in parts])
    made["own_inside"] = np.stack([part["own_inside"] for part in parts])
    made["source"] = np.repeat(np.arange(len(parts)), sizes)
    return made


def _warp(portrait, points, fitted, frames, driving) -> Iterator[dict[str, np.ndarray]]:
    for begin in range(0, len(driving), FRAMES):
        index = driving[begin : begin + FRAMES]
        padded = np.pad(index, (0, FRAMES - len(index)), mode="edge")
        given = (
            points[padded],
            fitted.head[padded],
            fitted.origin[padded],
            frames[padded].astype(np.float32),
        )
        fields, own = draw(portrait, *given)
        part = {name: np.asarray(x)[: len(index)] for name, x in zip(ARRAYS[:5], fields, strict=True)}
        yield {**part, "own": np.asarray(own[0]), "own_inside": np.asarray(own[1])}


def choose_sources(gap, seen, count, rng) -> list[int]:
    """Half shut mouths, as most portraits have them; half open ones, whose own teeth are to be kept."""
    shut = seen[gap[seen] <= max(SHUT, np.quantile(gap[seen], 0.15))]
    openness = 0.02 + np.minimum(gap[seen], 0.2)
    chosen = [int(rng.choice(shut)) for _ in range(count - count // 2)]
    return chosen + [int(rng.choice(seen, p=openness / openness.sum())) for _ in range(count // 2)]


def choose_driving(turn, gap, seen, source, count, rng) -> Int[np.ndarray, " k"]:
    """Frames whose head is turned about as the source's, open mouths before shut ones."""
    away = (turn[seen] * turn[source].inv()).magnitude()
    fit = seen[(away < TURNED) & (seen != source)]
    if not len(fit):
        return fit
    weight = 0.02 + np.minimum(gap[fit], 0.2)
    return np.sort(rng.choice(fit, min(count, len(fit)), replace=False, p=weight / weight.sum()))


class PatchSet(NamedTuple):
    """All packed patches.

    Attributes:
      held_out: of each clip.
      persons: by clip.
    """

    patches: MouthPatches
    persons: tuple[str, ...]
    held_out: Bool[np.ndarray, " c"]


def load(folder: pathlib.Path) -> PatchSet:
    """Read what `pack` wrote.

    Raises:
      UserError: there is nothing.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    persons, held_out, sources = [], [], 0
    for path in sorted(p for p in folder.glob("*.npz") if not p.name.endswith(PARTIAL)):
        with np.load(path, allow_pickle=False) as file:
            if "skin" not in file.files:
                continue
            for name in ARRAYS[:7]:
                columns[name].append(file[name])
            columns["source"].append(file["source"] + sources)
            columns["clip"].append(np.full(len(file["source"]), len(persons)))
            sources += len(file["own"])
            persons.append(str(file["person"]))
            held_out.append(str(file["split"]) == "test")
    if not persons:
        raise errors.UserError(f"no packed patches in {folder}; pack some clips first")
    return PatchSet(
        MouthPatches(**{name: np.concatenate(parts) for name, parts in columns.items()}),
        tuple(persons),
        np.array(held_out),
    )
