"""Gradients of a batch too large for memory: taken in parts, averaged, applied once; or computed twice."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Gradients = Callable[[Any, Any, Any], tuple[Any, Any, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """How a step is computed; none of it changes what is learned, but for rounding and batch statistics.

    Attributes:
      dtype: of activations; parameters, statistics, losses and the optimiser stay float32.
      remat: compute activations again in the backward pass instead of keeping them: less memory, about a
        third more work.
      microbatches: parts in which a batch's gradients are taken, one after the other (gradient accumulation).
        Batch statistics are those of a part.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    microbatches: int = 1

    @property
    def activations(self) -> Any:
        """What networks take as `dtype`: None leaves float32 alone."""
        return None if self.dtype == "float32" else jnp.dtype(self.dtype)

    def compiler_options(self, platform: str) -> dict[str, str]:
        """What `jax.jit` needs to be told for these settings to take effect.

        Args:
          platform: "cpu", "gpu" or "tpu".
        """
        # XLA for CPU takes the barriers out before it orders the program, and then computes everything
        # twice at the beginning: no memory is saved (jax 0.10).
        spared = self.remat and platform == "cpu"
        return {"xla_disable_hlo_passes": "cse_barrier_expander"} if spared else {}


def accumulate(
    gradients_of: Gradients, batch_stats: Any, batch: Any, key: Any, *, microbatches: int = 1
) -> tuple[Any, Any, dict[str, Any]]:
    """Average gradients and metrics over the parts of a batch; batch statistics pass from part to part.

    Args:
      gradients_of: (batch_stats, batch, key) -> (gradients, batch_stats, metrics), all of them trees.
      batch: a tree of arrays whose first axis is the batch's.
    Raises:
      ValueError: the batch cannot be divided so.
    """
    if microbatches == 1:
        return gradients_of(batch_stats, batch, key)
    size = len(jax.tree.leaves(batch)[0])
    if size % microbatches:
        raise ValueError(
            f"batch size {size} must be a multiple of microbatches {microbatches}; choose another of the two"
        )

    # Every microbatch-th example: each part keeps its share of every device.
    def deal(x):
        return x.reshape(size // microbatches, microbatches, *x.shape[1:]).swapaxes(0, 1)

    def add(carry, part):
        stats, total = carry
        gradients, stats, metrics = gradients_of(stats, *part)
        return (stats, jax.tree.map(jnp.add, total, (gradients, metrics))), None

    parts = (jax.tree.map(deal, batch), jax.random.split(key, microbatches))
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(gradients_of, batch_stats, *first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[2]))
    (batch_stats, total), _ = jax.lax.scan(add, (batch_stats, zeros), parts)
    gradients, metrics = jax.tree.map(lambda x: x / microbatches, total)
    return gradients, batch_stats, metrics


@contextlib.contextmanager
def rematerialised(kinds: tuple[type[nn.Module], ...], *, enabled: bool = True):
    """Within this context, modules of these kinds keep only their inputs for the backward pass.

    The models know nothing of it. Of modules inside one another the outer one counts.
    """
    inside = not enabled

    def intercept(call, args, kwargs, context):
        nonlocal inside
        if inside or context.method_name != "__call__" or not isinstance(context.module, kinds):
            return call(*args, **kwargs)
        inside = True
        try:
            # Keyword arguments, `train` among them, stay Python values.
            return nn.remat(lambda module, *inputs: module(*inputs, **kwargs))(context.module, *args)
        finally:
            inside = False

    with nn.intercept_methods(intercept):
        yield
