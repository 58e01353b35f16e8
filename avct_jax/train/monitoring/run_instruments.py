"""All that times a run and watches over it, as the loop sees it: one context for each thing that it does."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from avct_jax.train import run_config
from avct_jax.train.distributed import process_times, watchdog
from avct_jax.train.monitoring import flops, goodput, meters, program_dump, run_progress


class RunInstruments:
    """Clocks, goodput, MFU, the watchdog and the other processes' times; use as a context manager."""

    def __init__(
        self, folder: pathlib.Path, config: run_config.RunConfig, mesh: jax.sharding.Mesh, dtype: str
    ):
        """Begin to count, in every process.

        Args:
          folder: of the stage.
          dtype: of activations.
        """
        self._folder, self._config, self._number = folder, config, jax.process_index()
        self._spent = goodput.Goodput(folder, writes=self._number == 0)
        self._clock = meters.StepClock()
        self._used = flops.Utilisation(mesh, dtype, config.peak_tflops)
        count = jax.process_count()
        self._watch = watchdog.Watchdog(folder, config.watchdog, process=self._number, processes=count)
        self._times = process_times.ProcessTimes(folder) if count > 1 else None

    def __enter__(self) -> "RunInstruments":
        self._watch.__enter__()
        return self

    def __exit__(self, *_) -> None:
        self._watch.__exit__()

    def go_on(self, facts: dict[str, Any]) -> None:
        """Steps begin, from a checkpoint of which this was said."""
        self._spent.go_on(facts.get("spent"))

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """A batch is waited for."""
        with self._clock.waiting(), self._spent.on("data"):
            yield

    @contextlib.contextmanager
    def awaiting_steps(self) -> Iterator[None]:
        """Devices are waited for, until a step has ended."""
        with self._clock.blocked():
            yield
        self._watch.stepped()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is no step: judging, images, and saving inside of it."""
        with self._clock.paused(), self._watch.patient(), self._spent.on("evaluation"):
            yield

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """A checkpoint is written."""
        with self._watch.patient(), self._spent.on("checkpoint"):
            yield

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """The first step is begun."""
        with self._spent.on("compile"):
            yield

    def learn(self, program: Any, *arguments: Any) -> None:
        """Look at the step's program, once it was called with such arguments."""
        self._used.learn(program, *arguments)
        if self._config.dump_hlo and self._number == 0:
            program_dump.write(self._folder, program, *arguments)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps; the file beside it says the same."""
        self._spent.write(now=True)
        return {"spent": self._spent.as_json()}

    def restart(self) -> None:
        """Count steps' seconds from now."""
        self._clock.restart()

    def report(self, step: int, count: int) -> tuple[run_progress.Pace, dict[str, float], list[str]]:
        """Of `count` steps since the last report, after `step`; all processes must ask.

        Returns:
          Their pace, metrics of it, and, in the first process, a line for each that has become slow.
        """
        pace = self._clock.pace(count, self._config.batch_size)
        own, data = self._clock.own_seconds(count), pace.data_wait_share * pace.step_seconds
        row = {**pace._asdict(), **self._used.row(pace.step_seconds), "goodput": self._spent.share()}
        lines: list[str] = []
        if self._times:
            lines = self._times.report(
                step, lambda product: process_times.ProcessTime(pace.step_seconds, own, data, product)
            )
        self._spent.write(now=step == self._config.steps)
        self._clock.restart()
        return pace, row, lines
