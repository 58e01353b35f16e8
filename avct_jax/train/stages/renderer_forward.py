"""A source driven by frames of its clip, all that is computed of it, and how far it is from those frames.

The renderer stage's forward pass; train/stages/renderer_stage.py learns from it.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.data.dataset import batch_types
from avct_jax.layers import blocks
from avct_jax.layers.geometry import heatmap
from avct_jax.models import keypoint_detector, networks, patch_discriminator, renderer, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation, random_warps
from avct_jax.train.augmentation import mouth_crops as mouths
from avct_jax.train.core import grad_accumulation, init_params

DETECTOR, RENDERER, DISCRIMINATOR = "keypoint_detector", "renderer", "patch_discriminator"
MOUTH = slice(0, 4)  # the keypoints of data/faces/landmark_motion.py that stand on the lips
REMAT = (blocks.SameBlock, blocks.DownBlock, blocks.UpBlock, blocks.ResBlock)
DiscriminatorConfig = patch_discriminator.PatchDiscriminatorConfig


@dataclasses.dataclass(frozen=True)
class RendererStageConfig:
    """What is learned from what; the defaults are FOMM's vox-256, which the paper follows.

    A loss of weight 0 is not computed. Without any loss of images the renderer is left out, and the stage
    trains the detector alone.

    Attributes:
      perceptual: weight of the VGG features' difference, of `perceptual_layers` at `perceptual_scales`.
      equivariance_keypoints, equivariance_jacobians: weights of the detector's agreement with random warps.
      l1: weight of the absolute difference of images, over `l1_scales` of a pyramid.
      mouth_perceptual: weight of the VGG features' difference (`mouth_layers`) of a square of `mouth_side`
        ([-1, 1] units) about the lips alone: a tenth of the cost of whole images, where edges matter most.
      mouth: weight of the absolute difference around the lips, within `mouth_variance` of their landmarks.
      painted: weight of the same two differences of what the decoder paints by itself. Without it a network
        that blends keeps the source wherever that is nearly right, and its painter never learns.
      landmarks: weight of the detector's distance from what landmarks say; in it Jacobians count
        `landmark_jacobians` times. Then keypoints need not be found unsupervised.
      noise, jitter: of the detector's images alone: normal noise, and largest change of colours.
      teach: render with the landmarks' motion (by eq. 3) in the place of the detector's; rendering then
        teaches the detector nothing.
      train_detector: else it is frozen.
      gan: weight of an image discriminator's judgement, who sees keypoints too (vox-adv: 1).
      feature_matching: weight of its features' difference, where there is one.
      output_size: side of the images that are compared, px; 0: as large as they come. Half the size saves
        most of the cost.
      detector_rate, discriminator_rate: factors on these networks' learning rate.
      ema_decay: share of the parameters' moving average kept each step.
    """

    perceptual: float = 10.0
    perceptual_layers: tuple[int, ...] = vgg.LAYERS
    perceptual_scales: tuple[int, ...] = losses.SCALES
    equivariance_keypoints: float = 10.0
    equivariance_jacobians: float = 10.0
    l1: float = 0.0
    l1_scales: tuple[int, ...] = (1, 2, 4)
    mouth_perceptual: float = 0.0
    mouth_layers: tuple[int, ...] = losses.LIGHT_LAYERS
    mouth_side: float = 0.7
    mouth: float = 0.0
    mouth_variance: float = 0.005
    painted: float = 0.0
    landmarks: float = 0.0
    landmark_jacobians: float = 0.2
    noise: float = 0.0
    jitter: float = 0.0
    teach: bool = False
    train_detector: bool = True
    gan: float = 0.0
    feature_matching: float = 10.0
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    output_size: int = 0
    detector_rate: float = 1.0
    discriminator_rate: float = 1.0
    ema_decay: float = 0.999

    @property
    def weights(self) -> dict[str, float]:
        """Weights by metric, of the terms that are computed at all."""
        rendered = {"l1": self.l1, "mouth": self.mouth, "perceptual": self.perceptual}
        rendered |= {"mouth_perceptual": self.mouth_perceptual, "painted": self.painted}
        matched = self.feature_matching if self.gan else 0.0
        rendered |= {"gan_generator": self.gan, "feature_matching": matched}
        detected = {"equivariance_keypoints": self.equivariance_keypoints, "landmarks": self.landmarks}
        detected |= {"equivariance_jacobians": self.equivariance_jacobians}
        return {k: w for k, w in (rendered | (detected if self.train_detector else {})).items() if w}

    @property
    def renders(self) -> bool:
        """Does any loss look at images?"""
        return any((self.l1, self.mouth, self.perceptual, self.mouth_perceptual, self.gan))

    @property
    def wants_vgg(self) -> bool:
        """Does any loss need a VGG?"""
        return bool(self.perceptual or self.mouth_perceptual)

    @property
    def warps(self) -> bool:
        """Does any loss look at warped images?"""
        return self.train_detector and bool(self.equivariance_keypoints or self.equivariance_jacobians)


class RendererFrozen(NamedTuple):
    """What judges or feeds the networks and is not trained; always an argument of the step.

    Attributes:
      detector: variables of E_kd, where it is not trained.
      perceptual: where that loss has a weight.
    """

    detector: Any
    perceptual: vgg.PerceptualNetwork | None


@dataclasses.dataclass(frozen=True)
class RendererPlan:
    """All that is static about a run: sizes, weights, arithmetic."""

    system: system_config.SystemConfig
    config: RendererStageConfig
    compute: grad_accumulation.ComputeConfig

    @property
    def network_states(self) -> tuple[str, ...]:
        chosen = {
            DETECTOR: self.config.train_detector,
            RENDERER: self.config.renders,
            DISCRIMINATOR: self.config.renders and self.config.gan,
        }
        return tuple(name for name, is_chosen in chosen.items() if is_chosen)

    @property
    def size(self) -> int:
        """Side of the images that are compared."""
        return self.config.output_size or self.system.image_size

    @property
    def detector(self) -> keypoint_detector.KeypointDetector:
        return networks.build(self.system, self.compute.activations).keypoint_detector

    @property
    def renderer(self) -> Any:
        return networks.build(self.system, self.compute.activations).renderer

    @property
    def discriminator(self) -> patch_discriminator.PatchDiscriminator:
        return patch_discriminator.PatchDiscriminator(self.config.discriminator, self.compute.activations)

    def random(self, name: str, seed: int = 0) -> dict[str, Any]:
        """Random variables of a player."""
        key = jax.random.key(seed)
        if name == DISCRIMINATOR:
            channels = 3 + self.system.keypoint_detector.num_keypoints
            return init_params.patch_discriminator_variables(
                self.config.discriminator, channels, self.size, key
            )
        return networks.init(self.system, name, key)


class RendererInputs(NamedTuple):
    """A batch as its variation shows it; m = b n driving frames are laid end to end in `target`.

    Attributes:
      driving: at the size that the detector takes; None where nothing is detected in it.
    """

    source: Float[Array, "b h w 3"]
    driving: Float[Array, "b n h w 3"] | None
    target: Float[Array, "m o o 3"]
    source_motion: motion.Motion
    driving_motion: motion.Motion


class DetectedMotion(NamedTuple):
    """What the detector says of source (b k), driving (b n k) and warped driving frames (b n k)."""

    source: motion.Motion
    driving: motion.Motion | None
    warped: motion.Motion | None
    warp: random_warps.Warp | None


class RendererOutputs(NamedTuple):
    """What came of a batch.

    terms: of the loss, before their weights. batch_stats: of the trained networks. made: None where nothing
      is rendered; frame: at the size of the targets. shown: what the discriminator is to judge, real images
      first, then made ones, each with maps of the keypoints.
    """

    terms: dict[str, Float[Array, ""]]
    batch_stats: dict[str, Any]
    seen: RendererInputs
    found: DetectedMotion
    made: renderer.Rendering | None = None
    frame: Float[Array, "m o o 3"] | None = None
    shown: Float[Array, "mm o o c"] | None = None


def forward(
    plan: RendererPlan,
    variables: dict[str, Any],
    frozen: RendererFrozen,
    batch: batch_types.Pairs,
    keys: Any,
    *,
    train: bool,
) -> RendererOutputs:
    """Detect, render and compare.

    Args:
      variables: of each player.
      keys: one for each example; None unless `train`.
      train: use the batch's statistics, and compute the terms that need draws or opponents.
    """
    c = plan.config
    seen = _see(plan, batch)
    with grad_accumulation.rematerialised(REMAT, enabled=plan.compute.remat):
        found, stats = _detect(plan, variables, frozen, seen, keys, train=train)
        terms = _detector_terms(c, found, seen)
        if not c.renders:
            return RendererOutputs(terms, stats, seen, found)
        driving, source = _motions(c, found, seen)
        made, stats[RENDERER] = _render(plan, variables[RENDERER], seen, driving, source, train=train)
    frame = renderer.resize_bilinear(made.frame, plan.size, plan.size)
    terms |= _image_terms(plan, frozen.perceptual, frame, made, seen)
    if not (c.gan and train):
        return RendererOutputs(terms, stats, seen, found, made, frame)
    variance = plan.system.renderer.variance
    places = jax.lax.stop_gradient(driving.keypoints)
    maps = heatmap.gaussians(places, plan.size, plan.size, variance=variance)
    real, fake = (jnp.concatenate([x, maps], -1) for x in (seen.target, frame))
    terms |= _game_terms(plan, variables[DISCRIMINATOR], real, fake)
    return RendererOutputs(terms, stats, seen, found, made, frame, jnp.concatenate([real, fake]))


def _see(plan, batch: batch_types.Pairs) -> RendererInputs:
    """Apply the batch's variation: one a clip, so that the background rests as it does in a video."""
    b, n = batch.driving.shape[:2]
    variation = jax.tree.map(jnp.asarray, batch.variation)
    frames = batch.driving.reshape(b * n, *batch.driving.shape[2:])
    needed = plan.config.renders and not plan.config.teach
    needed = needed or (plan.config.train_detector and (plan.config.landmarks or plan.config.warps))
    large = plan.system.image_size if needed else plan.size
    driving = image_augmentation.look(frames, image_augmentation.repeat(variation, n), large)
    return RendererInputs(
        image_augmentation.look(batch.source, variation, plan.system.image_size),
        driving.reshape(b, n, *driving.shape[1:]) if needed else None,
        image_augmentation.resize(driving, plan.size),
        image_augmentation.see_motion(batch.source_motion, variation),
        image_augmentation.see_motion(batch.driving_motion, variation),
    )


