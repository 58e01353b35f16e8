"""Curves as JSONL and for TensorBoard, and what a run that goes on takes back; the terminal's lines."""

import io
import subprocess
import sys

import pytest

from avct_jax import errors
from avct_jax.train.monitoring import metric_log


def fill(folder, steps, **options):
    log = metric_log.MetricLog(folder, **options)
    for step in steps:
        log.append(step, {"loss": 1.0 / step})
    log.close()
    return log


def test_run_that_goes_on_takes_rows_back_that_lie_beyond_its_checkpoint(tmp_path):
    fill(tmp_path, [1, 2, 3, 4, 5], step=0)
    log = fill(tmp_path, [4, 5, 6], step=3)
    rows = metric_log.read(log.path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)


def test_rows_of_a_run_s_end_and_half_written_ones_are_dropped(tmp_path):
    log = metric_log.MetricLog(tmp_path, step=0)
    log.append(2, {"loss": 1.0})
    log.append(3, {"loss": 1.0}, note=metric_log.END)
    log.close()
    with open(log.path, "a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in metric_log.read(log.path)] == [2, 3]
    metric_log.cut(log.path, 3)
    assert [row["step"] for row in metric_log.read(log.path)] == [2]


def test_new_run_begins_an_empty_curve(tmp_path):
    fill(tmp_path, [1, 2], step=0)
    assert metric_log.read(fill(tmp_path, [1], step=0).path)[-1]["step"] == 1


def test_tensorboard_reads_one_value_a_step_and_the_sheet(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fill(tmp_path, [1, 2, 3], step=0)
    log = metric_log.MetricLog(tmp_path, step=2)
    log.append(3, {"loss": 7.0, "bad": float("nan")})
    log.image(3, b"png", (2, 4))
    log.close()
    read = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 7.0)]
    assert read.Images("contact_sheet")[0].encoded_image_string == b"png"


def test_event_files_are_written_without_tensorflow_and_outlive_a_kill(tmp_path):
    pytest.importorskip("tensorboardX")
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    code = f"""
import os, pathlib, sys
from avct_jax.train.monitoring import metric_log
log = metric_log.MetricLog(pathlib.Path({str(tmp_path)!r}), step=0)
log.append(1, {{"loss": 1.0}})
assert "tensorflow" not in sys.modules
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert event_accumulator.EventAccumulator(str(tmp_path)).Reload().Scalars("loss")[0].step == 1


def test_missing_tensorboardx_is_said_and_done_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    log = fill(tmp_path, [1], step=0)
    assert log.notes == [metric_log.MISSING] and len(metric_log.read(log.path)) == 1


def test_full_disk_is_said_in_one_line(tmp_path):
    log = metric_log.MetricLog(tmp_path, step=0)

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    log._file.close()
    log._file = Full()
    with pytest.raises(errors.UserError, match=r"No space left on device.*free space"):
        log.append(1, {"loss": 1.0})
    log.close()
