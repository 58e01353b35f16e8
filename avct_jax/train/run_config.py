"""How long a run is, and its rhythms."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How long, how much at once, and how often something is shown or kept. 0 switches a rhythm off.

    Attributes:
      steps: in all; a run that was stopped goes on to them.
      batch_size: examples a step, over all devices and processes.
      seed: of examples, of what is random in a step, and of the networks' first values.
      report_every: steps between reports of the mean losses.
      save_every: steps between checkpoints.
      keep: newest checkpoints that stay, beside the best.
      eval_every: steps between looks at held-out examples.
      eval_batches: how many batches of them.
      image_every: steps between contact sheets.
      profile: steps to trace for XProf, after the first few.
      dump_hlo: write the step's program, before and after XLA's work, and its memory to RUN/STAGE/hlo.
      watchdog: seconds in which each step must end (ten times as many for judging, saving, compiling); else
        all threads' stacks go to RUN/STAGE/stacks, and the process ends with code 86. 0: never.
      peak_tflops: 1e12 FLOP/s that a device can do, of which the metric mfu is a share; 0: by its kind.
    """

    steps: int = 1000
    batch_size: int = 8
    seed: int = 0
    report_every: int = 25
    save_every: int = 250
    keep: int = 3
    eval_every: int = 250
    eval_batches: int = 4
    image_every: int = 500
    profile: int = 0
    dump_hlo: bool = False
    watchdog: float = 0.0
    peak_tflops: float = 0.0
