"""E_h learned from one speaker's pose sequences: L1 of every pose, and once more of the first."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.data.dataset import batch_types
from avct_jax.layers import resnet
from avct_jax.layers.geometry import pose_image
from avct_jax.models import head_motion, networks, system_config
from avct_jax.train import losses
from avct_jax.train.core import grad_accumulation, init_params, optimizer, train_state
from avct_jax.train.stages import stage

PART = "head_motion"
RANGE = 0.95  # of the network's, within which varied poses are kept


@dataclasses.dataclass(frozen=True)
class HeadMotionStageConfig:
    """Weights and variations. The defaults are the paper's; a small network needs the variations.

    Attributes:
      first_weight: of the first pose's error (Wang et al., AAAI 2022, "Training Details").
      speed: weight of the error of frame-to-frame changes, which a head at rest does not satisfy.
      shift: largest change of translation, and turn: of rotation, of a whole stretch, as shares of the
        network's range: a portrait may look anywhere.
      noise: of the audio features, in their standard deviations.
      ema_decay: share of the parameters' moving average kept each step.
    """

    first_weight: float = 1.0
    speed: float = 0.0
    shift: float = 0.0
    turn: float = 0.0
    noise: float = 0.0
    ema_decay: float = 0.999


def make_stage(
    system: system_config.SystemConfig,
    config: HeadMotionStageConfig,
    rule: optimizer.OptimizerConfig,
    compute: grad_accumulation.ComputeConfig,
    *,
    init: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> stage.Stage:
    """Build the stage "head-motion".

    Args:
      init: variables to begin from, by part; random where absent.
      seed: of what is random at first.
    """
    network = networks.build(system, compute.activations).head_motion
    adam = optimizer.make_optimizer(rule)

    def step(current, frozen, batch, key):
        del frozen
        network_state = current.network_states[PART]
        key = jax.random.fold_in(key, current.step)

        def gradients_of(stats, part, _):
            audio, poses = part

            def loss_fn(params):
                variables = {"params": params, "batch_stats": stats}
                found, updated = predict(network, variables, audio, poses, remat=compute.remat)
                metrics = pose_losses(config, found, poses)
                return metrics["total"], (metrics, updated)

            grads, (metrics, updated) = jax.grad(loss_fn, has_aux=True)(network_state.params)
            return grads, updated, metrics

        grads, stats, metrics = grad_accumulation.accumulate(
            gradients_of,
            network_state.batch_stats,
            vary(config, batch, key),
            key,
            microbatches=compute.microbatches,
        )
        after, norm = train_state.advance(
            current, {PART: grads}, {PART: stats}, {PART: adam}, ema_decay=config.ema_decay
        )
        return after, metrics | norm

    def eval_step(current, frozen, batch, key):
        del frozen, key
        poses = head_motion.to_network_range(jnp.asarray(batch.poses))
        found = _ema_variables(network, current, batch.audio, poses)
        off = jnp.abs(head_motion.to_real_units(found) - batch.poses)
        real = {"rotation_rad": off[..., :3].mean(), "translation_mm": off[..., 3:].mean()}
        return pose_losses(config, found, poses) | real

    def image(current, frozen, batch):
        del frozen
        poses = head_motion.to_network_range(jnp.asarray(batch.poses[:1]))
        found = head_motion.to_real_units(_ema_variables(network, current, batch.audio[:1], poses))
        draw = lambda poses: jnp.repeat(pose_image.draw_pose_boxes(poses)[..., None] / 255, 3, -1)
        return {"real": draw(jnp.asarray(batch.poses[0])), "predicted": draw(found[0])}

    def initial():
        make = functools.partial(networks.init, system, PART, jax.random.key(seed))
        return train_state.make_state({PART: init_params.begin(PART, init, make)}, adam)

    export = lambda current: {PART: current.network_states[PART].ema_variables}
    return stage.Stage("head-motion", "poses", step, eval_step, image, initial, {}, export)


def pose_losses(
    config: HeadMotionStageConfig, found: Float[Array, "b t 6"], poses: Float[Array, "b t 6"]
) -> dict[str, Float[Array, ""]]:
    """The terms that E_h minimises, before their weights, and their `total`; poses in network range."""
    terms = {
        "pose": losses.pose_l1(found, poses, first_weight=config.first_weight),
        "speed": losses.mean_absolute(jnp.diff(found - poses, axis=1)),
    }
    return terms | {"total": losses.total({"pose": 1.0, "speed": config.speed}, terms)}


def predict(
    network: head_motion.HeadMotion,
    variables: Mapping[str, Any],
    audio: Float[Array, "b t 4 columns"],
    poses: Float[Array, "b t 6"],
    *,
    remat: bool = False,
) -> tuple[Float[Array, "b t 6"], Any]:
    """Predict all t poses from the image of the first and the audio; also the new batch statistics.

    The audio of frame i leads to pose i + 1, as in the released network.

    Args:
      poses: in network range; only the first is seen.
    """
    box = pose_image.draw_pose_boxes(head_motion.to_real_units(poses[:, 0]))
    with grad_accumulation.rematerialised((resnet.BasicBlock,), enabled=remat):
        found, updates = network.apply(variables, box, audio[:, :-1], train=True, mutable=["batch_stats"])
    return found, updates["batch_stats"]


def vary(
    config: HeadMotionStageConfig, batch: batch_types.Poses, key: Array
) -> tuple[Float[Array, "b t 4 columns"], Float[Array, "b t 6"]]:
    """Other places and directions of the head, and a less exact audio; poses in network range."""
    audio, poses = jnp.asarray(batch.audio), head_motion.to_network_range(jnp.asarray(batch.poses))
    keys = jax.random.split(key)
    if config.turn or config.shift:
        reach = jnp.array([config.turn] * 3 + [config.shift] * 3).reshape(1, 1, 6)
        moved = reach * jax.random.uniform(keys[0], (len(poses), 1, 6), minval=-1, maxval=1)
        poses = jnp.clip(poses + moved, -RANGE, RANGE)
    if config.noise:
        spread = audio.std((0, 1, 2)).reshape(1, 1, 1, -1)
        audio = audio + config.noise * spread * jax.random.normal(keys[1], audio.shape)
    return audio, poses


def _ema_variables(network, current, audio, poses) -> Any:
    box = pose_image.draw_pose_boxes(head_motion.to_real_units(poses[:, 0]))
    return network.apply(current.network_states[PART].ema_variables, box, jnp.asarray(audio)[:, :-1])
