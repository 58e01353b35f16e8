"""Odd input is animated, with a line where something was decided; bad input is refused and leaves nothing."""

import functools
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import safetensors.numpy
import scipy.io.wavfile
import skimage.data

from avct_jax import demo, weights_file
from avct_jax.animator import factory
from avct_jax.benchmark import throughput
from avct_jax.cli import main
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io
from avct_jax.models import system_config
from tests import toy_stage
from tests.animator import test_mesh_animator

ASTRONAUT = skimage.data.astronaut()
HEAD = ASTRONAUT[:256, 96:352]


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with tiny.safetensors, face.png and speech.wav (0.2 s)."""
    folder = tmp_path_factory.mktemp("material")
    weights_file.save(folder / "tiny.safetensors", throughput.random_system(system_config.TINY))
    PIL.Image.fromarray(HEAD).save(folder / "face.png")
    write_wav(folder / "speech.wav", speech(0.2))
    return folder


@pytest.fixture(scope="module")
def mesh(material):
    """A small checkpoint of the mesh family."""
    small = test_mesh_animator.TINY
    system = weights_file.System(small, test_mesh_animator.random_variables(small))
    weights_file.save(material / "mesh.safetensors", system)
    return material / "mesh.safetensors"


@pytest.fixture
def avct(material, tmp_path, monkeypatch, capsys):
    """Call the command line on the good material but for what is named; the output lies alone in a folder."""
    monkeypatch.setattr(factory, "load", load_once)

    def call(*options, **named):
        (tmp_path / "out").mkdir(exist_ok=True)
        paths = {"image": material / "face.png", "audio": material / "speech.wav"}
        paths |= {"output": tmp_path / "out" / "talk.mp4", "checkpoint": material / "tiny.safetensors"}
        words = [w for name, path in (paths | named).items() for w in (f"--{name}", str(path))]
        code = main.main(["animate", *words, *options])
        return code, capsys.readouterr().err.splitlines()

    return call


load_once = functools.cache(factory.load)  # or every test would compile


@functools.cache
def spoken():
    with demo.sentence() as path:
        return audio_io.read_audio(path)


def speech(seconds):
    """The demo's sentence, from its first audio on."""
    return spoken()[2400 : 2400 + round(16000 * seconds)]


def write_wav(path, samples, rate=16000):
    scipy.io.wavfile.write(path, rate, (32767 * samples).astype(np.int16))
    return path


def frames_of(path):
    return sum(1 for _ in video_io.read_frames(path, frame_rate=None))


def several(path):
    small = np.asarray(PIL.Image.fromarray(HEAD).resize((128, 128)))
    both = np.full((256, 400, 3), 128, np.uint8)
    both[:, :256], both[64:192, 264:392] = HEAD, small
    PIL.Image.fromarray(both).save(path)


