"""How fast the networks are on this machine, part by part, beside what the machine can do.

Weights are random: speed does not depend on their values. Operations are counted by XLA's cost analysis
of each program before optimisation: a multiplication and an addition are two. The machine's own rate is
that of a float32 matrix product, measured in the same rounds, so that a busy machine slows both alike.
"""

import functools
import math
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import speech_format, weights_file
from avct_jax.benchmark import mesh_throughput
from avct_jax.data.media import video_io
from avct_jax.inference import keypoint_inference
from avct_jax.layers.geometry import pose_image
from avct_jax.models import networks, system_config

SIZES = {
    "paper": system_config.PAPER,
    "lite": system_config.LITE,
    "tiny": system_config.TINY,
}  # of the keypoint family
MESH_SIZES = {"mesh-256": 256, "mesh-512": 512}  # px, of the mesh family: what comes with the package
FRAMES = {"paper": 4, "lite": 16, "tiny": 16} | dict.fromkeys(MESH_SIZES, 8)  # a call: up to a second's work
ROUNDS = 5  # odd, for a median that was measured
PRODUCT = 1024  # side of the square matrices: 2.1 GFLOP a product, past every cache of a small machine
REST = (0.0, 0.0, 0.0, 0.0, 0.0, 256.0)  # rad and mm: a head in the middle
ENCODING = "video encoding"
PRODUCT_NAME = "matrix product"
WHOLE = "the three in one"
BLOCKS = 8  # encoded into one file: ffmpeg's start, some 50 ms, is spread over them


class MeasuredPart(NamedTuple):
    """Median seconds and operations (1e9) of one part: a frame's share, or all where it runs once."""

    seconds: float
    gflop: float


class SizeReport(NamedTuple):
    """One size on this machine.

    Attributes:
      frames_per_second: of drawing (one program, as animating runs it) and encoding, one after the other.
      gflop_per_frame: of that program and the head motion.
      parts: per frame.
      once: per portrait.
    """

    frames: int
    frames_per_second: float
    gflop_per_frame: float
    parts: Mapping[str, MeasuredPart]
    once: Mapping[str, MeasuredPart]


class BenchmarkReport(NamedTuple):
    """What was measured, and on what: product_rate is in GFLOP/s; load is the mean number of busy tasks."""

    cores: int
    load: float
    product_rate: float
    sizes: Mapping[str, SizeReport]


class CompiledProgram(NamedTuple):
    """Something to time.

    Attributes:
      gflop: operations (1e9) of one call.
      times: how often a call does the work.
    """

    call: Callable[[], Any]
    gflop: float
    times: int = 1


def measure(names: tuple[str, ...], *, frames: int | None = None, rounds: int = ROUNDS) -> BenchmarkReport:
    """Measure the sizes `names`.

    Args:
      names: of SIZES.
      frames: drawn by one call; None takes FRAMES.
      rounds: repetitions of everything, interleaved; medians count.
    """
    measured, rates = {}, []
    for name in names:
        count = frames or FRAMES[name]
        if name in MESH_SIZES:
            measured[name], rate = measure_mesh(MESH_SIZES[name], count, rounds)
        else:
            measured[name], rate = measure_size(SIZES[name], count, rounds)
        rates.append(rate)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return BenchmarkReport(os.cpu_count() or 1, load, statistics.median(rates), measured)


def measure_size(config: system_config.SystemConfig, frames: int, rounds: int) -> tuple[SizeReport, float]:
    """Measure one size: what was found, and the machine's rate meanwhile in GFLOP/s."""
    programs, once = _programs(config, frames)
    return _measure(programs, once, (WHOLE, "head motion"), config.image_size, frames, rounds)


def measure_mesh(size: int, frames: int, rounds: int) -> tuple[SizeReport, float]:
    """Measure the mesh system at a size of the video, px."""
    programs, once = mesh_throughput.programs(size, frames)
    made = {name: _program(*given) for name, given in programs.items()}
    return _measure(
        made,
        {name: _program(*given) for name, given in once.items()},
        mesh_throughput.COUNTED,
        size,
        frames,
        rounds,
    )


def _measure(programs, once, counted, image_size, frames, rounds) -> tuple[SizeReport, float]:
    """Measure programs in turns. counted: those that, one after the other, make a frame."""
    product = _product()
    everything = {**programs, **once, PRODUCT_NAME: product}
    with tempfile.TemporaryDirectory() as folder:
        everything[ENCODING] = _encoder(pathlib.Path(folder), image_size, frames)
        seconds = _medians(everything, rounds)
    share = {name: MeasuredPart(seconds[name] / frames, p.gflop / frames) for name, p in programs.items()}
    share[ENCODING] = MeasuredPart(seconds[ENCODING] / frames, 0.0)
    report = SizeReport(
        frames,
        1 / sum(share[name].seconds for name in (*counted, ENCODING)),
        sum(share[name].gflop for name in counted),
        share,
        {name: MeasuredPart(seconds[name], program.gflop) for name, program in once.items()},
    )
    return report, product.gflop / seconds[PRODUCT_NAME]


def gflop_per_frame(config: system_config.SystemConfig, frames: int = 16) -> float:
    """Operations (1e9) that drawing one frame takes, counted without computing anything."""
    weights = {part: networks.expected(config, part) for part in weights_file.PARTS}
    image = jax.ShapeDtypeStruct((config.image_size, config.image_size, 3), jnp.float32)
    opening = _inputs(2 * config.avct.window_radius)
    begun = jax.eval_shape(
        functools.partial(keypoint_inference.start, config), weights, image, _inputs(1), opening
    )
    chunk = functools.partial(keypoint_inference.animate_chunk, config)
    return _gflop(chunk, weights, begun, begun.carry, _inputs(frames)) / frames


