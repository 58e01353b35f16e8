"""What a terminal gets to see of a command."""

import os
import subprocess

import pytest

needed = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudoterminals")


def shown(command: list[str], stream: str, **variables: str) -> bytes:
    """All that a command writes to "stdout" or "stderr", which is a terminal; the other one stays ours."""
    terminal, theirs = os.openpty()
    usual = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    streams = {stream: theirs}
    said = b""
    with subprocess.Popen(command, env=usual | {"TERM": "xterm"} | variables, **streams) as process:
        os.close(theirs)
        try:
            while more := os.read(terminal, 1 << 16):
                said += more
        except OSError:  # as Linux says that nobody is at the other end
            pass
    os.close(terminal)
    assert process.returncode == 0
    return said
