"""GFLOP/s of a convolution and its two gradients on this machine, computed in several ways, beside torch's.

  python scripts/benchmarks/convolution_gradient.py --json conv.json     about two minutes

What cpu_conv.py does was chosen by this. The shapes are those of the networks' convolutions; all ways
take turns, and the fastest turn counts. `ours` is cpu_conv, forward and backward; the others are tried for
the kernel's gradient only:

  taps      a product of pixels for each place of the kernel, in the layout that images have (NHWC)
  planes    the same with channels first, the images transposed once
  patches   all places side by side, and one product
  exchanged XLA's convolution with the axes of batch and channels exchanged by transposing the arrays
  layout    the same by dimension numbers
"""

import argparse
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.layers.convolution import cpu_conv

PATCH_BYTES = 1 << 30  # patches larger than this are not tried


class Layer(NamedTuple):
    """A convolution.

    Attributes:
      name: where it is.
      size: of the square images that go in.
    """

    name: str
    batch: int
    size: int
    inputs: int
    outputs: int
    kernel: int = 3
    padding: int = 1

    @property
    def result(self) -> int:
        return self.size + 2 * self.padding - self.kernel + 1

    @property
    def gflop(self) -> float:
        return 2e-9 * self.batch * self.result**2 * self.kernel**2 * self.inputs * self.outputs


LAYERS = (
    Layer("PAPER first", 2, 256, 3, 64, 7, 3),
    Layer("PAPER down", 1, 256, 64, 128),
    Layer("PAPER down", 1, 128, 128, 256),
    Layer("PAPER bottleneck", 2, 64, 256, 256),
    Layer("PAPER up", 1, 256, 128, 64),
    Layer("PAPER last", 2, 256, 64, 3, 7, 3),
    Layer("PAPER heads", 6, 64, 35, 40, 7, 0),
    Layer("hourglass", 2, 32, 128, 256),
    Layer("hourglass", 2, 8, 512, 1024),
    Layer("hourglass", 2, 4, 1024, 1024),
    Layer("hourglass", 2, 2, 1024, 1024),
    Layer("LITE first", 8, 128, 3, 32, 5, 2),
    Layer("LITE down", 8, 128, 32, 48),
    Layer("LITE hourglass", 8, 64, 16, 32),
    Layer("VGG", 1, 256, 64, 64),
    Layer("VGG", 2, 32, 512, 512),
    Layer("patch discriminator", 2, 125, 64, 128, 4, 0),
    Layer("sync discriminator", 8, 48, 32, 64, 5, 2),
)


def xla_forward(layer: Layer, x: Any, kernel: Any) -> Any:
    pads = [(layer.padding, layer.padding)] * 2
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=cpu_conv.DIMENSIONS)


def xla_dx(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    return jax.linear_transpose(lambda x: xla_forward(layer, x, kernel), x)(g)[0]


def xla_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    return jax.linear_transpose(lambda kernel: xla_forward(layer, x, kernel), kernel)(g)[0]


def _shifted(layer: Layer, x: Any, g: Any) -> list[Any]:
    p, (h, w), places = layer.padding, g.shape[1:3], range(layer.kernel)
    x = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    return [x[:, i : i + h, j : j + w] for i in places for j in places]


def taps_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    products = [jnp.einsum("bhwc,bhwd->cd", shifted, g) for shifted in _shifted(layer, x, g)]
    return jnp.stack(products).reshape(kernel.shape)


def planes_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    planes = [s.transpose(3, 0, 1, 2).reshape(layer.inputs, -1) for s in _shifted(layer, x, g)]
    return jnp.stack([plane @ g.reshape(-1, layer.outputs) for plane in planes]).reshape(kernel.shape)


def patches_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    patches = jnp.concatenate(_shifted(layer, x, g), -1).reshape(-1, layer.kernel**2 * layer.inputs)
    return (patches.T @ g.reshape(-1, layer.outputs)).reshape(kernel.shape)


def exchanged_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    result = xla_forward(layer, x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3))
    return result.transpose(1, 2, 0, 3)


def layout_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    pads = [(layer.padding, layer.padding)] * 2
    numbers = ("CHWN", "IHWO", "HWNC")
    return jax.lax.conv_general_dilated(x, g, (1, 1), pads, dimension_numbers=numbers)


