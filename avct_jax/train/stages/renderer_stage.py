"""E_kd and E_r learned from pairs of frames of one clip, as the First Order Motion Model."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from avct_jax import errors
from avct_jax.models import renderer, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation
from avct_jax.train.core import grad_accumulation, init_params, optimizer, train_state
from avct_jax.train.monitoring import overlay
from avct_jax.train.stages import renderer_forward, stage

RendererStageConfig = renderer_forward.RendererStageConfig
Frozen = renderer_forward.RendererFrozen
DETECTOR, DISCRIMINATOR = renderer_forward.DETECTOR, renderer_forward.DISCRIMINATOR


def make_stage(
    system: system_config.SystemConfig,
    config: RendererStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    init: Mapping[str, Any] | None = None,
    perceptual: vgg.PerceptualNetwork | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the renderer stage.

    Metrics are the terms before their weights; `total` is their weighted sum.

    Args:
      init: variables to begin from, by part; of the detector too, where it is not trained.
      perceptual: the VGG, where that loss has a weight.
      seed: of what is random at first.

    Raises:
      UserError: settings that cannot train, or something needed is missing.
    """
    _check(config, perceptual)
    plan = renderer_forward.RendererPlan(system, config, compute)
    detector = None if config.train_detector else init_params.frozen(DETECTOR, init)
    frozen = Frozen(detector, perceptual if config.wants_vgg else None)
    scales = {DETECTOR: config.detector_rate, DISCRIMINATOR: config.discriminator_rate}
    rules = {
        name: optimizer.make_optimizer(rule, scale=scales.get(name, 1.0)) for name in plan.network_states
    }

    def begin() -> train_state.TrainState:
        make = lambda name: init_params.begin(name, init, lambda: plan.random(name, seed))
        network_states = {
            name: train_state.make_network_state(make(name), rules[name]) for name in plan.network_states
        }
        return train_state.TrainState(jnp.zeros((), jnp.int32), network_states)

    return stage.Stage(
        "renderer",
        "pairs",
        step=lambda *arguments: _step(plan, rules, *arguments),
        eval_step=lambda *arguments: _evaluate(plan, *arguments),
        image=lambda *arguments: _image(plan, *arguments),
        initial=begin,
        frozen=frozen,
        export=lambda current: {
            name: network_state.ema_variables for name, network_state in current.network_states.items()
        },
    )


def _check(config, perceptual):
    if config.wants_vgg and perceptual is None:
        weight = config.perceptual or config.mouth_perceptual
        raise errors.UserError(
            f"perceptual weight {weight} needs VGG weights; name their file, or set it to 0"
        )
    if not config.weights:
        raise errors.UserError("every loss has weight 0; give one of perceptual, l1 or landmarks a weight")
    if config.train_detector and config.teach and not (config.landmarks or config.warps):
        raise errors.UserError(
            "with teach, rendering teaches the detector nothing; give landmarks or equivariance a weight, or "
            "freeze the detector"
        )
    if config.painted and not (config.l1 or config.mouth):
        raise errors.UserError(f"painted {config.painted} repeats l1 and mouth, which are 0; set one of them")


def _step(plan, rules, current, frozen, batch, key):
    keys = jax.random.split(jax.random.fold_in(key, current.step), len(batch.source))
    params = {name: network_state.params for name, network_state in current.network_states.items()}
    stats = {name: network_state.batch_stats for name, network_state in current.network_states.items()}

    def gradients_of(stats, part, _):
        return find_gradients(plan, params, stats, frozen, *part)

    # A key for each example: what is drawn does not hang on the number of parts.
    found, stats, metrics = grad_accumulation.accumulate(
        gradients_of, stats, (batch, keys), key, microbatches=plan.compute.microbatches
    )
    after, norm = train_state.advance(current, found, stats, rules, ema_decay=plan.config.ema_decay)
    return after, metrics | norm


def find_gradients(plan, params, stats, frozen, batch, keys):
    """Gradients, statistics and metrics of one part of a batch: both sides of the game, if there is one."""
    taught = {name: p for name, p in params.items() if name != DISCRIMINATOR}

    def loss(taught):
        variables = {n: {"params": p, "batch_stats": stats[n]} for n, p in (params | taught).items()}
        outcome = renderer_forward.forward(plan, variables, frozen, batch, keys, train=True)
        return losses.total(plan.config.weights, outcome.terms), (
            outcome.terms,
            outcome.batch_stats,
            outcome.shown,
        )

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    (total, (metrics, updated, shown)), found = value_and_grad(taught)
    metrics = metrics | {"total": total}
    if shown is not None:

        def discriminator_loss(params):
            variables = {"params": params, "batch_stats": stats[DISCRIMINATOR]}
            both, changes = plan.discriminator.apply(
                variables, jax.lax.stop_gradient(shown), train=True, mutable=["batch_stats"]
            )
            real, fake = jnp.split(both[0], 2)
            return losses.gan_discriminator(real, fake), changes.get("batch_stats", {})

        (value, changes), own = jax.value_and_grad(discriminator_loss, has_aux=True)(params[DISCRIMINATOR])
        metrics = metrics | {"gan_discriminator": value}
        found, updated = found | {DISCRIMINATOR: own}, updated | {DISCRIMINATOR: changes}
    return found, updated, metrics


def _evaluate(plan, current, frozen, batch, key):
    """The averaged networks' terms on a batch; l1_still is the error of showing the source itself."""
    del key
    variables = {name: network_state.ema_variables for name, network_state in current.network_states.items()}
    outcome = renderer_forward.forward(plan, variables, frozen, batch, None, train=False)
    if outcome.frame is None:
        return outcome.terms
    target = outcome.seen.target
    still = image_augmentation.resize(outcome.seen.source, plan.size)
    still = image_augmentation.repeat(still, len(target) // len(still))
    plain = {
        "l1": losses.mean_absolute(outcome.frame - target),
        "l1_still": losses.mean_absolute(still - target),
    }
    return outcome.terms | plain


def _image(plan, current, frozen, batch):
    """Each source driven by its last driving frame, at full size, and how that came about."""
    size = plan.system.image_size
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, output_size=0))
    last = jax.tree.map(lambda x: x[:, -1:], (batch.driving, batch.driving_motion))
    batch = batch._replace(driving=last[0], driving_motion=last[1])
    variables = {name: network_state.ema_variables for name, network_state in current.network_states.items()}
    outcome = renderer_forward.forward(plan, variables, frozen, batch, None, train=False)
    seen, found, made = outcome.seen, outcome.found, outcome.made
    # Taught, the renderer follows the landmarks: what it is told is what is shown.
    told = seen.driving_motion if found.driving is None or plan.config.teach else found.driving
    # An OrderedDict: jit sorts the names of a plain one.
    shown = collections.OrderedDict()
    shown["source"] = seen.source
    shown["source_keypoints"] = overlay.keypoints(seen.source, found.source.keypoints)
    shown["driving"] = seen.target
    shown["driving_keypoints"] = overlay.keypoints(seen.target, told.keypoints[:, 0])
    if made is None:
        return shown
    shown["warp"] = overlay.moved(seen.source, made.dense_motion.deformation)
    shown["occlusion"] = overlay.grey(made.dense_motion.occlusion_map, size)
    if made.keep is not None:
        shown["keep"] = overlay.grey(made.keep, size)
        shown["painted"] = renderer.resize_bilinear(made.painted, size, size)
    shown["result"] = made.frame
    return shown
