"""`avct verify`: what it says, and its exit codes."""

import json

import numpy as np
import PIL.Image
import pytest
from scipy.io import wavfile

from avct_jax.cli import main
from avct_jax.marks import credentials, installation, signing_key
from tests.marks import marked_film

TAIL = b"z" * 20  # what c2pa stumbles over, behind a film


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A signed film, one without any mark, one whose credentials were forged, and what is none."""
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    marked_film.look_for_none(monkeypatch)
    paths = {name: tmp_path / f"{name}.mp4" for name in ("signed", "plain", "forged", "text", "longer")}
    shown = marked_film.frames(3, (64, 64))
    for name in ("signed", "plain", "forged"):
        marked_film.write(paths[name], shown)
        if name != "plain":
            statement = credentials.GenerationStatement(None, consent="It is me.")
            credentials.sign(paths[name], statement, signing_key.own())
    content = bytearray(paths["forged"].read_bytes())
    content[-40] ^= 1
    paths["forged"].write_bytes(content)
    paths["longer"].write_bytes(paths["signed"].read_bytes() + TAIL)
    paths["text"].write_text("text")
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    "names, code",
    [(["signed"], 0), (["plain"], 1), (["text"], 2), (["forged"], 3), (["signed", "plain"], 1),
     (["plain", "text", "signed"], 2), (["text", "forged"], 3), (["longer"], 3), (["longer", "text"], 3)],
)  # fmt: skip
def test_exit_codes(names, code, films, capsys):
    assert main.main(["verify", *(films[name] for name in names)]) == code
    said = capsys.readouterr()
    assert ("It is me." in said.out) == bool({"signed", "forged"} & set(names))
    assert ("no Content Credentials" in said.out) == ("plain" in names)


def test_a_sound_is_looked_at_too_and_stops_nothing(films, tmp_path, capsys):
    sound = str(tmp_path / "a.wav")
    wavfile.write(sound, 16000, np.zeros(1600, np.int16))
    assert main.main(["verify", "--json", sound, films["signed"]]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["state"] == "none" and first["watermark"] is None and not first["marked"]
    assert "no frames to look for a watermark in: it is a sound" in first["lines"] and second["marked"]


def test_a_picture_bears_no_wave(tmp_path, capsys):
    PIL.Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    assert main.main(["verify", str(tmp_path / "a.jpg")]) == 1
    assert capsys.readouterr().out == (
        "no Content Credentials\nno watermark is looked for: it is how a film's frames change, "
        "and this is a single picture\n"
    )


def test_what_cannot_be_read_is_told_alike_of_one_file_and_of_several(films, capsys):
    for names in (["text"], ["text", "plain"]):
        assert main.main(["verify", "--json", *(films[name] for name in names)]) == 2
        first = json.loads(capsys.readouterr().out.splitlines()[0])
        assert set(first) == {"file", "error"} and "no sound or video file" in first["error"]
        assert main.main(["verify", *(films[name] for name in names)]) == 2
        said = capsys.readouterr()
        assert "text" not in said.out and said.err.startswith("avct: ") and "text.mp4" in said.err


@pytest.mark.parametrize("names, code", [(["signed"], 0), (["signed", "forged"], 3)])
def test_quiet_says_nothing_but_by_its_code(names, code, films, capsys):
    assert main.main(["verify", "--quiet", *(films[name] for name in names)]) == code
    assert capsys.readouterr() == ("", "")


def test_who_signed_is_known_where_an_authority_is_trusted(films, tmp_path, capsys):
    authority = signing_key.own().certificates.split(b"-----BEGIN")[-1]
    (tmp_path / "authority.pem").write_bytes(b"-----BEGIN" + authority)
    (tmp_path / "other.pem").write_bytes(
        signing_key.passing().certificates.partition(b"\n-----BEGIN")[0] + b"\n"
    )
    for name, said in (("authority", "a known authority vouches"), ("other", "known to no authority here")):
        assert main.main(["verify", films["signed"], "--trust", str(tmp_path / f"{name}.pem")]) == 0
        assert said in capsys.readouterr().out
    for name, why in (("text.mp4", "there is none in it"), ("gone.pem", "No such file")):
        assert main.main(["verify", films["signed"], "--trust", str(tmp_path / name)]) == main.REFUSED
        assert f"{name}': {why}" in capsys.readouterr().err


def test_json_is_an_object_a_line(films, capsys):
    assert main.main(["verify", "--json", films["signed"], films["text"]]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["marked"] and first["state"] == "valid" and first["file"] == films["signed"]
    assert second["file"] == films["text"] and "no sound or video" in second["error"]