def random_system(config: system_config.SystemConfig, seed: int = 0) -> weights_file.System:
    """Networks with random kernels of unit gain, neutral norms and no biases."""
    random = np.random.default_rng(seed)

    def fill(path, leaf):
        name, shape = path[-1].key, leaf.shape
        if len(shape) < 2:
            return np.full(shape, float(name in ("scale", "var")), np.float32)
        gain = 1 / np.sqrt(max(1, math.prod(shape[:-1])))
        return random.standard_normal(shape, np.float32) * np.float32(gain)

    parts = {part: networks.expected(config, part) for part in weights_file.PARTS}
    return weights_file.System(config, jax.tree_util.tree_map_with_path(fill, parts))


def _programs(
    config: system_config.SystemConfig, frames: int
) -> tuple[dict[str, CompiledProgram], dict[str, CompiledProgram]]:
    """The parts that run for every frame, `frames` at a time, and those that run once a portrait."""
    weights: Any = jax.device_put(random_system(config).variables)
    image = jnp.full((config.image_size, config.image_size, 3), 0.5)
    bind = functools.partial
    radius = config.avct.window_radius
    begin = jax.jit(bind(keypoint_inference.start, config))
    begun = begin(weights, image, _inputs(1), _inputs(2 * radius))
    pose = jnp.asarray(REST)
    carry, _ = jax.jit(bind(keypoint_inference.begin_head_motion, config))(weights, pose)
    audio = _inputs(frames).audio
    known = jax.tree.map(lambda x: jnp.concatenate([x[:1]] * (2 * radius + frames)), begun.carry)
    driving = keypoint_inference.motion.Motion(
        *(jnp.broadcast_to(x, (frames, *x.shape[1:])) for x in begun.portrait.motion)
    )
    # The scan's body is counted once whatever its length, so head motion is counted on one frame.
    steps = _gflop(bind(keypoint_inference.predict_poses, config), weights, carry, audio[:1]) * frames
    parts = {
        "AVCT towers": _program(
            bind(keypoint_inference.embed, config), weights, begun.portrait, _inputs(frames)
        ),
        "transformer": _program(bind(keypoint_inference.predict, config), weights, known),
        "dense motion, renderer": _program(
            bind(keypoint_inference.render, config), weights, begun.portrait, begun.reference, driving
        ),
        WHOLE: _program(
            bind(keypoint_inference.animate_chunk, config), weights, begun, begun.carry, _inputs(frames)
        ),
        "head motion": _program(
            bind(keypoint_inference.predict_poses, config), weights, carry, audio
        )._replace(gflop=steps),
    }
    made = networks.build(config)
    once = {
        "keypoint detector": _program(
            made.keypoint_detector.apply, weights["keypoint_detector"], image[None]
        ),
        "portrait for the renderer": _program(
            bind(made.renderer.apply, method="encode"), weights["renderer"], image[None]
        ),
    }
    return parts, once


def _inputs(count: int) -> keypoint_inference.KeypointInputs:
    """A moving head, so that no two frames are alike."""
    random = np.random.default_rng(count)
    poses = np.tile(np.asarray(REST, np.float32), (count, 1))
    poses[:, :3] += 0.05 * random.standard_normal((count, 3), np.float32)
    return keypoint_inference.KeypointInputs(
        jnp.asarray(random.integers(0, 41, count), jnp.int32),
        jnp.asarray(random.standard_normal((count, speech_format.ROWS, speech_format.COLUMNS), np.float32)),
        jnp.asarray(pose_image.project_box(poses)),
    )


def _program(function: Callable, *arguments: Any) -> CompiledProgram:
    """Compile `function` for these arguments."""
    lowered = jax.jit(function).lower(*arguments)
    compiled = lowered.compile()
    return CompiledProgram(lambda: jax.block_until_ready(compiled(*arguments)), _flops(lowered) / 1e9)


def _gflop(function: Callable, *arguments: Any) -> float:
    return _flops(jax.jit(function).lower(*arguments)) / 1e9


def _flops(lowered: Any) -> float:
    analysis = lowered.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, (list, tuple)) else analysis
    return float((analysis or {}).get("flops", math.nan))


def _product() -> CompiledProgram:
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT), np.float32))
    program = _program(lambda a, b: a @ b, matrix, matrix)
    return program._replace(gflop=2 * PRODUCT**3 / 1e9)


def _encoder(folder: pathlib.Path, size: int, frames: int) -> CompiledProgram:
    """Encode an image that drifts, smooth as a portrait is, in blocks of `frames` frames."""
    side = np.linspace(0, 2 * np.pi, size)
    waves = np.sin(3 * side)[:, None, None] * np.cos(2 * side)[None, :, None] * np.array([1.0, 0.8, 0.6])
    image = (127 + 120 * waves).astype(np.uint8)
    block = np.stack([np.roll(image, i, axis=1) for i in range(frames)])

    def encode():
        with video_io.VideoWriter(folder / "bench.mp4", size=size) as writer:
            for _ in range(BLOCKS):
                writer.write(block)

    return CompiledProgram(encode, 0.0, BLOCKS)


def _medians(programs: Mapping[str, CompiledProgram], rounds: int) -> dict[str, float]:
    """Median seconds of each program; they take turns, so that a busy minute meets them all."""
    for program in programs.values():
        program.call()  # first touch of memory, and of ffmpeg's file
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            begin = time.perf_counter()
            program.call()
            seconds[name].append((time.perf_counter() - begin) / program.times)
    return {name: statistics.median(values) for name, values in seconds.items()}
