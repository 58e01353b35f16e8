"""A video's figures, from observations whose answer is known."""

import cv2
import numpy as np
import pytest

from avct_jax.data.faces import face_detector
from avct_jax.data.phonemes import symbols
from avct_jax.evaluation import evaluate, measures, scores, sidecar, video_features, video_files
from tests import made_videos

B, AA = symbols.INDEX["B"], symbols.INDEX["AA"]
FRAMES = 60


def points_of(gap, width):
    """Faces with outer eye corners 24 px apart, the lips' gap and width in eye distances."""
    points = np.tile(made_videos.Landmarker().mesh, (len(gap), 1, 1))
    points[:, face_detector.LOWER_INNER_LIP, 1] = 45 + 24 * gap
    points[:, face_detector.LOWER_INNER_LIP, 0] = 32
    for corner, side in zip(face_detector.OUTER_MOUTH_CORNERS, (-1, 1), strict=True):
        points[:, corner, 1] = 47
        points[:, corner, 0] = 32 + side * 12 * width
    return points


def seen(number=0, *, labels=None, detail=8.0, portrait=np.nan, lost=()):
    """What is seen of a video: lips shut in every tenth frame, sharp as `detail` says."""
    random = np.random.default_rng(number)
    gap = random.uniform(0.05, 0.3, FRAMES)
    gap[::10] = 0.01
    points = points_of(gap, random.uniform(0.4, 0.6, FRAMES)).astype(np.float32)
    points[list(lost)] = np.nan
    details = np.full((FRAMES, 2), detail, np.float32)
    details[list(lost)] = np.nan
    empty = np.zeros((0, 2), np.float32)
    said = np.zeros(0, np.int8) if labels is None else labels.astype(np.int8)
    return video_features.Observation(
        points, np.full(FRAMES, 0.5, np.float32), (64, 64), empty, empty, np.zeros(FRAMES, bool), {}, empty,
        said, details, np.full(2, portrait, np.float32),
    )  # fmt: skip


def said():
    labels = np.full(FRAMES, AA)
    labels[[11, 15, 25, 29]] = B  # beside a shut frame, and not, twice
    return labels


def score(made, real, **options):
    return scores.score(made, real, {}, made_videos.SyncScorer(), **options)


def test_video_beside_itself_is_right_everywhere():
    one = seen(labels=said())
    found = score(one, one)
    exact = ("opening_correlation", "opening_best_correlation", "width_correlation", "width_spread")
    assert [found[key] for key in (*exact, "face_sharpness", "mouth_sharpness")] == pytest.approx([1] * 6)
    assert found["closure"] == 0.5 and found["blinks"] == 0 == round(found["head_yaw"], 9)
    assert found["opening_std_eyes"] == pytest.approx(found["opening_std"] * 55 / 24, rel=1e-4)


def test_closure_is_of_the_videos_own_phonemes_else_of_the_real_ones():
    made, real = seen(), seen(labels=said())
    assert score(made, real)["closure"] == 0.5
    assert score(made._replace(phonemes=np.full(FRAMES, AA, np.int8)), real)["closure"] is None
    assert score(real, made)["closure"] == 0.5 and score(made, made)["closure"] is None


def test_lag_costs_the_correlation_and_not_the_best_one():
    real = seen()
    late = real._replace(points=np.roll(real.points, 3, axis=0))
    found = score(late, real)
    assert found["opening_correlation"] < 0.5 and found["opening_best_correlation"] > 0.99


def test_width_is_compared_with_the_real_videos():
    real = seen()
    half = real._replace(points=real.points.copy())
    corners = list(face_detector.OUTER_MOUTH_CORNERS)
    mean = real.points[:, corners, 0].mean(0)
    half.points[:, corners, 0] = (real.points[:, corners, 0] + mean) / 2
    found = score(half, real)
    assert found["width_spread"] == pytest.approx(0.5, rel=1e-3)
    assert found["width_correlation"] == pytest.approx(1, abs=1e-3)
    assert score(seen(1), real)["width_correlation"] < 0.5


def test_sharpness_is_of_the_real_video_or_of_the_portrait():
    made, real = seen(detail=4.0, portrait=16.0), seen(detail=8.0)
    assert score(made, real)["face_sharpness"] == 0.5
    assert score(made, real, paired=False)["mouth_sharpness"] == 0.25
    assert score(seen(detail=4.0), real, paired=False)["face_sharpness"] == 1


