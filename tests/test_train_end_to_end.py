"""The paper's own run at TINY, from videos to a table, with a kill; 8 devices, two processes, a video."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.io.wavfile
import skimage.data
from PIL import Image

from avct_jax import demo, weights_file
from avct_jax.cli import main
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io
from avct_jax.evaluation.scorers import scorers
from avct_jax.train import run_weights
from avct_jax.train.core import loop
from avct_jax.train.monitoring import metric_log
from scripts import paper_run
from tests import made_videos, toy_stage

OFTEN = ["--eval-every", "2", "--image-every", "2"]
FILES = {"image": "a.png", "audio": "a.wav", "output": "a.mp4"}
STEPS = (
    "import sys\nfrom avct_jax.cli import main\nfor words in {}:\n    assert main.main(words) == 0, words\n"
)
# By their names' hashes, the second of the speaker's videos and the second person are kept from training.
SPEAKER = "anna"
VIDEOS = {"talk1": SPEAKER, "talk10": SPEAKER, "ben": "p1", "carl": "p27"}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Of the paper's run: raw videos of a head that sways and is heard, and all commands by name."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "videos").mkdir()
    with demo.sentence() as audio:
        wav = audio_io.read_audio(audio)[2400:]
    portrait = skimage.data.astronaut()[10:290:2, 80:360:2]
    for number, name in enumerate(VIDEOS):
        frames = np.stack([np.roll(portrait, round(4 * np.sin(i / 6 + number)), axis=1) for i in range(32)])
        sound = np.roll(wav, -4000 * number)[: 32 * 640]
        with video_io.VideoWriter(folder / "videos" / f"{name}.mp4", size=140, audio=sound) as writer:
            writer.write(frames)
    rows = "".join(f"{name}.mp4,{person}\n" for name, person in VIDEOS.items())
    (folder / "people.csv").write_text("file,person\n" + rows)
    given = {
        "videos": folder / "videos",
        "people": folder / "people.csv",
        "output": folder,
        "speaker": SPEAKER,
    }
    asked = [f"--{name}={value}" for name, value in given.items()]
    options = paper_run.parse([*asked, "--preset=tiny", "--steps=2", "--protocols", "one-shot"])
    planned = {step.name: list(step.words) for step in paper_run.plan(options)}
    assert main.main([*planned["preprocess"], "--jobs", "1"]) == 0
    return planned


@pytest.fixture(scope="module")
def clips(steps):
    return steps["preprocess"][-1]


def start(*commands, devices=2):
    """One process that runs `avct` with these words, one after the other."""
    flags = f"{toy_stage.WIRING} --xla_force_host_platform_device_count={devices}"
    environment = toy_stage.environment(flags=flags)
    code = STEPS.format([[str(word) for word in words] for words in commands])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    ended = [process.communicate(timeout=900) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), ended
    return [said for _, said in ended]


@pytest.fixture(scope="module")
def trained(steps):
    """A run folder: the renderer is killed after its first checkpoint and goes on; then the other stages."""
    words = steps["renderer"]
    folder = pathlib.Path(words[words.index("--run") + 1])
    first = [*words, "--steps", "1000", "--save-every", "1", "--eval-every", "0"]
    with start(first) as process:
        while not newest(folder / "renderer"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    before = newest(folder / "renderer")
    rest = [[*steps[stage], *OFTEN] for stage in ("sync", "head-motion", "avct")]
    (said,) = finish(start([*words, *OFTEN, "--steps", before + 2], *rest))
    return folder, before, said


def newest(folder):
    return max((int(p.name) for p in (folder / loop.CHECKPOINTS).glob("*") if p.name.isdigit()), default=0)


@pytest.mark.slow
def test_all_stages_train_and_a_killed_one_goes_on(trained):
    folder, before, said = trained
    assert f"renderer goes on from step {before}" in said
    for stage, steps in {"renderer": before + 2, "sync": 2, "avct": 2, "head-motion": 2}.items():
        rows = metric_log.read(folder / stage / metric_log.FILE)
        assert newest(folder / stage) == rows[-1]["step"] == steps
        steps_seen = [row["step"] for row in rows if "step_seconds" in row]
        assert steps_seen == [*range(1, steps + 1)]
        assert any(name.startswith(loop.VALIDATION) for name in rows[-1])
        images = [p.suffix for p in (folder / stage / loop.IMAGES).glob(f"{steps:08}.*")]
        assert ".png" in images and (".mp4" in images) == (stage in ("avct", "head-motion"))


@pytest.mark.slow
def test_exported_run_animates_a_portrait_and_people_of_a_table(trained, steps, tmp_path, monkeypatch):
    folder, _, _ = trained
    assert main.main(steps["export"]) == 0
    output = steps["export"][-1]
    found = weights_file.load(output, required=weights_file.PARTS)
    kept = weights_file.load(run_weights.path(folder, "avct"))
    a, b = (x.variables["avct"]["params"]["kp"]["kernel"] for x in (found, kept))
    np.testing.assert_allclose(a, b, atol=1e-3)
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "a.png")
    with demo.sentence() as audio:
        scipy.io.wavfile.write(tmp_path / "a.wav", 16000, audio_io.read_audio(audio)[2400:6400])
    files = [f"--{name}={tmp_path / file}" for name, file in FILES.items()]
    assert main.main(["animate", "--checkpoint", str(output), "--recogniser", "pocketsphinx", *files]) == 0
    assert video_io.probe(tmp_path / "a.mp4").has_video
    # The judges are tried elsewhere, and take a minute.
    monkeypatch.setattr(scorers, "make", lambda *files: made_videos.networks())
    assert main.main(steps["evaluate-one-shot"]) == 0
    report = json.loads((pathlib.Path(steps["evaluate-one-shot"][-1]) / "report.json").read_text())
    assert [f["system"] for f in report["failed"]] == ["wrong sound"]  # one video has nobody else's to borrow
    means = {system["kind"]: system["means"] for system in report["systems"]}
    assert means["truth"]["lmd"] == 0 < means["generated"]["lmd"]


@pytest.mark.slow
def test_two_processes_train_as_one_does(trained, steps, tmp_path):
    """The stage sync once more, two devices in each of two processes, and its losses on eight devices.

    The state is split over the four.
    """
    folder, _, _ = trained
    with toy_stage.free_port() as port:
        address = ["--coordinator", f"127.0.0.1:{port}", "--process-count", "2", "--fsdp", "4"]
        words = [*steps["sync"], *OFTEN, "--run", tmp_path, *address]
        both = [[*words, "--process-id", str(i)] for i in (0, 1)]
        finish(*(start(words, devices=2) for words in both))
    one, two = (metric_log.read(f / "sync" / metric_log.FILE) for f in (folder, tmp_path))
    for a, b in zip(one[:1], two[:1], strict=True):
        for name in ("bce", "contrastive", "accuracy"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)
    # Adam turns rounding into steps: what follows the first is near, not the same.
    assert one[1]["bce"] == pytest.approx(two[1]["bce"], rel=0.05)


def test_run_folder_is_named_where_it_cannot_be_made(clips, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["train", "sync", "--preset", "tiny", "--clips", clips, "--run", str(tmp_path / "file")]
    assert main.main([*words, "--devices", "1"]) == main.REFUSED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and os.fspath(tmp_path / "file") in said
    assert pathlib.Path(tmp_path / "file").read_text() == ""
