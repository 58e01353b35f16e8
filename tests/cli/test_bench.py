"""What `avct bench` counts and prints; seconds are the machine's affair."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from avct_jax.benchmark import live_latency, throughput
from avct_jax.cli import main
from avct_jax.cli.commands import bench as command
from avct_jax.live import latency
from avct_jax.models import system_config


@pytest.fixture(scope="module")
def report():
    return throughput.measure(("tiny",), frames=2, rounds=1)


def test_bench_counts_two_operations_for_a_multiply_add():
    product = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    assert throughput._gflop(jnp.matmul, product, product) == pytest.approx(2 * 64**3 / 1e9)


def test_bench_parts_add_up_to_the_program_of_all(report):
    tiny = report.sizes["tiny"]
    names = ("AVCT towers", "transformer", "dense motion, renderer")
    assert sum(tiny.parts[n].gflop for n in names) == pytest.approx(
        tiny.parts[throughput.WHOLE].gflop, rel=0.02
    )
    assert all(part.seconds > 0 for part in (*tiny.parts.values(), *tiny.once.values()))
    counted = throughput.gflop_per_frame(system_config.TINY, 2)
    assert counted == pytest.approx(tiny.parts[throughput.WHOLE].gflop, rel=1e-6)


def test_bench_prints_every_part_as_text_and_as_json(report):
    text, values = command.table(report), json.loads(json.dumps(command.as_json(report)))
    parts = values["sizes"]["tiny"]["per_frame"]
    assert set(parts) == set(report.sizes["tiny"].parts) and all(name in text for name in parts)
    assert 0 < parts[throughput.WHOLE]["share_of_matrix_product"] < 2
    assert values["machine"]["matrix_product_gflop_per_s"] > 0


@pytest.mark.parametrize(
    "config, limit", [(system_config.LITE, 10), (system_config.PAPER, 90)], ids=["lite", "paper"]
)
def test_a_frame_takes_no_more_operations_than_promised(config, limit):
    assert 0.1 < throughput.gflop_per_frame(config) < limit


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("words", [["--json"], []])
def test_figures_that_cannot_be_written_are_no_success(words):
    code = """
import sys
from avct_jax.benchmark import throughput
from avct_jax.cli import main
from avct_jax.cli.commands import bench
throughput.measure = lambda *_, **__: None
bench.table, bench.as_json = (lambda _: "figures"), (lambda _: {"figures": 1})
sys.exit(main.main(["bench", *sys.argv[1:]]))
"""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.startswith("avct: standard output cannot be written to (No ")
    assert done.stderr.count("\n") == 1


def test_live_bench_prints_delays_by_their_parts_as_text_and_as_json(monkeypatch, capsys):
    row = latency.Percentiles(0.01, 0.02, 0.03)
    report = live_latency.LiveReport(
        256,
        2,
        {"chunk": 0.08, "mouth": 0.2},
        row,
        row,
        row,
        row,
        0.0312,
        750,
        3,
        300 * 2**20,
        2,
        {1: 0.0, 2: 0.004, 3: 0.25},
    )
    monkeypatch.setattr(live_latency, "measure", lambda: report)
    assert main.main(["bench", "--live"]) == 0
    text = capsys.readouterr().out
    assert "280 ms = 80 chunk + 200 mouth" in text and "31.2 ms a frame" in text and "repeated: 3" in text
    assert "on 2 cores: 2 speaking at once in real time; 3 repeat 25% of their images" in text
    assert main.main(["bench", "--live", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["algorithmic"] == {"chunk": 0.08, "mouth": 0.2}


def test_a_bench_uses_no_more_cores_than_it_is_told():
    code = """
import os, sys
from avct_jax.benchmark import live_latency
from avct_jax.cli import main
live_latency.measure = lambda: sys.exit(f"{len(os.sched_getaffinity(0))} cores")
main.main(["bench", "--live", "--cores", sys.argv[1]])
"""
    run = lambda count: subprocess.run([sys.executable, "-c", code, count], stderr=subprocess.PIPE, text=True)
    assert "1 cores" in run("1").stderr
    assert "avct: --cores 4096: this process may use" in run("4096").stderr
