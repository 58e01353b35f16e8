"""The step loop: draw, step, report, judge, show, save, stop. Only here are steps repeated."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from avct_jax import errors
from avct_jax.data.dataset import batch_types, source
from avct_jax.train import run_config
from avct_jax.train.core import (
    checkpoint,
    compilation,
    grad_accumulation,
    sharding,
    stop_request,
    train_state,
)
from avct_jax.train.distributed import device_mesh, fsdp
from avct_jax.train.monitoring import (
    contact_sheet,
    meters,
    metric_log,
    profiler,
    run_instruments,
    run_progress,
)
from avct_jax.train.stages import stage

VALIDATION = "val/"
CHECKPOINTS = "checkpoints"  # folders in a stage's
IMAGES = "images"
PROFILE = "profile"
# Steps begun before an earlier one's end is waited for: the device never idles, and a stop is heard soon.
AHEAD = 2
HARMLESS = 64  # examples that are not asked for their size: they fit wherever a step does
SUCCESSIVE = ("sequences", "poses")  # kinds of batches whose images follow each other in time
REMEDY = (
    "start again with a lower --optimizer.learning-rate, or with another --seed for other examples: "
    "the run goes on from its last checkpoint"
)
EVAL_SEED = 20220226  # of the keys of judging, which no run may change: figures stay comparable


class TrainingOutcome(NamedTuple):
    """How a run ended.

    Attributes:
      stopped: the signal's name, "" where it reached its last step.
    """

    state: train_state.TrainState
    step: int
    stopped: str


class Task(NamedTuple):
    """What one run does.

    Attributes:
      best_metric: the held-out metric whose smallest value is best; "" keeps no best.
      facts: JSON values to keep in every checkpoint.
      notes: lines to say at the start.
      export: is given the state and whether it is the best yet, each time one is saved.
    """

    stage: stage.Stage
    source: source.Source
    draw: batch_types.DrawConfig
    config: run_config.RunConfig
    folder: pathlib.Path
    best_metric: str = ""
    facts: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()
    export: Callable[[train_state.TrainState, bool], None] = lambda current, best: None


def train(
    task: Task,
    mesh: jax.sharding.Mesh,
    *,
    compute: grad_accumulation.ComputeConfig = compilation.PLAIN,
    quiet: bool = False,
) -> TrainingOutcome:
    """Take the steps that are left, from the newest checkpoint in `task.folder` or from the beginning.

    Batch and key of a step hang on the seed and its number alone: a run that was stopped goes on as if it had
    not been, on other devices too. SIGTERM and Ctrl-C end the running step and save.

    Raises:
      UserError: a metric is not finite, a clip is missing, the disk is full, no checkpoint can be read, or
        the batch cannot be dealt out or held. The last good checkpoint is kept.
    """
    sharding.check_batch_size(task.config.batch_size, mesh, microbatches=compute.microbatches)
    _check_memory(task, mesh, mesh.size * compute.microbatches)
    notes = list(task.notes)
    gauges = run_instruments.RunInstruments(task.folder, task.config, mesh, compute.dtype)
    with contextlib.ExitStack() as stack:
        # First in, last out: a signal does not disturb the last save either.
        request = stack.enter_context(stop_request.listening(lambda: has_checkpoint(task.folder)))
        kept = stack.enter_context(
            checkpoint.Checkpoints(
                task.folder / CHECKPOINTS,
                keep=task.config.keep,
                best_metric=task.best_metric,
                note=notes.append,
            )
        )
        current, first, facts = _begin(task, kept, mesh)
        first_process = sharding.is_first_process()
        log = metric_log.MetricLog(task.folder, step=first) if first_process else None
        if log:
            stack.callback(log.close)
            notes.extend(log.notes)
        shown = stack.enter_context(
            run_progress.RunProgress(
                task.stage.name, done=first, total=task.config.steps, quiet=quiet or not first_process
            )
        )
        for text in notes if first_process else ():
            shown.note(text)
        compiled = compilation.compile_stage(task.stage, mesh, compute)
        stack.enter_context(gauges)
        run = _Training(task, mesh, compiled, kept, log, shown, request, gauges, current, first, facts)
        return run.go()


def _check_memory(task: Task, mesh: jax.sharding.Mesh, unit: int) -> None:
    """Refuse a batch that cannot fit, by a few of its examples."""
    if task.config.batch_size <= HARMLESS:
        return
    part = device_mesh.part(mesh)
    few = {"seed": task.config.seed, "step": 0, "batch_size": mesh.size, "part": part}
    examples = task.source.batch(task.stage.kind, task.draw, **few)
    sharding.check_memory(examples, task.config.batch_size, mesh, unit=unit)


def has_checkpoint(folder: pathlib.Path) -> bool:
    """Whether a stage's folder has a whole one: unfinished ones have other names."""
    return any(path.name.isdigit() for path in (folder / CHECKPOINTS).glob("*"))


