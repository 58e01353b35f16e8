"""A client of the server without networks; files are decoded once, for each decoding begins a process."""

import pytest

from avct_jax import errors
from avct_jax.serve import safe_decode
from tests.serve import serve_parts

KNOWN = {}


@pytest.fixture(autouse=True)
def decoded_once(request, monkeypatch):
    """Remember what became of a file, but where decoding itself is looked at."""
    if request.path.name == "test_safe_decode.py":
        return
    decode = safe_decode._decode

    async def remember(kind, source, target, limits):
        key = kind, source.read_bytes(), limits
        if key not in KNOWN:
            try:
                KNOWN[key] = await decode(kind, source, target, limits), target.read_bytes()
            except errors.UserError as error:
                KNOWN[key] = error, b""
        found, content = KNOWN[key]
        if isinstance(found, errors.UserError):
            raise found
        target.write_bytes(content)
        return found

    monkeypatch.setattr(safe_decode, "_decode", remember)


@pytest.fixture
def client(tmp_path, request):
    """A client; parameters of it are the server's settings."""
    with serve_parts.new_client(tmp_path, **getattr(request, "param", {})) as client:
        yield client
