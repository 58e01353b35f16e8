"""Strangers' portraits and voices: who speaks with whose voice, and how their videos are measured."""

import json

import numpy as np
import PIL.Image
import pytest

from avct_jax import errors
from avct_jax.cli import main
from avct_jax.cli.commands import evaluate as evaluate_command
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import symbols as phonemes
from avct_jax.evaluation import distribution, evaluate, measures, sidecar, strangers
from avct_jax.evaluation import video_files as videos
from avct_jax.evaluation.report import markdown
from avct_jax.evaluation.scorers import scorers
from tests import made_clips, made_videos

B, AA = phonemes.INDEX["B"], phonemes.INDEX["AA"]


def source(name, person=None):
    return strangers.StrangerFile(name, person or name, None)


def test_pairs_give_each_portrait_other_peoples_voices_in_rounds():
    portraits, voices = [source(n) for n in "abcd"], [source(n) for n in "abxy"]
    jobs = strangers.pair(portraits, voices)
    assert len(jobs) == 12 == len({job.name for job in jobs})
    assert not [job for job in jobs if job.portrait.person == job.voice.person]
    for turn in range(3):
        assert [job.portrait.name for job in jobs[4 * turn : 4 * turn + 4]] == list("abcd")
    assert [job.voice.name for job in jobs[:4]] == ["b", "x", "x", "y"]


def test_fewer_pairs_are_the_first_of_more():
    portraits, voices = [source(n) for n in "abc"], [source(n) for n in "xyz"]
    assert strangers.pair(portraits, voices, 4) == strangers.pair(portraits, voices)[:4]
    assert len(strangers.pair(portraits, voices, 99)) == 9
    with pytest.raises(errors.UserError, match="no voice of another person"):
        strangers.pair([source("a")], [source("b", "a")])


