"""A stage's pure functions, compiled for the devices of a mesh."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from avct_jax.train.core import grad_accumulation, sharding
from avct_jax.train.distributed import fsdp
from avct_jax.train.stages import stage

IMAGES = ("pairs", "patches")  # kinds of batches of which most operations are convolutions
PLAIN = grad_accumulation.ComputeConfig()


class Programs(NamedTuple):
    """The stage's functions, compiled for a mesh. What they return lies whole everywhere, but for a state."""

    step: Callable[..., Any]
    eval_step: Callable[..., Any]
    image: Callable[..., Any] | None


def compile_stage(
    made: stage.Stage,
    mesh: jax.sharding.Mesh,
    compute: grad_accumulation.ComputeConfig = PLAIN,
) -> Programs:
    """Compile step, judge and image.

    The step takes one more argument, (devices,) numbers: whether a device's process was asked to stop. It
    returns their largest, so that all processes learn of it in the same step, at no further cost.
    """
    whole, parts = sharding.replicated(mesh), sharding.sliced(mesh)
    split = fsdp.is_split(mesh)
    state = fsdp.shardings(jax.eval_shape(made.initial), mesh) if split else whole

    def step(current, frozen, batch, key, asked):
        current, metrics = made.step(fsdp.gathered(current, mesh, ("params",)), frozen, batch, key)
        return current, (metrics, asked.max())

    def ready(function):
        return (lambda current, *more: function(fsdp.gathered(current, mesh), *more)) if split else function

    taken = (state, whole, parts, whole)
    options = compute.compiler_options(mesh.devices.flat[0].platform, images=made.kind in IMAGES)
    return Programs(
        jax.jit(
            step,
            donate_argnums=0,
            in_shardings=(*taken, parts),
            out_shardings=(state, whole),
            compiler_options=options or None,
        ),
        jax.jit(ready(made.eval_step), in_shardings=taken, out_shardings=whole),
        jax.jit(ready(made.image), in_shardings=taken[:3], out_shardings=whole) if made.image else None,
    )