def _begin(task: Task, kept: checkpoint.Checkpoints, mesh: jax.sharding.Mesh):
    """State to go on from, its step, and what was kept with it."""
    shapes = jax.eval_shape(task.stage.initial)
    found = kept.restore(shapes, fsdp.shardings(shapes, mesh))
    if found is None:
        return fsdp.place(task.stage.initial(), mesh), 0, {}
    return found.state, found.step, found.facts


class _Training:
    """The bookkeeping of one run."""

    def __init__(self, task, mesh, compiled, kept, log, shown, request, gauges, current, first, facts):
        self.task, self.config, self.mesh = task, task.config, mesh
        self.kept, self.log, self.shown, self.request = kept, log, shown, request
        self.current, self.done, self.gauges = current, first, gauges
        self.programs = compiled
        self.frozen = sharding.place(task.stage.frozen, mesh)
        self.key = sharding.make_key(self.config.seed, mesh)
        self.asked = [sharding.place_batch(np.full(_own_devices(mesh), i, np.int32), mesh) for i in (0, 1)]
        self.pending: list[tuple[int, Any]] = []  # steps whose metrics are still on the devices
        self.sample: Any = None  # held-out examples that images show; () where there are none
        self.means = meters.Means(facts.get("unreported"))
        self.best, self.saved, self.agreed = kept.best(), first, False
        gauges.go_on(facts)

    def go(self) -> TrainingOutcome:
        config, first, last = self.config, self.done, self.config.steps
        if first >= last:
            self.shown.note(f"{self.task.stage.name} has taken {first} of {last} steps; nothing to do")
            return TrainingOutcome(self.current, first, "")
        if first:
            self.shown.note(f"{self.task.stage.name} goes on from step {first}")
        traced = config.profile if sharding.is_first_process() else 0
        trace = profiler.Profile(self.task.folder / PROFILE, traced, first=first, last=last)
        with contextlib.closing(self._batches(first)) as batches, trace:
            for i in range(first, last):
                batch = self._draw(batches)
                trace.before(i)
                self._step(batch, fresh=i == first)
                trace.after(self.done, self.current)
                if self._stopping():
                    return self._stop()
                self._rhythm(fresh=i == first)
        return TrainingOutcome(self.current, last, "")

    def _batches(self, first: int) -> Generator[Any]:
        made = self.task.source.batches(
            self.task.stage.kind,
            self.task.draw,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            part=device_mesh.part(self.mesh),
            first_step=first,
        )
        return cast(Generator[Any], made)

    def _draw(self, batches: Iterator[Any]) -> Any:
        with self.gauges.drawing():
            try:
                batch = next(batches)
            except errors.UserError:
                # A clip is gone. What was learned so far is worth keeping, where no other process is needed.
                if jax.process_count() == 1:
                    self._save()
                    self.kept.wait()
                raise
        return sharding.place_batch(batch, self.mesh)

    def _step(self, batch: Any, *, fresh: bool) -> None:
        more = (self.frozen, batch, self.key, self.asked[bool(self.request)])
        with self.gauges.compiling() if fresh else contextlib.nullcontext():
            self.current, out = self.programs.step(self.current, *more)
            if fresh:
                self.gauges.learn(self.programs.step, self.current, *more)
        self.done += 1
        self.pending.append((self.done, out))
        self.shown.advance(self.done)
        if len(self.pending) > AHEAD:
            with self.gauges.awaiting_steps():
                jax.block_until_ready(self.pending[-1 - AHEAD][1])

    def _stopping(self) -> bool:
        """Alone: as soon as asked. With others: when a step that carried the word is known to all."""
        if jax.process_count() == 1:
            return bool(self.request)
        if len(self.pending) > AHEAD:
            self.agreed |= bool(self.pending[-1 - AHEAD][1][1])
        return self.agreed

    def _stop(self) -> TrainingOutcome:
        with self.gauges.saving():
            self._save()
            self.kept.wait()
        if self.means.count:  # what goes on from here reports these steps again, with those that lack
            self._report(end=True)
        name = self.request.signal or "a signal to another process"
        self.shown.note(
            f"stopped by {name} after step {self.done} of {self.config.steps}, which is saved; "
            "the same command goes on"
        )
        return TrainingOutcome(self.current, self.done, name)

    def _rhythm(self, *, fresh: bool) -> None:
        """Do what is due after a step."""
        config, done, last = self.config, self.done, self.done == self.config.steps
        due = lambda every: bool(every) and (done % every == 0)
        if due(config.report_every) or done == 1:
            self._report()
        elif fresh:  # says that it runs, and keeps compilation out of the pace of the others
            self._settle()
            self.gauges.restart()
        evaluated = None
        with self.gauges.aside():
            if (due(config.eval_every) or (last and config.eval_every)) and self._find_sample():
                evaluated = self._evaluate(end=not due(config.eval_every))
            if (due(config.image_every) or (last and config.image_every)) and self._find_sample():
                self._image()
            if due(config.save_every) or last or self._is_best(evaluated):
                self._save(evaluated)
        if last and self.means.count:
            self._report(end=True)

    def _settle(self) -> None:
        """Fetch the metrics of all steps so far, and make sure that they are finite."""
        with self.gauges.awaiting_steps():
            rows, self.pending = jax.device_get(self.pending), []
        for step, (row, asked) in rows:
            # The norm last: losses come first on a line, and say more where both are not finite.
            row = dict(sorted(row.items(), key=lambda item: item[0] == train_state.GRADIENT_NORM))
            check_finite(row, step)
            self.means.add(row)
            self.agreed |= bool(asked)

    def _report(self, *, end: bool = False) -> None:
        self._settle()
        means, count = self.means.take()
        pace, told, slow = self.gauges.report(self.done, count)
        self.shown.report(self.done, means, pace)
        if self.log:
            self.log.append(self.done, {**means, **told}, note=metric_log.END if end else "")
        for line in slow:
            self.shown.note(line)

    def _evaluate(self, *, end: bool) -> dict[str, float] | None:
        """Mean metrics of the averaged networks on the same held-out examples each time."""
        means = meters.Means()
        key = sharding.make_key(EVAL_SEED, self.mesh)
        for number in range(self.config.eval_batches):
            batch = sharding.place_batch(self._held_out(number), self.mesh)
            row = jax.device_get(self.programs.eval_step(self.current, self.frozen, batch, key))
            named = {VALIDATION + name: value for name, value in row.items()}
            check_finite(named, self.done)
            means.add(named)
        found, _ = means.take()
        self.shown.evaluated(self.done, found)
        if self.log:
            self.log.append(self.done, found, note=metric_log.END if end else "")
        return found

    def _held_out(self, number: int) -> Any:
        """A batch of held-out examples, always the same one by its number."""
        return self.task.source.batch(
            self.task.stage.kind,
            self.task.draw,
            seed=EVAL_SEED,
            step=number,
            batch_size=self.config.batch_size,
            part=device_mesh.part(self.mesh),
            held_out=True,
        )

    def _find_sample(self) -> bool:
        """Look, once, whether there are held-out examples; keeps some for images."""
        if self.sample is None:
            try:
                self.sample = self._held_out(0)
            except errors.UserError as error:
                self.sample = ()
                self.shown.note(f"nothing is judged or shown: {error}")
        return bool(self.sample)

    def _is_best(self, evaluated: Mapping[str, float] | None) -> bool:
        return bool(evaluated) and evaluated.get(VALIDATION + self.task.best_metric, math.inf) < self.best

    def _save(self, evaluated: Mapping[str, float] | None = None) -> None:
        """Save a state all of whose metrics and numbers are finite.

        Raises:
          UserError: they are not, or the disk is full. What was saved before is kept.
        """
        self._settle()
        if self.done == self.saved:
            return
        with self.gauges.saving():
            self._write(evaluated)

    def _write(self, evaluated: Mapping[str, float] | None) -> None:
        # Finite losses and gradients may still overflow in the optimiser or in batch statistics.
        if not train_state.is_finite(self.current):
            raise errors.UserError(
                f"the state after step {self.done} is not finite and is not saved; {REMEDY}"
            )
        name, best = VALIDATION + self.task.best_metric, self._is_best(evaluated)
        metrics = {self.task.best_metric: evaluated[name]} if evaluated and name in evaluated else None
        facts = {
            **self.task.facts,
            "position": {"seed": self.config.seed, "step": self.done, "batch_size": self.config.batch_size},
            "unreported": self.means.as_json(),
            **self.gauges.facts(),
        }
        self.kept.save(self.current, self.done, facts=facts, metrics=metrics)
        if best and evaluated:
            self.best = evaluated[name]
        self.saved = self.done
        exported = fsdp.exportable(self.current, self.mesh)
        if sharding.is_first_process():
            self.task.export(exported, best)

    def _image(self) -> None:
        if self.programs.image is None:
            return
        batch = sharding.place_batch(self.sample, self.mesh)
        made = jax.device_get(self.programs.image(self.current, self.frozen, batch))
        if not sharding.is_first_process():
            return
        path = self.task.folder / IMAGES / f"{self.done:08}.png"
        content, size = contact_sheet.save(path, made)
        if self.log:
            self.log.image(self.done, content, size)
        if self.task.stage.kind in SUCCESSIVE:
            contact_sheet.save_video(path.with_suffix(".mp4"), made)


def check_finite(row: Mapping[str, Any], step: int) -> None:
    """Refuse numbers that nothing can be learned from.

    Raises:
      UserError: one is not finite; names metric and step.
    """
    for name, value in row.items():
        if not math.isfinite(value):
            raise errors.UserError(f"{name} is {float(value)} at step {step}; {REMEDY}")


def _own_devices(mesh: jax.sharding.Mesh) -> int:
    return sum(d.process_index == jax.process_index() for d in mesh.devices.flat)