class Actor:
    """Stands in for an animator: notes what it is asked for, and writes a video as long as the audio."""

    def __init__(self):
        self.asked = []

    def animate(self, image, audio, output, *, phonemes=None, mark=True):
        self.asked.append((image, audio, phonemes))
        with video_io.VideoWriter(output, size=64, audio=audio) as writer:
            writer.write(np.full((len(audio) // 640, 64, 64, 3), 90, np.uint8))


@pytest.fixture
def actor(monkeypatch):
    made = Actor()
    monkeypatch.setattr(strangers.animators, "load", lambda checkpoint: made)
    return made


@pytest.fixture
def given(tmp_path):
    """Two images, two voices of 10 s (one with phonemes), and a checkpoint that nobody reads."""
    for folder in ("portraits", "voices"):
        (tmp_path / folder).mkdir()
    for n, name in enumerate(("p.q", "r")):
        image = np.full((40, 40, 3), 50 + 20 * n, np.uint8)
        PIL.Image.fromarray(image).save(tmp_path / "portraits" / f"{name}.png")
    wave = np.sin(np.arange(160000) / 7).astype(np.float32)
    for name in ("v", "w"):
        with video_io.VideoWriter(tmp_path / "voices" / f"{name}.mp4", size=16, audio=0.5 * wave) as writer:
            writer.write(np.zeros((250, 16, 16, 3), np.uint8))
    labels = [phonemes.Segment("B", 0, 1), phonemes.Segment("AA", 1, 10)]
    phonemes.write_phoneme_json(tmp_path / "voices" / "v.json", labels)
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    return {
        "portraits": tmp_path / "portraits",
        "voices": tmp_path / "voices",
        "checkpoint": tmp_path / "weights.safetensors",
    }


def test_videos_are_of_eight_seconds_with_portrait_and_phonemes_beside_them(given, actor, tmp_path):
    made = strangers.make(tmp_path / "out", **given)
    assert made.names == ("p.q_says_v", "r_says_w", "p.q_says_w", "r_says_v") and not made.paired
    assert [len(audio) for _, audio, _ in actor.asked] == [128000] * 4
    assert all(told is None for *_, told in actor.asked)
    path = made.generated / "p.q_says_v.mp4"
    assert sidecar.portrait_of(path)[0, 0].tolist() == [50] * 3
    assert sidecar.phonemes_of(path).tolist() == [B] * 25 + [AA] * 175
    assert sidecar.phonemes_of(made.generated / "r_says_w.mp4") is None


def test_second_run_makes_nothing_anew_and_names_what_was_asked_for(given, actor, tmp_path):
    strangers.make(tmp_path / "out", **given)
    made = strangers.make(tmp_path / "out", **given, videos=3, transcribed=False)
    assert len(actor.asked) == 4 and len(made.names) == 3
    strangers.make(tmp_path / "out", **given, transcribed=True)
    told = [None if labels is None else labels[:26].tolist() for *_, labels in actor.asked[4:]]
    assert told == [[B] * 25 + [AA], None, None, [B] * 25 + [AA]]  # of another maker: all anew


def test_clips_give_portraits_voices_and_real_videos_of_held_out_people(given, actor, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    made_clips.make(folder, people=4, own=2)
    listing = json.loads((folder / "manifest.json").read_text())
    for listed in listing["clips"]:
        listed["split"] = "test" if listed["person"] in ("person0", "person1", "s1") else "train"
    (folder / "manifest.json").write_text(json.dumps(listing))
    made = strangers.make(tmp_path / "out", clips=folder, **(given | {"portraits": None}))
    assert made.names == ("id_0_says_v", "id_1_says_w", "id_0_says_w", "id_1_says_v")
    assert np.array_equal(actor.asked[0][0], next(video_io.read_frames(folder / "id_0.mp4")))
    assert [path.stem for path in made.real.glob("*.mp4")] == ["id_0"]  # person1 is silent
    assert sidecar.phonemes_of(made.real / "id_0.mp4") is not None


def test_missing_sources_are_refused(given, actor, tmp_path):
    with pytest.raises(errors.UserError, match="needs --clips DIR, or both"):
        strangers.make(tmp_path / "out", **(given | {"voices": None}))
    with pytest.raises(errors.UserError, match="no image is in"):
        strangers.make(tmp_path / "out", **(given | {"portraits": given["voices"]}))
    with pytest.raises(errors.UserError, match="is no folder"):
        strangers.make(tmp_path / "out", **(given | {"voices": tmp_path / "none"}))


@pytest.fixture
def folders(tmp_path):
    """People and a system, no video of one name; one of the system's videos loses its face."""
    for n in range(3):
        made_videos.write(tmp_path / "people" / f"p{n}.mp4", made_videos.opening(n))
        made_videos.write(tmp_path / "made" / f"m{n}.mp4", 0.5 * made_videos.opening(10 + n))
    sidecar.write_phonemes(tmp_path / "made" / "m0.mp4", np.array([AA] * 10 + [B] * 20))
    return tmp_path


def measure(folders, **options):
    return distribution.measure(
        {"made": folders / "made"}, folders / "people", folders / "out", made_videos.networks(), **options
    )


def test_distribution_sets_videos_beside_other_peoples(folders):
    report = measure(folders)
    people, made = report["systems"]
    assert (people["title"], people["kind"], people["videos"], made["videos"]) == (
        "real people",
        "truth",
        3,
        3,
    )
    assert made["means"]["opening_std"] == pytest.approx(people["means"]["opening_std"] / 2, rel=0.3)
    assert people["means"]["closure"] is None is not made["means"]["closure"]
    assert {m["key"] for m in report["measures"]} == set(measures.OF_PEOPLE)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert "Means over all videos of each." in markdown.document(report)


def test_distribution_is_measured_once_and_of_the_names_asked_for(folders):
    first, network = measure(folders), made_videos.networks()
    again = distribution.measure(
        {"made": folders / "made"}, folders / "people", folders / "out", network, names={"made": ["m1"]}
    )
    assert network.landmarker.looked == 0
    assert again["systems"][1]["per_video"].keys() == {"m1"} and again["systems"][0] == first["systems"][0]


def test_video_that_loses_every_face_counts_and_helps_nobody(folders):
    before = measure(folders)["systems"][1]["means"]
    made_videos.write(folders / "made" / "m3.mp4", made_videos.opening(5), lost=range(30))
    made_videos.write(folders / "people" / "p3.mp4", made_videos.opening(5), lost=range(30))
    report = measure(folders)
    people, made = report["systems"]
    assert people["videos"] == 3 and made["videos"] == 4
    assert made["means"]["opening_std"] == pytest.approx(0.75 * before["opening_std"])
    assert made["means"]["open_share"] == pytest.approx(0.75 * before["open_share"])
    assert made["means"]["jitter"] is None is not before["jitter"]
    assert {(f["system"], f["video"]) for f in report["failed"]} == {(evaluate.TRUTH, "p3"), ("made", "m3")}


def test_sharpness_is_a_share_of_the_portraits(folders):
    sharpness = lambda: measure(folders)["systems"][1]["per_video"]["m0"]["face_sharpness"]
    own = sharpness()
    frame = videos.first(videos.from_file(folders / "made" / "m0.mp4", "m0").frames())
    for divided in (1, 2):  # half as bright, half the detail
        sidecar.write_portrait(folders / "made" / "m0.mp4", frame // divided)
        assert sharpness() == pytest.approx(own * divided, rel=0.03)


def test_command_shows_the_systems_videos_alone(folders, monkeypatch):
    monkeypatch.setattr(scorers, "make", lambda *files: made_videos.networks())
    made = strangers.protocols.VideoFolders(
        folders / "made", folders / "people", "of strangers", False, {}, ("m0", "m2")
    )
    monkeypatch.setattr(strangers, "make", lambda *places, **given: made)
    words = ["--protocol", "strangers", "--clips", "any", "--output", str(folders / "report"), "--quiet"]
    assert main.main(["evaluate", *words]) == 0
    text = (folders / "report" / "report.html").read_text()
    assert (
        text.count("data:video/mp4;base64,") == 2 and "real people" in text and "all videos of each" in text
    )
    assert evaluate_command.PROTOCOLS.keys() == {*strangers.protocols.ABOUT, strangers.NAME}
