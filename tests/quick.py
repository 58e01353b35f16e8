"""Programs that XLA compiles quickly, for tests that run them a few times only."""

import jax

OPTIONS = {"xla_backend_optimization_level": 0}
# Half of what is left; but some gradients come out wrong by a tenth.
WIRING = OPTIONS | {"xla_cpu_use_fusion_emitters": False}
# Twice the time of compiling, a third of running.
REPEATED = {"xla_backend_optimization_level": 1}


def jit(function, **fields):
    """As jax.jit, hardly optimised."""
    return jax.jit(function, compiler_options=OPTIONS, **fields)


def jit_wiring(function, **fields):
    """As jit in half of the time, where a tenth of a gradient does not count: who learns, what falls."""
    return jax.jit(function, compiler_options=WIRING, **fields)


def jit_repeated(function, **fields):
    """As jit, for programs that run dozens of times."""
    return jax.jit(function, compiler_options=REPEATED, **fields)