def _detect(plan, variables, frozen, seen, keys, *, train) -> tuple[DetectedMotion, dict[str, Any]]:
    """Look at all images of an example in one pass; the sharded axis of examples stays in front."""
    c, warp = plan.config, None
    images = [seen.source[:, None]]
    if seen.driving is not None:
        n = seen.driving.shape[1]
        images.append(seen.driving)
        if c.warps and train:
            warp = random_warps.random_warps(keys, n)
            aligned = plan.system.renderer.align_corners
            warped = random_warps.warp_frames(warp, _flat(seen.driving), align_corners=aligned)
            images.append(warped.reshape(seen.driving.shape))
    stacked = jnp.concatenate(images, 1)
    if train:
        stacked = _disturb(c, stacked, keys)
    trained = train and c.train_detector
    own = variables[DETECTOR] if c.train_detector else frozen.detector
    detection, changes = plan.detector.apply(own, _flat(stacked), train=trained, mutable=["batch_stats"])
    updated = {DETECTOR: changes["batch_stats"]} if c.train_detector else {}
    all_of = jax.tree.map(lambda x: x.reshape(*stacked.shape[:2], *x.shape[1:]), detection.motion)
    at = lambda first, last: jax.tree.map(lambda x: x[:, first:last], all_of)
    source = jax.tree.map(lambda x: x[:, 0], all_of)
    if seen.driving is None:
        return DetectedMotion(source, None, None, None), updated
    return DetectedMotion(source, at(1, 1 + n), None if warp is None else at(1 + n, None), warp), updated


