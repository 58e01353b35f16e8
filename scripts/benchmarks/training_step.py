"""Examples per second of the renderer stage's training step, beside FOMM's in PyTorch, in one process.

  python scripts/benchmarks/training_step.py --json step.json     both sizes on the CPU, three to five minutes
  python scripts/benchmarks/training_step.py --device gpu         where JAX (and torch) see a GPU

Both sides see the same images, batch size, losses (perceptual, both equivariances) and warps, and take
Adam's step; they and a float32 matrix product take turns, and medians count. PAPER is FOMM's own network,
begun with the same weights on both sides, and the first step's losses are compared: they agree but for
rounding and for batch statistics, which the detector takes of source, driving and warped images together,
and FOMM one after the other.

LITE is a network of this package; its peer is FOMM with the same widths, depths and resolutions, less what
only LITE has: the blended source image (one more sampling at full size), the motion map and the keypoints'
prior. Ours alone also unpacks 8-bit images, applies the batch's variation (FOMM's change of colours) and
keeps a moving average of the weights.
"""

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.convert import name_map
from avct_jax.data.dataset import batch_types
from avct_jax.models import system_config
from avct_jax.models.frozen import vgg
from avct_jax.train.augmentation import random_warps
from avct_jax.train.core import compilation, grad_accumulation, optimizer, sharding
from avct_jax.train.stages import renderer_stage

SYSTEMS = {"paper": system_config.PAPER, "lite": system_config.LITE}
BATCHES = {"cpu": {"paper": 2, "lite": 8}, "gpu": {"paper": 16, "lite": 64}}
LIGHT = {"perceptual_layers": (1, 2, 3), "perceptual_scales": (2,)}  # LITE's: a sixteenth of the FLOPs
PRODUCT = 2048  # side of the matrices whose product measures the machine
REST = 0.2  # seconds before each timing: the other side's threads stop waiting for work
Sides = dict[str, Callable[[], Any]]


