"""Frames and steps per second on one GPU, beside PyTorch on the same card, in one call of some minutes.

  python scripts/benchmarks/gpu.py --json gpu.json               everything; what gpu.json has is not repeated
  python scripts/benchmarks/gpu.py --parts inference --json gpu.json
  python scripts/benchmarks/gpu.py --tiny --json tiny.json       seconds on a CPU: to try the script itself

Parts, each saved as soon as it is measured:
  product    the card's rate: a square matrix product in float32, TF32 and bfloat16
  inference  PAPER's renderer, frame by frame of one encoded portrait, to 8 bits; FOMM's generator in PyTorch
             (fomm_torch.py, which encodes the portrait anew for each frame), eager and compiled
  step       PAPER's renderer stage beside FOMM's step in PyTorch (training_step.py)
  painter    a step of the mouth painter (preset gpu), with its discriminator and VGG
  tests      pytest -m gpu

Ours and PyTorch's take turns, and medians count. Aim, written before anything was measured: 2000 frames/s of
PAPER on an H100, a training step twice as fast as PyTorch's.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import training_step

from avct_jax import motion
from avct_jax.benchmark import throughput
from avct_jax.inference import keypoint_inference
from avct_jax.layers import applied
from avct_jax.models import keypoint_detector, networks, renderer, system_config
from avct_jax.models.mesh import mouth_patch
from avct_jax.presets import painter as painter_presets
from avct_jax.train.core import optimizer
from avct_jax.train.mesh_stages import painter_stage, patch_source

PRECISIONS = {"float32": "highest", "tf32": "default", "bfloat16": "default"}
BATCHES = (1, 16, 64)
SIDE = 8192  # of the product's matrices
ROUNDS = 7
WORK = 0.2  # seconds that one measurement should last, or launches are what is measured
Call = Callable[[], Any]


def main() -> None:
    """Measure what is missing in the report, and save it part by part."""
    options = _parse()
    report = json.loads(options.json.read_text()) if options.json.exists() else {}
    report["device"] = jax.devices()[0].device_kind
    report["versions"] = {"jax": jax.__version__, "torch": training_step._torch_version()}
    for part in options.parts:
        if part in report and "error" not in report[part]:
            continue
        began = time.perf_counter()
        try:
            found = PARTS[part](options)
        except Exception as problem:  # the other parts are worth having
            found = {"error": f"{type(problem).__name__}: {problem}"[:2000]}
        report[part] = found | {"seconds": round(time.perf_counter() - began, 1)}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
        print(part, json.dumps(report[part]), flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=pathlib.Path, required=True, help="the report; parts in it are kept")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--precisions", nargs="+", choices=tuple(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--compile", action="store_true", help="PyTorch's columns also by torch.compile")
    parser.add_argument("--tiny", action="store_true", help="networks and sizes that a CPU bears")
    return parser.parse_args()


def measure_product(options: argparse.Namespace) -> dict[str, Any]:
    """TFLOP/s of matrix products."""
    side = 256 if options.tiny else SIDE
    drawn = jnp.asarray(np.random.default_rng(0).standard_normal((side, side), np.float32))
    found = {}
    for name in options.precisions:
        a = drawn.astype(jnp.bfloat16) if name == "bfloat16" else drawn
        product = jax.jit(functools.partial(jnp.matmul, precision=PRECISIONS[name]))
        found[name] = 2e-12 * side**3 / take_turns({"ours": functools.partial(product, a, a)})["ours"]
    return {"tflops": found, "side": side}


def measure_inference(options: argparse.Namespace) -> dict[str, Any]:
    """Frames/s of the renderer at each precision and batch, and of PyTorch's."""
    config = system_config.TINY if options.tiny else system_config.PAPER
    found: dict[str, Any] = {}
    for name in options.precisions:
        for batch in options.batches:
            sides: dict[str, Call] = {"ours": our_frames(config, name, batch)}
            with _torch_precision(name) as torch:
                if torch is not None and not options.tiny:
                    sides |= their_frames(torch, name, batch, compiled=options.compile)
                seconds = take_turns(sides)
            rates = {side: batch / s for side, s in seconds.items()}
            found[f"{name} x{batch}"] = rates
            print("inference", name, batch, rates, flush=True)
    return {"frames_per_second": found, "gflop_per_frame": _gflop(config)}


