"""What a server is told."""

import pytest

from avct_jax import errors
from avct_jax.serve import settings

TOKEN = "a-token-of-24-characters"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.9"])
def test_this_machine_needs_no_token(host):
    assert settings.ServerSettings(host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_others_need_one(host):
    with pytest.raises(errors.UserError, match=f"--host {host} lets other machines in; give --token-file"):
        settings.ServerSettings(host=host)
    assert settings.ServerSettings(host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize(
    "token", ["", "short", "with blanks in it, and a comma", "ä" * 20, "a" * 300, "a" * 20 + "\n"]
)
def test_weak_tokens_are_refused(token):
    with pytest.raises(errors.UserError, match="16 to 256"):
        settings.ServerSettings(token=token)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("AVCT_TOKEN", raising=False)
    assert settings.read_token(None) is None
    monkeypatch.setenv("AVCT_TOKEN", "from-the-environment")
    assert settings.read_token(None) == "from-the-environment"
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert settings.read_token(str(tmp_path / "token")) == TOKEN
    for name, why in (("none", "No such file"), (".", "Is a directory")):
        with pytest.raises(errors.UserError, match=why):
            settings.read_token(str(tmp_path / name))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.UserError, match="no text"):
        settings.read_token(str(tmp_path / "binary"))
