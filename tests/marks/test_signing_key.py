"""Keys: one for an installation, private, the same for all of its processes; and the user's own."""

import concurrent.futures
import os
import stat
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import oid

from avct_jax import errors
from avct_jax.marks import credentials, installation, signing_key
from tests.marks import made_certificates


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Of an installation's own settings."""
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    return tmp_path / "config"


def test_a_key_is_made_once_and_kept_private(folder):
    notes = []
    key = signing_key.own(notes)
    assert len(notes) == 1 and str(folder / signing_key.FILE) in notes[0]
    signing_key._own.cache_clear()
    assert signing_key.own(notes) == key and len(notes) == 1 and key.self_made and key.algorithm == "es256"
    assert stat.S_IMODE((folder / signing_key.FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [signing_key.FILE]
    leaf, authority = x509.load_pem_x509_certificates(key.certificates)
    leaf.verify_directly_issued_by(authority)


def test_processes_that_begin_at_once_get_the_same_key(folder):
    code = "from avct_jax.marks import signing_key as k; import hashlib\n"
    code += "print(hashlib.sha256(k.own().key).hexdigest())"
    begin = lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert len({done.stdout for done in pool.map(begin, range(3))}) == 1


def test_a_key_is_kept_where_there_are_no_hard_links(folder, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    key = signing_key.own()
    signing_key._own.cache_clear()
    assert signing_key.own() == key and [path.name for path in folder.iterdir()] == [signing_key.FILE]


def test_installations_have_numbers_of_their_own(folder, tmp_path, monkeypatch, caplog):
    number = installation.number()
    assert 0 < number < 2**24 and stat.S_IMODE((folder / installation.FILE).stat().st_mode) == 0o600
    installation._number.cache_clear()
    assert installation.number() == number
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "another"))
    assert installation.number() != number
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert installation.number() == 0
    assert "tell no installation: " in caplog.text and "Not a directory; see to the folder" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"]
)
def test_a_broken_key_of_the_installation_is_named_with_the_remedy(content, folder):
    folder.mkdir()
    (folder / signing_key.FILE).write_bytes(content)
    with pytest.raises(
        errors.UserError, match=r"signing\.pem holds no key .*; remove it, and a new one is made"
    ):
        signing_key.own()


def test_where_the_folder_cannot_be_made_no_key_is_said_to_be(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    notes = []
    with pytest.raises(errors.UserError, match=r"signing\.pem, .*\(Not a directory\); .*AVCT_CONFIG_DIR"):
        signing_key.own(notes)
    assert notes == []


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_a_key_that_others_could_read_is_made_private_and_told_of(folder):
    key, path, notes = signing_key.own(), folder / signing_key.FILE, []
    path.chmod(0o644)
    assert signing_key.own(notes) == key and stat.S_IMODE(path.stat().st_mode) == 0o600
    (note,) = notes
    assert str(path) in note and "(mode 0644) and is 0600 now; remove it" in note
    assert signing_key.own(notes) == key and len(notes) == 1


@pytest.mark.parametrize("content", ["-5x", "-5", "0", "16777216", ""])
def test_an_odd_number_of_the_installation_is_told_of(content, folder, caplog):
    folder.mkdir()
    (folder / installation.FILE).write_text(content)
    installation._number.cache_clear()
    assert installation.number() == 0
    (record,) = caplog.records
    assert "holds no number from 1 to 16777215; remove it, and one is drawn" in record.getMessage()
    assert str(folder / installation.FILE) in record.getMessage() and record.levelname == "WARNING"


def test_a_users_key_is_read_and_a_wrong_one_refused(tmp_path, folder):
    own = signing_key.own()
    for name, content in (("c.pem", own.certificates), ("k.pem", own.key), ("x.pem", b"text")):
        (tmp_path / name).write_bytes(content)
    found = signing_key.load(tmp_path / "c.pem", tmp_path / "k.pem")
    assert found == own._replace(self_made=False)
    signing_key._own.cache_clear()
    (folder / signing_key.FILE).unlink()
    (tmp_path / "other.pem").write_bytes(signing_key.own().key)
    for key, said in (("other.pem", "the key is not the certificate's"), ("x.pem", "cannot sign")):
        with pytest.raises(errors.UserError, match=said):
            signing_key.load(tmp_path / "c.pem", tmp_path / key)
    with pytest.raises(errors.UserError, match=r"cannot read .*gone\.pem"):
        signing_key.load(tmp_path / "gone.pem", tmp_path / "k.pem")
    locked = serialization.load_pem_private_key(own.key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(errors.UserError, match="without a password"):
        signing_key.load(tmp_path / "c.pem", tmp_path / "locked.pem")


@pytest.mark.parametrize("new", [lambda: ec.generate_private_key(ec.SECP256R1()),
                                 lambda: rsa.generate_private_key(65537, 2048)])  # fmt: skip
def test_keys_in_the_forms_of_openssl_sign(new, tmp_path):
    key = new()
    paths = made_certificates.write(tmp_path, key, serialization.PrivateFormat.TraditionalOpenSSL)
    assert b"BEGIN EC PRIVATE" in (found := paths[1].read_bytes()) or b"BEGIN RSA PRIVATE" in found
    named = credentials.check_named(*paths, None)
    assert named == signing_key.load(*paths) and named.key == made_certificates.key_pem(key)


KEY = ec.generate_private_key(ec.SECP256R1())
FLAWS = {
    r"\) that expired on 20\d\d-": {"begin": -9, "end": -2},
    r"\) that is not valid before 20": {"begin": 2},
    "the certificate was self-signed; it is self-signed": {"own": True},
    "its keyUsage is not digitalSignature": {"usage": False},
    "its extendedKeyUsage is neither emailProtection": {"purpose": None},
    "invalid; its extendedKeyUsage is neither": {"purpose": oid.ExtendedKeyUsageOID.SERVER_AUTH},
}


@pytest.mark.parametrize("said", FLAWS)
def test_a_certificate_that_cannot_sign_is_refused_and_what_it_lacks_is_told(said, tmp_path):
    with pytest.raises(errors.UserError, match=said) as refused:
        credentials.check_named(*made_certificates.write(tmp_path, KEY, **FLAWS[said]), None)
    assert "openssl" in str(refused.value) and str(tmp_path / "c.pem") in str(refused.value)


def test_a_good_certificate_has_no_flaws():
    assert signing_key.flaws(made_certificates.certificate(KEY)) == []
    assert signing_key.flaws(signing_key.passing().certificates) == []


def test_an_authority_that_dates_nothing_is_refused_before_anything_is_kept(folder):
    with pytest.raises(
        errors.UserError, match=r"'http://127\.0\.0\.1:9/' dates no signature: .*leave --timestamp out"
    ):
        credentials.check_named(None, None, "http://127.0.0.1:9/")
    assert credentials.check_named(None, None, None) is None and not folder.exists()


@pytest.mark.parametrize("named", [("c.pem", None), (None, "http://authority.example")])
def test_a_film_that_holds_no_credentials_cannot_be_signed_by_name(named):
    with pytest.raises(errors.UserError, match=r"\.mkv files hold no Content Credentials; write \.mp4"):
        credentials.check_output("a.mkv", *named)
    credentials.check_output("a.MP4", *named)
    credentials.check_output("a.mkv", None, None)