def main() -> None:
    """Measure, print, save."""
    options = _parse()
    if options.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = {name: measure(name, options) for name in options.size}
    report = {**surroundings(options.rounds), "sizes": found}
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def surroundings(rounds: int) -> dict[str, Any]:
    """What a report tells of the machine and the libraries."""
    return {
        "jax": jax.__version__,
        "torch": _torch_version(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rounds": rounds,
    }


def heading(report: Mapping[str, Any]) -> str:
    """The same, for people."""
    return (
        f"{report['device']}, {report['cores']} cores, {report['devices']} devices, "
        f"load {report['load']:.1f}, jax {report['jax']}, torch {report['torch']}; "
        f"medians of {report['rounds']} rounds"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=tuple(SYSTEMS), default=["lite", "paper"])
    parser.add_argument(
        "--batch", type=int, help="examples a step (default: 8 for lite, 2 for paper; GPU 64, 16)"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="ours; the peer's is float32"
    )
    parser.add_argument("--vgg", type=pathlib.Path, help="VGG-19 weights (default: random ones, as fast)")
    parser.add_argument("--json", type=pathlib.Path, help="write what was measured to this file")
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each side's step and of the matrix product, and what follows from them."""
    b = options.batch or BATCHES[options.device][name]
    network = vgg.load(options.vgg) if options.vgg else random_vgg()
    images = np.random.default_rng(1).integers(0, 256, (2, b, 256, 256, 3), np.uint8)
    peer = make_peer(name, network, options.device)
    began = time.perf_counter()
    ours, losses = make_ours(name, network, images, _initial(name, peer), options.dtype)
    compiled = time.perf_counter() - began
    sides: Sides = {"ours": ours, "product": product()}
    found: dict[str, Any] = {"batch": b, "compile_seconds": compiled, "losses": losses}
    if peer:
        theirs, found["peer_losses"], found["gflop"] = _peer_side(peer, images)
        sides = {"ours": ours, "peer": theirs, "product": sides["product"]}
    seconds = take_turns(sides, options.rounds)
    medians = {side: statistics.median(s) for side, s in seconds.items()}
    found |= {"seconds": seconds, "examples_per_second": b / medians["ours"]}
    found["machine_gflops"] = 2e-9 * PRODUCT**3 / medians["product"]
    if peer:
        found["peer_examples_per_second"] = b / medians["peer"]
        found["ratio"] = medians["peer"] / medians["ours"]
        found["share_of_product"] = found["gflop"] / medians["ours"] / found["machine_gflops"]
    return found


def make_ours(
    name: str,
    network: vgg.PerceptualNetwork,
    images: np.ndarray,
    init: Mapping[str, Any] | None,
    dtype: Any,
) -> tuple[Callable[[], Any], dict[str, float]]:
    """Our step as `avct train` compiles it, bound to a batch, and the first step's losses, weighted."""
    config = renderer_stage.RendererStageConfig(**(LIGHT if name == "lite" else {}))
    rule = optimizer.OptimizerConfig(clip=0.0)  # FOMM's: Adam, 2e-4, (0.5, 0.999)
    compute = grad_accumulation.ComputeConfig(dtype=dtype)
    stage = renderer_stage.make_stage(SYSTEMS[name], config, rule, compute, init=init, perceptual=network)
    batch = _pairs(images)
    bind = compiled(stage, jax.jit(stage.initial)(), compute)
    # The peer has no variation of its own: the losses are compared on untouched images.
    metrics = bind(batch._replace(variation=jax.tree.map(np.zeros_like, batch.variation)))()
    losses = {term: weight * float(metrics[term]) for term, weight in config.weights.items()}
    return bind(batch), losses


def compiled(
    stage: Any, state: Any, compute: grad_accumulation.ComputeConfig
) -> Callable[[Any], Callable[[], Any]]:
    """A stage's step as `avct train` compiles it, over all devices; bound to a batch it returns metrics."""
    mesh = sharding.make_mesh()
    step = compilation.compile_stage(stage, mesh, compute).step
    state, frozen = sharding.place(state, mesh), sharding.place(stage.frozen, mesh)
    key = sharding.make_key(0, mesh)
    asked = sharding.place_batch(np.zeros(mesh.size, np.int32), mesh)

    def bind(batch):
        placed = sharding.place_batch(jax.tree.map(np.asarray, batch), mesh)

        def once():
            nonlocal state
            state, (metrics, _) = step(state, frozen, placed, key, asked)
            jax.block_until_ready((state, metrics))
            return metrics

        return once

    return bind


def make_peer(name: str, network: vgg.PerceptualNetwork, device: str) -> Any:
    """FOMM in torch at this size; None where there is no torch, or none for this device."""
    try:
        import fomm_torch
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    if device == "gpu" and not torch.cuda.is_available():
        return None
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    peer = fomm_torch.Step(fomm_torch.SIZES[name], "cuda" if device == "gpu" else "cpu")
    for key, tensor in peer.vgg.features.state_dict().items():
        index, leaf = key.split(".")
        value = np.asarray(network.params[f"features_{index}"]["kernel" if leaf == "weight" else "bias"])
        tensor.copy_(torch.from_numpy(np.array(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value)))
    peer.vgg.mean.copy_(torch.from_numpy(np.array(network.mean)).view(1, 3, 1, 1))
    peer.vgg.std.copy_(torch.from_numpy(1 / np.array(network.scale)).view(1, 3, 1, 1))
    peer.vgg.gains = np.asarray(network.gains).tolist()
    return peer


def _initial(name: str, peer: Any) -> Mapping[str, Any] | None:
    """The peer's own random weights, where the networks are the same."""
    if peer is None or name != "paper":
        return None
    parts = {"keypoint_detector": ("kp_detector", peer.detector), "renderer": ("generator", peer.generator)}
    return {
        ours: name_map.import_part(
            theirs, {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}
        )
        for ours, (theirs, module) in parts.items()
    }


def _peer_side(peer: Any, images: np.ndarray) -> tuple[Callable[[], Any], dict[str, float], float]:
    """The peer's step, bound to the same images and our first step's warps; its losses; its GFLOP."""
    from torch.utils import flop_counter  # pyright: ignore[reportMissingImports]

    source, driving = (p.astype(np.float32) / 255 for p in images)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), len(source))
    warp = jax.jit(random_warps.random_warps, static_argnums=1)(keys, 1)
    arguments = (source, driving, *(np.array(x) for x in (warp.theta, warp.control_params)))
    with flop_counter.FlopCounterMode(display=False) as counter:
        losses = peer(*arguments)
    return lambda: peer(*arguments), losses, counter.get_total_flops() / 1e9


