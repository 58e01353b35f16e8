"""E_avct learned: equation 2 of Wang et al., AAAI 2022, and a warm-up by keypoints that renders nothing.

E_kd, E_r and D_sync are frozen. T successive frames are predicted at once, rendered from the portrait, and
judged: together by D_seq, five by five against the audio by D_sync, one by one by VGG, and their motion by
what E_kd finds in the real frames.
"""

import collections
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from avct_jax import errors, motion, speech_format
from avct_jax.data.speech import speech_features
from avct_jax.layers import conv_encoder, transformer
from avct_jax.layers.geometry import heatmap
from avct_jax.models import avct, networks, patch_discriminator, sync_discriminator, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation, speech_augmentation
from avct_jax.train.core import grad_accumulation, init_params, optimizer, train_state
from avct_jax.train.stages import avct_inputs, avct_losses, keypoint_loss, stage, temporal_gan

PART, DISCRIMINATOR = "avct", "patch_discriminator"
BLOCKS = (conv_encoder.DownResBlock, transformer.EncoderLayer, transformer.DecoderLayer)
# The fields below bear the modules' names, which would hide them.
DiscriminatorConfig = patch_discriminator.PatchDiscriminatorConfig
SyncConfig = sync_discriminator.SyncDiscriminatorConfig
SpeechAugmentation = speech_augmentation.SpeechAugmentation
FEWEST = sync_discriminator.FRAMES  # of a window of D_sync
DOT = 0.0008  # variance of a keypoint's spot in images, [-1, 1] units squared


