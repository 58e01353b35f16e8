"""Adam with warm-up, cosine decay and clipped gradients."""

import dataclasses

import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
      learning_rate: its peak.
      warmup: steps of linear rise.
      steps: at which the cosine has fallen to `final_share` of the peak; 0 keeps the rate constant.
      betas: of Adam; FOMM trains with (.5, .999).
      clip: largest global norm of the gradient.
    """

    learning_rate: float = 2e-4
    warmup: int = 0
    steps: int = 0
    final_share: float = 0.05
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    clip: float = 10.0


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Build the transformation that `config` describes."""
    rate = config.learning_rate
    if config.steps:
        floor = rate * config.final_share
        rate = optax.warmup_cosine_decay_schedule(
            0.0, rate, min(config.warmup, config.steps // 2), config.steps, floor
        )
    elif config.warmup:
        rate = optax.linear_schedule(0.0, rate, config.warmup)
    b1, b2 = config.betas
    adam = optax.adamw(rate, b1=b1, b2=b2, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip), adam)
