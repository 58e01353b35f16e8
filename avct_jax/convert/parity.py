"""Compare this system, array by array, with outputs of the reference system.

The reference's weights are stand-ins made from each tensor's name alone, so that a file of inputs and
outputs and a list of names and shapes say everything. Outputs are computed here from the file's raw
inputs, each stage fed with our own results of the stage before, as when a portrait is animated.
"""

import functools
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import errors, motion
from avct_jax.convert import name_map
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import speech_features
from avct_jax.layers.geometry import grid, pose_image
from avct_jax.metrics import syncnet as syncnet_metric
from avct_jax.models import (
    head_motion,
    networks,
    patch_discriminator,
    sync_discriminator,
    system_config,
)
from avct_jax.models.frozen import syncnet, vgg
from avct_jax.train import losses
from avct_jax.train.augmentation import random_warps

PAPER = networks.build(system_config.PAPER)  # the reference's sizes

TRAINING_SEED = 20220226  # of files that carry none
AV_SHIFT = 10  # frames: the default of syncnet_python's function, which made the files; its programs take 15
GAINS = {"jacobian.weight": 0.05, "resnet.fc.weight": 0.01, "ph2kp/kp.weight": 0.3}

# What is given; every other array of a file is an output, and must be reproduced.
INPUTS = {
    *("image", "wav", "phoneme_json", "first_pose", "frames_index", "start", "seed"),
    *("tps/theta", "tps/control_params", "tps/points"),
    *("equivariance/kp_driving", "equivariance/jac_driving", "equivariance/jac_transformed"),
    *("syncnet/face", "syncnet/mel", "syncnet_v2/lip_28", "syncnet_v2/mfcc", "av/feat_lip", "av/feat_audio"),
}

Arrays = Mapping[str, np.ndarray]
Outputs = Iterator[tuple[str, Any]]
Weights = Callable[[str], dict[str, Any]]