def random_vgg() -> vgg.PerceptualNetwork:
    """VGG-19 with random kernels that keep the size of what passes through them."""
    random, params, index, inputs = np.random.default_rng(0), {}, 0, 3
    for count, width in zip(vgg.VGG19.blocks, vgg.VGG19.channels, strict=True):
        for _ in range(count):
            kernel = random.standard_normal((3, 3, inputs, width), np.float32) * np.sqrt(2 / (9 * inputs))
            params[f"features_{index}"] = {"kernel": kernel, "bias": np.zeros(width, np.float32)}
            index, inputs = index + 2, width
        index += 1
    return vgg.torchvision_network(params)


def _pairs(images: np.ndarray) -> batch_types.Pairs:
    b = images.shape[1]
    still = batch_types.FaceMotion(
        np.zeros((b, 10, 2), np.float32), np.tile(np.eye(2, dtype=np.float32), (b, 10, 1, 1))
    )
    driving = batch_types.FaceMotion(still.keypoints[:, None], still.jacobians[:, None])
    colours = np.random.default_rng(2).uniform(-0.1, 0.1, (b, 4)).astype(np.float32)
    variation = batch_types.Variation(np.zeros(b, bool), np.zeros((b, 4), np.float32), colours)
    return batch_types.Pairs(images[0], images[1][:, None], still, driving, variation)


def product() -> Callable[[], Any]:
    """A float32 product of two matrices, which measures the machine."""
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT), np.float32))
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    return lambda: jax.block_until_ready(multiply(matrix))


def take_turns(sides: Sides, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, turn by turn, so that a busy minute meets them all; the first is not counted."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side, once in sides.items():
            time.sleep(REST)
            begin = time.perf_counter()
            once()
            if turn:
                seconds[side].append(time.perf_counter() - begin)
    return seconds


def table(report: Mapping[str, Any]) -> str:
    """What was measured, for people."""
    lines = [
        heading(report),
        "size   batch  examples/s  FOMM in torch  ratio  of a float32 product's rate  compile s",
    ]
    for name, r in report["sizes"].items():
        peer = (
            f"{r['peer_examples_per_second']:13.2f}  {r['ratio']:5.2f}"
            if "ratio" in r
            else f"{'-':>13}  {'-':>5}"
        )
        share = f"{r['share_of_product']:6.0%} of" if "share_of_product" in r else " " * 9
        rate = f"{r['machine_gflops']:7.0f} GFLOP/s  {r['compile_seconds']:12.0f}"
        lines.append(f"{name:6} {r['batch']:5}  {r['examples_per_second']:10.2f}  {peer}  {share} {rate}")
        if "peer_losses" in r and name == "paper":
            pairs = ", ".join(f"{k} {v:.4f} / {r['peer_losses'][k]:.4f}" for k, v in r["losses"].items())
            lines.append(f"       first losses, ours / torch: {pairs}")
    return "\n".join(lines)


def _torch_version() -> str | None:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return torch.__version__


if __name__ == "__main__":
    main()
