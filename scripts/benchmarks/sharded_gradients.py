"""How far gradients and losses on many devices are from those on one: TINY stages, whole and split states.

  python -m scripts.benchmarks.sharded_gradients --json sharded.json      eight made-up CPU devices; 20 min
  python -m scripts.benchmarks.sharded_gradients --stages sync --steps 2
  python -m scripts.benchmarks.sharded_gradients --float64               is it rounding, or another sum?

A layout is devices/fsdp; 2x4 is two processes with four devices each. Gradients are those of the first step,
read off Adam's first moments; told is the largest difference of any number, also as a share of its network's
largest gradient, the length of the differences as a share of that of a network's gradient, and the largest
difference of the sum of the losses in any step. Later steps differ more: Adam divides by the gradient's size,
so that rounding where a gradient is nothing becomes a step.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from typing import Any

DEVICES = 8
LAYOUTS = ((1, 1), (2, 1), (2, 2), (4, 1), (4, 4), (8, 1), (8, 2), (8, 8))
TOGETHER = (1, 8)  # fsdp of two processes with four devices each
STAGES = ("renderer", "sync", "avct", "head-motion")
BETA = 0.5
FIGURES = ("gradient", "share", "length", "first_loss", "loss")
LEAST = 64  # numbers of a tensor that is split: TINY has none as large as those that are split in earnest


def main() -> None:
    """Measure, print, save."""
    options = _parse()
    if options.process is not None:
        _together(options)
        return
    _set_devices(DEVICES, wide=options.float64)
    found = {name: measure(name, options.steps, wide=options.float64) for name in options.stages}
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--float64", action="store_true", help="networks and batches in 64 bits")
    parser.add_argument("--json", type=pathlib.Path, help="write what was measured to this file")
    for name in ("process", "port", "fsdp"):  # of one of two processes
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _set_devices(count: int, *, wide: bool) -> None:
    flags = f"--xla_force_host_platform_device_count={count} --xla_backend_optimization_level=0"
    os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "JAX_ENABLE_X64": str(int(wide))}


def measure(name: str, steps: int, *, wide: bool = False) -> dict[str, dict[str, float]]:
    """Differences of each layout from one device, by its name."""
    from avct_jax.train.core import sharding

    one, found = None, {}
    for devices, parts in LAYOUTS:
        run = train(name, sharding.make_mesh(devices, parts), steps)
        one = one or run
        found[f"{devices}/{parts}"] = compare(run, one)
        print(name, devices, parts, found[f"{devices}/{parts}"], flush=True)
    assert one
    for parts in TOGETHER:
        found[f"2x4/{parts}"] = compare(_two_processes(name, parts, steps, wide), one)
        print(name, "2x4", parts, found[f"2x4/{parts}"], flush=True)
    return found


def train(name: str, mesh: Any, steps: int) -> dict[str, Any]:
    """Gradients of the first step, by network, flat; and the sum of losses of each step."""
    import jax
    import numpy as np

    from avct_jax.train.core import compilation, sharding
    from avct_jax.train.distributed import fsdp

    fsdp.LEAST = LEAST
    made, batch = _stage(name)
    step = compilation.compile_stage(made, mesh).step
    rows = len(jax.tree.leaves(batch)[0]) // jax.process_count()
    own = jax.tree.map(lambda x: x[jax.process_index() * rows :][:rows], batch)
    batch = sharding.place_batch(_widest(own), mesh)
    asked = sharding.place_batch(np.zeros(mesh.size // jax.process_count(), np.int32), mesh)
    current, frozen = fsdp.place(_widest(made.initial()), mesh), sharding.place(_widest(made.frozen), mesh)
    key, whole = sharding.make_key(0, mesh), sharding.replicated(mesh)
    gradients: dict[str, Any] = {}
    losses = []
    for i in range(steps):
        current, (metrics, _) = step(current, frozen, batch, key, asked)
        losses.append(float(metrics["total"] if "total" in metrics else metrics["pose"]))
        if i == 0:
            moments = {n: _moments(own.opt_state) for n, own in current.network_states.items()}
            moments = jax.device_get(jax.jit(lambda x: x, out_shardings=whole)(moments))
            for network, tree in moments.items():
                gradients[network] = np.concatenate([x.ravel() for x in jax.tree.leaves(tree)]) / (1 - BETA)
    return {"gradients": gradients, "losses": losses}


def _widest(tree: Any) -> Any:
    """The same numbers in as many bits as JAX is told to have."""
    import jax
    import numpy as np

    is_float = lambda x: np.issubdtype(x.dtype, np.floating)
    return jax.tree.map(lambda x: x.astype(jax.dtypes.canonicalize_dtype(float)) if is_float(x) else x, tree)


def _stage(name: str) -> Any:
    """A stage at its TINY size, and eight examples for it."""
    import importlib

    from avct_jax.train import run
    from avct_jax.train.core import init_params
    from tests import training_batches

    made = importlib.import_module(f"avct_jax.presets.{name.replace('-', '_')}").TINY
    rule = dataclasses.replace(made.optimizer, betas=(BETA, 0.999), clip=0.0, warmup=0)
    config = dataclasses.replace(run.complete(made, "a"), optimizer=rule)
    given = _given(config) if name == "avct" else {}
    if name == "avct" and config.stage.sync:
        given["sync_discriminator"] = init_params.sync_discriminator_variables(
            config.stage.sync_discriminator
        )
    options = run.find_networks(config, given, None)
    batches = {
        "renderer": lambda: training_batches.pairs(b=DEVICES),
        "sync": lambda: training_batches.sync_windows(b=DEVICES),
        "avct": lambda: training_batches.sequences(b=DEVICES),
        "head-motion": lambda: training_batches.poses(b=DEVICES),
    }
    if name == "avct":
        options["mean_keypoints"] = training_batches.sequences().motion.keypoints.mean((0, 1))
    return run.make_stage(name, config, options), batches[name]()


def _given(config: Any) -> dict[str, Any]:
    from avct_jax.models import networks

    return {part: networks.init(config.system, part) for part in ("keypoint_detector", "renderer")}


def _moments(state: Any) -> Any:
    import jax

    is_adam = lambda s: hasattr(s, "mu")
    return next(s.mu for s in jax.tree.leaves(state, is_leaf=is_adam) if is_adam(s))


def compare(run: dict[str, Any], one: dict[str, Any]) -> dict[str, float]:
    """The largest differences between two runs."""
    import numpy as np

    far = lambda n: float(np.abs(run["gradients"][n] - one["gradients"][n]).max())
    gaps = {n: (far(n) / float(np.abs(g).max()), far(n)) for n, g in one["gradients"].items()}
    length = lambda x: float(np.linalg.norm(x.astype(np.float64)))
    lengths = max(length(run["gradients"][n] - g) / length(g) for n, g in one["gradients"].items())
    curve = [abs(a / b - 1) for a, b in zip(run["losses"], one["losses"], strict=True)]
    shares, gradients = (max(column) for column in zip(*gaps.values(), strict=True))
    return dict(zip(FIGURES, (gradients, shares, lengths, curve[0], max(curve)), strict=True))


def _two_processes(name: str, parts: int, steps: int, wide: bool) -> dict[str, Any]:
    """What the first of two processes with four devices each found."""
    import numpy as np

    with socket.socket() as held, tempfile.TemporaryDirectory() as folder:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        words = [sys.executable, "-m", "scripts.benchmarks.sharded_gradients", "--stages", name]
        words += ["--steps", str(steps), "--port", str(held.getsockname()[1]), "--fsdp", str(parts)]
        words += ["--float64"] if wide else []
        file = pathlib.Path(folder) / "found.npz"
        both = [subprocess.Popen([*words, "--json", str(file), "--process", str(i)]) for i in (0, 1)]
        if any([process.wait() for process in both]):
            raise SystemExit("one of the two processes failed")
        with np.load(file) as read:
            gradients = {n: read[n] for n in read.files if n != "losses"}
            return {"gradients": gradients, "losses": read["losses"].tolist()}


def _together(options: argparse.Namespace) -> None:
    """Be one of the two processes."""
    _set_devices(DEVICES // 2, wide=options.float64)
    import numpy as np
    from jax.experimental import multihost_utils

    from avct_jax.train.core import sharding

    sharding.join(sharding.Cluster(f"127.0.0.1:{options.port}", options.process, 2))
    found = train(options.stages[0], sharding.make_mesh(0, options.fsdp), options.steps)
    if sharding.is_first_process():
        np.savez(options.json, losses=found["losses"], **found["gradients"])
    multihost_utils.sync_global_devices("compared")


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """What was measured, for people."""
    lines = ["stage         devices/fsdp   gradient      share     length first loss  all losses"]
    for name, layouts in found.items():
        for layout, r in layouts.items():
            figures = "  ".join(f"{r[key]:9.1e}" for key in FIGURES)
            lines.append(f"{name:12}  {layout:>12}  {figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
