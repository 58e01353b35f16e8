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


SMALL = 12  # operations
WITHOUT_EFFORT = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}


def compile_small_programs_without_effort():
    """What jax.numpy does outside of jit is a program each: thousands of them, 28 ms of compiling, so 16."""
    compiler = jax._src.compiler  # private: where it is otherwise, tests take longer
    if not hasattr(compiler, "compile_or_get_cached"):
        return
    compile_any = compiler.compile_or_get_cached

    def compile_one(backend, computation, devices, options, *rest, **named):
        blocks = [
            block for x in computation.body.operations for region in x.regions for block in region.blocks
        ]
        if sum(len(block.operations) for block in blocks) <= SMALL:
            options.env_option_overrides = [*options.env_option_overrides, *WITHOUT_EFFORT.items()]
        return compile_any(backend, computation, devices, options, *rest, **named)

    compiler.compile_or_get_cached = compile_one
