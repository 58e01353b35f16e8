"""Programs that XLA compiles quickly, for tests that run them a few times only."""

import functools

import jax


def _known(**option):
    """The option, if this XLA has it."""
    try:
        jax.jit(lambda: 0, compiler_options=option)()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return option


@functools.cache
def options():
    """Hardly optimised, and without the fusion emitters, which are half of what is left to compile."""
    return {"xla_backend_optimization_level": 0} | _known(xla_cpu_use_fusion_emitters=False)


def jit(function, **fields):
    """As jax.jit."""
    return jax.jit(function, compiler_options=options(), **fields)
