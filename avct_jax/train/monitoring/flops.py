"""Operations of a program, counted in its text; and the most that devices can do.

Convolutions and matrix products alone are counted, two operations a multiplication, as is usual for MFU
(Chowdhery et al., JMLR 2023). XLA's own count (`cost_analysis`) takes the body of a loop once, and on GPUs
leaves out what is computed by libraries.
"""

import math
from typing import Any

import jax
from jax.extend import core

# Dense TFLOP/s of (bfloat16, float32 as JAX computes it by default: TF32 on GPUs, bfloat16 on TPUs), from the
# makers' data sheets; the first name that a device's kind contains counts.
PEAKS = {
    "h100 pcie": (756.0, 378.0),
    "h100 nvl": (835.0, 418.0),
    "h100": (989.0, 494.0),
    "h200": (989.0, 494.0),
    "b200": (2250.0, 1125.0),
    "a100": (312.0, 156.0),
    "l40s": (362.0, 183.0),
    "l4": (121.0, 60.0),
    "rtx 4090": (165.0, 82.6),
    "tpu v4": (275.0, 275.0),
    "tpu v5 lite": (197.0, 197.0),
    "tpu v5e": (197.0, 197.0),
    "tpu v5": (459.0, 459.0),
    "tpu v6": (918.0, 918.0),
}


def peak(device: Any, dtype: str = "float32") -> float:
    """FLOP/s that a device can reach in products of "float32" or "bfloat16"; 0: not known."""
    kind = device.device_kind.lower()
    found = next((rates for name, rates in PEAKS.items() if name in kind), (0.0, 0.0))
    return 1e12 * found[dtype == "float32"]


class Utilisation:
    """Model FLOPs utilisation (MFU): what a run's step does a second, of the most that its devices can."""

    def __init__(self, mesh: jax.sharding.Mesh, dtype: str, peak_tflops: float = 0.0):
        """Find the most that a mesh can do.

        Args:
          dtype: of activations.
          peak_tflops: 1e12 FLOP/s of a device; 0: by its kind. Where that is not known nothing is told.
        """
        self._peak = mesh.size * (1e12 * peak_tflops or peak(mesh.devices.flat[0], dtype))
        self._flops = 0.0

    def learn(self, program: Any, *arguments: Any) -> None:
        """Count the step's operations; `arguments` are as it was called with."""
        if self._peak:
            self._flops = of_call(program, *arguments)

    def row(self, step_seconds: float) -> dict[str, float]:
        """The metric, where it is known."""
        return {"mfu": self._flops / step_seconds / self._peak} if self._flops else {}


def count(program: Any) -> float:
    """FLOPs of a jaxpr, closed or open.

    A loop's body counts as often as it runs; that of a `while` whose end is not known, once. Of a condition's
    branches the largest counts.
    """
    return sum(map(_of_equation, getattr(program, "jaxpr", program).eqns), 0.0)


def of_call(program: Any, *arguments: Any) -> float:
    """FLOPs of one call of a function that jax.jit made, over all devices."""
    return count(program.trace(*arguments).jaxpr)


def _of_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        depth = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
        return 2.0 * depth * equation.outvars[0].aval.size
    if name == "conv_general_dilated":
        return _of_convolution(equation)
    if name == "convolution_by_products":  # layers/convolution/cpu_conv.py: kernels are HWIO
        return 2.0 * equation.outvars[0].aval.size * math.prod(equation.invars[1].aval.shape[:3])
    inner = [count(p) for p in core.jaxprs_in_params(params)]
    if name == "scan":
        return params["length"] * sum(inner)
    return max(inner, default=0.0) if name == "cond" else sum(inner, 0.0)


def _of_convolution(equation: Any) -> float:
    out_feature, in_feature = (equation.params["dimension_numbers"].rhs_spec[i] for i in (0, 1))
    kernel = equation.invars[1].aval.shape
    taps = kernel[in_feature] * math.prod(
        n for i, n in enumerate(kernel) if i not in (out_feature, in_feature)
    )
    # Zeros between the pixels of what is spread out are not multiplied.
    return 2.0 * equation.outvars[0].aval.size * taps / math.prod(equation.params["lhs_dilation"])