def ours_forward(layer: Layer, x: Any, kernel: Any) -> Any:
    return cpu_conv.convolve(x, kernel, (layer.padding, layer.padding))


def ours_dx(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    return jax.linear_transpose(lambda x: ours_forward(layer, x, kernel), x)(g)[0]


def ours_dw(layer: Layer, x: Any, kernel: Any, g: Any) -> Any:
    return jax.linear_transpose(lambda kernel: ours_forward(layer, x, kernel), kernel)(g)[0]


WAYS: dict[str, dict[str, Callable[..., Any]]] = {
    "forward": {"XLA": lambda layer, x, k, g: xla_forward(layer, x, k)}
    | {"ours": lambda layer, x, k, g: ours_forward(layer, x, k)},
    "dx": {"XLA": xla_dx, "ours": ours_dx},
    "dw": {
        "XLA": xla_dw,
        "taps": taps_dw,
        "planes": planes_dw,
        "patches": patches_dw,
        "exchanged": exchanged_dw,
        "layout": layout_dw,
        "ours": ours_dw,
    },
}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="layers whose name contains this")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    found = []
    print(f"GFLOP/s on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, jax {jax.__version__}")
    for layer in LAYERS:
        if options.only and options.only not in layer.name:
            continue
        rates = measure(layer, options.rounds)
        found.append(layer._asdict() | {"rates": rates})
        print(f"\n{describe(layer)}")
        for direction, ways in rates.items():
            print(
                f"  {direction:8}" + "".join(f"{way:>10} {rate:4.0f}" for way, rate in ways.items()),
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def describe(layer: Layer) -> str:
    """A line about a layer."""
    k, s = layer.kernel, layer.size
    return f"{layer.name}: {k}x{k}, {layer.inputs} to {layer.outputs} channels, {layer.batch} of {s}x{s}"


def measure(layer: Layer, rounds: int) -> dict[str, dict[str, float]]:
    """GFLOP/s by direction and way."""
    random = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(random.standard_normal(shape, np.float32))
    b, k = layer.batch, layer.kernel
    x, kernel = draw(b, layer.size, layer.size, layer.inputs), draw(k, k, layer.inputs, layer.outputs)
    arrays = (x, kernel, draw(b, layer.result, layer.result, layer.outputs))
    programs: dict[tuple[str, str], Callable[[], Any]] = {}
    for direction, ways in WAYS.items():
        wanted = None
        for name, way in ways.items():
            if name == "patches" and 4 * b * layer.result**2 * k * k * layer.inputs > PATCH_BYTES:
                continue
            program = jax.jit(functools.partial(way, layer))
            answer = program(*arrays)
            wanted = answer if wanted is None else wanted
            assert jnp.abs(answer - wanted).max() < 1e-4 * jnp.abs(wanted).max(), (layer, direction, name)
            programs[direction, name] = lambda p=program: jax.block_until_ready(p(*arrays))
    programs |= torch_programs(layer, *arrays)
    fastest = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for key, program in programs.items():
            begin = time.perf_counter()
            program()
            fastest[key] = min(fastest[key], time.perf_counter() - begin)
    rates: dict[str, dict[str, float]] = {direction: {} for direction in WAYS}
    for (direction, name), seconds in fastest.items():
        rates[direction][name] = layer.gflop / seconds
    return rates


def torch_programs(layer: Layer, x: Any, kernel: Any, g: Any) -> dict[tuple[str, str], Callable[[], Any]]:
    """Torch's own, in its layout; none where there is no torch."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    nchw = lambda a: torch.from_numpy(np.array(np.moveaxis(np.asarray(a), -1, 1)))
    tx, tg = nchw(x).requires_grad_(), nchw(g)
    tk = torch.from_numpy(np.array(np.asarray(kernel).transpose(3, 2, 0, 1))).requires_grad_()
    y = torch.nn.functional.conv2d(tx, tk, padding=layer.padding)

    def forward():
        with torch.no_grad():
            return torch.nn.functional.conv2d(tx, tk, padding=layer.padding)

    gradient = lambda of: torch.autograd.grad(y, of, tg, retain_graph=True)
    return {
        ("forward", "torch"): forward,
        ("dx", "torch"): lambda: gradient(tx),
        ("dw", "torch"): lambda: gradient(tk),
    }


if __name__ == "__main__":
    main()
