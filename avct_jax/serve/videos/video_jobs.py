"""Videos that were asked for: one is drawn at a time, some wait, and none is kept for ever."""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from avct_jax import errors
from avct_jax.serve import upload
from avct_jax.serve.settings import ServerSettings

State = Literal["queued", "running", "done", "failed", "cancelled"]
LINE = 1_000_000  # bytes of a line of the worker's
SWEEP = 10.0  # seconds between looks for what has grown old
VIDEO = "video.mp4"
WORKER = ("-m", "avct_jax.serve.videos.video_worker")
LOST = "the process that draws ended ({}); ask again, for a smaller size or shorter audio"
BUSY = "{} jobs wait already; try again in a minute"


class Busy(errors.UserError):
    """There is no room for more now; the same request may be granted later."""


@dataclasses.dataclass(eq=False)
class QueuedVideo:
    """A video that was asked for.

    Attributes:
      id: random.
      folder: of its files, which goes with it.
      request: arguments of `Animator.animate`.
      consent: who agreed, and how, in the client's words.
      state: how far it is.
      progress: frames done and in all.
      notes: what was decided on the way, a line each.
      error: why it failed.
      created, finished: seconds since 1970.
    """

    id: str
    folder: pathlib.Path
    request: dict[str, Any]
    consent: str
    state: State = "queued"
    progress: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    notes: list[str] = dataclasses.field(default_factory=list)
    error: str | None = None
    created: float = dataclasses.field(default_factory=time.time)
    finished: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def video(self) -> pathlib.Path:
        """Where the video is, or will be."""
        return self.folder / VIDEO


class VideoJobs:
    """The queue, and the process that draws."""

    def __init__(
        self,
        settings: ServerSettings,
        folder: pathlib.Path,
        saw: Callable[[QueuedVideo], None] = lambda _: None,
        worker: Sequence[str] = WORKER,
    ):
        """Begin with an empty queue.

        Args:
          folder: in which jobs have theirs.
          saw: told of each job that is over.
          worker: arguments of Python, for the process that draws.
        """
        self.keep_seconds = settings.keep_seconds
        self._settings, self._folder, self._saw, self._command = settings, folder, saw, worker
        self._jobs: dict[str, QueuedVideo] = {}
        self._waiting: collections.deque[QueuedVideo] = collections.deque()
        self._there = asyncio.Event()
        self._worker: asyncio.subprocess.Process | None = None
        self._running: QueuedVideo | None = None

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Refuse a job before its files are read.

        Raises:
          Busy: as many wait as may.
        """
        if len(self._waiting) >= (most := self._settings.limits.queued):
            raise Busy(BUSY.format(most))

    def new_folder(self) -> pathlib.Path:
        """Make a folder for a job's files, of a random name."""
        return upload.new_folder(self._folder)

    def submit(self, folder: pathlib.Path, request: dict[str, Any], consent: str) -> QueuedVideo:
        """Queue a job whose files are in its folder.

        Raises:
          Busy: as many wait as may.
        """
        self.check_room()
        job = QueuedVideo(folder.name, folder, request, consent)
        record = {"consent": consent, "created": job.created, "request": request}
        (folder / "request.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._there.set()
        return job

    def get(self, name: str) -> QueuedVideo | None:
        """The job of an id."""
        return self._jobs.get(name)

    def place(self, job: QueuedVideo) -> int | None:
        """How many jobs come before one that waits; None where it does not wait."""
        return self._waiting.index(job) + (self._running is not None) if job in self._waiting else None

    async def delete(self, job: QueuedVideo) -> None:
        """Cancel a job, and remove all of it."""
        if job in self._waiting:
            self._waiting.remove(job)
        if not job.over:
            self._end(job, "cancelled")
        if job is self._running:
            await self._stop_worker()
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    async def run(self) -> None:
        """Draw jobs until cancelled."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            while True:
                while not self._waiting:
                    self._there.clear()
                    await self._there.wait()
                self._running = self._waiting.popleft()
                await self._draw(self._running)
                self._running = None
        finally:
            sweeping.cancel()
            await self._stop_worker()

    async def _draw(self, job: QueuedVideo) -> None:
        job.state = "running"
        try:
            worker = await self._warm_worker()
            if job.over:  # deleted meanwhile
                return
            assert worker.stdin is not None and worker.stdout is not None
            told = job.request | self._settings.signing | {"output": str(job.video)}
            worker.stdin.write(json.dumps(told).encode() + b"\n")
            await worker.stdin.drain()
            while not job.over:
                line = await worker.stdout.readline()
                if not line:
                    raise ConnectionError
                self._hear(job, json.loads(line))
        except (OSError, ValueError):
            status = await self._stop_worker()
            if not job.over:
                how = signal.Signals(-status).name if status < 0 else f"status {status}"
                self._end(job, "failed", LOST.format(how))

    def _hear(self, job: QueuedVideo, said: dict[str, Any]) -> None:
        if "progress" in said:
            job.progress = tuple(said["progress"])
        elif "refused" in said:
            line = str(upload.nameless(errors.UserError(said["refused"]), job.folder))
            self._end(job, "failed", line)
        else:
            done = said["done"]
            job.progress, job.seconds = (done["frames"], done["frames"]), done["seconds"]
            job.notes += [upload.without_folder(line, job.folder) for line in done["notes"]]
            self._end(job, "done")

    def _end(self, job: QueuedVideo, state: State, error: str | None = None) -> None:
        job.state, job.error, job.finished = state, error, time.time()
        self._saw(job)

    async def _warm_worker(self) -> asyncio.subprocess.Process:
        if self._worker is None or self._worker.returncode is not None:
            self._worker = await asyncio.create_subprocess_exec(
                sys.executable, *self._command, self._settings.checkpoint or "",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE,
                start_new_session=True, env=os.environ | {"TMPDIR": str(self._folder)},  # it may be killed
            )  # fmt: skip
        return self._worker

    async def _stop_worker(self) -> int:
        """Kill the process that draws, if there is one; its status."""
        worker, self._worker = self._worker, None
        if worker is None:
            return 0
        if worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)  # with the encoder that it began
        return await worker.wait()

    async def _sweep(self) -> None:
        """Remove what is older than is promised."""
        while True:
            await asyncio.sleep(min(SWEEP, self._settings.keep_seconds))
            now = time.time()
            for job in list(self._jobs.values()):
                if job.finished is not None and now - job.finished > self._settings.keep_seconds:
                    await self.delete(job)
