"""scripts/benchmarks/gpu.py measures at TINY on a CPU, keeps what it has, and says which part failed."""

import json
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "scripts" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu

    monkeypatch.setattr(gpu, "WORK", 0.0)
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    return gpu


def run(script, monkeypatch, report, *words):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--json", str(report), *words])
    script.main()
    return json.loads(report.read_text())


def test_parts_are_measured_once_and_failures_are_tried_again(script, monkeypatch, tmp_path):
    report = tmp_path / "gpu.json"
    parts = ("--parts", "product", "inference", "--batches", "2", "--precisions", "float32")
    found = run(script, monkeypatch, report, *parts)
    assert found["product"]["tflops"]["float32"] > 0
    assert found["inference"]["frames_per_second"]["float32 x2"]["ours"] > 0
    assert found["inference"]["gflop_per_frame"] > 0

    def broken(options):
        raise RuntimeError("no memory")

    monkeypatch.setitem(script.PARTS, "product", broken)  # known already: not called
    monkeypatch.setitem(script.PARTS, "inference", broken)
    del found["inference"]
    report.write_text(json.dumps(found))
    again = run(script, monkeypatch, report, *parts)
    assert again["product"] == found["product"]
    assert again["inference"]["error"] == "RuntimeError: no memory"
    monkeypatch.setitem(script.PARTS, "inference", lambda options: {"frames_per_second": {}})
    assert "error" not in run(script, monkeypatch, report, *parts)["inference"]


def test_bfloat16_frames_are_those_of_float32(script):
    """The three precisions draw the same frames, but for rounding."""
    import numpy as np

    from avct_jax.models import system_config

    frames = {
        name: np.asarray(script.our_frames(system_config.TINY, name, 2)()) for name in script.PRECISIONS
    }
    off = np.abs(frames["bfloat16"].astype(int) - frames["float32"])
    assert frames["float32"].dtype == np.uint8 and np.ptp(frames["float32"]) > 20
    np.testing.assert_array_equal(frames["tf32"], frames["float32"])  # a CPU has no TF32
    assert 0 < off.mean() < 4