def turned(path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    PIL.Image.fromarray(np.rot90(HEAD)).save(path, exif=exif)


def transparent(path):
    alpha = np.full((256, 256, 1), 255, np.uint8)
    alpha[:20] = 0
    PIL.Image.fromarray(np.concatenate([HEAD, alpha], 2)).save(path)


IMAGES = {
    "several.png": (several, "faces"),
    "huge.jpg": (lambda p: PIL.Image.fromarray(ASTRONAUT).resize((6000, 6000)).save(p), None),
    "tiny.png": (lambda p: PIL.Image.fromarray(HEAD).resize((64, 64)).save(p), None),
    "turned.jpg": (turned, None),
    "grey.webp": (lambda p: PIL.Image.fromarray(HEAD).convert("L").save(p), None),
    "transparent.png": (transparent, None),
    "ein Gesicht, 顔 'and' $(more);.png": (lambda p: PIL.Image.fromarray(HEAD).save(p), None),
}


@pytest.mark.parametrize("name", IMAGES)
def test_odd_images_are_animated(avct, tmp_path, name):
    make, said = IMAGES[name]
    make(tmp_path / name)
    output = tmp_path / "out" / f"{pathlib.Path(name).stem}.mp4"
    code, lines = avct("--still", image=tmp_path / name, output=output)
    assert code == 0 and frames_of(output) == 5, lines
    assert said is None or any(said in line for line in lines), lines


def stretched(rate, channels=1):
    samples = speech(0.2)
    samples = np.interp(np.arange(0.2 * rate) / rate, np.arange(len(samples)) / 16000, samples)
    return samples if channels == 1 else np.stack([samples] * channels, 1)


SOUNDS = {
    "8 kHz": (lambda p: write_wav(p, stretched(8000), 8000), 5, None),
    "48 kHz": (lambda p: write_wav(p, stretched(48000), 48000), 5, None),
    "96 kHz": (lambda p: write_wav(p, stretched(96000), 96000), 5, None),
    "stereo": (lambda p: write_wav(p, stretched(44100, 2), 44100), 5, None),
    "silence": (lambda p: write_wav(p, np.zeros(6400)), 10, "silent"),
    "one frame": (lambda p: write_wav(p, speech(0.04)), 1, None),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_odd_sounds_are_animated(avct, tmp_path, name):
    make, frames, said = SOUNDS[name]
    make(tmp_path / "sound.wav")
    code, lines = avct(audio=tmp_path / "sound.wav")
    assert code == 0 and frames_of(tmp_path / "out" / "talk.mp4") == frames, lines
    assert said is None or any(said in line for line in lines), lines


def test_what_was_decided_of_the_audio_is_among_the_notes_and_told_once(avct, material, tmp_path):
    write_wav(tmp_path / "two.wav", speech(0.2)[:, None] * [1, -1])
    animator = load_once(material / "tiny.safetensors", landmarks="mediapipe")
    report = animator.animate(HEAD, tmp_path / "two.wav", tmp_path / "o.mp4", still=True)
    assert [note for note in report.notes if "cancel each other out" in note], report.notes
    _, lines = avct("--still", audio=tmp_path / "two.wav")
    assert sum("cancel each other out" in line for line in lines) == 1, lines


def test_a_video_serves_as_audio(avct, tmp_path):
    with video_io.VideoWriter(tmp_path / "clip.mov", size=64, audio=speech(0.4)) as writer:
        writer.write(np.zeros((10, 64, 64, 3), np.uint8))
    code, lines = avct(audio=tmp_path / "clip.mov")
    assert code == 0 and 10 <= frames_of(tmp_path / "out" / "talk.mp4") <= 12, lines


MESH = {
    "several faces": ("image", several, "2 faces in"),
    "a small face": ("image", IMAGES["tiny.png"][0], "the face is small (4"),
    "a face on its side": (
        "image",
        lambda p: PIL.Image.fromarray(np.rot90(HEAD)).save(p),
        "is turned by 90 degrees",
    ),
    "CMYK": ("image", lambda p: PIL.Image.fromarray(HEAD).convert("CMYK").save(p, "jpeg"), None),
    "silence": ("audio", lambda p: write_wav(p, np.zeros(3200)), "the sound is silent"),
    "one frame": ("audio", lambda p: write_wav(p, speech(0.04)), "silent"),
    "channels that cancel": ("audio", lambda p: write_wav(p, speech(0.2)[:, None] * [1, -1]), "cancel"),
    "a recogniser without work": ("recogniser", "pocketsphinx", "the recogniser pocketsphinx is not asked"),
    "a poor size": ("size", "64", "must be even and from 256 to 1024"),
    "a seed below 0": ("seed", "-1", "whole number, 0 or more"),
}


@pytest.mark.parametrize("name", MESH)
def test_the_mesh_takes_odd_input_and_says_what_it_decided(avct, mesh, tmp_path, name):
    option, given, said = MESH[name]
    if option in ("image", "audio"):
        given(tmp_path / "given.png")
        given = tmp_path / "given.png"
    code, lines = avct(**{"checkpoint": mesh, "size": 256, option: given})
    refused = option in ("size", "seed")
    assert code == (main.REFUSED if refused else 0) and len(lines) == (said is not None), lines
    assert said is None or said in lines[0]
    assert len(list((tmp_path / "out").iterdir())) == (not refused)


def file_of(content):
    return lambda path: path.write_bytes(content)


def png(pixels):
    return lambda path: PIL.Image.fromarray(pixels).save(path)


def damaged(path):
    PIL.Image.fromarray(HEAD).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def silent_video(path):
    with video_io.VideoWriter(path, size=64) as writer:
        writer.write(np.zeros((10, 64, 64, 3), np.uint8))


def misshapen(path):
    system = throughput.random_system(system_config.TINY)
    kernel = system.variables["renderer"]["params"]["final"]
    kernel["bias"] = np.zeros(7, np.float32)
    weights_file.save(path, system)


def incomplete(path):
    system = throughput.random_system(system_config.TINY)
    weights_file.save(path, system._replace(variables={"avct": system.variables["avct"]}))


def long_phonemes(path):
    phones = [{"ph": "AA", "bg": 0, "ed": 900}]
    path.write_text(json.dumps([{"word": "ah", "phones": phones}]))


REFUSED = {
    "no face": ("image", "a.png", png(np.full((200, 200, 3), 90, np.uint8)), "no face was found"),
    "no image": ("image", "a.png", None, "there is no file"),
    "damaged image": ("image", "a.png", damaged, "is damaged"),
    "empty image": ("image", "a.jpg", file_of(b""), "is empty"),
    "text as image": ("image", "a.jpg", file_of(b"no image"), "not an image"),
    "folder as image": ("image", "a.jpg", pathlib.Path.mkdir, "is a folder"),
    "empty sound": ("audio", "a.wav", file_of(b""), "empty"),
    "text as sound": ("audio", "a.wav", file_of(b"no sound" * 99), "sound"),
    "no sound": ("audio", "a.wav", None, "a.wav"),
    "video without sound": ("audio", "a.mp4", silent_video, "sound"),
    "39 ms": ("audio", "a.wav", lambda p: write_wav(p, speech(0.039)), "at least 40 ms"),
    "missing folder": ("output", "missing/talk.mp4", None, "does not exist"),
    "folder as output": ("output", "talk.mp4", pathlib.Path.mkdir, "is a folder"),
    "unknown suffix": ("output", "talk.avi", None, "'.avi'"),
    "no checkpoint": ("checkpoint", "a.safetensors", None, "no checkpoint"),
    "text as checkpoint": ("checkpoint", "a.safetensors", file_of(b"weights?" * 99), "damaged"),
    "other tensors": (
        "checkpoint",
        "a.safetensors",
        lambda p: safetensors.numpy.save_file({"a": np.zeros(2)}, p),
        "not a checkpoint of this program",
    ),
    "misshapen": ("checkpoint", "a.safetensors", misshapen, "renderer/params/final/bias is (7,), must be"),
    "incomplete": ("checkpoint", "a.safetensors", incomplete, "lacks keypoint_detector"),
    "phonemes of 9 s": ("phonemes", "a.json", long_phonemes, "the phonemes last 9.0 s"),
    "phonemes unknown": ("phonemes", "a.txt", file_of(b"AA"), "phonemes are read from"),
    "100 poses": (
        "poses",
        "a.npy",
        lambda p: np.save(p, np.tile(np.float32([0, 0, 0, 0, 0, 250]), (100, 1))),
        "100 poses",
    ),
    "flat poses": ("poses", "a.npy", lambda p: np.save(p, np.zeros(5, np.float32)), "a.npy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_line_and_nothing_is_left(avct, tmp_path, name):
    option, file, make, said = REFUSED[name]
    if make:
        make(tmp_path / file)
    before = sorted(tmp_path.rglob("*"))
    code, lines = avct(**{option: tmp_path / file})
    assert code == main.REFUSED and len(lines) == 1 and lines[0].startswith("avct: "), lines
    assert said in lines[0]
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before] == [tmp_path / "out"]


def test_protected_or_impossible_outputs_are_refused(avct, tmp_path, material):
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(b"mine")
    kept.chmod(0o444)
    for output, said in (
        (kept, "read-only"),
        ("/proc/talk.mp4", "/proc"),
        (material / "face.png", "face.png"),
    ):
        code, lines = avct(output=output)
        assert code == main.REFUSED and len(lines) == 1 and said in lines[0], lines
    assert kept.read_bytes() == b"mine"


def test_an_input_is_never_overwritten(avct, tmp_path):
    path = tmp_path / "clip.mp4"
    with video_io.VideoWriter(path, size=64, audio=speech(0.2)) as writer:
        writer.write(np.zeros((5, 64, 64, 3), np.uint8))
    content = path.read_bytes()
    code, lines = avct(audio=path, output=path)
    assert code == main.REFUSED and "is an input" in lines[0] and path.read_bytes() == content


@pytest.mark.usefixtures("usual_interrupt")
@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, main.INTERRUPTED), (signal.SIGTERM, main.TERMINATED)]
)
def test_an_interrupted_animation_leaves_nothing(material, tmp_path, number, code):
    write_wav(tmp_path / "long.wav", np.zeros(16000 * 120))
    out = tmp_path / "out"
    out.mkdir()
    words = ["--image", material / "face.png", "--audio", tmp_path / "long.wav", "--output", out / "talk.mp4"]
    words += ["--checkpoint", material / "tiny.safetensors", "--still"]
    command = [sys.executable, "-m", "avct_jax", "animate", *map(str, words)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=toy_stage.environment(flags=toy_stage.WIRING),
    )
    while process.poll() is None and not any(p.stat().st_size for p in out.iterdir()):
        time.sleep(0.05)  # until the encoder has written something
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err.decode()
    said = [line for line in err.decode().splitlines() if " frames, " not in line]  # a busy machine is slow
    assert len(said) <= 1 and not list(out.iterdir())
