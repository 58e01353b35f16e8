"""Heads that speak in their picture: what lies around them keeps still, each moves with its own voice."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.animator.framing import scene
from avct_jax.data.media import video_io
from tests import made_sounds, portraits
from tests.animator import test_mesh_animator

animator, checkpoint = test_mesh_animator.animator, test_mesh_animator.checkpoint
LOUD = made_sounds.vowel(0.6)
MARGIN = 3  # px


def picture():
    """Two faces before much more of a wall, 320 x 536 px."""
    return np.pad(portraits.two_faces(), ((40, 24), (60, 40), (0, 0)), mode="reflect")


def mouth(head):
    """Where the picture shows a mouth."""
    corners = np.asarray(head.portrait.portrait.vertices[np.array([61, 291]), :2])
    x, y = ((corners + 1) / 2 * head.inset.side).mean(0).astype(int)
    reach = int(np.ptp(corners[:, 0]) / 4 * head.inset.side)
    top, left = head.inset.rows.start, head.inset.columns.start
    return np.s_[top + y - reach : top + y + reach, left + x - reach : left + x + reach]


@pytest.fixture(scope="module")
def made(animator):
    ready = animator.prepare(picture(), [LOUD, None], framing="full", seed=3)
    return ready, np.concatenate(list(animator.draw(ready.portrait, ready.track)))


def test_what_lies_around_the_heads_is_the_picture(made):
    ready, frames = made
    assert frames.shape == (15, 320, 536, 3) and ready.size == (320, 536) and ready.seconds == 0.6
    around = np.ones((320, 536), bool)
    for head in ready.portrait.heads:
        around[head.inset.rows, head.inset.columns] = False
    assert around.sum() > 10000
    assert (frames[:, around] == picture()[around]).all()


def test_nothing_jumps_at_a_squares_border(made):
    ready, frames = made
    change = np.abs(frames.astype(int) - picture())
    assert change.max() > 30, "the heads move"
    everywhere = np.zeros((320, 536), bool)
    for head in ready.portrait.heads:
        everywhere[head.inset.rows, head.inset.columns] = True
    for head in ready.portrait.heads:
        rows, columns = head.inset.rows, head.inset.columns
        border = np.zeros((320, 536), bool)
        border[rows, columns] = True
        border[rows.start + MARGIN : rows.stop - MARGIN, columns.start + MARGIN : columns.stop - MARGIN] = (
            False
        )
        border[:, [0, -1]] = border[[0, -1]] = False
        for other in ready.portrait.heads:
            if other is not head:
                border[other.inset.rows, other.inset.columns] = False
        assert border.any() and change[:, border].max() <= 1


def test_each_face_moves_with_its_own_voice_alone(animator):
    told = {"framing": "full", "still": True, "blink": 0, "seed": 1}
    moves = []
    for sounds in ([LOUD, None], [None, LOUD]):
        ready = animator.prepare(picture(), sounds, **told)
        frames = np.concatenate(list(animator.draw(ready.portrait, ready.track))).astype(float)
        moved = np.abs(frames - frames.mean(0)).max((0, -1))
        moves.append([moved[mouth(head)].max() for head in ready.portrait.heads])
    (left, right), (other_left, other_right) = moves
    assert left > 5 * max(right, 1) and other_right > 5 * max(other_left, 1)


def test_the_longest_voice_decides_and_who_has_ended_is_noted(animator):
    short = made_sounds.vowel(0.3, hertz=180)
    ready = animator.prepare(picture(), [short, LOUD], framing="full", seed=1)
    assert ready.frames == 15 and ready.seconds == 0.6
    assert any("face 1 has said all after 0.30 s" in note for note in ready.notes)
    spoken, whole = (np.abs(track.speech).sum(1) for track in ready.track)
    assert spoken[:8].min() > 0 and spoken[14] < 0.3 * spoken[:8].max() and whole.min() > 0
    assert len(ready.audio.samples) == pytest.approx(0.6 * ready.audio.rate, abs=10)
    both = animator.prepare(picture(), LOUD, framing="full", face="all", seed=1)
    first, second = (track.behaviour.rotation for track in both.track)
    assert np.abs(first - second).max() > 1e-3, "two heads are not one"
    np.testing.assert_array_equal(both.audio, LOUD)


def test_large_pictures_are_handed_over_frame_by_frame(animator, made, monkeypatch):
    ready, frames = made
    monkeypatch.setattr(scene, "BLOCK_BYTES", 3 * ready.portrait.picture.nbytes)
    blocks = list(animator.draw(ready.portrait, ready.track))
    assert [len(block) for block in blocks] == [3, 3, 2, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), frames)


def test_a_whole_picture_becomes_a_video(animator, tmp_path):
    report = animator.animate(picture()[:301, :401], LOUD, tmp_path / "a.mp4", framing="full")
    assert video_io.probe(tmp_path / "a.mp4").size == (300, 400) and report.frames == 15


@pytest.mark.parametrize(
    ("sounds", "told", "said"),
    [
        ([LOUD] * 3, {"framing": "full"}, "3 sounds are given and 2 faces are seen"),
        ([LOUD] * 2, {}, "one head is framed; choose --framing full"),
        ([LOUD] * 2, {"framing": "full", "face": 1}, "leave --face out"),
        ([LOUD] * 2, {"framing": "full", "transcript": "Hello."}, "leave transcript out"),
        (LOUD, {"face": "all"}, "choose --framing full"),
        (
            LOUD,
            {"framing": "full", "face": "all", "poses": np.eye(6)[[5] * 15] * 250},
            "poses are of one head",
        ),
        (LOUD, {"framing": "full", "cropped": True}, "leave one of them out"),
        (LOUD, {"framing": "wide"}, "choose of head, full"),
    ],
)
def test_what_contradicts_itself_is_refused(animator, sounds, told, said):
    with pytest.raises(errors.UserError, match=said):
        animator.prepare(picture(), sounds, **told)
