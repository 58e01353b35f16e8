"""What the paper's own run takes: arithmetic of each stage's step at PAPER size, hours and cost of all of it.

  python -m scripts.benchmarks.paper_cost                        on 8 H100, at a stated share of their peak
  python -m scripts.benchmarks.paper_cost --tflops 110           at a rate that you have measured
  python -m scripts.benchmarks.paper_cost --gpus 64 --price 2.1

Convolutions and matrix products of each traced step are counted, as for MFU; no GPU is needed, two minutes of
a CPU are. Nothing is measured here.
"""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from avct_jax.models import networks
from avct_jax.presets import avct, head_motion, renderer, sync
from avct_jax.train import batch_shapes, run
from avct_jax.train.core import init_params
from avct_jax.train.monitoring import flops
from avct_jax.train.stages import stage
from scripts.benchmarks import training_step

PRESETS = {"renderer": renderer, "sync": sync, "head-motion": head_motion, "avct": avct}
H100_PEAK = 1e12 * flops.PEAKS["h100"][0]  # FLOP/s of dense bfloat16 products
SHARE = (
    0.11  # of the peak: 112 TFLOP/s of 989, LITE's renderer stage in bfloat16 on an H200 (docs/benchmarks.md)
)
LEAST = 0.01  # seconds of a step that hardly computes: kernels' launches, the batch's transfer
EXAMPLES = 2  # of the counted batch; the rest follows in proportion


class StageCost(NamedTuple):
    """A stage's training at PAPER size.

    Attributes:
      gflop: of an example, forward and backward.
      parameters: trained.
    """

    steps: int
    batch_size: int
    gflop: float
    parameters: int

    @property
    def flop(self) -> float:
        """Of the whole training."""
        return self.steps * self.batch_size * self.gflop * 1e9


def build(name: str, preset: str = "PAPER") -> tuple[stage.Stage, Any]:
    """A stage with random networks in the place of trained ones, and its settings."""
    config: Any = getattr(PRESETS[name], preset)
    options: dict[str, Any] = {"seed": 0}
    if getattr(config.stage, "perceptual", 0.0):
        options["perceptual"] = training_step.random_vgg()
    if name == "avct":
        sync_config = config.stage.sync_discriminator
        options["frozen"] = {
            **{part: networks.init(config.system, part) for part in ("keypoint_detector", "renderer")},
            "sync_discriminator": init_params.sync_discriminator_variables(sync_config),
        }
    return run.make_stage(name, config, options), config


def count(name: str, preset: str = "PAPER") -> StageCost:
    """Count a stage's arithmetic; nothing is compiled or run."""
    made, config = build(name, preset)
    state = jax.eval_shape(made.initial)
    shape = lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype)
    batch = batch_shapes.batch_shapes(made.kind, config.draw, EXAMPLES)
    given = (state, jax.tree.map(shape, made.frozen), batch, jax.random.key(0))
    trained = [x.params for x in state.network_states.values()]
    parameters = sum(x.size for x in jax.tree.leaves(trained))
    gflop = flops.of_call(jax.jit(made.step), *given) / EXAMPLES / 1e9
    return StageCost(config.steps, config.batch_size, gflop, parameters)


def hours(cost: StageCost, gpus: int, rate: float) -> float:
    """Of the whole training, at `rate` FLOP/s a GPU; a batch smaller than the GPUs leaves some idle."""
    used = min(gpus, cost.batch_size)
    return cost.steps * max(cost.flop / cost.steps / (used * rate), LEAST) / 3600


def table(costs: Mapping[str, StageCost], gpus: int, rate: float, price: float) -> str:
    """A row for each stage, and their sum."""
    rows = ["| stage | steps x batch | GFLOP an example | hours | cost |", "|---|---|---|---|---|"]
    total = 0.0
    for name, cost in costs.items():
        took = hours(cost, gpus, rate)
        total += took
        steps = f"{cost.steps} x {cost.batch_size}"
        rows.append(f"| {name} | {steps} | {cost.gflop:.0f} | {took:.1f} | {took * gpus * price:.0f} |")
    return "\n".join([*rows, f"| all | | | {total:.1f} | {total * gpus * price:.0f} |"])


def main() -> None:
    """Count, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--gpus", type=int, default=8)
    add(
        "--tflops",
        type=float,
        default=SHARE * H100_PEAK / 1e12,
        help="of a GPU, reached (default: %(default).0f)",
    )
    add("--price", type=float, default=3.0, help="of a GPU for an hour (default: %(default)s)")
    add("--preset", default="PAPER", help="PAPER or TINY")
    add("--json", type=pathlib.Path)
    options = parser.parse_args()
    costs = {name: count(name, options.preset) for name in PRESETS}
    print(table(costs, options.gpus, options.tflops * 1e12, options.price))
    if options.json:
        options.json.write_text(json.dumps({name: cost._asdict() for name, cost in costs.items()}, indent=1))


if __name__ == "__main__":
    main()
