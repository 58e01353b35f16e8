"""Make avct_jax/assets/expressions.npz of a folder of clips: python scripts/make_expressions.py CLIPS OUTPUT.

How all points move with each blendshape of Face Landmarker v2, all others held: a ridge regression on what
changes within each clip, faces made symmetric, the head's pose taken out. What is kept of it is the part of
the face that the expression is about, and lips are left as far apart as they were.
"""

from collections.abc import Iterable
from typing import Any

import clip_arguments
import jax
import numpy as np
from scipy import optimize
from scipy.spatial import transform

from avct_jax import face_topology as topology
from avct_jax.data.clips import clip, manifest
from avct_jax.data.direction import expressions
from avct_jax.data.faces import face_basis
from avct_jax.models.frozen import face_landmarker

FRONT = 0.35  # rad of yaw within which a view counts as from the front
FEWEST = 25  # frames of a clip
RIDGE = 0.02  # of the mean variance of a score
BATCH = 64  # frames
# Places of ARKit's names among the network's 52 answers, left and right averaged.
SCORES = {
    "brow_down": (1, 2), "brow_inner_up": (3,), "brow_outer_up": (4, 5), "blink": (9, 10),
    "look_down": (11, 12), "look_up": (17, 18), "cheek_up": (19, 20), "wide": (21, 22), "jaw_open": (25,),
    "close": (27,), "dimple": (28, 29), "frown": (30, 31), "funnel": (32,), "lower_down": (34, 35),
    "press": (36, 37), "pucker": (38,), "roll_lower": (40,), "roll_upper": (41,), "shrug_lower": (42,),
    "shrug_upper": (43,), "smile": (44, 45), "stretch": (46, 47), "upper_up": (48, 49),
}  # fmt: skip
# What an expression is made of. Few people frown in front of a camera: the chin is added by hand, and
# further than the network's 1 is gone where that is slight.
MADE_OF = {
    "smile": {"smile": 1.0},
    "frown": {"frown": 1.5, "shrug_lower": 0.3},
    "pucker": {"pucker": 1.5, "funnel": 0.3},
    "stretch": {"stretch": 1.0},
    "dimple": {"dimple": 1.0},
    "cheek_up": {"cheek_up": 0.6},
    "brow_down": {"brow_down": 1.0},
    "brow_inner_up": {"brow_inner_up": 1.0},
    "brow_outer_up": {"brow_outer_up": 1.0},
}
PRESSED = 0.025  # eye distances by which pursed lips are nearer: narrower ones look open where they are not
# Heights below the corners of the eyes, eye distances, over which a part of the face fades in.
LOW, HIGH = (0.04, 0.16), (-0.03, -0.09)


def main() -> None:
    """Read the clips and write the parts."""
    arguments = clip_arguments.parse(__doc__)
    entries = manifest.read(arguments.clips).without(arguments.leave_out)
    loaded = (clip.load(arguments.clips / f"{entry.name}.npz") for entry in entries)
    parts: Any = fit(one.points[one.score > 0.5].astype(np.float32) for one in loaded)
    np.savez_compressed(arguments.output, **parts)


