"""How well PAPER's training would scale over GPUs: arithmetic and exchanged bytes counted, the rest assumed.

  python -m scripts.benchmarks.scaling_model --save counts.json      counts, half an hour of a core; predicts
  python -m scripts.benchmarks.scaling_model --counts counts.json --mfu 0.2 --gpus 8 128

Each stage's step is compiled at PAPER size for eight made-up CPU devices, with states whole and split
(--fsdp 8), and what they exchange is read off the HLO. Nothing is measured on GPUs. The model:

  computing    FLOPs of the GPU's examples / (--mfu of --peak), at least 10 ms a step
  gradients    all-reduced in each machine over NVLink, an eighth of them between machines by each GPU's card;
               told twice: hidden behind the backward pass (two thirds of computing), and not hidden at all
  statistics   batch norms and losses wait for an all-reduce each: latency alone counts
  examples     what else is exchanged grows with the examples of a GPU, and is waited for

Efficiency is the computing's share of the step, at the same number of examples a GPU: the batch of eight GPUs
is the preset's, that of more larger in proportion. Whether such a batch learns as well is another question.
"""

import argparse
import json
import math
import os
import pathlib
from typing import Any, NamedTuple

from scripts.benchmarks import collectives

DEVICES = 8
MACHINE = 8  # GPUs in a machine
BACKWARD = 2 / 3  # of computing
FLOAT = 4  # bytes of a gradient's number
SHORTEST = 0.01  # seconds of a step that hardly computes: launches of kernels, the batch's transfer
STAGES = ("renderer", "sync", "avct", "head-motion")


class StepCount(NamedTuple):
    """What a stage's step does.

    Attributes:
      gflop: of an example, forward and backward, convolutions and products alone.
      batch: examples of the preset.
      parameters: trained.
      networks_tensors: arrays that they are.
      whole, split: what eight devices exchange, [tensors, bytes] by kind of collective, with states whole on
        each, and split over all.
    """

    gflop: float
    batch: int
    parameters: int
    networks_tensors: int
    whole: dict[str, list[int]]
    split: dict[str, list[int]]

    @property
    def statistics(self) -> int:
        """Tensors that are exchanged beside gradients; at most so many waits."""
        return max(0, sum(tensors for tensors, _ in self.whole.values()) - self.networks_tensors)


class Links(NamedTuple):
    """What GPUs are connected by: bytes a second of a GPU in one direction, and seconds of an all-reduce.

    Attributes:
      nvlink: NVLink 4: 900 GB/s both ways (NVIDIA's data sheet of the H100 SXM5), 450 one way, of which 0.8.
      network: InfiniBand NDR, 400 Gb/s a GPU (data sheet of the DGX H100: eight ConnectX-7), of which 0.8.
      latency: of a small all-reduce in a machine: an assumption.
      hop: more for each doubling of the machines: an assumption.
    """

    nvlink: float = 0.8 * 450e9
    network: float = 0.8 * 50e9
    latency: float = 15e-6
    hop: float = 5e-6


class Prediction(NamedTuple):
    """Seconds of a step's parts, and the computing's share with gradients hidden and not."""

    computing: float
    gradients: float
    statistics: float
    examples: float

    @property
    def hidden(self) -> float:
        """With gradients behind the backward pass."""
        seen = max(0.0, self.gradients - BACKWARD * self.computing)
        return self.computing / (self.computing + seen + self.statistics + self.examples)

    @property
    def serial(self) -> float:
        """With gradients after it."""
        return self.computing / sum(self)


