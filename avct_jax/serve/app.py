"""The application: routes, and what runs beside them."""

import asyncio
import concurrent.futures
import contextlib
import importlib.resources
import logging
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import fastapi
from fastapi import exceptions, responses, staticfiles

import avct_jax
from avct_jax import errors
from avct_jax.data.speech import speaker
from avct_jax.serve import faces_api, upload, verify_api, voice
from avct_jax.serve.guard import Guard
from avct_jax.serve.server_metrics import CONTENT_TYPE, ServerMetrics
from avct_jax.serve.settings import ServerSettings
from avct_jax.serve.streams import sessions_api, stream_protocol, stream_socket, whep
from avct_jax.serve.streams.sessions import LiveSessions, Open
from avct_jax.serve.videos import videos_api
from avct_jax.serve.videos.video_jobs import WORKER, Busy, VideoJobs

ENDING = 2.0  # seconds in which threads may end what they do
THREADS = 64  # a paced stream waits in one for its next frame
RETRY = 15  # seconds after which who was refused may ask again
ABOUT = "One portrait and one voice in, a talking face out; see /openapi.json."
_log = logging.getLogger(__name__)


class _Threads(concurrent.futures.ThreadPoolExecutor):
    """Threads of which one may be compiling when the server ends: it is not waited for longer than others."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; wait a moment for what is being done."""
        super().shutdown(wait=False, cancel_futures=cancel_futures or wait)
        end = time.monotonic() + ENDING
        for thread in tuple(self._threads) if wait else ():
            thread.join(max(0.0, end - time.monotonic()))


def create_app(
    settings: ServerSettings,
    *,
    open_stream: Open | None = None,
    worker: Sequence[str] = WORKER,
    new_speaker: Any = speaker.HibariSpeaker,
    warm: bool = True,
) -> Guard:
    """Make the ASGI application.

    Args:
      open_stream: makes live streams, for tests.
      worker: arguments of Python, for the process that draws videos.
      new_speaker: makes the voice of texts.
      warm: streams are compiled at the start.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        pool = _Threads(THREADS, "avct-serve")
        asyncio.get_running_loop().set_default_executor(pool)
        with tempfile.TemporaryDirectory(prefix="avct-serve-") as folder:
            tasks = _begin(app, settings, pathlib.Path(folder), open_stream, worker, new_speaker, warm)
            try:
                yield
            finally:
                await app.state.peers.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = fastapi.FastAPI(
        title="avct", version=avct_jax.__version__, description=ABOUT, lifespan=lifespan,
        dependencies=[fastapi.Depends(upload.refuse_unknown)],
        docs_url=None, redoc_url=None,  # they load programs from elsewhere
    )  # fmt: skip
    app.state.settings = settings
    for part in (faces_api, verify_api, videos_api, sessions_api, stream_socket, whep):
        app.include_router(part.router)
    _add_pages(app)
    _add_handlers(app)
    return Guard(app, settings)


def _begin(
    app: fastapi.FastAPI,
    settings: ServerSettings,
    folder: pathlib.Path,
    open_stream: Any,
    worker: Sequence[str],
    new_speaker: Any,
    warm: bool,
) -> list[asyncio.Task]:
    """Make what the routes use, and start what runs beside them."""
    state, metrics = app.state, ServerMetrics()
    state.metrics = metrics
    state.jobs = VideoJobs(settings, folder, metrics.saw, worker)
    state.sessions = LiveSessions(settings, folder, open_stream)
    state.voice = voice.ServerVoice(settings.limits.text, new_speaker)
    state.peers = whep.Peers(state.sessions, settings)
    metrics.watch(state.jobs, state.sessions, state.peers)
    tasks = [asyncio.create_task(state.jobs.run()), asyncio.create_task(state.sessions.run())]
    if warm:
        tasks.append(asyncio.create_task(state.sessions.warm()))
        tasks[-1].add_done_callback(_tell_failure)
    return tasks


def _tell_failure(task: asyncio.Task) -> None:
    if not task.cancelled() and task.exception():
        _log.warning("no stream can be opened: %s", task.exception())


def _add_pages(app: fastapi.FastAPI) -> None:
    page = str(importlib.resources.files("avct_jax") / "serve" / "page")
    app.mount("/static", staticfiles.StaticFiles(directory=page))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> responses.FileResponse:
        return responses.FileResponse(pathlib.Path(page) / "index.html")

    @app.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str | bool]:
        """Whether it is there, whether its first stream would open at once, and whether it speaks texts."""
        return {
            "status": "ok",
            "ready": app.state.sessions.ready,
            "speaks": app.state.voice.there,
            "version": avct_jax.__version__,
        }

    @app.get("/metrics", tags=["server"], response_class=responses.PlainTextResponse)
    async def metrics() -> responses.Response:
        """Figures for Prometheus."""
        return responses.Response(app.state.metrics.text(), media_type=CONTENT_TYPE)


def _add_handlers(app: fastapi.FastAPI) -> None:
    """Have every failure answered in a line."""

    @app.exception_handler(errors.UserError)
    async def refuse(_: fastapi.Request, error: errors.UserError) -> responses.JSONResponse:
        if isinstance(error, Busy):
            return responses.JSONResponse({"detail": str(error)}, 429, {"retry-after": str(RETRY)})
        return responses.JSONResponse({"detail": " ".join(str(error).split())}, 422)

    @app.exception_handler(exceptions.RequestValidationError)
    async def explain(_: fastapi.Request, error: exceptions.RequestValidationError) -> responses.JSONResponse:
        told = error.errors()
        blank = any(row["type"] == "missing" and row["loc"] == ("body", "consent") for row in told)
        line = upload.NO_CONSENT if blank else stream_protocol.explain(told)
        return responses.JSONResponse({"detail": line}, 422)

    @app.exception_handler(Exception)
    async def fail(_: fastapi.Request, error: Exception) -> responses.JSONResponse:
        return responses.JSONResponse({"detail": "this should not have happened: please report it"}, 500)
