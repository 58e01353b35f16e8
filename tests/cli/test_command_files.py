"""Files that commands are given: looked at before imports and weights, and told what they are."""

import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import safetensors.numpy
import scipy.io.wavfile

from avct_jax import errors
from avct_jax.cli import main
from avct_jax.cli.commands import animate
from avct_jax.data.clips import discover
from avct_jax.data.faces import head_pose
from avct_jax.data.media import image_io, video_io
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import audio_io
from avct_jax.files import text_file, torch_pickle
from tests import test_arguments

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
GIVEN = ("image", "audio", "phonemes", "poses", "transcript-file", "checkpoint")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to be in, with a file for each option that takes one."""
    monkeypatch.chdir(tmp_path)
    for name in GIVEN:
        (tmp_path / name).write_bytes(b"something")
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "image", "png")
    scipy.io.wavfile.write(tmp_path / "audio", 16000, np.zeros(1600, np.int16))
    for name in ("a.TextGrid", "a.json", "a.npy", "a.csv"):
        shutil.copy(tmp_path / ("audio" if name == "a.npy" else "image"), tmp_path / name)
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What `avct animate` would do, in the place of doing it."""
    calls = []

    def record(image, audio, output, request, *_):
        calls.append((output, request))
        return 0

    monkeypatch.setattr(animate, "animate", record)
    return calls


def words(*names):
    return ["animate", *(word for name in names for word in (f"--{name}", name))]


def needed(name):
    return words("image", "audio", *({name} - {"image", "audio"}))


