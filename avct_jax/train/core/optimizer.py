"""Adam and AdamW: rates that rise, hold and fall, clipped gradients, and the moving average's pace."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
      learning_rate: its peak.
      warmup: steps of linear rise; at most half of `steps`.
      steps: of the whole run, by which the schedule falls; 0 keeps the rate constant, but `avct train`
        puts its --steps there.
      schedule: "cosine" falls to `final_share` of the peak at `steps`; "multistep" takes a tenth of the rate
        at each of `milestones`; "constant".
      milestones: shares of `steps`; FOMM: after 60 and 90 of 100 epochs.
      betas: of Adam; FOMM trains with (0.5, 0.999).
      weight_decay: 0: none.
      decoupled: weights decay as AdamW's (Loshchilov and Hutter, 2019), by the rate; else the decay is added
        to the gradient before Adam's moments: L2 regularisation, the `weight_decay` of torch.optim.Adam.
      decay_all: biases and the gains of norms decay too, as torch's do unless told otherwise; else only what
        is more than a vector.
      clip: largest global norm of a network's gradient; 0: none, as FOMM.
    """

    learning_rate: float = 2e-4
    warmup: int = 0
    steps: int = 0
    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    final_share: float = 0.05
    milestones: tuple[float, ...] = (0.6, 0.9)
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    decoupled: bool = True
    decay_all: bool = True
    clip: float = 10.0


def make_optimizer(config: OptimizerConfig, *, scale: float = 1.0) -> optax.GradientTransformation:
    """Build the transformation that `config` describes.

    Args:
      scale: factor on the learning rate, for one network among others.
    """
    b1, b2 = config.betas
    rate = make_schedule(dataclasses.replace(config, learning_rate=config.learning_rate * scale))
    decay = optax.add_decayed_weights(config.weight_decay, mask=None if config.decay_all else _are_kernels)
    adam = optax.scale_by_adam(b1=b1, b2=b2)
    rules = [adam, decay] if config.decoupled else [decay, adam]
    whole = optax.chain(*rules, optax.scale_by_learning_rate(rate))
    return optax.chain(optax.clip_by_global_norm(config.clip), whole) if config.clip else whole


def _are_kernels(params: Any) -> Any:
    """Which parameters are more than a vector: not biases, and not the gains of norms."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


def make_schedule(config: OptimizerConfig) -> optax.Schedule:
    """The learning rate by step."""
    rate = config.learning_rate
    warmup = min(config.warmup, config.steps // 2) if config.steps else config.warmup
    if config.steps and config.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0 if warmup else rate, rate, warmup, config.steps, rate * config.final_share
        )
    if config.steps and config.schedule == "multistep":
        falls = {max(1, round(share * config.steps) - warmup): 0.1 for share in config.milestones}
        held = optax.piecewise_constant_schedule(rate, falls)
    else:
        held = optax.constant_schedule(rate)
    return (
        optax.join_schedules([optax.linear_schedule(0.0, rate, warmup), held], [warmup]) if warmup else held
    )


def ema_decay_at(decay: float, step: Any) -> Float[Array, ""]:
    """Share of the moving average that step number `step` keeps.

    In its first steps an average forgets faster, min(decay, (1 + step) / (10 + step)): otherwise it would
    hold on to random weights for 1 / (1 - decay) steps.
    """
    return jnp.minimum(decay, (1.0 + step) / (10.0 + step))
