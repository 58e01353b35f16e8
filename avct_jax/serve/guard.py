"""What every request passes first: who may ask, from where, and how much."""

import asyncio
import hmac
import http
import json
import re
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from avct_jax.serve.settings import Limits, ServerSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]"))
OPEN = re.compile(r"/|/static/[\w.-]+|/healthz|/favicon\.ico")  # nothing of anyone's, for all
SUBPROTOCOL = "bearer."  # before the token, for browsers cannot give a WebSocket headers
FORM = 100_000  # bytes of a form beside its files
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI application around another one, which sees no request that is refused.

    Attributes:
      inner: the other one.
    """

    def __init__(self, app: Any, settings: ServerSettings):
        """Guard an application."""
        self.inner, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it in a line."""
        if scope["type"] not in ("http", "websocket"):
            await self.inner(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
                return
            await self.inner(scope, receive, send)
            return
        send = _with_headers(send)
        if refusal:
            await _refuse(send, *refusal)
            return
        limit = body_limit(scope["path"], self._settings.limits)
        await self.inner(scope, _Body(receive, limit, self._settings.limits.body_seconds), send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """The status and line with which a request is refused, or None."""
        host = headers.get("host", "")
        if not self._knows(host):
            return 421, "this server does not go by that name; start it with --allow-host NAME"
        origin = headers.get("origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc.lower() != host.lower():
            return 403, "pages of other sites may not call this server"
        token = self._settings.token
        if token is not None and not OPEN.fullmatch(scope["path"]) and not _bears(scope, headers, token):
            return 401, "give the server's token: Authorization: Bearer TOKEN"
        length = headers.get("content-length", "0")
        limit = body_limit(scope["path"], self._settings.limits)
        if not length.isdecimal() or int(length) > limit:
            return 413, f"the request has {length} bytes; {limit} are the most here"
        return None

    def _knows(self, host: str) -> bool:
        """Whether a Host header names this server: else a page could reach it by a name of its own."""
        name = re.sub(r":\d+$", "", host.lower())
        allowed = {*self._settings.allowed_hosts, self._settings.host.lower()}
        if self._settings.token is not None and not self._settings.allowed_hosts:
            return True  # who knows the token need not be deceived
        return name in LOCAL or name.strip("[]") in allowed


class _Body:
    """A request's body as it comes, no longer and no slower than is allowed."""

    def __init__(self, receive: Receive, limit: int, seconds: float):
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._came, self._more = 0, True

    async def __call__(self) -> Message:
        if not self._more:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except TimeoutError:
            raise HTTPException(408, "the request did not come to its end") from None
        self._came += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._came > self._limit:
            raise HTTPException(413, f"the request is longer than {self._limit} bytes, the most here")
        return message


def body_limit(path: str, limits: Limits) -> int:
    """Bytes that a request's body may have."""
    if path == "/v1/videos":
        return limits.image + limits.audio + FORM
    if path in ("/v1/sessions", "/v1/faces"):
        return limits.image + FORM
    if path == "/v1/verify":
        return limits.film + FORM
    if path.endswith("/audio"):
        return limits.audio + FORM
    return limits.other


def _bears(scope: Scope, headers: dict[str, str], token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        offered = scope.get("subprotocols", ()) if scope["type"] == "websocket" else ()
        given = next((n.removeprefix(SUBPROTOCOL) for n in offered if n.startswith(SUBPROTOCOL)), "")
    return hmac.compare_digest(given.strip().encode(), token.encode())


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message.get("headers", ())}
            new = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in known]
            message = {**message, "headers": [*message.get("headers", ()), *new]}
        await send(message)

    return send_with_headers


async def _refuse(send: Send, status: int, line: str) -> None:
    body = json.dumps({"detail": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers.append((b"connection", b"close"))  # what it still sends is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
