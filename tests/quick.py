"""Programs that XLA compiles quickly, for tests that run them a few times only."""

import jax

# Not xla_cpu_use_fusion_emitters=False, though it halves what is left: gradients came out wrong by a tenth.
OPTIONS = {"xla_backend_optimization_level": 0}


def jit(function, **fields):
    """As jax.jit, hardly optimised."""
    return jax.jit(function, compiler_options=OPTIONS, **fields)