def test_a_missing_file_is_told_before_the_imports(files):
    lines = ["import sys", "from avct_jax.cli import main"]
    for name in GIVEN:
        given = [f"{word}.gone" if word == name else word for word in needed(name)]
        lines += [f"main.main({given!r})", "assert 'jax' not in sys.modules"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    said = done.stderr.splitlines()
    assert done.returncode == 0 and len(said) == len(GIVEN), done.stderr
    kinds = zip(GIVEN, said, strict=True)
    assert all(f"no file '{n}.gone'" in s or f"no checkpoint at '{n}.gone'" in s for n, s in kinds), said


CONTENTS = {
    "--audio-track 2": "has 1 sound track, and no track 2",
    "--phonemes a.TextGrid": "not a Praat TextGrid",
    "--phonemes a.json": "not phonemes in the released JSON format",
    "--phonemes image": "are read from .json or .TextGrid",
    "--poses a.npy": "a.npy is damaged",
    "--poses a.csv": "is no OpenFace csv",
    "--poses audio": "give a .npy file",
    "--transcript ?!": "no English word",
    "--transcript-file a.csv --size 100": "must be even and from 256 to 1024",
    "--size 257": "must be even and from 256 to 1024",
    "--size 256 --checkpoint tiny.safetensors": "draws 64 px, not 256",
    "--landmarks face-alignment": "needs the mesh",
    "--landmarks dlib": "invalid choice: 'dlib', not of",
    "--landmarks face-alignment --checkpoint tiny.safetensors": "needs the package face_alignment",
    "--recogniser hama": "hama: it is not installed",
    "--audio image": "has no sound track",
    "--audio transcript-file": "cannot be read as sound",
    "--image audio": "is not an image",
    "--image transcript-file": "is not an image",
}


def test_what_a_look_tells_is_refused_before_the_imports_and_before_overwriting_is_told(files):
    safetensors.numpy.save_file({"a": np.zeros(1)}, "tiny.safetensors", {"config": '{"image_size": 64}'})
    (files / "o.mp4").write_bytes(b"older")
    # Neither package is there for this interpreter.
    lines = ["import sys", "sys.modules.update(face_alignment=None, hama=None)"]
    lines += ["import importlib.util as u", "find = u.find_spec"]
    lines += ["u.find_spec = lambda n, *a: None if n in ('hama', 'face_alignment') else find(n, *a)"]
    lines += ["from avct_jax.cli import main"]
    for words in CONTENTS:
        words = words.split(" ")
        heard = [] if "--audio" in words else ["--audio", "audio"]  # twice would be two sounds
        given = ["animate", "--image", "image", *heard, "--output", "o.mp4", *words]
        lines += [f"assert main.main({given!r}) == 2", "assert 'jax' not in sys.modules"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    said = done.stderr.splitlines()
    assert done.returncode == 0 and len(said) == len(CONTENTS), done.stderr
    assert not [pair for pair in zip(CONTENTS.values(), said, strict=True) if pair[0] not in pair[1]]


def test_a_demo_of_a_poor_size_is_refused_before_the_imports(files):
    lines = ["import sys", "from avct_jax.cli import main", "main.main(['demo', '--size', '2000'])"]
    lines += ["assert 'jax' not in sys.modules"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0 and "must be even and from 256 to 1024" in done.stderr


@pytest.mark.parametrize("name", GIVEN)
def test_a_pointer_of_git_lfs_is_called_one(name, files, capsys):
    (files / name).write_bytes(POINTER)
    assert main.main(needed(name)) == main.REFUSED
    said = capsys.readouterr().err
    assert f"'{name}' is a Git LFS pointer" in said and "git lfs pull" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "read, suffix",
    [
        (image_io.read_image, ".png"),
        (audio_io.read_audio, ".wav"),
        (video_io.probe, ".mp4"),
        (symbols.read_segments, ".json"),
        (head_pose.read_poses, ".npy"),
        (torch_pickle.read, ".pth"),
        (discover.read_people, ".csv"),
    ],
)
def test_every_reader_knows_a_pointer(read, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(POINTER)
    with pytest.raises(errors.UserError, match="is a Git LFS pointer"):
        read(path)


@pytest.mark.parametrize("begin", [b"PK\x03\x04", b"\x80\x02}q"])
def test_a_pytorch_checkpoint_names_the_remedy(begin, files, capsys):
    (files / "checkpoint").write_bytes(begin)
    assert main.main(needed("checkpoint")) == main.REFUSED
    assert "run `avct convert` on it" in capsys.readouterr().err


def test_the_video_is_named_after_portrait_and_voice(files, asked):
    shutil.copy(files / "audio", files / "a voice.wav")
    assert main.main(["animate", "--image", "image", "--audio", "a voice.wav"]) == 0
    assert asked[0][0] == "image_says_a voice.mp4"


def test_what_is_written_over_is_told(files, asked, capsys):
    (files / "o.mp4").write_bytes(b"old")
    assert main.main([*needed("image"), "--output", "o.mp4"]) == 0
    assert capsys.readouterr().err == "avct: o.mp4 is there already and will be written over\n"
    main.main([*needed("image"), "--output", "o.mp4", "--quiet"])
    main.main([*needed("image"), "--output", "new.mp4"])
    assert capsys.readouterr().err == ""


def test_the_words_may_be_in_a_file(files, asked, capsys):
    (files / "transcript-file").write_text("Grüße,\nWelt", encoding="utf-16")
    assert main.main(words("image", "audio", "transcript-file")) == 0
    assert asked[0][1].transcript == "Grüße,\nWelt"
    assert main.main([*words("image", "audio", "transcript-file"), "--transcript", "a"]) == main.REFUSED


def test_a_value_that_begins_with_a_dash_gets_a_hint(files, asked, capsys):
    assert main.main([*needed("image"), "--transcript", "-hello"]) == main.REFUSED
    assert "--transcript=..." in capsys.readouterr().err
    assert main.main([*needed("image"), "--transcript=-hello"]) == 0
    assert asked[0][1].transcript == "-hello"


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "avct_jax", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("avct-jax ")


TABLE = ("frame", *head_pose.COLUMNS)


@pytest.mark.parametrize("mark", [", ", "; ", ";", "\t", " ", "   "])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_poses_of_any_spreadsheet_are_read(mark, encoding, tmp_path):
    lines = [mark.join(TABLE), *(mark.join(map(str, (i, *test_arguments.POSE))) for i in range(3))]
    if mark == "; ":
        lines[1:] = [line.replace(".", ",") for line in lines[1:]]  # as Excel writes numbers in Europe
    (tmp_path / "a.csv").write_bytes("\r\n".join(lines).encode(encoding))
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), [test_arguments.POSE] * 3)


@pytest.mark.parametrize("mark, encoding", [(",", "utf-8"), ("; ", "utf-16"), ("\t", "utf-8-sig")])
def test_people_of_any_spreadsheet_are_read(mark, encoding, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(f"file{mark}person\na video.mp4{mark}Ann Ö\n".encode(encoding))
    assert discover.read_people(path) == {tmp_path / "a video.mp4": "Ann Ö"}


def test_rows_of_people_and_words_may_be_in_any_order_but_not_contradict(tmp_path):
    (tmp_path / "a.csv").write_text("file,person\na.mp4,Ann\na.mp4,Bob\n")
    with pytest.raises(errors.UserError, match="two people"):
        discover.read_people(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("clip,start_s,end_s,word\na,2,3,second\na,1,2,first\n")
    assert [word for word, *_ in discover.read_words(tmp_path / "b.csv")["a"]] == ["first", "second"]


def test_text_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(text_file, "MOST_BYTES", 9)
    (tmp_path / "a.json").write_text("[" * 10)
    with pytest.raises(errors.UserError, match="MB of text"):
        symbols.read_segments(tmp_path / "a.json")
