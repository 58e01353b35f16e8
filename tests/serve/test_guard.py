"""Who may ask, from where, and how much."""

import asyncio

import pytest
from starlette import websockets

from avct_jax.serve import guard, settings
from tests.serve import serve_parts

TOKEN = "a-token-of-24-characters"


with_token = pytest.mark.parametrize("client", [{"token": TOKEN}], indirect=True)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.1"]
)
def test_other_names_of_this_machine_are_refused(client, host):
    """A page may have its own name point here."""
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421 and "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machines_names_are_taken(client, host):
    assert client.get("/healthz", headers={"host": host}).json()["status"] == "ok"


@pytest.mark.parametrize("client", [{"allowed_hosts": ("talk.example",)}], indirect=True)
def test_names_that_are_allowed_are_taken(client):
    assert client.get("/healthz", headers={"host": "talk.example:443"}).status_code == 200
    assert client.get("/healthz", headers={"host": "other.example"}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9000", "http://localhost"]
)
def test_pages_of_others_may_not_call(client, origin):
    answer = client.post("/v1/videos", headers={"origin": origin})
    assert answer.status_code == 403 and "other sites" in answer.json()["detail"]
    with (
        pytest.raises(websockets.WebSocketDisconnect) as refused,
        serve_parts.connect(client, headers={"origin": origin}),
    ):
        pass
    assert refused.value.code == 1008 and "other sites" in refused.value.reason


def test_its_own_page_may_call(client):
    answer = client.post("/v1/videos", headers={"origin": serve_parts.HOME})
    assert answer.status_code == 422  # nothing was given, but it was asked


@with_token
@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer wrong-token-of-24-chars!", f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/v1/videos/x", "/static/../v1/videos/x"])
def test_without_the_token_nothing_is_told(client, path, given):
    answer = client.get(path, headers={} if given is None else {"authorization": given})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


@with_token
def test_with_the_token_all_is_told(client):
    bearing = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=bearing).status_code == 200
    assert client.get("/v1/videos/x", headers=bearing).status_code == 404
    assert client.get("/").status_code == client.get("/healthz").status_code == 200  # nothing of anyone's


@with_token
def test_browsers_bear_the_token_as_a_subprotocol(client):
    for offered in (None, ["avct"], ["avct", "bearer.wrong"], ["avct", TOKEN]):
        with (
            pytest.raises(websockets.WebSocketDisconnect) as refused,
            serve_parts.connect(client, subprotocols=offered),
        ):
            pass
        assert refused.value.code == 1008 and "token" in refused.value.reason
    with serve_parts.connect(client, subprotocols=["avct", f"bearer.{TOKEN}"]) as socket:
        assert socket.accepted_subprotocol == "avct" and serve_parts.start(socket)["type"] == "ready"


@with_token
def test_who_knows_the_token_may_use_any_name(client):
    assert client.get("/healthz", headers={"host": "anything.example"}).status_code == 200


def test_pages_may_run_nothing_of_others(client):
    for path in ("/", "/healthz", "/nothing", "/static/nothing"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert (
            "unsafe" not in headers["content-security-policy"]
            and "http" not in headers["content-security-policy"]
        )
        assert headers["x-content-type-options"] == "nosniff"


def test_bodies_that_say_they_are_too_long_are_not_read(client):
    most = settings.Limits()
    for path, limit in (
        ("/v1/videos", most.image + most.audio),
        ("/v1/sessions", most.image),
        ("/v1/verify", most.film),
        ("/x", most.other),
    ):
        length = str(limit + guard.FORM + 1)
        answer = client.post(path, headers={"content-length": length}, content=iter([b"x"]))
        assert answer.status_code == 413 and f"{length} bytes" in answer.json()["detail"]
    assert client.post("/x", headers={"content-length": "-1"}, content=iter([b"x"])).status_code == 413


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(image=1000, audio=1000)}], indirect=True)
def test_bodies_that_do_not_say_so_are_cut_off(client):
    sent = 0

    def endless():
        nonlocal sent
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n'
        yield head
        while sent < 10_000_000:
            sent += 10_000
            yield b"x" * 10_000

    answer = client.post(
        "/v1/videos", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413 and "longer than 102000 bytes" in answer.json()["detail"]


def test_bodies_that_stop_are_not_waited_for():
    async def stopped():
        await asyncio.sleep(1000)

    async def ask():
        sent = []

        async def app(scope, receive, send):
            await receive()

        scope = {"type": "http", "path": "/x", "headers": [(b"host", b"localhost")]}
        guarded = guard.Guard(app, settings.ServerSettings(limits=serve_parts.limits(body_seconds=0.01)))
        await guarded(scope, stopped, sent.append)

    with pytest.raises(guard.HTTPException, match="did not come to its end"):
        asyncio.run(ask())
