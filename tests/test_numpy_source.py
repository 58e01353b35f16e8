"""Drawing batches from clips, and the motion that landmarks say."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data import clip, face_motion, numpy_source, phonemes

MEAN = np.random.default_rng(7).uniform(-0.5, 0.5, (468, 2)).astype(np.float32)
FRAMES = 40


def talking_clip(person, shift=0.0, *, sound=False):
    """A mean face that wanders right; picture i is of colour i."""
    moved = MEAN[None] + shift + 0.001 * np.arange(FRAMES)[:, None, None]
    points = np.concatenate([moved, np.zeros((FRAMES, 468, 1))], -1).astype(np.float32)
    pictures = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * np.ones((1, 10, 10, 3), np.uint8)
    poses = np.arange(FRAMES * 6, dtype=np.float32).reshape(FRAMES, 6)
    made = clip.Clip(pictures, np.arange(FRAMES), points, np.ones(FRAMES, np.float32), poses, person)
    if not sound:
        return made
    heard = np.tile(np.arange(FRAMES, dtype=np.float32)[:, None, None], (1, 4, 41)) + 1
    labels = np.where(np.arange(FRAMES) < 10, phonemes.SIL, 5)
    return made._replace(audio=heard, phonemes=labels, recognised=labels, silent=np.arange(FRAMES) < 8)


@pytest.fixture
def folder(tmp_path):
    """Six other people, two of whom are held out, and the speaker's clips."""
    for i in range(6):
        clip.save(tmp_path / f"id_{i}.npz", talking_clip(f"person{i}", 0.02 * i))
    for i in range(3):
        clip.save(tmp_path / f"s1_{i}.npz", talking_clip("s1", -0.1, sound=True))
    return tmp_path


@pytest.fixture
def bank(folder):
    return numpy_source.read_bank(folder, speaker="s1", speaker_step=4)


