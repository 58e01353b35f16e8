"""Examples per second of the mesh's training steps, the mouth painter's and E_avct's, beside PyTorch.

  python scripts/benchmarks/mesh_step.py --json mesh.json         at the sizes and batches of `--preset lite`

Both sides have the same networks, losses and rules (mesh_torch.py); begun with the same weights, they show
and predict the same, which is checked first. In one process they and a float32 matrix product take turns, and
medians count. The painter is timed as it is before its discriminator is asked, and after. Ours alone also
unpacks 8-bit patches, varies their light, lends codes, and keeps a moving average of the weights.
"""

import argparse
import json
import os
import pathlib
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mesh_torch
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import training_step

from avct_jax import speech_format
from avct_jax.models.mesh import mouth_painter, mouth_patch, speech_motion
from avct_jax.presets import painter as painter_presets
from avct_jax.presets import speech as speech_presets
from avct_jax.train.mesh_stages import painter_stage, patch_source, speech_stage

PEOPLE = 100
NEAR = 1e-3  # by which what is shown or predicted may differ
Sides = dict[str, Callable[[], Any]]


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    found = {name: measure(sides, options.rounds) for name, sides in all_sides().items()}
    report = {**training_step.surroundings(options.rounds), "steps": found}
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def all_sides() -> dict[str, tuple[int, Sides]]:
    """Both sides of each step, and its batch."""
    painter, speech = painter_presets.LITE, speech_presets.LITE
    return {
        "painter": (painter.batch_size, painter_sides(painter, game=False)),
        "painter with its discriminator": (painter.batch_size, painter_sides(painter, game=True)),
        "E_avct": (speech.batch_size, speech_sides(speech)),
    }


def measure(given: tuple[int, Sides], rounds: int) -> dict[str, Any]:
    """Seconds of each side and of the matrix product, and what follows from them."""
    batch, sides = given
    seconds = training_step.take_turns({**sides, "product": training_step.product()}, rounds)
    medians = {side: statistics.median(s) for side, s in seconds.items()}
    return {
        "batch": batch,
        "seconds": seconds,
        "examples_per_second": batch / medians["ours"],
        "peer_examples_per_second": batch / medians["peer"],
        "ratio": medians["peer"] / medians["ours"],
        "machine_gflops": 2e-9 * training_step.PRODUCT**3 / medians["product"],
    }


def painter_sides(config: Any, *, game: bool) -> Sides:
    """The painter's step, ours and torch's, before or after its discriminator is asked."""
    system = config.system.mouth_painter
    made = painter_stage.make_stage(
        system, config.stage, config.optimizer, config.compute, people=PEOPLE, shipped=0
    )
    state = jax.jit(made.initial)()
    state = state.replace(
        step=jnp.asarray(config.stage.gan_from + 2 * config.stage.gan_ramp if game else 0, jnp.int32)
    )
    batch = patches(config.batch_size)
    peer = mesh_torch.PainterStep(system, config.stage, PEOPLE)
    params = jax.device_get(state.network_states["mouth_painter"].params)
    copy_painter(params, peer.painter)
    example = painter_stage.to_example(batch)
    tensors = as_tensors(example._asdict(), batch.person)
    codes = jnp.zeros((len(batch.person), system.codes))
    painting = jax.jit(lambda e: mouth_painter.paint(system, {"params": params}, e.patch, e.own, code=codes))(
        example
    )
    ours = np.asarray(mouth_painter.compose(example.patch.skin, painting))
    with torch.no_grad():
        theirs = peer.show(tensors)[0].permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - theirs).max() < NEAR, np.abs(ours - theirs).max()
    ours = training_step.compiled(made, state, config.compute)(batch)
    return {"ours": ours, "peer": lambda: peer(tensors, game=game)}


def patches(b: int) -> patch_source.PainterBatch:
    """Random patches whose mouths are open."""
    random, (height, width) = np.random.default_rng(0), mouth_patch.PATCH
    image = lambda: random.integers(0, 256, (b, height, width, 3), np.uint8)
    depth = lambda: random.integers(-60, 60, (b, height, width)).astype(np.int8)
    inside = np.zeros((b, height, width), np.uint8)
    inside[:, 28:40, 32:64] = 255
    return patch_source.PainterBatch(
        image(),
        inside,
        depth(),
        depth(),
        image(),
        image(),
        inside,
        random.integers(0, PEOPLE, b).astype(np.int32),
    )


def as_tensors(example: Mapping[str, Any], person: np.ndarray) -> dict[str, torch.Tensor]:
    """An Example for torch, NCHW."""
    patch, own = example["patch"], example["own"]
    image = lambda x: torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()
    plane = lambda x: torch.from_numpy(np.array(x))[:, None]
    return {
        "skin": image(patch.skin),
        "inside": plane(patch.inside),
        "below": plane(patch.below),
        "above": plane(patch.above),
        "own": image(own.image),
        "own_inside": plane(own.inside),
        "real": image(example["real"]),
        "person": torch.from_numpy(person.astype(np.int64)),
    }