def _disturb(config, images, keys):
    """Noise and colours of each image's own, which the renderer does not see."""
    m = images.shape[1]
    if config.jitter:
        draw = lambda key: jax.random.uniform(key, (m, 4), minval=-config.jitter, maxval=config.jitter)
        colours = jax.vmap(lambda key: draw(jax.random.fold_in(key, 1)))(keys)
        # A face's hue varies little: a fifth.
        colours = colours * jnp.array([1.0, 1.0, 1.0, 0.2]).reshape(1, 1, 4)
        images = image_augmentation.recolour(_flat(images), _flat(colours)).reshape(images.shape)
    if config.noise:
        draw = lambda key: jax.random.normal(jax.random.fold_in(key, 2), images.shape[1:])
        images = jnp.clip(images + config.noise * jax.vmap(draw)(keys), 0.0, 1.0)
    return images


def _flat(x):
    return x.reshape(-1, *x.shape[2:])


def _detector_terms(config, found: DetectedMotion, seen: RendererInputs) -> dict[str, Float[Array, ""]]:
    """How far the detector is from landmarks, and from following warps."""
    terms = {}
    if config.weights.get("landmarks"):
        told = jax.tree.map(
            lambda a, b: jnp.concatenate([a[:, None], b], 1), seen.source_motion, seen.driving_motion
        )
        said = jax.tree.map(lambda a, b: jnp.concatenate([a[:, None], b], 1), found.source, found.driving)
        error = losses.motion_l1(said, told)
        terms["landmarks"] = error.keypoints + config.landmark_jacobians * error.jacobians
    if found.warp is not None:
        driving, warped = jax.tree.map(_flat, (found.driving, found.warped))
        if config.equivariance_keypoints:
            back = random_warps.warp_points(found.warp, warped.keypoints)
            terms["equivariance_keypoints"] = losses.keypoint_equivariance(driving.keypoints, back)
        if config.equivariance_jacobians:
            grads = random_warps.warp_jacobian(found.warp, warped.keypoints)
            terms["equivariance_jacobians"] = losses.jacobian_equivariance(
                driving.jacobians, grads, warped.jacobians
            )
    return terms


