"""E_r learned from pairs of frames of one clip, under keypoints that a frozen E_kd and landmarks give."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from avct_jax import motion
from avct_jax.layers import heatmap
from avct_jax.models import keypoint_detector, renderer, vgg
from avct_jax.train import augment, losses, state

MOUTH = slice(0, 4)  # the keypoints of data/face_motion.py that stand on the lips


class Batch(NamedTuple):
    """One source frame and n driving frames of its clip, with the motion that landmarks say.

    The frames hold a margin around the face's square.
    """

    source: UInt8[Array, "b s s 3"]
    driving: UInt8[Array, "b n s s 3"]
    source_motion: motion.Motion
    driving_motion: motion.Motion


class Frozen(NamedTuple):
    """Networks that judge or feed the renderer and are not trained; always an argument of the step.

    detector: variables of E_kd; None takes the source's motion from its landmarks too.
    perceptual: None only where the perceptual weight is 0.
    """

    detector: Any
    perceptual: vgg.PerceptualNetwork | None


@dataclasses.dataclass(frozen=True)
class RendererStageConfig:
    """Weights and sizes.

    Attributes:
      output_size: side of the pictures that are compared, px: half the size saves most of the cost.
      l1: weight of the absolute difference, over `scales` of an image pyramid.
      mouth: weight of the absolute difference around the lips.
      painted: weight of the same differences of what the decoder paints by itself. Without it a network that
        blends keeps the source wherever that is nearly right, and its painter never learns.
      perceptual: weight of the VGG features' difference.
      perceptual_layers, perceptual_scales: which features, at which decimations of the output.
      decay: share of the parameters' moving average kept each step.
    """

    output_size: int = 128
    margin: float = 1.25
    l1: float = 5.0
    scales: tuple[int, ...] = (1, 2, 4)
    mouth: float = 20.0
    mouth_variance: float = 0.005
    painted: float = 0.5
    perceptual: float = 0.0
    perceptual_layers: tuple[int, ...] = losses.LIGHT_LAYERS
    perceptual_scales: tuple[int, ...] = losses.LIGHT_SCALES
    decay: float = 0.998


def make_train_step(
    config: RendererStageConfig,
    detector_config: keypoint_detector.KeypointDetectorConfig,
    renderer_config: renderer.RendererConfig,
    optimizer: optax.GradientTransformation,
    *,
    mirrored_index: Int[Array, " k"],
    image_size: int = 256,
) -> Callable[[state.State, Frozen, Batch, Array], tuple[state.State, dict[str, Array]]]:
    """Build the pure step (state, frozen, batch, key) -> (state, metrics); the caller jits it."""
    detector = keypoint_detector.KeypointDetector(detector_config)
    network = renderer.Renderer(renderer_config)

    def step(current, frozen, batch, key):
        seen = _see(config, batch, jax.random.fold_in(key, current.step), mirrored_index, image_size)
        source_motion = seen.source_motion
        if frozen.detector is not None:
            source_motion = detector.apply(frozen.detector, seen.image).motion
        driving_motion = motion.relative_transfer(
            seen.driving_motion, _repeat(seen.source_motion, seen.count), _repeat(source_motion, seen.count)
        )

        def loss_fn(params):
            variables = {"params": params, "batch_stats": current.player.batch_stats}
            made, updates = network.apply(
                variables, seen, driving_motion, source_motion, method=_render, mutable=["batch_stats"]
            )
            metrics = render_losses(config, frozen.perceptual, made, seen.target, seen.driving_motion)
            return sum(metrics.values()), (metrics, updates["batch_stats"])

        (_, (metrics, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(current.player.params)
        player = state.update(current.player, gradients, stats, optimizer, decay=config.decay)
        return state.State(current.step + 1, player), metrics

    return step


def render_losses(
    config: RendererStageConfig,
    perceptual: vgg.PerceptualNetwork | None,
    made: renderer.Rendering,
    target: Float[Array, "b h w 3"],
    driving_motion: motion.Motion,
) -> dict[str, Float[Array, ""]]:
    """The weighted terms that E_r minimises."""
    size = target.shape[1:3]
    places = heatmap.gaussians(driving_motion.keypoints[:, MOUTH], *size, variance=config.mouth_variance)
    weight = places.max(-1, keepdims=True)

    def differences(frames):
        mouth = (weight * jnp.abs(frames - target)).sum() / (3 * weight.sum())
        l1 = losses.l1_pyramid(frames, target, scales=config.scales) / len(config.scales)
        return config.l1 * l1, config.mouth * mouth

    l1, mouth = differences(renderer.resize_bilinear(made.frame, *size))
    metrics = {"l1": l1, "mouth": mouth}
    if made.keep is not None and config.painted:
        metrics["painted"] = config.painted * sum(differences(renderer.resize_bilinear(made.painted, *size)))
    if config.perceptual:
        metrics["perceptual"] = losses.perceptual(
            perceptual,
            made.frame,
            target,
            layers=config.perceptual_layers,
            scales=config.perceptual_scales,
            weight=config.perceptual,
        )
    return metrics


class _Seen(NamedTuple):
    """A batch after augmentation; driving frames laid end to end (b n)."""

    image: Float[Array, "b h w 3"]
    target: Float[Array, "m o o 3"]
    source_motion: motion.Motion
    driving_motion: motion.Motion

    @property
    def count(self) -> int:
        return len(self.target) // len(self.image)


def _see(config, batch, key, mirrored_index, image_size) -> _Seen:
    """One view and one set of colours a clip: the background rests as it does in a video."""
    keys = jax.random.split(key, 2)
    b, n = batch.driving.shape[:2]
    view = augment.random_view(keys[0], b, scale=0.18, shift=0.1, turn=0.1)
    colours = augment.random_colours(keys[1], b)
    views, all_colours = _repeat(view, n), _repeat(colours, n)
    flat = lambda x: x.reshape(b * n, *x.shape[2:])
    image = augment.look(batch.source, view, image_size, margin=config.margin)
    target = augment.look(flat(batch.driving), views, config.output_size, margin=config.margin)
    return _Seen(
        augment.recolour(image, colours),
        augment.recolour(target, all_colours),
        augment.see_motion(batch.source_motion, view, mirrored_index),
        augment.see_motion(jax.tree.map(flat, batch.driving_motion), views, mirrored_index),
    )


def _render(network: renderer.Renderer, seen: _Seen, driving_motion, source_motion):
    """Encode each source once, render all its driving frames at the size of the targets."""
    source = network.encode(seen.image, train=True)
    size = seen.target.shape[1]
    if network.config.blend:
        source = source._replace(full=renderer.resize_bilinear(source.picture, size, size))
    source, source_motion = _repeat((source, source_motion), seen.count)
    return network.decode(source, driving_motion, source_motion, train=True)


def _repeat(tree, count: int):
    return jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), tree)
