"""`avct serve`: what it refuses before it listens, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile

import pytest

from avct_jax.cli import main
from avct_jax.cli.commands import serve
from tests.serve import serve_parts


@pytest.mark.parametrize(
    "words, line",
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines in; give --token-file"),
        (["--port", "70000"], "--port 70000 is none; choose 1 to 65535"),
        (["--port", "x"], "--port: 'x' must be a whole number, 0 or more"),
        (["--tls-key", "k.pem"], "--tls-certificate and --tls-key go together"),
        (["--key", "k.pem"], "--certificate and --key go together"),
        (["--certificate", "c.pem", "--key", "k.pem"], "cannot read 'c.pem'"),
        (["--token-file", "missing"], "--token-file 'missing' cannot be read: No such file"),
        (["--streams", "0"], "--streams: '0' must be a whole number above 0"),
        (["--checkpoint", "missing.safetensors"], "missing.safetensors"),
    ],
)
def test_what_is_wrong_is_told_before_the_port_is_opened(words, line, capsys, monkeypatch):
    monkeypatch.delenv("AVCT_TOKEN", raising=False)
    assert main.main(["serve", *words]) == main.REFUSED
    told = capsys.readouterr().err.strip()
    assert line in told and "\n" not in told and told.startswith("avct: ")


def test_a_checkpoint_of_pytorch_is_told(capsys, tmp_path):
    path = tmp_path / "weights.pth"
    torch_like = {"archive/data.pkl": b"", "archive/version": b"3"}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in torch_like.items():
            file.writestr(name, content)
    assert main.main(["serve", "--checkpoint", str(path)]) == main.REFUSED
    assert "avct convert" in capsys.readouterr().err


def test_a_missing_extra_is_told(capsys, monkeypatch):
    monkeypatch.setattr(serve, "PARTS", ("fastapi", "no_such_package"))
    assert main.main(["serve"]) == main.REFUSED
    assert (
        "needs no_such_package, which is not installed: pip install 'avct-jax[serve]'"
        in capsys.readouterr().err
    )


# A shell that begins something in the background has it ignore Ctrl-C, and nohup that the terminal is closed.
HEARING_SIGNALS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from avct_jax.cli import main
sys.exit(main.main(["serve", "--port", "0"]))
"""


@pytest.mark.parametrize(
    "number, code, said", [(signal.SIGINT, 130, "interrupted"), (signal.SIGHUP, 129, "ended by SIGHUP")]
)
def test_it_tells_its_address_answers_and_ends_by_a_signal(number, code, said, tmp_path):
    command = [sys.executable, "-c", HEARING_SIGNALS]
    environment = os.environ | {"TMPDIR": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        (address,) = re.findall(
            r"^avct: (http://127.0.0.1:\d+) \(Ctrl-C ends it\)$", process.stderr.readline()
        )

        def answer():
            with urllib.request.urlopen(f"{address}/healthz", timeout=60) as found:
                return found.status == 200

        try:
            serve_parts.wait_until(answer)
            process.send_signal(number)
            assert process.wait(60) == code
        finally:
            process.kill()  # or its end would be waited for without end
        assert process.stderr.read() == f"avct: {said}; nothing was left behind\n"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("avct-serve")]


def test_streams_keep_what_they_free(monkeypatch):
    from avct_jax import malloc
    from avct_jax.serve import server

    called = []
    monkeypatch.setattr(malloc, "keep_freed", lambda: called.append("kept"))
    monkeypatch.setattr(server, "serve", lambda *_, **__: called.append("served"))
    assert main.main(["serve"]) == 0
    assert called == ["kept", "served"]