@dataclasses.dataclass(frozen=True)
class AVCTStageConfig:
    """Weights, sizes and chances; the defaults are eq. 2. Rate: 2e-5, weight decay 2e-7.

    Nothing is rendered where gan, matching, sync and perceptual are 0. Portraits of other people
    (DrawConfig.others) want `transfer`, and nothing rendered: there is no real frame to compare with.

    Attributes:
      gan: weight of D_seq's opinion of the T frames.
      matching: of its features' difference, FOMM's option.
      sync: weight of D_sync's cross-entropy over windows of five frames.
      perceptual: of VGG features' absolute difference, summed over perceptual_layers and perceptual_scales.
      equivariance_keypoints, equivariance_jacobians: weights of the predicted motion's difference from what
        E_kd finds in a warped real frame, warped back.
      keypoint: weight of the warm-up: keypoints' movement since rest (`shares` of each keypoint), `opening`
        of the lips, `jacobians`, and `absolute` places: what eq. 3 shows is only how a face moves, and how
        far a portrait's mouth happens to stand open would drown it.
      targets: of the warm-up: by landmarks, or what E_kd finds in the real frames; then movement is counted
        from the sequence's first frame.
      transfer: put the speaker's motion since rest on the portrait (eq. 3), for portraits of anybody.
      rendered: T, successive frames rendered of each sequence, at a place drawn anew each step.
      output_size: side of the rendered frames, px.
      hush: chance that a clip's silent frames become digital silence, which no microphone records.
      noise: of the audio features, in their standard deviations.
      voice: largest change of log F0.
      strange: other vocal tracts, microphones and rooms (train/augmentation/speech_augmentation.py).
      phoneme_substitution: chance of a random phoneme.
      ema_decay: share of the parameters' moving average kept each step.
    """

    gan: float = 1.0
    matching: float = 0.0
    sync: float = 10.0
    perceptual: float = 1.0
    equivariance_keypoints: float = 10.0
    equivariance_jacobians: float = 10.0
    keypoint: float = 0.0
    shares: tuple[float, ...] = (4.0, 4.0, 3.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    opening: float = 10.0
    jacobians: float = 0.1
    absolute: float = 0.1
    targets: Literal["landmarks", "detector"] = "landmarks"
    transfer: bool = False
    rendered: int = 24
    output_size: int = 256
    perceptual_layers: tuple[int, ...] = vgg.LAYERS
    perceptual_scales: tuple[int, ...] = losses.SCALES
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    sync_discriminator: SyncConfig = SyncConfig()
    silence_augmentation: float = 0.0
    noise: float = 0.0
    voice: float = 0.0
    speech_augmentation: SpeechAugmentation = SpeechAugmentation()
    phoneme_substitution: float = 0.0
    ema_decay: float = 0.999

    def __post_init__(self):
        if self.transfer and (self.renders or self.equivariant or self.targets == "detector"):
            raise ValueError(
                "transfer makes motions of which there are no real frames; set gan, sync, perceptual and "
                "equivariance weights to 0 and targets to landmarks, or leave transfer out"
            )
        if self.sync and self.rendered < FEWEST:
            raise ValueError(f"rendered {self.rendered} is too few for sync; give {FEWEST} or more")

    @property
    def weights(self) -> dict[str, float]:
        """Weights by metric, of the terms that are computed at all."""
        warm_up = {"keypoints": 1.0, "opening": self.opening, "jacobians": self.jacobians}
        found = {name: self.keypoint * w for name, w in (warm_up | {"places": self.absolute}).items()}
        found |= {"perceptual": self.perceptual, "sync": self.sync}
        found |= {"gan_generator": self.gan, "feature_matching": self.matching}
        found |= {"equivariance_keypoints": self.equivariance_keypoints}
        found |= {"equivariance_jacobians": self.equivariance_jacobians}
        return {name: weight for name, weight in found.items() if weight}

    @property
    def best_metric(self) -> str:
        """The held-out metric whose smallest value is best: of what is trained, what says most."""
        if self.keypoint:
            return "keypoint_error"
        compared = ("perceptual", "sync", "equivariance_keypoints", "equivariance_jacobians")
        return next((name for name in compared if name in self.weights), "keypoint_error")

    @property
    def renders(self) -> bool:
        """Whether frames are rendered at all."""
        return bool(self.gan or self.matching or self.sync or self.perceptual)

    @property
    def adversarial(self) -> bool:
        """Whether there is a D_seq."""
        return bool(self.gan or self.matching)

    @property
    def equivariant(self) -> bool:
        """Whether motions are compared with E_kd's of warped frames."""
        return bool(self.equivariance_keypoints or self.equivariance_jacobians)


class AVCTFrozen(NamedTuple):
    """What is not trained: variables of E_kd, E_r and D_sync, a VGG; None where nothing needs it.

    Attributes:
      silence: the audio features of a frame of digital silence, for `silence_augmentation`.
    """

    keypoint_detector: Any
    renderer: Any
    sync_discriminator: Any
    perceptual: vgg.PerceptualNetwork | None
    silence: Float[Array, "4 columns"]


def make_stage(
    system: system_config.SystemConfig,
    config: AVCTStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    init: Mapping[str, Any] | None = None,
    frozen: Mapping[str, Any] | None = None,
    perceptual: vgg.PerceptualNetwork | None = None,
    mean_keypoints: Float[np.ndarray, "k 2"] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "avct".

    Args:
      init: variables to begin from, by part ("avct", "patch_discriminator"); random where absent.
      frozen: variables of "keypoint_detector", and where they are needed "renderer" and "sync_discriminator".
      perceptual: the VGG, where the perceptual weight is not 0.
      mean_keypoints: what a random E_avct answers at first; the nearer the truth, the shorter the way.
      seed: of what is random at first.

    Raises:
      UserError: a frozen network is needed and not given.
    """
    made = _Trainer(
        system,
        config,
        compute,
        optimizer.make_optimizer(rule),
        avct_losses.make_networks(system, config, compute),
        networks.build(system, compute.activations).avct,
        patch_discriminator.PatchDiscriminator(config.discriminator, dtype=compute.activations),
    )
    return stage.Stage(
        "avct",
        "sequences",
        made.step,
        made.eval_step,
        made.image,
        functools.partial(made.initial, init, mean_keypoints, seed),
        frozen_networks(config, frozen or {}, perceptual),
        lambda current: {
            name: network_state.ema_variables for name, network_state in current.network_states.items()
        },
    )


def frozen_networks(
    config: AVCTStageConfig, given: Mapping[str, Any], perceptual: vgg.PerceptualNetwork | None
) -> AVCTFrozen:
    """Take what the losses need of `given`, and a renderer for images if there is one.

    Raises:
      UserError: something needed is missing.
    """
    if config.perceptual and perceptual is None:
        raise errors.UserError("perceptual loss needs VGG weights; name a file, or set perceptual to 0")
    wanted = {"keypoint_detector"} | ({"renderer"} if config.renders or "renderer" in given else set())
    wanted |= {"sync_discriminator"} if config.sync else set()
    parts = ("keypoint_detector", "renderer", "sync_discriminator")
    found = {part: init_params.frozen(part, given) if part in wanted else None for part in parts}
    silence = (
        speech_features.silence()
        if config.silence_augmentation
        else np.zeros((speech_format.ROWS, speech_format.COLUMNS), np.float32)
    )
    network = perceptual if config.perceptual else None
    return AVCTFrozen(**found, perceptual=network, silence=jnp.asarray(silence))


class _Trainer(NamedTuple):
    """The stage's functions, and what they share."""

    system: system_config.SystemConfig
    config: AVCTStageConfig
    compute: grad_accumulation.ComputeConfig
    adam: optax.GradientTransformation
    networks: avct_losses.LossNetworks
    network: avct.AVCT
    discriminator_network: patch_discriminator.PatchDiscriminator

    def initial(self, init: Any, mean_keypoints: Any, seed: int) -> train_state.TrainState:
        key = jax.random.key(seed)
        make = functools.partial(init_params.avct_variables, self.system, mean_keypoints, key)
        variables = {PART: init_params.begin(PART, init, make)}
        if self.config.adversarial:
            shape = (3 * self.config.rendered, self.config.output_size)
            make = functools.partial(
                init_params.patch_discriminator_variables, self.config.discriminator, *shape, key
            )
            variables[DISCRIMINATOR] = init_params.begin(DISCRIMINATOR, init, make)
        return train_state.make_state(variables, self.adam)

    def step(
        self, current: Any, frozen: Any, batch: Any, key: Array
    ) -> tuple[train_state.TrainState, stage.Metrics]:
        stats = {name: network_state.batch_stats for name, network_state in current.network_states.items()}
        keys = jax.random.split(jax.random.fold_in(key, current.step), 3)
        # Drawn for the whole batch, or for each example: what is drawn does not hang on the number of parts.
        seen = avct_inputs.vary_audio(
            self.see(batch), batch.silent, frozen.silence, keys[0], config=self.config
        )
        grads, stats, metrics = grad_accumulation.accumulate(
            functools.partial(self.gradients_of, current.network_states, frozen),
            stats,
            (batch, seen, jax.random.split(keys[1], len(seen.image))),
            keys[2],
            microbatches=self.compute.microbatches,
        )
        rules = dict.fromkeys(current.network_states, self.adam)
        after, norm = train_state.advance(current, grads, stats, rules, ema_decay=self.config.ema_decay)
        return after, metrics | norm

    def gradients_of(self, network_states: Any, frozen: Any, stats: Any, part: Any, key: Array) -> tuple:
        """E_avct's gradient through frozen D_seq and all, then D_seq's on the same frames."""
        batch, seen, keys = part
        read = self.read_portrait(frozen, seen)
        real = self.real_frames(frozen, batch, keys)

        def loss_fn(params):
            found, updated = self.predict(params, stats[PART], seen, read.reference, key)
            terms = self.motion_terms(found, seen, real)
            made, more = avct_losses.compare(
                self.networks, self.config, frozen, seen.image, read.motion, found.spoken, real
            )
            terms |= more
            if self.config.adversarial:
                discriminator = {
                    "params": network_states[DISCRIMINATOR].params,
                    "batch_stats": stats[DISCRIMINATOR],
                }
                terms |= self.generator_terms(discriminator, made, real)
            return losses.total(self.config.weights, terms), (terms, updated, made)

        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        (total, (terms, updated, made)), grads = value_and_grad(network_states[PART].params)
        terms |= {"total": total}
        grads, updated = {PART: grads}, {PART: updated}
        if self.config.adversarial and real.frames is not None:
            videos = (temporal_gan.as_videos(x, len(seen.image)) for x in (made, real.frames))
            learned = temporal_gan.discriminator_step(
                self.discriminator_network,
                network_states[DISCRIMINATOR].params,
                stats[DISCRIMINATOR],
                *videos,
            )
            grads[DISCRIMINATOR], updated[DISCRIMINATOR], terms["gan_discriminator"] = learned
        return grads, updated, terms

    def eval_step(self, current: Any, frozen: Any, batch: Any, key: Array) -> stage.Metrics:
        seen = self.see(batch)
        read = self.read_portrait(frozen, seen)
        found = self.answer(current, seen, read.reference)
        real = self.real_frames(frozen, batch, jax.random.split(key, len(seen.image)))
        _, terms = avct_losses.compare(
            self.networks, self.config, frozen, seen.image, read.motion, found.spoken, real
        )
        return keypoint_loss.scores(found, seen) | terms

    def image(self, current: Any, frozen: Any, batch: Any) -> dict[str, Array]:
        """The batch's first example; where there is no renderer, keypoints only."""
        batch = jax.tree.map(lambda x: x[:1], batch)
        seen = self.see(batch)
        read = self.read_portrait(frozen, seen)
        found = self.answer(current, seen, read.reference)
        source = jnp.repeat(seen.image, found.spoken.keypoints.shape[1], axis=0)
        # An OrderedDict: jit sorts the names of a plain one.
        shown = collections.OrderedDict(source=source)
        if batch.frames is not None:
            count = batch.frames.shape[1]
            shown["driving"] = avct_inputs.see_frames(batch, 0, count, self.system.image_size)[0]
        shown["keypoints"] = _dots(source / 2, found.spoken, seen.target)
        if frozen.renderer is not None:
            shown["result"] = avct_losses.render(
                self.networks, self.config, frozen, seen.image, read.motion, found.spoken
            )[0][0]
        size = min(x.shape[1] for x in shown.values())
        return collections.OrderedDict(
            (name, image_augmentation.resize(x, size)) for name, x in shown.items()
        )

    def see(self, batch: Any) -> avct_inputs.AVCTInputs:
        radius, size = self.system.avct.window_radius, self.system.image_size
        return avct_inputs.see(batch, radius=radius, image_size=size, transfer=self.config.transfer)

    def read_portrait(self, frozen: Any, seen: avct_inputs.AVCTInputs) -> "_Portrait":
        """No gradient passes: E_kd is not trained."""
        found: Any = self.networks.detector.apply(frozen.keypoint_detector, seen.image)
        return _Portrait(found.motion, avct.reference_of(self.system.avct, seen.image, found.features))

    def real_frames(self, frozen: Any, batch: Any, keys: Array) -> avct_losses.Real:
        size = self.system.image_size
        return avct_losses.real_frames(self.networks, self.config, frozen, batch, keys, size=size)

    def predict(self, params, stats, seen, reference, key) -> tuple[avct_inputs.Prediction, Any]:
        """In training; and the new batch statistics. Rest is predicted only if the warm-up asks for it."""
        with_rest = bool(self.config.keypoint) and self.config.targets == "landmarks"
        variables, rngs = {"params": params, "batch_stats": stats}, {"dropout": key}
        ask = functools.partial(avct_inputs.predict, with_rest=with_rest, train=True)
        with grad_accumulation.rematerialised(BLOCKS, enabled=self.compute.remat):
            found, updates = self.network.apply(
                variables, seen, reference, method=ask, rngs=rngs, mutable=["batch_stats"]
            )
        return found, updates["batch_stats"]

    def answer(self, current, seen, reference) -> avct_inputs.Prediction:
        """The averaged network's."""
        ask = functools.partial(avct_inputs.predict, with_rest=True)
        found: Any = self.network.apply(
            current.network_states[PART].ema_variables, seen, reference, method=ask
        )
        return found

    def motion_terms(self, found, seen, real) -> stage.Metrics:
        if not self.config.keypoint:
            return {}
        if self.config.targets == "landmarks":
            pairs = (found.spoken, found.rest, seen.target, seen.rest)
        else:
            first = lambda m: jax.tree.map(lambda x: x[:, :1], m)
            pairs = (found.spoken, first(found.spoken), real.detected, first(real.detected))
        return keypoint_loss.losses_of(self.config, *pairs)

    def generator_terms(self, discriminator, made, real) -> stage.Metrics:
        count = len(real.mel)
        videos = (temporal_gan.as_videos(x, count) for x in (made, real.frames))
        return temporal_gan.generator_terms(
            self.discriminator_network, discriminator, *videos, weights=self.config.weights
        )


class _Portrait(NamedTuple):
    """What E_kd finds in the portraits, and what E_avct sees of them (avct.reference_of)."""

    motion: motion.Motion
    reference: Float[Array, "b f f c"]


def _dots(images, found, target):
    """Predicted keypoints in green, true ones in red, of one example's frames."""
    draw = lambda m: heatmap.gaussians(m.keypoints[0], *images.shape[1:3], variance=DOT).max(-1)
    colours = jnp.stack([draw(target), draw(found), jnp.zeros(images.shape[:3])], -1)
    return jnp.clip(images + colours, 0.0, 1.0)
