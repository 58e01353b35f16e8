"""TINY through the command line: four stages on made-up clips, a kill, 8 devices, two processes, a video."""

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
from avct_jax.train import run_weights
from avct_jax.train.core import loop
from avct_jax.train.monitoring import metric_log
from tests import made_clips, toy_stage

WORDS = ["--preset", "tiny", "--steps", "2", "--eval-every", "2", "--image-every", "2"]
FILES = {"image": "a.png", "audio": "a.wav", "output": "a.mp4"}
STEPS = (
    "import sys\nfrom avct_jax.cli import main\nfor words in {}:\n    assert main.main(words) == 0, words\n"
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("clips"))


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


def train(stage, clips, folder, *words):
    return ["train", stage, *WORDS, "--clips", clips, "--run", folder, *words]


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):
    """A run folder: the renderer is killed after its first checkpoint and goes on; then the other stages."""
    folder = tmp_path_factory.mktemp("run")
    first = train("renderer", clips, folder, "--steps", "1000", "--save-every", "1", "--eval-every", "0")
    with start(first) as process:
        while not newest(folder / "renderer"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    before = newest(folder / "renderer")
    words = train("renderer", clips, folder, "--steps", before + 2)
    rest = [train(stage, clips, folder) for stage in ("sync", "avct", "head-motion")]
    (said,) = finish(start(words, *rest))
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
def test_exported_run_animates_a_portrait(trained, tmp_path, capsys):
    folder, _, _ = trained
    output = tmp_path / "tiny.safetensors"
    assert main.main(["train", "export", "--run", str(folder), "--output", str(output)]) == 0
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


@pytest.mark.slow
def test_two_processes_train_as_one_does(trained, clips, tmp_path):
    """The stage sync once more, two devices in each of two processes, and its losses on eight devices.

    The state is split over the four.
    """
    folder, _, _ = trained
    with toy_stage.free_port() as port:
        address = ["--coordinator", f"127.0.0.1:{port}", "--process-count", "2", "--fsdp", "4"]
        both = [train("sync", clips, tmp_path, *address, "--process-id", str(i)) for i in (0, 1)]
        finish(*(start(words, devices=2) for words in both))
    one, two = (metric_log.read(f / "sync" / metric_log.FILE) for f in (folder, tmp_path))
    for a, b in zip(one[:1], two[:1], strict=True):
        for name in ("bce", "contrastive", "accuracy"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)
    # Adam turns rounding into steps: what follows the first is near, not the same.
    assert one[1]["bce"] == pytest.approx(two[1]["bce"], rel=0.05)


def test_run_folder_is_named_where_it_cannot_be_made(clips, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = [str(w) for w in train("sync", clips, tmp_path / "file")]
    assert main.main([*words, "--devices", "1"]) == main.REFUSED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and os.fspath(tmp_path / "file") in said
    assert pathlib.Path(tmp_path / "file").read_text() == ""
