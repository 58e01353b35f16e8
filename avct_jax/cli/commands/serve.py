"""`avct serve`: a page for the browser, jobs over HTTP, live streams."""

import dataclasses
import importlib.util
import sys
from typing import Annotated

import tyro

from avct_jax import errors, stuck_signals
from avct_jax.cli import option

EXAMPLES = """
examples:
  avct serve
  avct serve --port 9000 --streams 1
  avct serve --host 0.0.0.0 --token-file token.txt --tls-certificate cert.pem --tls-key key.pem

The page is at http://127.0.0.1:8000, what programs may ask at /openapi.json, see docs/how-to/serve.md.
Whoever reaches the server can use it: others than this machine must bear a token (--token-file, AVCT_TOKEN).
"""
PARTS = ("fastapi", "uvicorn", "multipart", "websockets", "aiortc", "prometheus_client")
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]


@dataclasses.dataclass(frozen=True)
class AccessOptions:
    """Who may ask.

    Attributes:
      host: address that is listened on; 0.0.0.0 lets other machines in
      port: 0 takes a free one
      token_file: holds the token that every request must bear
      allow_host: names of this server beside its own, where a proxy is in front
      tls_certificate: for https: .pem
      tls_key: of the certificate: .pem
      ice_server: tell peers of WebRTC how they are seen from outside, stun:HOST:PORT
    """

    host: Annotated[str, option.shown_as("ADDRESS")] = "127.0.0.1"
    port: Annotated[int, option.read_by(option.whole(0, ", 0 or more")), option.shown_as("N")] = 8000
    token_file: option.MaybeFile = None
    allow_host: Names = ()
    tls_certificate: option.MaybeFile = None
    tls_key: option.MaybeFile = None
    ice_server: Names = ()


@dataclasses.dataclass(frozen=True)
class WorkOptions:
    """How much is done.

    Attributes:
      streams: live streams at once
      queue: videos that may wait
      keep: minutes for which a finished video can be fetched
      largest_film: megabytes that a film may have whose marks are to be read
      checkpoint: .safetensors of the mesh family; otherwise the one in the package
    """

    streams: option.Positive = 2
    queue: option.Positive = 8
    keep: option.Positive = 60
    largest_film: option.Positive = 200
    checkpoint: option.MaybeFile = None


@dataclasses.dataclass(frozen=True)
class SigningOptions:
    """Who signs the videos' Content Credentials.

    Attributes:
      certificate: PEM file of who signs (default: a key that this installation makes)
      key: PEM file of its key
      timestamp: address of an authority that dates the credentials; it is asked over the network
    """

    certificate: option.MaybeFile = None
    key: option.MaybeFile = None
    timestamp: Annotated[option.MaybeText, option.shown_as("URL")] = None


@dataclasses.dataclass(frozen=True)
class Options:
    """Serve a page on which a portrait speaks, and the same to programs."""

    access: AccessOptions = AccessOptions()
    work: WorkOptions = WorkOptions()
    signing: SigningOptions = SigningOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it, until a signal ends it."""
    with stuck_signals.ending_at_once():
        return _serve(options)


def _serve(options: Options) -> int:
    _check_installed()
    from avct_jax import compile_cache, malloc, progress
    from avct_jax.serve import settings

    access, work = options.access, options.work
    if (access.tls_certificate is None) != (access.tls_key is None):
        raise errors.UserError("--tls-certificate and --tls-key go together; give both, or none")
    chosen = settings.ServerSettings(
        host=access.host,
        port=access.port,
        token=settings.read_token(access.token_file),
        allowed_hosts=tuple(name.lower() for name in access.allow_host),
        keep_seconds=60.0 * work.keep,
        checkpoint=work.checkpoint,
        ice_servers=access.ice_server,
        **dataclasses.asdict(options.signing),
        limits=settings.Limits(
            queued=work.queue, streams=work.streams, film=work.largest_film * settings.MEGABYTE
        ),
    )
    _check_checkpoint(work.checkpoint)
    _check_signing(options.signing)
    compile_cache.enable()
    malloc.keep_freed()  # what streams take and free would go up and down by 90 MiB
    from avct_jax.serve import server

    tell = lambda address: None if options.shown.quiet else progress.note(f"{address} (Ctrl-C ends it)")
    server.serve(chosen, certificate=access.tls_certificate, key=access.tls_key, listening=tell)
    return 0


def _check_installed() -> None:
    if sys.platform == "win32":
        raise errors.UserError("avct serve needs Linux or macOS, which can limit what a file costs; use WSL")
    if missing := [name for name in PARTS if importlib.util.find_spec(name) is None]:
        raise errors.UserError(
            f"avct serve needs {missing[0]}, which is not installed: pip install 'avct-jax[serve]'"
        )


def _check_signing(signing: SigningOptions) -> None:
    """Refuse a key that cannot sign, before the port is opened."""
    if (signing.certificate is None) != (signing.key is None):
        raise errors.UserError("--certificate and --key go together; give both, or none")
    if signing.certificate is not None or signing.timestamp:
        from avct_jax.marks import credentials

        credentials.check_named(signing.certificate, signing.key, signing.timestamp)


def _check_checkpoint(path: str | None) -> None:
    """Refuse what no stream could be drawn with, before the port is opened."""
    if path is None:
        return
    from avct_jax.files import file_kind
    from avct_jax.live import portrait

    file_kind.refuse_torch(path)
    portrait.animator(path)