def copy_painter(params: Mapping[str, Any], peer: mesh_torch.Painter) -> None:
    """Give torch's painter our weights; 2 x 2 pixels are folded in another order there."""
    pixels = np.arange(40).reshape(4, 10).T.reshape(-1)  # ours of each of torch's channels
    colours = np.arange(16).reshape(4, 4).T.reshape(-1)
    with torch.no_grad():
        put = lambda tensor, value: tensor.copy_(torch.from_numpy(np.array(value)))
        put(peer.canvas, params["canvas"].transpose(2, 0, 1))
        put(peer.canvas_ways, params["canvas_ways"].transpose(0, 3, 1, 2))

        def convolution(layer, name, inputs=None, outputs=None):
            kernel, bias = params[name]["kernel"].transpose(3, 2, 0, 1), params[name]["bias"]
            kernel = kernel if inputs is None else kernel[:, [*inputs, *range(len(inputs), kernel.shape[1])]]
            put(layer.weight, kernel if outputs is None else kernel[outputs])
            put(layer.bias, bias if outputs is None else bias[outputs])

        for kind, pairs in (("down", peer.down), ("join", peer.join)):
            for i, pair in enumerate(pairs):
                first = pixels if (kind, i) == ("down", 0) else None
                convolution(pair[0], f"{kind}_{i}_first", first)
                convolution(pair[2], f"{kind}_{i}_second")
        for i, layer in enumerate(peer.up):
            convolution(layer, f"up_{i}")
        convolution(peer.paint, "paint", outputs=colours)


def speech_sides(config: Any) -> Sides:
    """E_avct's step, ours and torch's."""
    system = config.system.speech_motion
    random = np.random.default_rng(0)
    basis = speech_stage.basis_of(
        random.normal(0, 0.01, (system.components, 478, 3)), np.ones(system.components)
    )
    made = speech_stage.make_stage(
        system, config.stage, config.optimizer, config.compute, basis=basis, people=PEOPLE
    )
    state = jax.jit(made.initial)()
    batch = stretches(system, config.batch_size, config.frames)
    peer = mesh_torch.SpeechStep(system, config.stage, basis, PEOPLE)
    params = jax.device_get(state.network_states["speech_motion"].params)
    copy_speech(params, peer.network)
    seen = ("posteriors", "poses", "audio", "style")
    code = jnp.zeros((config.batch_size, system.codes))
    network = speech_motion.SpeechMotion(system)
    ours = jax.jit(network.apply)({"params": params}, *(getattr(batch, name) for name in seen), code)
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in batch._asdict().items()}
    tensors["person"] = tensors["person"].long()
    with torch.no_grad():
        peer.network.eval()
        theirs = peer.network(*(tensors[name] for name in seen), torch.zeros(code.shape)).numpy()
        peer.network.train()
    assert np.abs(np.asarray(ours) - theirs).max() < NEAR, np.abs(np.asarray(ours) - theirs).max()
    return {"ours": training_step.compiled(made, state, config.compute)(batch), "peer": lambda: peer(tensors)}


def stretches(system: speech_motion.SpeechMotionConfig, b: int, t: int) -> speech_stage.SpeechBatch:
    """Random stretches of speech."""
    random, m = np.random.default_rng(0), t + 2 * system.window_radius
    normal = lambda *shape: random.standard_normal((b, *shape), np.float32)
    posteriors = jax.nn.log_softmax(normal(m, system.steps, system.symbols))
    return speech_stage.SpeechBatch(
        np.asarray(posteriors),
        normal(m, 6) / 10,
        normal(m, speech_format.ROWS, speech_format.COLUMNS),
        normal(),
        normal(t, system.components),
        np.abs(normal(t)),
        np.ones(b, np.float32),
        random.integers(0, PEOPLE, b).astype(np.int32),
    )


def copy_speech(params: Mapping[str, Any], peer: mesh_torch.Speech) -> None:
    """Give torch's network our weights."""

    def linear(layer, given):
        layer.weight.copy_(torch.from_numpy(np.array(given["kernel"].T)))
        if "bias" in given:
            layer.bias.copy_(torch.from_numpy(np.array(given["bias"])))

    def attention(layer, given):
        layer.in_proj_weight.copy_(torch.from_numpy(np.array(given["in_proj_weight"])))
        layer.in_proj_bias.copy_(torch.from_numpy(np.array(given["in_proj_bias"])))
        linear(layer.out_proj, given["out_proj"])

    def norm(layer, given):
        layer.weight.copy_(torch.from_numpy(np.array(given["scale"])))
        layer.bias.copy_(torch.from_numpy(np.array(given["bias"])))

    with torch.no_grad():
        for name in ("said", "posed", "styled", "coefficients", "personal", "manner"):
            linear(getattr(peer, name), params[name])
        for name in ("heard", "mixed"):
            output = "heard" if name == "heard" else "mixed_output"
            linear(getattr(peer, name)[0], params["heard_hidden" if name == "heard" else "mixed"])
            linear(getattr(peer, name)[2], params[output])
        encoder, decoder = params["transformer"]["encoder"]["layers_0"], params["transformer"]["decoder"]
        attention(peer.encoder.self_attn, encoder["self_attn"])
        for name in ("linear1", "linear2"):
            linear(getattr(peer.encoder, name), encoder[name])
        for name in ("norm1", "norm2"):
            norm(getattr(peer.encoder, name), encoder[name])
        layer = decoder["layers_0"]
        attention(peer.decoder.own, layer["self_attn"])
        attention(peer.decoder.cross, layer["multihead_attn"])
        linear(peer.decoder.perceptron[0], layer["linear1"])
        linear(peer.decoder.perceptron[3], layer["linear2"])
        for i in range(3):
            norm(peer.decoder.norms[i], layer[f"norm{i + 1}"])
        norm(peer.decoder.norms[3], decoder["norm"])


def table(report: Mapping[str, Any]) -> str:
    """What was measured, for people."""
    lines = [
        training_step.heading(report),
        f"{'step':32} batch  examples/s  in torch  ratio  of a product's rate",
    ]
    for name, r in report["steps"].items():
        rates = f"{r['examples_per_second']:10.1f}  {r['peer_examples_per_second']:8.1f}"
        lines.append(
            f"{name:32} {r['batch']:5}  {rates}  {r['ratio']:5.2f}  {r['machine_gflops']:.0f} GFLOP/s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