def _motions(config, found: DetectedMotion, seen: RendererInputs) -> tuple[motion.Motion, motion.Motion]:
    """The motion to render, of all m driving frames, and the source's (b)."""
    if not config.teach:
        return jax.tree.map(_flat, found.driving), found.source
    n = seen.driving_motion.keypoints.shape[1]
    source = jax.lax.stop_gradient(found.source)
    told = jax.tree.map(_flat, seen.driving_motion)
    return motion.relative_transfer(told, *image_augmentation.repeat((seen.source_motion, source), n)), source


def _render(plan, variables, seen: RendererInputs, driving, source, *, train):
    """Encode each source once, render all its driving frames at the size of the targets."""
    count = len(driving.keypoints) // len(source.keypoints)

    def render(network, image, driving, source):
        encoded = network.encode(image, image_augmentation.resize(image, plan.size), train=train)
        encoded, source = image_augmentation.repeat((encoded, source), count)
        return network.decode(encoded, driving, source, train=train)

    made, changes = plan.renderer.apply(
        variables, seen.source, driving, source, method=render, mutable=["batch_stats"]
    )
    return made, changes["batch_stats"]


def _image_terms(plan, perceptual, frame, made: renderer.Rendering, seen: RendererInputs) -> dict[str, Any]:
    """Differences of the rendered frames from the driving ones."""
    c, target, terms = plan.config, seen.target, {}

    def mouth(frame):
        lips = seen.driving_motion.keypoints[:, :, MOUTH]
        near = heatmap.gaussians(_flat(lips), *target.shape[1:3], variance=c.mouth_variance)
        near = near.max(-1, keepdims=True)
        # A mean over images of each one's own mean: it does not hang on what else is in the batch.
        share = near / (3 * near.sum((1, 2, 3), keepdims=True) / near[0].size)
        return losses.mean_absolute(share * (frame - target))

    l1 = lambda frame: losses.l1_pyramid(frame, target, scales=c.l1_scales) / len(c.l1_scales)
    measures = {name: by for name, by in (("l1", l1), ("mouth", mouth)) if c.weights.get(name)}
    terms |= {name: measure(frame) for name, measure in measures.items()}
    if c.painted:
        painted = renderer.resize_bilinear(made.painted, *target.shape[1:3])
        # Relative to `painted`, l1 and mouth keep their weights.
        terms["painted"] = sum(
            (c.weights[n] * measure(painted) for n, measure in measures.items()), jnp.zeros(())
        )
    options = {"weight": 1.0, "dtype": plan.compute.activations, "remat": plan.compute.remat}
    if c.perceptual:
        where = {"layers": c.perceptual_layers, "scales": c.perceptual_scales}
        terms["perceptual"] = losses.perceptual(perceptual, frame, target, **where, **options)
    if c.mouth_perceptual:
        lips = _flat(seen.driving_motion.keypoints[:, :, MOUTH]).mean(1)
        made_lips, real_lips = (mouths.square(x, lips, c.mouth_side) for x in (frame, target))
        where = {"layers": c.mouth_layers, "scales": (1,)}
        terms["mouth_perceptual"] = losses.perceptual(perceptual, made_lips, real_lips, **where, **options)
    return terms


def _game_terms(plan, variables, real, fake) -> dict[str, Float[Array, ""]]:
    """What the discriminator, held still, says of the made frames."""
    prediction, features = plan.discriminator.apply(variables, fake)
    terms = {"gan_generator": losses.gan_generator(prediction)}
    if plan.config.feature_matching:
        _, wanted = plan.discriminator.apply(variables, real)
        terms["feature_matching"] = losses.feature_matching(wanted, features, weight=1.0)
    return terms