def predict(step: StepCount, gpus: int, rate: float, links: Links) -> Prediction:
    """A step of `step.batch` / 8 examples a GPU.

    Args:
      rate: FLOP/s that a GPU reaches.
    """
    computing = max(SHORTEST, 1e9 * step.gflop * step.batch / MACHINE / rate)
    if gpus == 1:
        return Prediction(computing, 0.0, 0.0, 0.0)
    inside, machines = min(gpus, MACHINE), max(1, gpus // MACHINE)
    size = FLOAT * step.parameters
    ring = lambda n: 2 * (n - 1) / n  # a byte crosses a link so often
    gradients = ring(inside) * size / links.nvlink + ring(machines) * size / inside / links.network
    latency = links.latency + links.hop * math.log2(machines)
    moved = sum(size for kind, (_, size) in step.whole.items() if kind != "all-reduce") * step.batch / MACHINE
    examples = moved / (links.network if machines > 1 else links.nvlink)
    return Prediction(computing, gradients, step.statistics * latency, examples)


def count(name: str, preset: str) -> StepCount:
    """Trace and compile a stage's step."""
    import jax
    import numpy as np

    from avct_jax.layers.convolution import cpu_conv
    from avct_jax.train import batch_shapes
    from avct_jax.train.core import compilation, sharding
    from avct_jax.train.monitoring import flops
    from scripts.benchmarks import paper_cost

    # On CPUs a kernel's gradient is a sum over strips of the image, each of which would be exchanged.
    cpu_conv.STRIP = 1 << 50
    made, config = paper_cost.build(name, preset)
    state = jax.eval_shape(made.initial)
    frozen = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), made.frozen)
    batch = batch_shapes.batch_shapes(made.kind, config.draw, DEVICES)
    key = jax.eval_shape(lambda: jax.random.key(0))
    exchanged = []
    for parts in (1, DEVICES):
        step = compilation.compile_stage(made, sharding.make_mesh(DEVICES, parts)).step
        given = (state, frozen, batch, key, jax.ShapeDtypeStruct((DEVICES,), np.int32))
        text = step.lower(*given).compile().as_text()
        exchanged.append({kind: list(found) for kind, found in collectives.read(text).items()})
        print(name, parts, exchanged[-1], flush=True)
    trained = jax.tree.leaves([own.params for own in state.network_states.values()])
    gflop = flops.of_call(step, *given) / DEVICES / 1e9
    return StepCount(gflop, config.batch_size, sum(x.size for x in trained), len(trained), *exchanged)


def table(counts: dict[str, StepCount], gpus: list[int], rate: float, links: Links) -> str:
    """What was counted and what follows, for people."""
    lines = [
        "| stage | GFLOP an example | examples a GPU | gradients, MB | whole | split over 8 |",
        "|---|---|---|---|---|---|",
    ]
    for name, step in counts.items():
        lines.append(
            f"| {name} | {step.gflop:.1f} | {step.batch / MACHINE:g} | {FLOAT * step.parameters / 1e6:.1f} | "
            f"{_listed(step.whole)} | {_listed(step.split)} |"
        )
    heads = " | ".join(f"{n} GPUs" for n in gpus)
    lines += ["", f"| stage | step computing, ms | waits | {heads} |", "|---|---|---|" + "---|" * len(gpus)]
    for name, step in counts.items():
        found = [predict(step, n, rate, links) for n in gpus]
        shares = " | ".join(f"{p.hidden:.0%} ({p.serial:.0%})" for p in found)
        lines.append(f"| {name} | {1e3 * found[0].computing:.0f} | {step.statistics} | {shares} |")
    return "\n".join(lines)


def _listed(exchanged: dict[str, list[int]]) -> str:
    return ", ".join(f"{kind} {size / 1e6:.1f} MB in {n}" for kind, (n, size) in exchanged.items())


def main() -> None:
    """Count or read, predict, print."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    add("--preset", default="PAPER", help="PAPER or TINY")
    add("--gpus", type=int, nargs="+", default=[8, 64, 512])
    add("--peak", type=float, default=989.0, help="TFLOP/s of a GPU (default: an H100's in bfloat16)")
    add("--mfu", type=float, default=0.11, help="share of it that is reached (default: LITE's on an H200)")
    add("--network", type=float, default=400.0, help="Gb/s of a GPU between machines (default: %(default)s)")
    add("--latency", type=float, default=15.0, help="us of a small all-reduce in a machine")
    add("--counts", type=pathlib.Path, help="what --save wrote: nothing is compiled")
    add("--save", type=pathlib.Path, help="write what was counted to this file")
    options = parser.parse_args()
    counts: dict[str, StepCount] = {}
    if options.counts:
        read: dict[str, Any] = json.loads(options.counts.read_text())
        counts = {name: StepCount(**facts) for name, facts in read.items()}
    else:
        flags = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"
        os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        for name in options.stages:
            counts[name] = count(name, options.preset)
            if options.save:
                facts = {name: step._asdict() for name, step in counts.items()}
                options.save.write_text(json.dumps(facts, indent=1) + "\n")
    links = Links(network=0.8 * options.network * 1e9 / 8, latency=options.latency * 1e-6)
    print(table(counts, options.gpus, options.mfu * options.peak * 1e12, links))


if __name__ == "__main__":
    main()
