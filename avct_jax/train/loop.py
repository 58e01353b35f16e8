"""The step loop: draw, step, report, save."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from avct_jax import errors
from avct_jax.train import state

Advance = Callable[[state.State, Any, Array], tuple[state.State, dict[str, Array]]]
Report = Callable[[int, Mapping[str, float], float], None]


def train(
    advance: Advance,
    current: state.State,
    draw: Callable[[np.random.Generator], Any],
    *,
    steps: int,
    report: Report,
    save: Callable[[state.State], None],
    report_every: int = 25,
    save_every: int = 100,
    seed: int = 0,
) -> state.State:
    """Take steps until step `steps`, and return the last state.

    Batch and key of a step hang on `seed` and its number alone: a run that was stopped goes on as if it had
    not been.

    Args:
      advance: (state, batch, key) -> (state, metrics), compiled.
      draw: makes a batch.
      report: is told steps done, mean metrics since the last report, and seconds a step.
      save: keeps the state; called with no state whose metrics have not been found finite.
    Raises:
      UserError: a metric is not finite.
    """
    key, waiting = jax.random.key(seed), []
    first = int(current.step)
    since = time.perf_counter()
    for i in range(first, steps):
        current, metrics = advance(current, draw(np.random.default_rng((seed, i))), key)
        waiting.append(metrics)
        done, last = i + 1, i + 1 == steps
        # The first step compiles: alone, it does not spoil the time of the others.
        if last or i == first or done % report_every == 0 or done % save_every == 0:
            means = mean_metrics(waiting, done)
            report(done, means, (time.perf_counter() - since) / len(waiting))
            waiting, since = [], time.perf_counter()
        if last or done % save_every == 0:
            save(current)
    return current


def mean_metrics(rows: Sequence[Mapping[str, Any]], done: int) -> dict[str, float]:
    """Average the metrics of the steps up to number `done`.

    Raises:
      UserError: one is not finite.
    """
    rows = jax.device_get(list(rows))
    for step, row in enumerate(rows, done - len(rows) + 1):
        for name, value in row.items():
            if not math.isfinite(value):
                raise errors.UserError(
                    f"{name} is {float(value)} at step {step}; go on from the checkpoint at a lower rate"
                )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
