"""`avct preprocess`: videos in, clips out, whatever happens on the way."""

import csv
import functools
import json
import re
import signal
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.cli import main
from avct_jax.data.clips import clip, clip_folder, make_clips, manifest
from avct_jax.data.faces import crop, face_detector
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io
from avct_jax.files import atomic_write

PORTRAIT = skimage.data.astronaut()[:300, 70:370]
NOBODY = skimage.data.coffee()[:300, :300]
TONE = (np.sin(np.arange(16000 * 2) * 0.06) * np.hanning(8000).repeat(4) / 2).astype(np.float32)


def video(path, frames, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_io.VideoWriter(path, size=frames[0].shape[:2], **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def swaying(count):
    """A head that moves by 10 px."""
    return [np.roll(PORTRAIT, round(10 * np.sin(i / 8)), axis=1) for i in range(count)]


@functools.cache
def landmarker():
    return face_detector.FaceLandmarker()


def make(source, folder, person="p", words=None, **options):
    folder.mkdir(exist_ok=True)
    job = make_clips.ClipJob(str(source), source.stem, person, words)
    return make_clips.preprocess(job, folder, make_clips.ClipOptions(**options), landmarker())


def run(*arguments):
    return main.main(["preprocess", *map(str, arguments), "--jobs", "1"])


def test_video_with_a_cut_becomes_clips_and_a_reason(tmp_path):
    frames = swaying(30) + [NOBODY] * 12 + [PORTRAIT] * 26
    record = make(video(tmp_path / "talk.mp4", frames), tmp_path / "clips")
    assert [(e.name, e.begin_s, e.frames) for e in record.clips] == [
        ("talk_01", 0.0, 30), ("talk_02", 1.68, 26)
    ]  # fmt: skip
    assert [(r.kind, r.begin_s, r.end_s) for r in record.refused] == [("no face", 1.2, 1.68)]
    for entry in record.clips:
        made, shown = (read(tmp_path / "clips" / f"{entry.name}.npz") for read in (clip.load, clip.frames))
        assert len(made.points) == len(shown) == entry.frames and made.audio is None and not entry.audio


def test_clip_shows_the_video_where_its_square_is(tmp_path):
    make(video(tmp_path / "talk.mp4", swaying(25)), tmp_path / "clips")
    made, shown = clip.load(tmp_path / "clips/talk.npz"), clip.frames(tmp_path / "clips/talk.mp4")
    again, _ = landmarker().track(shown)  # finds the landmarks in the clip where the columns have them
    stored = (made.points[..., :2].astype(np.float32) + 1) / 2 * 255 + 0.5
    assert np.abs(stored - again[..., :2]).mean() < 1.0  # px
    assert np.ptp(stored[:, face_detector.NOSE_TIP, 0]) > 5  # the square is steady: the head moves in it
    left, top, right, bottom = made.mouth_boxes.T
    lips = again[:, face_detector.UPPER_INNER_LIP, :2]
    assert ((left < lips[:, 0]) & (lips[:, 0] < right) & (top < lips[:, 1]) & (lips[:, 1] < bottom)).all()


def test_audio_of_each_clip_is_that_of_its_frames(tmp_path):
    """The tone of 2 s lies in frames 30 to 79; the video is cut at frame 40."""
    audio = np.concatenate([np.zeros(30 * 640, np.float32), TONE])
    frames = [PORTRAIT] * 40 + swaying(40)
    frames[40:] = [np.fliplr(frame) for frame in frames[40:]]
    words = (("sil", 0.0, 1.2), ("bin", 2.0, 2.6), ("sil", 2.6, 3.2))
    record = make(video(tmp_path / "a.mp4", frames, audio=audio), tmp_path / "clips", words=words)
    assert [entry.frames for entry in record.clips] == [40, 40] and all(e.audio for e in record.clips)
    first, second = (clip.load(tmp_path / "clips" / f"a_0{i}.npz") for i in (1, 2))
    assert first.silent[:28].all() and not first.silent[33:].any() and not second.silent[2:36].any()
    spoken = np.flatnonzero(second.phonemes != 31)  # 2.0 - 2.6 s are frames 10 to 24 of the second clip
    assert abs(spoken[0] - 10) <= 1 and abs(spoken[-1] - 24) <= 1 and (first.phonemes == 31).all()
    assert video_io.probe(tmp_path / "clips/a_02.mp4").has_audio


def test_audio_that_begins_late_in_the_video_begins_late_in_its_clip(tmp_path):
    video(tmp_path / "mute.mp4", [PORTRAIT] * 50)
    video(tmp_path / "tone.mp4", [PORTRAIT] * 50, audio=TONE)
    late = ["-i", tmp_path / "mute.mp4", "-itsoffset", "0.4", "-i", tmp_path / "tone.mp4", "-c", "copy"]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", *late, "-map", "0:v", "-map", "1:a", tmp_path / "a.mp4"]
    subprocess.run(list(map(str, command)), check=True)
    wav = np.abs(audio_io.map_audio(tmp_path / "a.mp4"))
    first = np.flatnonzero(np.abs(audio_io.map_audio(tmp_path / "tone.mp4")) > 0.1)[0]
    assert abs(np.flatnonzero(wav > 0.1)[0] - first - 0.4 * 16000) < 160  # 10 ms


@pytest.mark.parametrize(
    "frames, options, kind",
    [
        (20, {}, "too short"),
        (30, {"smallest_face": 500}, "too small"),
    ],
)
def test_parts_that_are_no_clip_have_a_reason_with_value_and_limit(tmp_path, frames, options, kind):
    record = make(video(tmp_path / "a.mp4", [PORTRAIT] * frames), tmp_path / "clips", **options)
    assert not record.clips and [r.kind for r in record.refused] == [kind]
    assert any(letter.isdigit() for letter in record.refused[0].reason)


def test_other_rates_and_turned_videos_become_25_frames_a_second_upright(tmp_path):
    video(tmp_path / "half.mp4", [np.rot90(PORTRAIT)] * 15, frame_rate=12.5)
    turned = ["-display_rotation", "-90", "-i", str(tmp_path / "half.mp4"), "-c", "copy"]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", *turned, str(tmp_path / "a.mp4")], check=True)
    record = make(tmp_path / "a.mp4", tmp_path / "clips")
    assert [entry.frames for entry in record.clips] == [30]
    points = clip.load(tmp_path / "clips/a.npz").points
    assert (points[:, face_detector.CHIN, 1] > points[:, face_detector.FOREHEAD, 1] + 0.4).all()


def test_trajectory_square_holds_the_head_wherever_it_goes():
    box = np.float32([[-40, -50, 0], [40, 50, 0]])
    still = np.tile(box + np.float32([500, 400, 0]), (50, 1, 1))
    square = crop.trajectory_square(still, (1000, 1000))
    assert square == crop.face_square(still[0], (1000, 1000)) and square.size == round(100 / crop.FACE_SHARE)
    going = still + np.linspace(0, 300, 50, dtype=np.float32)[:, None, None] * np.float32([1, 0, 0])
    wide = crop.trajectory_square(going, (1000, 1000))
    assert 400 < wide.size < 500 and wide.left < 460 - 20 and wide.left + wide.size > 840 + 20
    astray = still.copy()
    astray[7] += 400  # one frame in fifty errs
    assert abs(crop.trajectory_square(astray, (1000, 1000)).size - square.size) < 12


def test_command_adds_up_runs_and_says_what_came_out(tmp_path, capsys):
    video(tmp_path / "in/one.mp4", [PORTRAIT] * 25)
    video(tmp_path / "in/deep/two.mp4", [NOBODY] * 25)
    (tmp_path / "in/three.mp4").write_bytes(b"no video")
    video(tmp_path / "me.mp4", [PORTRAIT] * 26, audio=TONE)
    assert run(tmp_path / "in", "--output", tmp_path / "clips", "--speaker", "me") == 0
    assert "1 clips of 1 people from 3 videos" in capsys.readouterr().out
    assert run(tmp_path / "me.mp4", "--person", "me", "--output", tmp_path / "clips") == 0
    made = json.loads((tmp_path / "clips/manifest.json").read_text())
    assert [(c["name"], c["person"], c["audio"]) for c in made["clips"]] == [
        ("me", "me", True), ("one", "one", False)
    ]  # fmt: skip
    assert made["speaker"] == "me" and made["counts"]["refused"] == {"no face": 1, "unreadable": 1}
    assert np.load(tmp_path / "clips/mean_face.npy").shape == (478, 2)
    assert not [p for p in (tmp_path / "clips").iterdir() if p.name.startswith((".part", ".avct"))]


def test_finished_videos_are_not_done_again_unless_they_changed(tmp_path):
    source = video(tmp_path / "one.mp4", [PORTRAIT] * 25)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    arguments = (source, bad, "--output", tmp_path / "clips")

    def times():
        assert run(*arguments) == 0
        return {
            name: (tmp_path / "clips" / name).stat().st_mtime_ns for name in ("one.mp4", ".done/bad.json")
        }

    first = times()
    assert times() == first
    (tmp_path / "clips/one.npz").unlink()
    second = times()
    assert second["one.mp4"] > first["one.mp4"] and second[".done/bad.json"] == first[".done/bad.json"]
    video(source, [PORTRAIT] * 30)
    assert times()["one.mp4"] > second["one.mp4"] and len(clip.load(tmp_path / "clips/one.npz").points) == 30


STOPPED_AFTER_ONE = """
import os, sys
from avct_jax.cli import main
from avct_jax.data.clips import clip_folder
make = clip_folder.make
def stop(state):
    if state.videos == 1:
        os.kill(os.getpid(), {number})
clip_folder.make = lambda *given, show, **options: make(*given, show=stop, **options)
sys.exit(main.main({words}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_run_goes_on_where_it_was(tmp_path, number):
    for i in range(4):
        video(tmp_path / f"in/{i}.mp4", swaying(60), audio=TONE)
    words = ["preprocess", str(tmp_path / "in"), "--output", str(tmp_path / "clips"), "--jobs", "1"]
    code = STOPPED_AFTER_ONE.format(number=int(number), words=words)
    stopped = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    assert stopped.returncode == (-9 if number == signal.SIGKILL else 143)
    done = tmp_path / "clips/.done"
    finished = {path: path.stat().st_mtime_ns for path in done.glob("[0-9].json")}
    assert (
        1 <= len(finished) < 4 and (number == signal.SIGKILL) != (tmp_path / "clips/manifest.json").exists()
    )
    with atomic_write.writing(done / "9.json") as half:
        half.touch()
    (done / "9.json").rename(half)  # as a kill in the middle of the writing leaves it
    assert run(tmp_path / "in", "--output", tmp_path / "clips") == 0
    assert not list((tmp_path / "clips").rglob(".*-*"))
    for path, written in finished.items():
        assert (tmp_path / f"clips/{path.stem}.mp4").stat().st_mtime_ns <= written
    assert sorted(e.name for e in manifest.read(tmp_path / "clips").clips) == ["0", "1", "2", "3"]
    assert all(len(clip.load(tmp_path / f"clips/{i}.npz").points) == 60 for i in range(4))


def test_people_are_those_of_the_csv(tmp_path):
    with (tmp_path / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "person", "else"), ("in/a.mp4", "p", 1), ("in/b.mp4", "q", 2)])
    for name in "ab":
        video(tmp_path / f"in/{name}.mp4", [PORTRAIT] * 24)
    assert run("--people", tmp_path / "people.csv", "--output", tmp_path / "clips", "--no-audio") == 0
    assert [e.person for e in manifest.read(tmp_path / "clips").clips] == ["p", "q"]


def test_manifest_splits_people_as_a_whole_and_the_speakers_clips_one_by_one(tmp_path):
    entries = [
        manifest.Entry(f"{person}_{i}", person, 75, True, "video.mp4", 0.0, 3.0, 1)
        for person in ("me", *(f"p{n}" for n in range(60)))
        for i in range(60 if person == "me" else 3)
    ]
    record = manifest.Record("video", "video.mp4", 1, {}, tuple(entries), ())
    made = manifest.write(tmp_path, [record], speaker="me", mean_face={})
    splits = {e.person: {x.split for x in made.clips if x.person == e.person} for e in entries}
    assert splits.pop("me") == {"train", "test"} and all(len(found) == 1 for found in splits.values())
    assert {"train", "test"} == set.union(*splits.values()) and made == manifest.read(tmp_path)


@pytest.mark.parametrize(
    "arguments, line",
    [
        ([], "no VIDEO and no --people"),
        (["absent.mp4"], "no video, folder or match of 'absent.mp4'"),
        (["video.mp4", "--output", "."], r"holds the video 'video\.mp4'"),
        (["video.mp4", "--people", "p.csv"], "no row for 1 of 1 videos"),
        (["video.mp4", "--words", "p.csv"], "lacks the column 'clip'"),
        (["video.mp4", "--longest", "1", "--shortest", "2"], "--longest 1 s is below --shortest 2 s"),
        (["video.mp4", "--person", "a", "--people", "p.csv"], "not allowed with"),
    ],
)
def test_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.mp4").write_bytes(b"x")
    (tmp_path / "p.csv").write_text("file,person\nother.mp4,p\n")
    assert main.main(["preprocess", "--output", "out", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and re.search(line, said)


def test_folder_in_which_another_run_works_is_refused(tmp_path):
    folder = clip_folder.open_folder(tmp_path / "clips")
    with (
        clip_folder.locked(folder),
        pytest.raises(errors.UserError, match="another `avct preprocess`"),
        clip_folder.locked(folder),
    ):
        pass