def test_bank_reads_clips_in_order_and_thins_the_speaker(bank):
    assert bank.names[:2] == ("id_0", "id_1") and bank.persons[-1] == "s1"
    assert [len(x) for x in bank.frames] == [FRAMES] * 6 + [FRAMES // 4] * 3
    places = np.array([[3, FRAMES + 5], [6 * FRAMES, 6 * FRAMES + 2]])
    assert bank.pictures(places)[..., 0, 0, 0].tolist() == [[3, 5], [0, 8]]
    assert bank.poses[6 * FRAMES + 2, 0] == 8 * 6


def test_bank_holds_people_out_whole_and_the_speaker_by_clip():
    held = lambda name, person: numpy_source.held_out(name, person, speaker="s1")
    for person in ("a", "b", "c"):
        assert len({held(f"{person}{i}", person) for i in range(50)}) == 1
    share = np.mean([held("x", f"person{i}") for i in range(1400)])
    own = np.mean([held(f"s1_{i}", "s1") for i in range(2000)])
    assert abs(share - 1 / 14) < 0.02 and abs(own - 1 / 20) < 0.015


def test_steady_frames_leave_out_cuts_and_lost_faces():
    made = talking_clip("a")
    points = made.points.copy()
    points[3] = np.nan
    points[10:14, :, 0] += 0.8  # another face, beside
    points[20] *= 1.6
    kept = numpy_source.steady_frames(made._replace(points=points))
    assert sorted(set(range(FRAMES)) - set(kept)) == [3, 10, 11, 12, 13, 20]
    points[7:] = np.nan
    assert len(numpy_source.steady_frames(made._replace(points=points))) == 0


def test_faces_are_of_training_people_and_the_speaker(bank):
    held = bank._replace(held_out=np.isin(bank.persons, ["person0", "person3"]))
    moves = numpy_source.FaceMotion(held.clip, held.place)  # tells what was drawn
    drawn = numpy_source.draw_faces(held, moves, np.random.default_rng(0), people=200, speaker=50)
    assert set(drawn.motion.keypoints[:200]) == {1, 2, 4, 5} and set(drawn.motion.keypoints[200:]) == {
        6,
        7,
        8,
    }
    step = np.where(drawn.motion.keypoints < 6, 1, 4)
    assert np.array_equal(drawn.frames[:, 0, 0, 0], step * drawn.motion.jacobians)


def test_pairs_are_of_one_clip_and_of_the_speaker_as_often_as_said(bank):
    told = np.zeros((len(bank.clip), 10, 2))
    told[:, 0, 0], told[:, 1, 1] = bank.clip, bank.place  # which clip; later pictures have wider mouths
    moves, rng = numpy_source.FaceMotion(told, told), np.random.default_rng(0)
    drawn = numpy_source.draw_pairs(bank, moves, rng, sources=400, driving=2, speaker_share=0.35)
    source, driving = drawn.source_motion.keypoints[:, 0, 0].astype(int), drawn.driving_motion.keypoints
    assert drawn.driving.shape == (400, 2, 10, 10, 3) and (driving[:, :, 0, 0] == source[:, None]).all()
    last = driving[source < 6][:, :, 1, 1]
    assert last[:, 1].min() >= 0.7 * (FRAMES - 1) and last[:, 0].min() < 0.1 * FRAMES
    assert abs(np.mean(source >= 6) - 0.35) < 0.08
    counts = np.bincount(source[source < 6], minlength=6)[~bank.held_out[:6]]
    assert counts.min() > 0.5 * counts.mean()


def test_speech_knows_when_its_speaker_rests(folder):
    found = numpy_source.read_speech(folder, MEAN, speaker="s1")
    speech = next(iter(found.values()))
    assert set(found) <= {"s1_0", "s1_1", "s1_2"} and speech.silent.sum() == 10
    rest = speech.poses[:10]  # its lips are never closer than elsewhere: all alike
    assert rest.min(0)[0] <= speech.rest_pose[0] <= rest.max(0)[0]
    assert np.allclose(speech.rest_motion.jacobians, np.eye(2), atol=1e-4)
    with pytest.raises(errors.UserError, match="'nobody'"):
        numpy_source.read_speech(folder, MEAN, speaker="nobody")


def test_stretch_is_silent_outside_its_clip():
    speech = numpy_source.as_speech(talking_clip("s1", sound=True), MEAN)
    labels, heard, silent, poses, moves = numpy_source.stretch(
        speech, np.arange(-3, FRAMES + 2), transcribed=True
    )
    assert (labels[:3] == phonemes.SIL).all() and (labels[-2:] == phonemes.SIL).all() and labels[20] == 5
    assert not heard[:3].any() and heard[3, 0, 0] == 1 and not heard[-2:].any()
    assert silent[:13].all() and not silent[13:-2].any() and silent[-2:].all()
    assert np.array_equal(poses[0], speech.poses[0]) and np.array_equal(poses[-1], speech.poses[-1])
    assert moves.keypoints.shape == (FRAMES + 5, 10, 2)


@pytest.mark.parametrize("others", [0.0, 1.0])
def test_stretches_show_the_clip_itself_or_other_people(folder, bank, others):
    moves = numpy_source.bank_motion(bank, MEAN)
    clips = list(numpy_source.read_speech(folder, MEAN, speaker="s1").values())
    draw = lambda: numpy_source.draw_stretches(
        clips, bank, moves, np.random.default_rng(1), count=6, frames=8, radius=2, others=others
    )
    drawn = draw()
    assert drawn.phonemes.shape == (6, 12) and drawn.motion.jacobians.shape == (6, 12, 10, 2, 2)
    lefts = drawn.portrait_motion.keypoints[:, 0, 0] - drawn.motion.keypoints[:, :, 0, 0].min(1)
    assert (np.abs(lefts) < 0.06).all() == (others == 0)  # the speaker is farther left than all others
    again = draw()
    assert np.array_equal(drawn.portrait, again.portrait) and np.array_equal(drawn.audio, again.audio)


def test_nods_are_inside_their_clips(folder):
    clips = list(numpy_source.read_speech(folder, MEAN, speaker="s1").values())
    drawn = numpy_source.draw_nods(clips, np.random.default_rng(0), count=50, frames=30)
    first = drawn.poses[:, 0, 0] / 6
    assert set(first) == set(range(FRAMES - 30 + 1)) and drawn.audio.shape == (50, 30, 4, 41)
    assert np.array_equal(drawn.audio[..., 0, 0], first[:, None] + np.arange(30) + 1)


def test_face_motion_of_a_moved_mean_face_is_that_affine():
    affine, shift = np.array([[1.1, 0.2], [-0.1, 0.9]]), np.array([0.3, -0.2])
    moved = np.concatenate([MEAN @ affine.T + shift, np.zeros((468, 1))], -1)
    still, move = (face_motion.face_motion(x[None].astype(np.float32), MEAN) for x in (MEAN, moved))
    assert np.allclose(move[1], affine[None, None], atol=1e-4)
    assert np.allclose(still[1], np.eye(2)[None, None], atol=1e-4)
    assert np.allclose(move[0], still[0] @ affine.T + shift, atol=1e-5)