def our_frames(config: system_config.SystemConfig, precision: str, batch: int) -> Call:
    """The renderer's decoder on `batch` motions of one portrait, bytes on the device."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else None
    made, image = _portrait(config)
    network = networks.build(config, dtype).renderer

    def draw(variables, source, own, moved):
        spread = lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:]))
        source, own = jax.tree.map(spread, (source, own))
        decode = applied.function(renderer.Renderer.decode, network, variables)
        return keypoint_inference.to_bytes(decode(source, moved, own).frame)

    with jax.default_matmul_precision(PRECISIONS[precision]):
        variables = jax.device_put(made.variables["renderer"])
        portrait = jax.jit(functools.partial(_encode, config, network))(made.variables, image)
        moved = _moved(portrait[1], batch)
        program = jax.jit(draw).lower(variables, *portrait, moved).compile()
    return lambda: program(variables, *portrait, moved)


def _portrait(config: system_config.SystemConfig):
    image = np.random.default_rng(1).random((1, config.image_size, config.image_size, 3), np.float32)
    return throughput.random_system(config), jnp.asarray(image)


def _encode(config, network, variables, image):
    detector = networks.build(config).keypoint_detector
    detect = applied.function(
        keypoint_detector.KeypointDetector.__call__, detector, variables["keypoint_detector"]
    )
    encode = applied.function(renderer.Renderer.encode, network, variables["renderer"])
    return encode(image), detect(image).motion


def _moved(own: motion.Motion, batch: int) -> motion.Motion:
    step = np.random.default_rng(2).normal(0, 0.03, (batch, *own.keypoints.shape[1:])).astype(np.float32)
    turns = jnp.broadcast_to(own.jacobians, (batch, *own.jacobians.shape[1:]))
    return motion.Motion(own.keypoints + step, turns)


def _gflop(config: system_config.SystemConfig) -> float:
    """Operations (1e9) of a frame, as XLA counts them."""
    made, image = _portrait(config)
    network = networks.build(config).renderer
    shapes = jax.eval_shape(functools.partial(_encode, config, network), made.variables, image)
    at = functools.partial(applied.function, renderer.Renderer.decode, network)
    decode = lambda v, source, own: at(v)(source, own, own).frame
    counted = jax.jit(decode).lower(made.variables["renderer"], *shapes).cost_analysis()
    assert counted is not None  # CPUs and GPUs count
    return counted["flops"] / 1e9


def their_frames(torch: Any, precision: str, batch: int, *, compiled: bool) -> dict[str, Call]:
    """FOMM's generator in PyTorch on the same sizes: eager, and by torch.compile."""
    import fomm_torch

    torch.manual_seed(0)
    generator = fomm_torch.Generator(fomm_torch.SIZES["paper"]).cuda().eval()
    image = torch.rand(1, 3, 256, 256, device="cuda")
    place = torch.rand(batch, 10, 2, device="cuda") * 2 - 1
    turn = torch.eye(2, device="cuda").expand(batch, 10, 2, 2)
    source = fomm_torch.Keypoints(place[:1].expand(batch, -1, -1), turn)
    driving = fomm_torch.Keypoints(place, turn)
    autocast = functools.partial(torch.autocast, "cuda", torch.bfloat16, enabled=precision == "bfloat16")

    def bind(network):
        def once():
            with torch.inference_mode(), autocast():
                made = network(image.expand(batch, -1, -1, -1), driving, source)
                return (made.float() * 255).clamp(0, 255).to(torch.uint8)

        return once

    found = {"torch": bind(generator)}
    return found | ({"torch compiled": bind(torch.compile(generator))} if compiled else {})


