"""Make avct_jax/assets/face_basis.npz of a folder of clips: python scripts/make_face_basis.py CLIPS OUTPUT.

The mean face is that of everybody's most shut mouth in a view from the front; the components are those of
speech, people weighing alike but for the speaker, who has as much as a dozen others.
"""

import clip_arguments
import numpy as np

from avct_jax.data.clips import clip, manifest
from avct_jax.data.faces import face_basis

FRONT = 0.25  # rad of yaw within which a view counts as from the front
FRAMES = 600  # of each person; of the speaker SPEAKER times as many
SPEAKER = 12
MANY = 5  # clips from which on one rest serves all


def main() -> None:
    """Read the clips and write the basis."""
    arguments = clip_arguments.parse(__doc__)
    people: dict[str, list[clip.Clip]] = {}
    for entry in manifest.read(arguments.clips).without(arguments.leave_out):
        people.setdefault(entry.person, []).append(clip.load(arguments.clips / f"{entry.name}.npz"))
    canonical = face_basis.canonical_face(np.concatenate([_shut(clips[0]) for clips in people.values()]))
    rng = np.random.default_rng(0)
    moves = [part for clips in people.values() for part in _speech(clips, canonical, rng)]
    basis = face_basis.fit(moves, canonical)
    np.savez(arguments.output, **basis._asdict())
    total = np.concatenate(
        [(d * face_basis.moved_by_speech(canonical)[:, None]).reshape(len(d), -1) for d in moves]
    )
    kept = (basis.scales**2).sum() / total.var(0).sum()
    print(f"{len(people)} people, {len(total)} frames")
    print(f"{len(basis.scales)} components keep {kept:.1%} of the variance")


def _shut(one: clip.Clip) -> np.ndarray:
    points = one.points.astype(np.float32)
    front = np.flatnonzero((one.score > 0) & (np.abs(one.poses[:, 1]) < FRONT))
    gap = np.linalg.norm(points[front, 14] - points[front, 13], axis=1)
    return points[front[np.argsort(gap)[:1]]]


def _speech(clips, canonical, rng):
    aligned = [face_basis.align(one.points.astype(np.float32), canonical).points for one in clips]
    rests = [face_basis.rest(points) for points in aligned]
    many = len(clips) > MANY
    if many:
        rests = [np.median(rests, axis=0)] * len(rests)
    share = min(1.0, FRAMES * (SPEAKER if many else 1) / sum(map(len, aligned)))
    for one, points, rest in zip(clips, aligned, rests, strict=True):
        if one.audio is not None:
            yield (points - rest)[rng.random(len(points)) < share]


if __name__ == "__main__":
    main()