class ParityLine(NamedTuple):
    """One array's comparison; `error` is infinite when it was not computed or has another shape."""

    name: str
    error: float
    limit: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the array is reproduced; NaN is not."""
        return self.error <= self.limit

    def __str__(self) -> str:
        text = f"{self.name:32} {self.error:9.2e} {self.limit:7.0e} {'ok' if self.ok else 'OVER'}"
        return f"{text}  {self.note}" if self.note else text


def compare(
    arrays_path: str | os.PathLike, shapes_path: str | os.PathLike, *, seed: int | None = None
) -> list[ParityLine]:
    """Reproduce every output in a file of reference arrays.

    Args:
      arrays_path: .npz of inference (it has `wav`) or of training.
      shapes_path: .json, {part: {torch name: [shape, dtype]}}.
      seed: of the stand-in weights; by default the file's own, or TRAINING_SEED.

    Raises:
      UserError: a file cannot be read.
    """
    arrays, shapes = _read(arrays_path, shapes_path)
    seed = int(arrays.get("seed", TRAINING_SEED)) if seed is None else seed
    weights = functools.cache(lambda part: stand_in_variables(part, shapes[part], seed))
    inference = "wav" in arrays
    stages = (_inference,) if inference else (_images, _discriminator, _warps, _perceptual, _sync, _av)
    given = INPUTS if inference else INPUTS | {"frames"}
    wanted = {name: array for name, array in arrays.items() if name not in given}
    lines: dict[str, ParityLine] = {}
    failures: list[str] = []
    with jax.default_matmul_precision("highest"):
        for stage in stages:
            try:
                for name, value in stage(arrays, weights):
                    if name in wanted:
                        lines[name] = _compare(name, np.asarray(value), wanted[name])
            # A stage whose inputs are not there, or do not fit, must not keep the others from running.
            except (ValueError, TypeError, KeyError, IndexError) as error:
                failures.append(f"{stage.__name__}: {type(error).__name__} {' '.join(str(error).split())}")
    missing = ParityLine("", np.inf, 0.0, " ".join(["not computed", *failures]))
    return [lines.get(name, missing._replace(name=name)) for name in wanted]


def stand_in(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The tensor `name` ("part/torch.name") of the stand-in weights: its numbers follow from its name."""
    draw = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var" or (leaf == "weight" and len(shape) <= 1):
        return draw.uniform(*((0.5, 1.5) if leaf == "running_var" else (0.8, 1.2)), shape).astype(np.float32)
    noise = draw.standard_normal(shape)
    if leaf == "running_mean":
        return (0.1 * noise).astype(np.float32)
    if name.endswith("jacobian.bias"):
        return (np.resize([1.0, 0.0, 0.0, 1.0], shape) + 0.05 * noise).astype(np.float32)
    if len(shape) <= 1:
        vector = (0.05 * noise).astype(np.float32)
        return vector / np.linalg.norm(vector) if leaf in ("weight_u", "weight_v") else vector
    gain = next((gain for end, gain in GAINS.items() if end in name), 1.0)
    return (gain * noise / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def stand_in_variables(part: str, shapes: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Variables of the network `part`, as `torch_weights.import_part` gives them.

    Args:
      shapes: {torch name: [shape, dtype]}, dtype "constant" for buffers that the architecture defines.
    """
    drawn = {n: tuple(s) for n, (s, dtype) in shapes.items() if dtype != "constant"}
    return name_map.import_part(part, {n: stand_in(f"{part}/{n}", s, seed) for n, s in drawn.items()})


def _read(arrays_path, shapes_path):
    try:
        # Opened here: numpy leaves a file open that turns out not to be one of its own.
        with open(arrays_path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        with open(shapes_path, encoding="utf-8") as file:
            return arrays, json.load(file)
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise errors.UserError(
            f"cannot read {arrays_path} with {shapes_path}: {error}; give .npz and .json"
        ) from None


def _compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> ParityLine:
    """Measure as the array's kind asks: see _RULES."""
    measure, limit = next((m, limit) for pattern, m, limit in _RULES if re.fullmatch(pattern, name))
    if ours.shape != theirs.shape:
        return ParityLine(name, np.inf, limit, f"shape {ours.shape}, must be {theirs.shape}")
    return ParityLine(name, measure(ours, theirs), limit)


def _differing(ours, theirs):
    """How many numbers, or bits where bytes are packed, are not the same."""
    if theirs.dtype == np.uint8:
        return float(np.unpackbits(ours ^ theirs).sum())
    return float((ours != theirs).sum())


def _absolute(ours, theirs):
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())


def _relative(ours, theirs):
    """Largest difference over the array's largest number."""
    return _absolute(ours, theirs) / max(float(np.abs(theirs).max()), 1e-12)


def _columns(ours, theirs):
    """Largest difference over its own column's largest number."""
    scale = np.maximum(np.abs(theirs).max(0, keepdims=True), 1e-12)
    return float((np.abs(ours - theirs) / scale).max())


_RULES = (
    ("audio_features", _columns, 1e-4),
    ("phonemes|first_box|pose_boxes|av/offset", _differing, 0.0),
    (r"frames|frame\d+/.*|tps/frame", _absolute, 1e-3),
    (".*", _relative, 1e-4),
)


def _inference(arrays: Arrays, weights: Weights) -> Outputs:
    """The whole way from an image, a recording, phonemes and a first pose to frames."""
    features = speech_features.audio_features(arrays["wav"].astype(np.float32))
    yield "audio_features", features
    labels = symbols.labels_from_segments(symbols.parse_json(arrays["phoneme_json"].tobytes().decode()))
    yield "phonemes", labels
    clip = slice(int(arrays["start"]), int(arrays["start"]) + len(arrays["pose_boxes"]))
    # The reference drops a last frame whose rows are not whole.
    audio = speech_features.frame_features(features, frames=len(features) // speech_features.ROWS_PER_FRAME)[
        None, clip
    ]
    first_box = pose_image.draw_pose_boxes(arrays["first_pose"][None])
    yield "first_box", np.asarray(first_box[0]).astype(np.uint8)
    poses = _apply(PAPER.head_motion, weights("audio2pose"), first_box, audio)
    yield "poses_raw", poses[0]
    real = np.asarray(head_motion.to_real_units(poses[0]))
    yield "poses", real
    # Corners are truncated to whole pixels: a difference within the limit must not become a pixel.
    real = arrays["poses"] if _compare("poses", real, arrays["poses"]).ok else real
    # One pose more than frames is predicted; the last has no frame.
    boxes = pose_image.draw_pose_boxes(real[: len(arrays["pose_boxes"])])
    yield "pose_boxes", np.packbits(np.asarray(boxes) > 0, axis=-1)
    yield from _animation(arrays, weights, boxes[None], labels[None, clip], audio)


def _animation(arrays, weights, boxes, labels, audio) -> Outputs:
    image = jnp.asarray(arrays["image"], jnp.float32)[None] / 255
    source = _apply(PAPER.keypoint_detector, weights("kp_detector"), image)
    yield "kp_source/value", source.motion.keypoints[0]
    yield "kp_source/jacobian", source.motion.jacobians[0]
    yield "kp_source/feature_map", source.features[0].transpose(2, 0, 1)
    driving = _apply(PAPER.avct, weights("ph2kp"), jnp.asarray(labels), boxes, audio, source.features)
    driving = motion.Motion(driving.keypoints[0], driving.jacobians[0])
    yield "kp_driving/value", driving.keypoints
    yield "kp_driving/jacobian", driving.jacobians
    first = motion.Motion(driving.keypoints[:1], driving.jacobians[:1])
    moved = motion.relative_transfer(driving, first, source.motion)
    yield from _rendering(arrays, weights, image, moved, source.motion)


def _rendering(arrays, weights, image, moved, source) -> Outputs:
    """The frames of `frames_index`, and how those came about of which the file tells (`frame3/mask`)."""
    frames = {}
    told = {int(m[1]) for m in (re.match(r"frame(\d+)/", name) for name in arrays) if m}
    for i in sorted(told | set(arrays["frames_index"].tolist())):
        driving = motion.Motion(moved.keypoints[i : i + 1], moved.jacobians[i : i + 1])
        result = _apply(PAPER.renderer, weights("generator"), image, driving, source)
        frames[i] = result.frame[0]
        yield f"frame{i}/deformation", result.dense_motion.deformation[0]
        yield f"frame{i}/occlusion", result.dense_motion.occlusion_map[0].transpose(2, 0, 1)
        yield f"frame{i}/mask", result.dense_motion.mask[0].transpose(2, 0, 1)
    yield "frames", np.stack([frames[i] for i in arrays["frames_index"].tolist()])


def _images(arrays: Arrays, weights: Weights) -> Outputs:
    scales = [float(name.removeprefix("pyramid/")) for name in arrays if name.startswith("pyramid/")]
    levels = losses.pyramid(_frames(arrays), [round(1 / scale) for scale in scales])
    yield from ((f"pyramid/{scale}", levels[round(1 / scale)]) for scale in scales)


def _discriminator(arrays: Arrays, weights: Weights) -> Outputs:
    network = patch_discriminator.PatchDiscriminator()
    prediction, features = _apply(network, weights("discriminator"), _frames(arrays))
    yield "discriminator/prediction", prediction.transpose(0, 3, 1, 2)
    yield from ((f"discriminator/feature_mean_{i}", f.mean((1, 2))) for i, f in enumerate(features))


def _warps(arrays: Arrays, weights: Weights) -> Outputs:
    strengths = jnp.asarray(arrays["tps/control_params"]).reshape(len(arrays["tps/theta"]), -1)
    side = round(strengths.shape[1] ** 0.5)
    centres = jnp.asarray(grid.coordinate_grid(side, side)).reshape(-1, 2)
    warp = random_warps.Warp(jnp.asarray(arrays["tps/theta"]), centres, strengths)
    points = jnp.asarray(arrays["tps/points"])
    yield "tps/frame", random_warps.warp_frames(warp, _frames(arrays))
    warped, jacobian = random_warps.warp_points(warp, points), random_warps.warp_jacobian(warp, points)
    yield "tps/warped", warped
    yield "tps/jacobian", jacobian
    given = {
        n: jnp.asarray(arrays[f"equivariance/{n}"]) for n in ("kp_driving", "jac_driving", "jac_transformed")
    }
    yield "equivariance/value_loss", losses.keypoint_equivariance(given["kp_driving"], warped)
    loss = losses.jacobian_equivariance(given["jac_driving"], jacobian, given["jac_transformed"])
    yield "equivariance/jacobian_loss", loss


def _perceptual(arrays: Arrays, weights: Weights) -> Outputs:
    network, frames = vgg.torchvision_network(weights("vgg19")["params"]), _frames(arrays)
    features = vgg.features(network, frames)
    yield from ((f"vgg/feature_mean_{i}", f.mean((1, 2))) for i, f in enumerate(features))
    # The number in the name says by how many pixels to the right the other images are rolled.
    for name in (n for n in arrays if n.startswith("vgg/perceptual_loss_roll")):
        shift = int(name.removeprefix("vgg/perceptual_loss_roll"))
        yield name, losses.perceptual(network, jnp.roll(frames, shift, axis=2), frames)


def _sync(arrays: Arrays, weights: Weights) -> Outputs:
    """Both sync networks."""
    mel = jnp.asarray(arrays["syncnet/mel"]).transpose(0, 2, 3, 1)
    face = jnp.asarray(arrays["syncnet/face"], jnp.float32).transpose(0, 2, 3, 1)
    speech, lips = _apply(sync_discriminator.SyncDiscriminator(), weights("syncnet_color"), mel, face)
    yield "syncnet/audio_embedding", speech
    yield "syncnet/face_embedding", lips
    yield "syncnet/cosine", sync_discriminator.cosine(speech, lips)
    small = jnp.asarray(arrays["syncnet_v2/lip_28"], jnp.float32).transpose(0, 2, 3, 4, 1)
    frames = jnp.repeat(jnp.repeat(small, 8, axis=2), 8, axis=3)  # 28 -> 224 pixels
    mfcc = jnp.asarray(arrays["syncnet_v2/mfcc"]).transpose(0, 2, 3, 1)
    speech, lips = _apply(syncnet.SyncNet(), weights("syncnet_v2"), mfcc, frames)
    yield "syncnet_v2/audio_embedding", speech
    yield "syncnet_v2/lip_embedding", lips[:, 0]


def _frames(arrays: Arrays) -> jax.Array:
    return jnp.asarray(arrays["frames"], jnp.float32) / 255


def _apply(module: Any, variables: Mapping[str, Any], *inputs: Any) -> Any:
    return jax.jit(module.apply)(variables, *inputs)


def _av(arrays: Arrays, weights: Weights) -> Outputs:
    lips, speech = arrays["av/feat_lip"], arrays["av/feat_audio"]
    result = syncnet_metric.score(lips, speech, max_shift=AV_SHIFT)
    yield "av/offset", result.offset
    yield "av/min_dist", result.distance
    yield "av/confidence", result.confidence