@contextlib.contextmanager
def _torch_precision(name: str):
    """Torch with a GPU, TF32 off for float32; None where there is none."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        yield None
        return
    if not torch.cuda.is_available():
        yield None
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "float32"
    torch.backends.cudnn.benchmark = True
    yield torch


def measure_step(options: argparse.Namespace) -> dict[str, Any]:
    """PAPER's renderer stage in TF32 and bfloat16, beside PyTorch's in TF32."""
    found = {}
    with _torch_precision("tf32"):
        for dtype in ("float32", "bfloat16"):
            given = argparse.Namespace(
                batch=2 if options.tiny else 16,
                device="cpu" if options.tiny else "gpu",
                dtype=dtype,
                rounds=1 if options.tiny else ROUNDS,
                vgg=None,
            )
            found[dtype] = training_step.measure("lite" if options.tiny else "paper", given)
            print("step", dtype, json.dumps(found[dtype]), flush=True)
    return found


def measure_painter(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a painter's step with all its losses."""
    preset = painter_presets.TINY if options.tiny else painter_presets.GPU
    config = dataclasses.replace(preset.stage, gan_from=0)
    perceptual = training_step.random_vgg() if config.perceptual else None
    rule = optimizer.OptimizerConfig(learning_rate=1e-4)
    made = painter_stage.make_stage(
        preset.system.mouth_painter, config, rule, preset.compute, people=8, perceptual=perceptual
    )
    b, (h, w) = preset.batch_size, mouth_patch.PATCH
    rng = np.random.default_rng(3)
    byte = lambda *shape: rng.integers(0, 256, (b, h, w, *shape)).astype(np.uint8)
    depth = lambda: rng.integers(-127, 128, (b, h, w)).astype(np.int8)
    person = np.arange(b, dtype=np.int32) % 8
    batch = jax.device_put(
        patch_source.PainterBatch(byte(3), byte(), depth(), depth(), byte(3), byte(3), byte(), person)
    )
    state, step, key = jax.jit(made.initial)(), jax.jit(made.step, donate_argnums=0), jax.random.key(0)

    def once():
        nonlocal state
        state, metrics = step(state, made.frozen, batch, key)
        return metrics

    seconds = take_turns({"ours": once})["ours"]
    return {"milliseconds": 1e3 * seconds, "batch": b, "examples_per_second": b / seconds}


def run_tests(options: argparse.Namespace) -> dict[str, Any]:
    """The tests that need a GPU: without the checks of shapes, whose packages a GPU machine may lack."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-o", "addopts="]
    # This process has reserved most of the memory already.
    where = {"JAX_PLATFORMS": "cuda,cpu", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    ran = subprocess.run(
        [*words, "--collect-only"] if options.tiny else words,
        env=os.environ if options.tiny else os.environ | where,
        capture_output=True,
        text=True,
        check=False,
    )
    return {"exit": ran.returncode, "said": ran.stdout[-1500:]}


def take_turns(sides: dict[str, Call], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each side's call; a measurement repeats it until the device has some work."""
    count = {}
    for side, once in sides.items():
        _wait(once())
        began = time.perf_counter()
        _wait(once())
        count[side] = max(1, min(200, round(WORK / (time.perf_counter() - began))))
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, once in sides.items():
            began = time.perf_counter()
            for _ in range(count[side]):
                last = once()
            _wait(last)
            seconds[side].append((time.perf_counter() - began) / count[side])
    return {side: statistics.median(s) for side, s in seconds.items()}


def _wait(result: Any) -> None:
    if hasattr(result, "is_cuda"):
        import torch  # pyright: ignore[reportMissingImports]

        torch.cuda.synchronize()
    else:
        jax.block_until_ready(result)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "product": measure_product,
    "inference": measure_inference,
    "step": measure_step,
    "painter": measure_painter,
    "tests": run_tests,
}

if __name__ == "__main__":
    main()
