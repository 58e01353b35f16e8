"""The curves of a run: metrics.jsonl, and event files for TensorBoard where tensorboardX is installed.

A run that goes on takes back the rows beyond its checkpoint, so that a curve has one value a step.
"""

import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from avct_jax import errors
from avct_jax.files import atomic_write

FILE = "metrics.jsonl"
END = "end of run"  # `note` of a row outside the rhythm of reports: a run that goes on drops it
MISSING = "tensorboardX is not installed: curves go to metrics.jsonl only (pip install 'avct-jax[train]')"


class MetricLog:
    """Where a stage's metrics are kept; for the first process alone."""

    def __init__(self, folder: pathlib.Path, *, step: int):
        """Open the logs of a run that goes on from `step`; 0 begins new ones.

        Raises:
          UserError: nothing can be written there.
        """
        self.path = folder / FILE
        self.notes: list[str] = []
        self._before = cut(self.path, step)
        self._since = time.perf_counter()
        try:
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise _failure(self.path, error) from None
        self._events = _open_events(folder, step)
        if self._events is None:
            self.notes.append(MISSING)

    def append(self, step: int, values: Mapping[str, float], *, note: str = "") -> None:
        """Add a row. `seconds` in it counts training time, over all starts of the run.

        Raises:
          UserError: the disk is full.
        """
        seconds = self._before + time.perf_counter() - self._since
        row: dict[str, Any] = {"step": step, "seconds": round(seconds, 3), **values}
        if note:
            row["note"] = note
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            if self._events:
                self._events.scalars(step, values)
        except OSError as error:
            raise _failure(self.path, error) from None

    def image(self, step: int, png: bytes, size: tuple[int, int]) -> None:
        """Show a contact sheet in TensorBoard; size: (height, width)."""
        if self._events:
            self._events.image(step, png, size)

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        if self._events:
            self._events.close()


def cut(path: pathlib.Path, step: int) -> float:
    """Take rows beyond `step`, rows of a run's end, and a half written row out of a metrics.jsonl.

    Returns:
      The seconds of the last row that stays.
    """
    if not path.exists():
        return 0.0
    rows = [row for row in read(path) if row["step"] <= step and row.get("note") != END]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    atomic_write.write(path, content.encode())
    return float(rows[-1].get("seconds", 0.0)) if rows else 0.0


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl; what a kill or a full disk left half written is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


class _Events:
    """One event file; each row is on the disk before training goes on.

    tensorboardX's SummaryWriter has a thread and a queue for that: a full disk would end the thread, and soon
    the queue would be waited at for ever.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX import event_file_writer
        from tensorboardX.proto import event_pb2, summary_pb2

        self._event: Any = event_pb2
        self._summary: Any = summary_pb2
        # A run that goes on within the same second must not open, and so empty, the file of before.
        self._writer = event_file_writer.EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        # A session's start hides what was logged from this step on.
        kind = self._event.SessionLog
        self._write(step=step + 1, session_log=kind(status=kind.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        value = self._summary.Summary.Value
        rows = [value(tag=name, simple_value=x) for name, x in values.items() if math.isfinite(x)]
        self._write(step=step, summary=self._summary.Summary(value=rows))

    def image(self, step: int, png: bytes, size: tuple[int, int]) -> None:
        image = self._summary.Summary.Image(
            height=size[0], width=size[1], colorspace=3, encoded_image_string=png
        )
        row = self._summary.Summary.Value(tag="contact_sheet", image=image)
        self._write(step=step, summary=self._summary.Summary(value=[row]))

    def close(self) -> None:
        self._writer.close()

    def _write(self, **fields) -> None:
        self._writer.write_event(self._event.Event(wall_time=time.time(), **fields))
        self._writer.flush()


def _open_events(folder: pathlib.Path, step: int) -> _Events | None:
    try:
        return _Events(folder, step)
    except ImportError:
        return None


def _failure(path: pathlib.Path, error: OSError) -> errors.UserError:
    return errors.UserError(
        f"cannot write {path} ({error.strerror}); free space or choose another --run folder, and start again"
    )