def fit(clips: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Find the parts of `expressions.PARTS`, and where each point lies across the face.

    Args:
      clips: landmarks (t, 478, 3) of each, of the frames that show a face, in one unit along all axes.
    """
    canonical = face_basis.embedded().canonical.astype(np.float64)
    mirrored = mirror(canonical)
    squares, products, count = 0.0, 0.0, 0
    for points in clips:
        sample = _changes(points, canonical, mirrored)
        if sample is not None:
            x, y = sample
            weight = len(x) ** -0.5
            squares, products, count = squares + weight * x.T @ x, products + weight * x.T @ y, count + 1
    ridge = RIDGE * np.trace(squares) / len(SCORES) * np.eye(len(SCORES))
    slopes = np.linalg.solve(squares + ridge, products).reshape(len(SCORES), -1, 3)
    by_score = dict(zip(SCORES, slopes, strict=True))
    print(f"{count} clips")
    found = {}
    for name in expressions.PARTS:
        whole = np.sum([far * by_score[score] for score, far in MADE_OF[name].items()], axis=0)
        if name.startswith("brow"):
            found[name] = _share(canonical, HIGH) * whole
        else:
            found[name] = lips_kept(_share(canonical, LOW) * whole, canonical)
    found["pucker"] = pressed(found["pucker"], PRESSED)
    return {name: x.astype(np.float16) for name, x in found.items()} | {"across": canonical[:, 0]}


def _changes(points, canonical, mirrored):
    """Scores and displacements around a clip's mean, without what goes with the head's turning."""
    if len(points) < FEWEST:
        return None
    aligned = face_basis.align(points, canonical)
    turned = transform.Rotation.from_matrix(np.swapaxes(aligned.rotation, 1, 2)).as_rotvec()
    front = np.abs(turned[:, 1]) < FRONT
    if front.sum() < FEWEST:
        return None
    scores = blendshapes(points[front])
    x = np.stack([scores[:, list(places)].mean(1) for places in SCORES.values()], 1).astype(np.float64)
    faces = aligned.points[front].astype(np.float64)
    y = ((faces + faces[:, mirrored] * [-1, 1, 1]) / 2).reshape(len(x), -1)
    head = turned[front] - turned[front].mean(0)
    head = np.concatenate([head, head**2], 1)
    basis, _ = np.linalg.qr(head - head.mean(0))
    x, y = x - x.mean(0), y - y.mean(0)
    return x - basis @ (basis.T @ x), y - basis @ (basis.T @ y)


def blendshapes(points: np.ndarray) -> np.ndarray:
    """Return the 52 scores of each frame."""
    network, variables = (
        face_landmarker.NETWORKS["blendshapes"],
        face_landmarker.read_variables("blendshapes"),
    )
    score = jax.jit(lambda p: network.apply(variables, p))
    seen = points[:, list(face_landmarker.BLENDSHAPE_POINTS), :2]
    padded = np.concatenate([seen, np.repeat(seen[-1:], -len(seen) % BATCH, 0)])
    blocks = padded.reshape(-1, BATCH, *seen.shape[1:])
    return np.concatenate([np.asarray(score(block)) for block in blocks])[: len(seen)]


def mirror(canonical: np.ndarray) -> np.ndarray:
    """Return the point on the other side of the face of each."""
    flipped = canonical * [-1, 1, 1]
    apart = ((canonical[:, None] - flipped[None]) ** 2).sum(-1)
    return optimize.linear_sum_assignment(apart)[1]


def _share(canonical, edge):
    """1 in the lower or the upper part of the face, 0 beyond; lids and irises stay."""
    corners = canonical[[*topology.EYE_CORNERS, 133, 362], 1].mean()
    share = np.clip((canonical[:, 1] - corners - edge[0]) / (edge[1] - edge[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    for upper, lower in topology.APERTURES[1:]:
        share[[*upper, *lower]] = 0
    share[[*topology.LEFT_IRIS, *topology.RIGHT_IRIS]] = 0
    return share[:, None]


def pressed(moves: np.ndarray, way: float) -> np.ndarray:
    """Bring the inner rims of the lips nearer by `way` in their middle."""
    moves = moves.copy()
    for sign, row in ((1, topology.UPPER_INNER_LIP), (-1, topology.LOWER_INNER_LIP)):
        moves[list(row), 1] += sign * way / 2 * np.sin(np.linspace(0, np.pi, len(row)))
    return moves


def lips_kept(moves: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """Take away how far the inner rims of the lips go apart, down and in depth; less from the outer ones."""
    moves = moves.copy()
    upper, lower = (list(row) for row in (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP))
    along, half = canonical[upper, 0], (moves[lower] - moves[upper]) / 2
    lips = (
        (1, upper[1:-1], topology.UPPER_LIP_BODY, topology.UPPER_OUTER_LIP),
        (-1, lower[1:-1], topology.LOWER_LIP_BODY, topology.LOWER_OUTER_LIP),
    )
    for sign, *rows in lips:
        for row, share in zip(rows, (1.0, 0.6, 0.3), strict=True):
            for axis in (1, 2):
                away = np.interp(canonical[list(row), 0], along, half[:, axis])
                moves[list(row), axis] += sign * share * away
    return moves


if __name__ == "__main__":
    main()
