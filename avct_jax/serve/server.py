"""An application on a port."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from avct_jax import errors
from avct_jax.serve import app
from avct_jax.serve.settings import ServerSettings

# uvloop, where it is installed, forks to begin a process, which JAX warns of.
CLOSING = 5  # seconds in which open requests may end
WAITING = 64  # connections that wait to be taken
PING = 20.0  # seconds between signs of life of a WebSocket


def listen(settings: ServerSettings) -> socket.socket:
    """Take the port.

    Raises:
      UserError: it is taken, or the address is not this machine's.
    """
    host, port = settings.host.strip("[]"), settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=WAITING)
    except OSError as error:
        why = getattr(error, "strerror", None) or str(error)
        raise errors.UserError(
            f"{settings.host}:{port} cannot be listened on: {why}; choose --port"
        ) from None


def make(
    settings: ServerSettings, application: Any, *, certificate: str | None = None, key: str | None = None
) -> uvicorn.Server:
    """Make the server of an ASGI application.

    Raises:
      UserError: the certificate or its key cannot be read.
    """
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False,
        loop="asyncio", http="h11", ws="websockets-sansio", ws_max_size=settings.limits.image + 1000,
        ws_ping_interval=PING, ws_ping_timeout=PING, ws_per_message_deflate=False,
        timeout_graceful_shutdown=CLOSING, ssl_certfile=certificate, ssl_keyfile=key,
    )  # fmt: skip
    try:
        config.load()
    except OSError as error:
        raise errors.UserError(f"the certificate or its key cannot be read: {error}") from None
    return uvicorn.Server(config)


def serve(
    settings: ServerSettings,
    *,
    certificate: str | None = None,
    key: str | None = None,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until a signal ends it.

    Args:
      certificate: file of it, for https.
      key: file of the certificate's key.
      listening: is told the address.

    Raises:
      UserError: the port cannot be had, or the certificate not be read.
    """
    with contextlib.closing(listen(settings)) as listener:
        made = make(settings, app.create_app(settings), certificate=certificate, key=key)
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        listening(f"{'https' if certificate else 'http'}://{name}:{port}")
        with _ended_by_a_closed_terminal(made):
            made.run(sockets=[listener])


@contextlib.contextmanager
def _ended_by_a_closed_terminal(made: uvicorn.Server) -> Iterator[None]:
    """End a server in order by SIGHUP too, as uvicorn does by SIGTERM."""
    number = getattr(signal, "SIGHUP", None)
    aside = threading.current_thread() is not threading.main_thread()
    if number is None or aside or signal.getsignal(number) is signal.SIG_IGN:  # as nohup asks
        yield
        return

    def end(number, frame):
        if signal.getsignal(signal.SIGTERM) == made.handle_exit:  # it serves, or closes what is open
            made.handle_exit(number, frame)
        else:  # it hands the signal on, or has not begun
            signal.signal(number, before)
            signal.raise_signal(number)

    before = signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, before)