def test_losing_the_face_wins_nothing():
    real, lost = seen(labels=said()), seen(lost=range(0, FRAMES, 2))
    for key in ("opening_std", "opening_std_eyes", "open_share", "width_std", "face_sharpness", "closure"):
        assert score(lost, real)[key] < score(real, real)[key]
    gone = score(seen(lost=range(FRAMES)), real)
    zero = (
        "opening_std",
        "open_share",
        "width_std",
        "width_correlation",
        "width_spread",
        "closure",
        "blinks",
    )
    assert not any(gone[key] for key in (*zero, "head_pitch", "face_sharpness"))
    assert None not in [gone[key] for key in zero] and gone["jitter"] is None


def test_short_videos_have_figures_or_none():
    for count in (1, 2):
        one = seen(labels=said())
        short = one._replace(points=one.points[:count], detail=one.detail[:count])
        found = score(short, one)
        assert set(found) == set(measures.KEYS) and found["open_share"] >= 0
        assert found["width_correlation"] is None is found["opening_best_correlation"]


def test_video_of_another_size_is_as_sharp_as_at_the_real_ones(tmp_path):
    made_videos.write(tmp_path / "a.mp4", made_videos.opening(0))
    one, networks = video_files.from_file(tmp_path / "a.mp4", "a"), made_videos.networks()
    own = video_features.observe(one, networks)
    small = video_files.from_file(tmp_path / "a.mp4", "a", size=(32, 32))
    beside_small = video_features.observe(one, networks, video_features.observe(small, networks))
    frame = cv2.resize(video_files.first(one.frames()), (32, 32), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    expected = video_features.detail_metric.detail(grey, own.points[0] / 2)
    np.testing.assert_allclose(beside_small.detail[0], expected, rtol=0.05)
    assert abs(own.detail[0, 0] / expected[0] - 1) > 0.2


class Blinker(made_videos.Landmarker):
    """Sees shut eyes in dark frames."""

    def follow(self, image, before):
        found = super().follow(image, before)
        shut = 2 if np.median(image) < 50 else 8
        for upper, lower in (face_detector.LEFT_EYELIDS, face_detector.RIGHT_EYELIDS):
            found.points[[upper, lower], 0] = 30
            found.points[[upper, lower], 1] = 20, 20 + shut
        return found


def test_video_that_does_not_blink_has_a_mean_without_a_length(tmp_path):
    mouth = 0.5 + 0.2 * made_videos.opening(0)
    blinks = mouth.copy()
    blinks[10:13] = 0
    for name, of in (("a", blinks), ("b", mouth)):
        made_videos.write(tmp_path / "real" / f"{name}.mp4", of)
        made_videos.write(tmp_path / "made" / f"{name}.mp4", of if name == "b" else mouth)
    networks = made_videos.networks()._replace(landmarker=Blinker())
    report = evaluate.evaluate({"made": tmp_path / "made"}, tmp_path / "real", tmp_path / "out", networks)
    real, *_, made = report["systems"]
    assert real["means"]["blinks"] == pytest.approx(60 * 25 / 30 / 2) and real["means"]["blink_length"] == 120
    assert made["means"]["blinks"] == 0 and made["means"]["blink_length"] is None
    assert not [failure for failure in report["failed"] if "blink" in failure["reason"]]


def test_wrong_audio_is_asked_for_the_other_videos_phonemes(tmp_path):
    for n, name in enumerate("ab"):
        made_videos.write(tmp_path / "real" / f"{name}.mp4", 0.3 + 0.7 * made_videos.opening(n))
        labels = np.full(30, (B, AA)[n])
        sidecar.write_phonemes(tmp_path / "real" / f"{name}.mp4", labels)
    report = evaluate.evaluate({}, tmp_path / "real", tmp_path / "out", made_videos.networks())
    truth, _, wrong = report["systems"]
    assert truth["per_video"]["a"]["closure"] is not None is truth["per_video"]["b"]["closure"]
    assert wrong["per_video"]["a"]["closure"] is None is not wrong["per_video"]["b"]["closure"]
