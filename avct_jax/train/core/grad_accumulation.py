"""Gradients of a batch too large for memory: taken in parts, averaged, applied once; or computed twice."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

# What XLA for CPU gives to YNNPACK: no convolutions, for there they take one core, those of Eigen take all.
LIBRARY, PRODUCTS = "xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
Gradients = Callable[[Any, Any, Any], tuple[Any, Any, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """How a step is computed. What is learned is the same but for rounding and what `microbatches` says.

    Attributes:
      dtype: of activations; parameters, statistics, losses and the optimiser stay float32, and so do the
        layers that a network ends in (E_r's image, dense motion's masks, E_h's LSTM and pose).
      remat: compute activations again in the backward pass instead of keeping them: less memory, about a
        third more work.
      microbatches: parts in which a batch's gradients are taken, one after the other (gradient accumulation).
        Examples, negatives, variations and warps stay those of the whole batch. Of each part by itself are:
        batch statistics, whose running means and spectral norm's vectors move once a part; dropout's draws;
        and the ratios of the stages phonemes and speech whose divisor counts a batch's frames. The painter
        takes its batches whole.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    microbatches: int = 1

    @property
    def activations(self) -> Any:
        """What networks take as `dtype`: None leaves float32 alone."""
        return None if self.dtype == "float32" else jnp.dtype(self.dtype)

    def compiler_options(self, platform: str, *, images: bool = False) -> dict[str, str]:
        """What `jax.jit` needs to be told for these settings to take effect.

        Args:
          platform: "cpu", "gpu" or "tpu".
          images: are most operations convolutions of images?
        """
        if platform != "cpu":
            return {}
        options = {LIBRARY: PRODUCTS} if images and _is_known(LIBRARY, PRODUCTS) else {}
        # XLA for CPU takes the barriers out before it orders the program, and then computes everything
        # twice at the beginning: no memory is saved (jax 0.10).
        return options | ({"xla_disable_hlo_passes": "cse_barrier_expander"} if self.remat else {})


@functools.cache
def _is_known(option: str, value: str) -> bool:
    """Whether this version of XLA has an option and its value; it refuses to compile by others."""
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


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

    def add(carry, part):
        stats, total = carry
        gradients, stats, metrics = gradients_of(stats, *part)
        return (stats, jax.tree.map(jnp.add, total, (gradients, metrics))), None

    parts = (_deal(batch, microbatches), jax.random.split(key, microbatches))
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(gradients_of, batch_stats, *first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[2]))
    (batch_stats, total), _ = jax.lax.scan(add, (batch_stats, zeros), parts)
    gradients, metrics = jax.tree.map(lambda x: x / microbatches, total)
    return gradients, batch_stats, metrics


def accumulate_embeddings(
    embed: Callable[[Any, Any, Any], tuple[Any, Any]],
    loss: Callable[[Any], tuple[Any, dict[str, Any]]],
    params: Any,
    batch_stats: Any,
    batch: Any,
    *,
    microbatches: int = 1,
) -> tuple[Any, Any, dict[str, Any]]:
    """Gradients of a loss that compares all examples of a batch, in the memory of a part.

    All parts are embedded, the loss is taken of the whole, and its gradient is handed back to each part,
    which is embedded once more for that (gradient caching: Gao et al., RepL4NLP 2021).

    Args:
      embed: (params, batch_stats, part) -> (embeddings, batch_stats), the same twice; trees of arrays with
        examples in front.
      loss: embeddings of the whole batch -> (loss, metrics).
      batch: a tree of arrays whose first axis is the batch's.

    Returns:
      As `accumulate`.

    Raises:
      ValueError: the batch cannot be divided so.
    """
    if microbatches == 1:

        def whole(params):
            embedded, stats = embed(params, batch_stats, batch)
            value, metrics = loss(embedded)
            return value, (stats, metrics)

        gradients, (stats, metrics) = jax.grad(whole, has_aux=True)(params)
        return gradients, stats, metrics

    parts = _deal(batch, microbatches)
    swap = lambda stats, part: embed(params, stats, part)[::-1]
    batch_stats, embedded = jax.lax.scan(swap, batch_stats, parts)
    together = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), embedded)
    grads, metrics = jax.grad(loss, has_aux=True)(together)

    def add(total, given):
        part, grads = given
        # In training nothing hangs on running statistics.
        _, back = jax.vjp(lambda params: embed(params, batch_stats, part)[0], params)
        return jax.tree.map(jnp.add, total, back(grads)[0]), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    gradients, _ = jax.lax.scan(add, zeros, (parts, _deal(grads, microbatches)))
    return gradients, batch_stats, metrics


def _deal(batch: Any, microbatches: int) -> Any:
    """Every microbatches-th example: each part keeps its share of every device."""
    chex.assert_equal_shape_prefix(jax.tree.leaves(batch), 1)
    size = len(jax.tree.leaves(batch)[0])
    if size % microbatches:
        raise ValueError(
            f"batch size {size} must be a multiple of microbatches {microbatches}; choose another of the two"
        )
    shape = (size // microbatches, microbatches)
    return jax.tree.map(lambda x: jnp.asarray(x).reshape(*shape, *x.shape[1:]).swapaxes(0, 1), batch)


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
