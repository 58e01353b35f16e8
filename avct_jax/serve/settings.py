"""What a server is told, and what it lets in."""

import dataclasses
import ipaddress
import os
import re
from typing import NamedTuple

from avct_jax import errors

PORT = 8000
MEGABYTE = 1_000_000  # bytes
WORDS = re.compile(r"[A-Za-z0-9._~-]{16,256}")  # of a token: they fit a header, an address, a subprotocol
WEAK = (
    "a token has 16 to 256 of the characters A-Z a-z 0-9 . _ ~ -; "
    "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
)


class Limits(NamedTuple):
    """What strangers' requests may cost.

    Attributes:
      image: bytes of a portrait's file.
      pixels: of a portrait.
      audio: bytes of an audio file.
      audio_seconds: of an audio file; a reply of a stream may go on.
      film: bytes of a film whose marks are read.
      text: characters to be spoken.
      other: bytes of any other request.
      body_seconds: in which the next piece of a request must come.
      decode_seconds: in which a file must be decoded.
      decode_memory: bytes that decoding may take.
      queued: jobs that wait.
      streams: live streams at once.
      peer_seconds: in which a peer of WebRTC must have connected.
      lonely_seconds: after which a stream that nobody watches is closed.
      ahead_seconds: of audio that a stream keeps to be said.
      silent_seconds: after which a stream that nobody speaks to is closed.
      backlog: frames that a slow reader may be behind before images are left out.
      hopeless: frames that it may be behind before it is cut off.
    """

    image: int = 20_000_000
    pixels: int = 50_000_000
    audio: int = 50_000_000
    audio_seconds: int = 600
    film: int = 200 * MEGABYTE
    text: int = 5000
    other: int = 100_000
    body_seconds: float = 30.0
    decode_seconds: float = 60.0
    decode_memory: int = 4_000_000_000
    queued: int = 8
    streams: int = 2
    peer_seconds: float = 30.0
    lonely_seconds: float = 60.0
    ahead_seconds: float = 300.0
    silent_seconds: float = 600.0
    backlog: int = 25
    hopeless: int = 500


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """How a server is run.

    Attributes:
      host: address that is listened on.
      port: 0 takes a free one.
      token: that every request must bear; None: none, for this machine alone.
      allowed_hosts: names under which the server may be called beside its own, "talk.example.org".
      keep_seconds: for which a finished video can be fetched.
      checkpoint: of the mesh family; None takes the one in the package.
      certificate: PEM file of who signs videos' Content Credentials; None: this installation does.
      key: PEM file of its key.
      timestamp: address of an authority that dates them.
      ice_servers: addresses that tell peers of WebRTC how they are seen, "stun:stun.example.org:3478".
      limits: what requests may cost.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    keep_seconds: float = 3600.0
    checkpoint: str | None = None
    certificate: str | None = None
    key: str | None = None
    timestamp: str | None = None
    ice_servers: tuple[str, ...] = ()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Refuse what is not safe.

        Raises:
          UserError: others could reach it without a token, or the token is weak, or there is no such port.
        """
        if not 0 <= self.port <= 65_535:
            raise errors.UserError(f"--port {self.port} is none; choose 1 to 65535, or 0 for a free one")
        if self.token is not None and not WORDS.fullmatch(self.token):
            raise errors.UserError(WEAK)
        if self.token is None and not is_loopback(self.host):
            raise errors.UserError(
                f"--host {self.host} lets other machines in; give --token-file too (or AVCT_TOKEN), "
                "or leave --host out"
            )

    @property
    def signing(self) -> dict[str, str]:
        """What an animator is told of who signs, beyond the usual."""
        told = {"certificate": self.certificate, "key": self.key, "timestamp": self.timestamp}
        return {name: value for name, value in told.items() if value is not None}


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(file: str | None) -> str | None:
    """Return the token of a file, or of AVCT_TOKEN; the command line would show it to all users.

    Raises:
      UserError: the file cannot be read.
    """
    if file is None:
        return os.environ.get("AVCT_TOKEN") or None
    try:
        with open(file, encoding="ascii") as opened:
            return opened.read(10_000).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise errors.UserError(f"--token-file {file!r} cannot be read: {why}") from None
