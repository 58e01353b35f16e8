"""Stretches of one steady face: divided at jumps and gaps, never longer than asked, all frames told of."""

import numpy as np
import pytest

from avct_jax.data.clips import face_tracks
from avct_jax.data.faces import face_detector

SHAPE = np.random.default_rng(0).uniform(-1, 1, (478, 3)).astype(np.float32)


class Scripted(face_detector.FaceLandmarker):
    """Sees in frame i what the script says: x, y, half size of a face, or None; `rivals` are there too."""

    def __init__(self, script, rivals=()):
        super().__init__()
        self.script, self.rivals, self.at = script, list(rivals), -1

    def follow(self, image, before):
        self.at += 1
        return self._seen(self.script[self.at])

    def _seen(self, place):
        if place is None:
            return None
        x, y, half = place
        return face_detector.Landmarks(SHAPE * np.float32(half) + np.float32([x, y, 0]), 1.0)

    def detect(self, image, *, thorough=True):
        found = [self._seen(place) for place in self.rivals]
        return [face_detector._box_of_points(f.points, 1.0) for f in found if f]

    def landmarks(self, image, region=None, *, thorough=True):
        return self._seen(self.rivals[0])


def tracks(script, longest=50, shortest=10, rivals=()):
    frames = [np.zeros((64, 64, 3), np.uint8)] * len(script)
    found = list(
        face_tracks.find_tracks(frames, Scripted(script, rivals), longest=longest, shortest=shortest)
    )
    assert sum(part.frames for part in found) == len(script)
    assert [part.begin for part in found] == np.cumsum([0, *(part.frames for part in found)])[:-1].tolist()
    return [(part.begin, part.frames, part.points is not None) for part in found], found


HERE, THERE, NEAR = (30, 30, 10), (60, 30, 10), (30, 30, 18)


def test_steady_face_is_one_stretch():
    spans, found = tracks([HERE] * 30)
    assert spans == [(0, 30, True)] and (found[0].score == 1).all()


@pytest.mark.parametrize("other", [THERE, NEAR])
def test_face_that_jumps_or_grows_begins_a_stretch(other):
    assert tracks([HERE] * 20 + [other] * 15)[0] == [(0, 20, True), (20, 15, True)]
    hidden = tracks([HERE] * 20 + [None] * 3 + [other] * 15)[0]
    assert hidden == [(0, 20, True), (20, 3, False), (23, 15, True)]


def test_short_gaps_are_filled_and_marked():
    spans, found = tracks([HERE] * 10 + [None] * 5 + [(33, 30, 10)] * 10)
    assert spans == [(0, 25, True)] and (found[0].score[10:15] == 0).all()
    way = found[0].points[9:16, 0, 0] - found[0].points[9, 0, 0]
    np.testing.assert_allclose(way, np.linspace(0, 3, 7), atol=1e-5)


def test_long_gaps_end_a_stretch():
    assert tracks([HERE] * 10 + [None] * 6 + [HERE] * 10)[0] == [
        (0, 10, True), (10, 6, False), (16, 10, True)
    ]  # fmt: skip


def test_frames_without_a_face_at_either_end_are_told_apart():
    spans = tracks([None] * 4 + [HERE] * 12 + [None] * 3)[0]
    assert spans == [(0, 4, False), (4, 12, True), (16, 3, False)]
    assert tracks([None] * 5)[0] == [(0, 5, False)] and tracks([])[0] == []


@pytest.mark.parametrize("count", [50, 55, 60, 119, 211])
def test_long_stretches_are_divided_into_parts_that_are_long_enough(count):
    spans = tracks([HERE] * count)[0]
    assert all(10 <= frames <= 50 for _, frames, _ in spans) and len(spans) <= count / 50 + 1


def test_larger_face_that_stays_is_followed_instead():
    """It is looked for every twelfth frame, and has to be there twice."""
    large = (32, 32, 20)
    assert tracks([HERE] * 12, rivals=[HERE])[0] == [(0, 12, True)]
    script = [HERE] * 30
    spans = tracks(script, rivals=[large])[0]
    assert (12, 1, True) in spans  # the scripted face comes back at once


def test_fill_gaps_repeats_the_ends():
    points = np.full((6, 478, 3), np.nan, np.float32)
    points[2], points[4] = 1.0, 3.0
    assert face_tracks.fill_gaps(points)[:, 0, 0].tolist() == [1, 1, 1, 2, 3, 3]
