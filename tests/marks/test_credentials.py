"""Content Credentials: written into films, read by c2pa's own reader, void once a byte is changed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import c2pa
import numpy as np
import PIL.Image
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from avct_jax import errors
from avct_jax.cli import main
from avct_jax.data.media import container, video_io
from avct_jax.files import checksum
from avct_jax.marks import credentials, film_marks, installation, mark_payload, signing_key, verification
from tests.marks import made_certificates, marked_film

SAID = mark_payload.MarkPayload(77, 7951)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Of an installation's own settings."""
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    marked_film.look_for_none(monkeypatch)


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "somebody's name.png"
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return path


def film(path):
    return marked_film.write(path, marked_film.frames(3, (64, 64)))


def signed(path, **said):
    credentials.sign(
        film(path), credentials.GenerationStatement(**{"portrait": None} | said), signing_key.own()
    )
    return path


def report(path):
    """What c2pa's reader says."""
    with c2pa.Reader(str(path)) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_an_independent_reader_calls_a_signed_film_valid(suffix, tmp_path, portrait):
    path = signed(
        tmp_path / f"a{suffix}",
        portrait=portrait,
        sounds=("ab",),
        checkpoint="cd",
        consent="It is me.",
        payload=SAID,
    )
    found = report(path)
    assert found["validation_state"] == "Valid"
    assert [row["code"] for row in found["validation_status"]] == ["signingCredential.untrusted"]
    manifest = found["manifests"][found["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert ingredient["relationship"] == "inputTo" and "thumbnail" not in ingredient
    said = {row["label"]: row["data"] for row in manifest["assertions"]}
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert action == {"action": "c2pa.created", "digitalSourceType": credentials.SOURCE}
    told = said[credentials.ASSERTION]
    assert told["portrait_sha256"] == checksum.sha256(portrait) and told["audio_sha256"] == ["ab"]
    assert told["checkpoint_sha256"] == "cd" and told["consent"] == "It is me."
    assert told["watermark"] == {"installation": 77, "hour": "2026-11-28T07+00:00"}
    assert b"somebody" not in path.read_bytes()  # no names of files
    assert len(list(video_io.read_frames(path))) == 3
    assert sorted(x.name for x in tmp_path.iterdir()) == sorted(["config", path.name, portrait.name])


def test_a_redubbed_film_is_the_parent_and_keeps_its_own_credentials(tmp_path):
    first = signed(tmp_path / "first.mp4", consent="the first")
    second = signed(tmp_path / "second.mp4", portrait=first, film=True)
    found = report(second)
    manifest = found["manifests"][found["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert ingredient["relationship"] == "parentOf" and len(found["manifests"]) == 2
    assert "the first" in json.dumps(found["manifests"][ingredient["active_manifest"]])
    assert "c2pa.edited" in json.dumps(manifest["assertions"])


@pytest.mark.parametrize(
    "name, form, kind",
    [("a.jpg", "PNG", "image/png"), ("a", "JPEG", "image/jpeg"), ("a.png", "WEBP", "image/webp"),
     ("a.gif", "TIFF", "image/tiff"), ("a.bmp", "BMP", credentials.UNKNOWN)],
)  # fmt: skip
def test_a_picture_is_told_of_by_what_it_is_whatever_its_name(name, form, kind, tmp_path, portrait):
    path = tmp_path / "pictures" / name
    path.parent.mkdir()
    PIL.Image.open(portrait).save(path, format=form)
    found = report(signed(tmp_path / "a.mp4", portrait=path))
    (ingredient,) = found["manifests"][found["active_manifest"]]["ingredients"]
    assert found["validation_state"] == "Valid" and ingredient["format"] == kind


def test_a_damaged_picture_is_told_of_by_its_hash(tmp_path, portrait):
    portrait.write_bytes(portrait.read_bytes()[:-20])
    found = report(signed(tmp_path / "a.mp4", portrait=portrait))
    (ingredient,) = found["manifests"][found["active_manifest"]]["ingredients"]
    assert found["validation_state"] == "Valid" and ingredient["format"] == credentials.UNKNOWN
    assert checksum.sha256(portrait) in json.dumps(found)


def test_a_film_that_holds_no_credentials_is_a_parent_too(tmp_path):
    found = report(signed(tmp_path / "a.mp4", portrait=film(tmp_path / "first.mkv"), film=True))
    manifest = found["manifests"][found["active_manifest"]]
    assert found["validation_state"] == "Valid" and manifest["ingredients"][0]["relationship"] == "parentOf"


def test_a_film_in_fragments_is_signed_too(tmp_path):
    plain, path = marked_film.write(tmp_path / "a.mp4", marked_film.frames(30, (64, 64))), tmp_path / "b.mp4"
    how = ["-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof"]
    command = [*container.command_line(), "-loglevel", "error", "-i", str(plain), *how, str(path)]
    subprocess.run(command, check=True)
    credentials.sign(path, credentials.GenerationStatement(None), signing_key.own())
    assert b"moof" in path.read_bytes() and report(path)["validation_state"] == "Valid"
    assert len(list(video_io.read_frames(path))) == 30


def test_a_changed_byte_makes_them_invalid(tmp_path):
    path = signed(tmp_path / "a.mp4")
    assert verification.verify(path).state == "valid"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    found = verification.verify(path)
    assert found.state == "invalid" and found.failures == ("assertion.bmffHash.mismatch",)
    assert not found.marked and "NOT valid" in found.lines[0]


def test_what_cannot_be_signed_is_as_it_was(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4")
    before = path.read_bytes()
    broken = signing_key.own()._replace(key=b"none")
    with pytest.raises(errors.UserError, match="could not be signed"):
        credentials.sign(path, credentials.GenerationStatement(None), broken)
    assert path.read_bytes() == before and sorted(x.name for x in tmp_path.iterdir()) == ["a.mp4", "config"]


def test_a_key_kept_elsewhere_signs_by_a_function(tmp_path):
    own = signing_key.own()
    (tmp_path / "c.pem").write_bytes(own.certificates)
    secret = serialization.load_pem_private_key(own.key, None)
    asked = []

    def elsewhere(content):
        asked.append(len(content))
        return secret.sign(content, ec.ECDSA(hashes.SHA256()))

    path = film(tmp_path / "a.mp4")
    marks(path, certificate=tmp_path / "c.pem", key=elsewhere)
    assert asked and report(path)["validation_state"] == "Valid"


def test_a_film_without_credentials_has_none(tmp_path):
    path = film(tmp_path / "a.mp4")
    assert credentials.read(path) is None and credentials.read(film(tmp_path / "a.mkv")) is None
    found = verification.verify(path)
    assert found.state == "none" and not found.marked and found.lines[0] == "no Content Credentials"


def marks(path, portrait=None, **asked):
    """Sign a film as an animator does; returns the notes."""
    notes = []
    made = film_marks.FilmMarks(film_marks.MarkRequest(**asked))
    made.file(path, notes, portrait=portrait, sounds=[portrait], film=False, checkpoint=None)
    return notes


def test_films_are_signed_unless_they_are_not_to_be(tmp_path, portrait):
    path = film(tmp_path / "a.mp4")
    assert ["signing.pem" in note for note in marks(path, portrait, consent="yes")] == [True]
    found = verification.verify(path)
    assert found.marked and found.signer == signing_key.SUBJECT and found.synthetic
    assert found.statement["audio_sha256"] == [checksum.sha256(portrait)]
    plain = film(tmp_path / "b.mp4")
    before = plain.read_bytes()
    assert marks(plain, mark=False) == [film_marks.UNMARKED] and plain.read_bytes() == before
    other = film(tmp_path / "c.mkv")
    assert "write .mp4" in marks(other)[0] and verification.verify(other).state == "none"


def test_the_original_of_a_picture_is_told_of_and_its_credentials_are_kept(tmp_path, portrait):
    original, key = tmp_path / "original", signing_key.own()  # of no suffix: it is a jpeg
    PIL.Image.open(portrait).save(tmp_path / "a.jpg")
    with c2pa.Builder(credentials.GenerationStatement(None, consent="taken by me").manifest) as builder:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", key.certificates, key.key, None))
        builder.sign_file(str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), signer)
    (tmp_path / "b.jpg").rename(original)
    credentials.try_picture(original)
    path = film(tmp_path / "a.mp4")
    assert marks(path, portrait, original=original) == []
    found = report(path)
    manifest = found["manifests"][found["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert found["validation_state"] == "Valid" and ingredient["relationship"] == "inputTo"
    assert "taken by me" in json.dumps(found["manifests"][ingredient["active_manifest"]])
    assert checksum.sha256(original) in json.dumps(manifest["assertions"])


def test_the_original_of_a_sound_is_told_of(tmp_path, portrait):
    path, original = film(tmp_path / "a.mp4"), tmp_path / "voice.opus"
    original.write_bytes(b"as it came")
    marks(path, portrait, original_audio=original)
    assert verification.verify(path).statement["audio_sha256"] == [checksum.sha256(original)]


def test_where_no_key_can_be_kept_the_film_is_whole_and_a_note_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    path = film(tmp_path / "a.mp4")
    before = path.read_bytes()
    assert any(note.startswith("no Content Credentials, the film is whole") for note in marks(path))
    assert path.read_bytes() == before


def test_what_is_gone_when_the_film_is_signed_costs_the_credentials_alone(tmp_path):
    path, pipe = film(tmp_path / "a.mp4"), tmp_path / "pipe"
    os.mkfifo(pipe)  # nobody writes into it any more: to read it would last for ever
    notes = []
    sign = film_marks.FilmMarks(film_marks.MarkRequest()).file
    sign(path, notes, portrait=pipe, sounds=[tmp_path / "gone.wav"], film=True, checkpoint=None)
    assert report(path)["validation_state"] == "Valid" and ["signing.pem" in note for note in notes] == [True]
    sign(path, notes, portrait=None, sounds=[], film=False, checkpoint=tmp_path / "gone.safetensors")
    assert "the film is whole" in notes[-1]


def test_a_film_that_is_not_signed_by_who_was_named_is_told_so(tmp_path, monkeypatch):
    path, key = film(tmp_path / "a.mp4"), ec.generate_private_key(ec.SECP256R1())
    certificate, secret = made_certificates.write(tmp_path, key)
    named = film_marks.FilmMarks(film_marks.MarkRequest(certificate=certificate, key=secret))
    usual = film_marks.FilmMarks(film_marks.MarkRequest())
    monkeypatch.setattr(
        c2pa.Builder, "sign_file", lambda *_: c2pa.c2pa._raise_typed_c2pa_error("Other: no luck")
    )
    before = path.read_bytes()
    for made in (named, usual):
        notes = []
        made.file(path, notes, portrait=None, sounds=[], film=False, checkpoint=None)
        assert "the film is whole: the film could not be signed: Other: no luck" in notes[-1]
    assert "no luck" in named.unsigned and usual.unsigned is None and path.read_bytes() == before


def test_where_there_is_no_room_that_is_said(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4")
    monkeypatch.setattr(c2pa.Builder, "sign_file", lambda *_: c2pa.c2pa._raise_typed_c2pa_error("Io: 0x2"))
    for free, said in (
        (10_000, "room for 0.0 MB, and a second copy takes 0.1 MB .*; free some"),
        (10**9, "Io: 0x2"),
    ):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: types.SimpleNamespace(free=free))
        with pytest.raises(errors.UserError, match=said):
            credentials.sign(path, credentials.GenerationStatement(None), signing_key.own())


def test_a_record_holds_all_that_is_found(tmp_path):
    path = signed(tmp_path / "a.mp4", payload=SAID)
    told = json.loads(json.dumps(verification.verify(path).record))
    assert told["marked"] and told["state"] == "valid" and told["generator"].startswith("avct_jax ")
    assert told["watermark"]["found"] is False and told["statement"]["watermark"]["installation"] == 77


def test_garbage_is_refused_in_a_line(tmp_path):
    path = signed(tmp_path / "a.mp4")
    whole = path.read_bytes()
    for cut in (len(whole) // 2, 200):
        path.write_bytes(whole[:cut])
        try:
            assert verification.verify(path).state in ("none", "invalid", "unreadable")
        except errors.UserError as error:
            assert str(error).count("\n") == 0
    shutil.copy(__file__, tmp_path / "text.mp4")
    with pytest.raises(errors.UserError):
        verification.verify(tmp_path / "text.mp4")


def test_credentials_of_a_film_that_was_added_to_cannot_be_read_and_why_is_told(tmp_path):
    path = signed(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes() + b"z" * 20)
    found = verification.verify(path)
    assert found.state == "unreadable" and "Box size extends beyond" in found.reason
    assert "(Other: asset could not be parsed: Box size" in found.lines[0]
    assert "damaged, or changed after it was signed" in found.lines[0] and not found.marked
    plain = film(tmp_path / "b.mp4")
    plain.write_bytes(plain.read_bytes() + b"z" * 20)
    assert verification.verify(plain).state == "none"


def test_the_box_of_credentials_is_found_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "PIECE", 16)
    for offset in range(20):
        (tmp_path / "a").write_bytes(b"x" * offset + credentials.BEGIN + b"x" * 20)
        assert credentials.holds(tmp_path / "a")
    (tmp_path / "a").write_bytes(credentials.BEGIN[:-1] * 9)
    assert not credentials.holds(tmp_path / "a")


def test_without_c2pa_credentials_are_not_looked_at(tmp_path, monkeypatch):
    path, plain = signed(tmp_path / "a.mp4"), film(tmp_path / "b.mp4")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = verification.verify(path)
    assert found.state == "unchecked" and not found.marked and "c2pa-python is not installed" in found.reason
    assert found.lines[0].startswith("Content Credentials that were NOT looked at: c2pa-python is not")
    assert verification.verify(plain).state == "none"
    assert main.main(["verify", str(path)]) == 2 and main.main(["verify", str(plain)]) == 1


def test_credentials_that_are_kept_elsewhere_are_not_fetched(tmp_path):
    path, key = film(tmp_path / "a.mp4"), signing_key.own()
    with c2pa.Builder(credentials.GenerationStatement(None).manifest) as builder:
        builder.set_no_embed()
        builder.set_remote_url("http://127.0.0.1:9/x.c2pa")
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", key.certificates, key.key, None))
        builder.sign_file(str(path), str(tmp_path / "b.mp4"), signer)
    found = verification.verify(tmp_path / "b.mp4")
    assert found.state == "unchecked" and "nothing is fetched" in found.reason
    assert "http://127.0.0.1:9/x.c2pa" in found.lines[0]


def test_what_a_film_was_made_from_may_be_forged(tmp_path):
    first = signed(tmp_path / "first.mp4", consent="the first")
    content = bytearray(first.read_bytes())
    content[-40] ^= 1
    first.write_bytes(content)
    second = signed(tmp_path / "second.mp4", portrait=first, film=True)
    found = verification.verify(second)
    (ingredient,) = found.ingredients
    assert found.state == "valid" and ingredient.failures == ("assertion.bmffHash.mismatch",)
    assert (ingredient.title, ingredient.state, ingredient.relation) == ("film", "invalid", "parentOf")
    assert "NOT valid in what it was made from: film" in " ".join(found.lines)
    whole = verification.verify(
        signed(tmp_path / "third.mp4", portrait=signed(tmp_path / "a.mp4"), film=True)
    )
    assert [x.state for x in whole.ingredients] == ["valid"] and "NOT valid" not in " ".join(whole.lines)
    assert "made from a synthetic film with Content Credentials: film (made by avct_jax" in whole.lines[2]


def test_a_film_that_was_edited_elsewhere_is_made_from_a_synthetic_one(tmp_path):
    first, plain, key = signed(tmp_path / "a.mp4"), film(tmp_path / "b.mp4"), signing_key.own()
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["i"]}}
    told = {"assertions": [{"label": "c2pa.actions", "data": {"actions": [opened]}}]}
    with c2pa.Builder(told) as builder, open(first, "rb") as file:
        builder.add_ingredient({"title": "a", "label": "i", "relationship": "parentOf"}, "video/mp4", file)
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", key.certificates, key.key, None))
        builder.sign_file(str(plain), str(tmp_path / "c.mp4"), signer)
    found = verification.verify(tmp_path / "c.mp4")
    assert found.marked and found.state == "valid" and found.synthetic and found.declared is None
    assert found.ingredients[0].generator.startswith("avct_jax")


def test_ctrl_c_while_signing_leaves_nothing_half_written(tmp_path, monkeypatch):
    older = signed(tmp_path / "a.mp4").read_bytes()

    def interrupted(self, source, target, signer):
        pathlib.Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(c2pa.Builder, "sign_file", interrupted)
    statement, key = credentials.GenerationStatement(portrait=None), signing_key.own()
    finish = lambda path: credentials.sign(path, statement, key)
    for name in ("a.mp4", "new.mp4"):
        with (
            pytest.raises(KeyboardInterrupt),
            video_io.VideoWriter(tmp_path / name, size=64, finish=finish) as writer,
        ):
            writer.write(marked_film.frames(3, (64, 64)))
    assert (tmp_path / "a.mp4").read_bytes() == older
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "config"]
