"""`avct bench`: frames a second and operations a frame on this machine."""

import dataclasses
import json
from typing import Any, Literal

from avct_jax import stuck_signals
from avct_jax.cli import option

EXAMPLES = """
examples:
  avct bench
  avct bench --size lite --frames 32
  avct bench --json > bench.json
  avct bench --live
  avct bench --live --cores 1

Weights are random: speed does not depend on their values. GFLOP are counted by XLA's cost analysis of each
program before optimisation (a multiplication and an addition are two). The share is of this machine's float32
matrix product, measured in the same rounds.
"""

LEGEND = (
    "frames/s: the program in one, speech or head motion, and video encoding, one after the other.",
    "share: of the matrix product's rate. The weights are random.",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the networks part by part, on this machine.

    Attributes:
      size: which of them
      frames: frames a call (default: 8 for the mesh, 16 for lite, 4 for paper)
      rounds: repetitions
      live: how a live stream keeps time, by the clock, and how many streams are held at once
      cores: of the processor, that may be used (default: all)
      json: print JSON
    """

    size: Literal["mesh-256", "mesh-512", "lite", "paper", "all"] = "all"
    frames: option.MaybePositive = None
    rounds: option.Positive = 5
    live: option.Flag = False
    cores: option.MaybePositive = None
    json: option.Flag = False
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    if options.cores is not None:
        from avct_jax.benchmark import cores

        cores.use(options.cores)
    from avct_jax import compile_cache
    from avct_jax.cli import terminal

    compile_cache.enable()
    if options.live:
        return _run_live(as_text=not options.json)
    from avct_jax.benchmark import throughput

    names = ("mesh-256", "mesh-512", "lite", "paper") if options.size == "all" else (options.size,)
    report = throughput.measure(names, frames=options.frames, rounds=options.rounds)
    terminal.show_result(json.dumps(as_json(report), indent=2) if options.json else table(report))
    return 0


def _run_live(*, as_text: bool) -> int:
    with stuck_signals.ending_at_once():
        from avct_jax.benchmark import live_latency
        from avct_jax.cli import terminal

        report = live_latency.measure()
    values = json.dumps(dataclasses.asdict(report), indent=2)
    terminal.show_result(live_latency.table(report) if as_text else values)
    return 0


def as_json(report: Any) -> dict[str, Any]:
    """The report as plain values: seconds, GFLOP, and shares of the matrix product's rate."""
    return {
        "machine": {
            "cores": report.cores,
            "load_average": report.load,
            "matrix_product_gflop_per_s": report.product_rate,
        },
        "gflop_counted_by": "XLA cost analysis before optimisation; multiply-add = 2",
        "sizes": {name: _size_as_json(size, report.product_rate) for name, size in report.sizes.items()},
    }


def table(report: Any) -> str:
    """The report as text."""
    lines = [
        f"{report.cores} cores, load {report.load:.1f}, "
        f"float32 matrix product {report.product_rate:.0f} GFLOP/s"
    ]
    for name, size in report.sizes.items():
        lines += ["", f"{name.upper()}: {size.frames_per_second:.1f} frames/s, {_total(size)}"]
        lines.append(f"{'a frame':<26}{'ms':>10}{'GFLOP':>10}{'share':>8}")
        lines += [_row(part, value, report.product_rate) for part, value in size.parts.items()]
        lines.append("once a portrait")
        lines += [_row(part, value, report.product_rate) for part, value in size.once.items()]
    lines += ["", *LEGEND]
    return "\n".join(lines)


def _total(size: Any) -> str:
    return f"{size.gflop_per_frame:.2f} GFLOP a frame, {size.frames} frames a call"


def _row(name: str, part: Any, rate: float) -> str:
    gflop = f"{part.gflop:.3f}" if part.gflop else "-"
    share = f"{100 * _share(part, rate):.0f}%" if part.gflop else "-"
    return f"  {name:<24}{1000 * part.seconds:>10.2f}{gflop:>10}{share:>8}"


def _share(part: Any, rate: float) -> float:
    return part.gflop / part.seconds / rate


def _size_as_json(size: Any, rate: float) -> dict[str, Any]:
    def parts(values):
        return {
            name: {"seconds": p.seconds, "gflop": p.gflop, "share_of_matrix_product": _share(p, rate)}
            for name, p in values.items()
        }

    return {
        "frames_per_call": size.frames,
        "frames_per_second": size.frames_per_second,
        "gflop_per_frame": size.gflop_per_frame,
        "per_frame": parts(size.parts),
        "per_portrait": parts(size.once),
    }
