"""Bytes are read off a program as it exchanges them, and more of them cost efficiency."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.train.core import sharding
from scripts.benchmarks import collectives, scaling_model

LINKS = scaling_model.Links(nvlink=100e9, network=10e9, latency=20e-6, hop=10e-6)
STEP = scaling_model.StepCount(1000.0, 8, 25_000_000, 100, {"all-reduce": [150, 100_000_000]}, {})


def exchanged(function, *shapes):
    """Of a function whose first argument lies in rows on eight devices, and whose result is whole."""
    mesh = sharding.make_mesh(8)
    whole, rows = sharding.replicated(mesh), sharding.sliced(mesh)
    places = (rows, *[whole] * (len(shapes) - 1))
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    program = jax.jit(function, in_shardings=places, out_shardings=whole).lower(*shapes).compile()
    return collectives.read(program.as_text())


def test_a_gradient_is_reduced_once_and_its_bytes_are_counted():
    loss = lambda x, w: ((x @ w) ** 2).sum()
    found = exchanged(lambda x, w: jax.grad(loss, 1)(x, w), (16, 32), (32, 64))
    assert found == {"all-reduce": collectives.Exchange(1, 4 * 32 * 64)}


def test_rows_that_are_gathered_are_counted_as_often_as_a_loop_runs():
    assert exchanged(lambda x: x + 1, (16, 32)) == {"all-gather": collectives.Exchange(1, 4 * 16 * 32)}
    text = """
%body (p: (f32[2])) -> (f32[2]) {
  %g = f32[16]{0} all-gather(f32[2]{0} %x), dimensions={0}
  %r = (f32[4]{0}, bf16[4]{0}) all-reduce(%a, %b), to_apply=%add
}

ENTRY %main (q: f32[2]) -> f32[2] {
  %w = (f32[2]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
}
"""
    wanted = {"all-gather": collectives.Exchange(5, 5 * 64), "all-reduce": collectives.Exchange(2, 16 + 8)}
    assert collectives.read(text) == wanted


def test_prediction_is_of_rings_and_waits():
    one = scaling_model.predict(STEP, 1, 10e12, LINKS)
    assert one == scaling_model.Prediction(0.1, 0.0, 0.0, 0.0) and one.hidden == one.serial == 1
    eight = scaling_model.predict(STEP, 8, 10e12, LINKS)
    assert eight.gradients == pytest.approx(2 * 7 / 8 * 1e8 / 100e9)
    assert eight.statistics == pytest.approx(50 * 20e-6)
    many = scaling_model.predict(STEP, 64, 10e12, LINKS)
    assert many.gradients == pytest.approx(eight.gradients + 2 * 7 / 8 * 1e8 / 8 / 10e9)
    assert many.statistics == pytest.approx(50 * 50e-6)
    assert many.serial == pytest.approx(0.1 / sum(many)) and many.hidden == pytest.approx(0.1 / 0.1025)


def test_what_moves_with_examples_is_waited_for_and_grows_with_them():
    moving = STEP._replace(batch=16, whole=STEP.whole | {"all-to-all": [10, 50_000_000]})
    assert scaling_model.predict(moving, 8, 10e12, LINKS).examples == pytest.approx(2 * 50e6 / 100e9)
    many = scaling_model.predict(moving, 64, 10e12, LINKS)
    assert many.examples == pytest.approx(2 * 50e6 / 10e9) and many.hidden < 0.2 / (0.2 + many.examples)


def test_efficiency_falls_with_gpus_and_rises_with_the_network():
    rows = [scaling_model.predict(STEP, n, 100e12, LINKS) for n in (8, 64, 512)]
    assert np.all(np.diff([row.serial for row in rows]) < 0)
    faster = scaling_model.predict(STEP, 512, 100e12, LINKS._replace(network=50e9))
    assert faster.serial > rows[-1].serial
    assert "| x | 10 | 50 |" in scaling_model.table({"x": STEP}, [8], 1e16, LINKS)
