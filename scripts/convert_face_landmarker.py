"""Weights of MediaPipe's Face Landmarker v2 from its tflite files to one safetensors file.

  unzip face_landmarker.task -d parts
  python scripts/convert_face_landmarker.py parts --output avct_jax/pretrained/face_landmarker.safetensors

The weighted operations of each graph, in order, are given the names of
face_landmarker.py; then each network is run beside its tflite file, and the result is written
only where they agree. `--golden` also keeps what face_blendshapes.tflite, not in the package, answers.
"""

import argparse
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from safetensors import numpy as safetensors_numpy

from avct_jax.models.frozen import face_landmarker

FILES = {
    "detector": "face_detector.tflite",
    "landmarks": "face_landmarks_detector.tflite",
    "blendshapes": "face_blendshapes.tflite",
}
SHA256 = {
    "detector": "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
    "landmarks": "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
    "blendshapes": "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
}
TYPES = {schema.TensorType.FLOAT16: np.float16, schema.TensorType.FLOAT32: np.float32}
OPERATIONS = {
    schema.BuiltinOperator.CONV_2D: "convolution",
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: "depthwise",
    schema.BuiltinOperator.PRELU: "slope",
}
# Of points in px of the 256 px image; else of logits, shares, and px of the detector's 128 px image.
TOLERANCE = {"detector": 1e-3, "landmarks": 0.1, "blendshapes": 1e-3}


class Graph:
    """One tflite file: its operations in order, and the constants that go into them."""

    def __init__(self, path: pathlib.Path):
        model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
        self.buffers, self.graph = model.buffers, model.subgraphs[0]
        codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
        self.operations = [(codes[op.opcodeIndex], op) for op in self.graph.operators]
        dequantize = schema.BuiltinOperator.DEQUANTIZE
        self.stored = {op.outputs[0]: op.inputs[0] for code, op in self.operations if code == dequantize}

    def constant(self, index: int) -> np.ndarray:
        """Return a constant tensor as it is stored: float16, or float32."""
        tensor = self.graph.tensors[self.stored.get(index, index)]
        values = np.frombuffer(bytes(self.buffers[tensor.buffer].data), TYPES[tensor.type])
        return values.reshape([int(n) for n in tensor.shape] if tensor.shape is not None else [])

    def weighted(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Yield kind and constants of every convolution, depthwise convolution and slope."""
        for code, op in self.operations:
            if code in OPERATIONS:
                yield OPERATIONS[code], [self.constant(i) for i in op.inputs[1:]]

    def constants_of(self, code: int) -> list[np.ndarray]:
        """Return the first float constant of every operation of this kind that has one."""
        found = []
        for c, op in self.operations:
            own = [i for i in op.inputs if i in self.stored] if c == code else []
            found += [self.constant(own[0])] if own else []
        return found


def detector_names() -> Iterator[str]:
    """Yield the detector's modules in the order of its operations."""
    yield "stem"
    for i in range(len(face_landmarker.DETECTOR_WIDTHS)):
        yield from (f"block_{i}/depthwise", f"block_{i}/pointwise")
    yield from ("near_logits", "far_logits", "near_boxes", "far_boxes")


def landmark_names() -> Iterator[str]:
    """Yield the landmark network's modules in the order of its operations."""
    yield from ("stem", "stem_slope")
    for stage in range(len(face_landmarker.LANDMARK_WIDTHS)):
        blocks = ["halve"] if stage else []
        for block in [*blocks, *(f"block_{i}" for i in range(face_landmarker.BLOCKS))]:
            parts = ("narrow", "waist_slope", "depthwise", "broaden", "slope")
            yield from (f"stage_{stage}_{block}/{part}" for part in parts)
    yield from ("extra", "presence", "points")


def blendshape_names() -> Iterator[str]:
    """Yield the blendshape network's perceptrons in the order of its operations."""
    yield from ("tokens", "embedding")
    for i in range(face_landmarker.MIXER_BLOCKS):
        yield from (f"block_{i}/{part}" for part in ("token_in", "token_out", "channel_in", "channel_out"))
    yield "coefficients"


def parameters(kind: str, constants: list[np.ndarray], *, dense: bool) -> dict[str, np.ndarray]:
    """Lay the constants of one operation out as Flax's: kernels (h, w, in, out), or (in, out) of a Dense."""
    if kind == "slope":
        return {"slope": constants[0].reshape(-1)}
    kernel, bias = constants
    if kind == "depthwise":
        assert not bias.any(), "the networks' depthwise convolutions have no bias"
        return {"kernel": kernel[0]}
    kernel = kernel.transpose(1, 2, 3, 0)
    return {"kernel": kernel.reshape(-1, kernel.shape[-1]) if dense else kernel, "bias": bias}


def convert(network: str, graph: Graph) -> dict[str, np.ndarray]:
    """Return the network's flat parameters, names without the network's own."""
    names = {"detector": detector_names, "landmarks": landmark_names, "blendshapes": blendshape_names}
    heads = {"extra", "presence", "points"}
    flat = {}
    for name, (kind, constants) in zip(names[network](), graph.weighted(), strict=True):
        dense = network == "blendshapes" or name in heads
        flat |= {f"{name}/{leaf}": x for leaf, x in parameters(kind, constants, dense=dense).items()}
    if network == "blendshapes":
        flat |= mixer_extras(graph)
    return flat


def mixer_extras(graph: Graph) -> dict[str, np.ndarray]:
    """Return the token that is prepended, and the scales of the normalisations."""
    (token,) = graph.constants_of(schema.BuiltinOperator.CONCATENATION)
    scales = [x for x in graph.constants_of(schema.BuiltinOperator.MUL) if x.ndim == 1 and x.size > 1]
    norms = [f"block_{i}/{n}_norm" for i in range(face_landmarker.MIXER_BLOCKS) for n in ("token", "channel")]
    named = {f"{name}/scale": scale for name, scale in zip(norms, scales, strict=True)}
    return {"answer_token": token.reshape(1, 1, -1), **named}


def run_tflite(path: pathlib.Path, inputs: np.ndarray) -> list[np.ndarray]:
    """Run a tflite file on each input; the outputs in the order of the file, stacked."""
    from ai_edge_litert import interpreter as litert

    network = litert.Interpreter(model_path=str(path), num_threads=1)
    network.allocate_tensors()
    answers = []
    for one in inputs:
        network.set_tensor(network.get_input_details()[0]["index"], one[None])
        network.invoke()
        details = network.get_output_details()
        answers.append([network.get_tensor(d["index"]).reshape(-1) for d in details])
    return [np.stack(column) for column in zip(*answers, strict=True)]


def example_inputs(network: str) -> np.ndarray:
    """Return a few inputs of the network's range: noise, smooth enough to look like something."""
    rng = np.random.default_rng(0)
    if network == "blendshapes":
        return rng.uniform(0, 512, (3, len(face_landmarker.BLENDSHAPE_POINTS), 2)).astype(np.float32)
    size, low = (128, -1) if network == "detector" else (256, 0)
    coarse = rng.uniform(low, 1, (3, size // 16, size // 16, 3)).astype(np.float32)
    return coarse.repeat(16, 1).repeat(16, 2)


def check(network: str, flat: dict[str, np.ndarray], path: pathlib.Path) -> float:
    """Return the largest difference between the Flax network and the tflite run.

    Raises:
      SystemExit: they differ by more than TOLERANCE.
    """
    inputs = example_inputs(network)
    answer = face_landmarker.NETWORKS[network].apply({"params": face_landmarker.nest(flat)}, inputs)
    ours = [
        np.asarray(x).reshape(len(inputs), -1) for x in (answer if isinstance(answer, tuple) else [answer])
    ]
    theirs = run_tflite(path, inputs)
    if [x.shape for x in ours] != [x.shape for x in theirs]:
        raise SystemExit(f"{network}: outputs {[x.shape for x in theirs]}, not {[x.shape for x in ours]}")
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    if not apart <= TOLERANCE[network]:
        raise SystemExit(f"{network}: the Flax network is {apart:.3g} from {path.name}; nothing was written")
    return apart


def write_golden(output: pathlib.Path, path: pathlib.Path) -> None:
    """Keep inputs and the answers of face_blendshapes.tflite, for the tests."""
    points = example_inputs("blendshapes")
    (coefficients,) = run_tflite(path, points)
    np.savez_compressed(output, points=points, coefficients=coefficients)


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="the files of face_landmarker.task, unpacked")
    parser.add_argument("--output", type=pathlib.Path, default=face_landmarker.WEIGHTS)
    parser.add_argument(
        "--golden", type=pathlib.Path, help="also write blendshapes of made points to this .npz"
    )
    arguments = parser.parse_args()
    flat, metadata = {}, {
        "origin": "Google, MediaPipe Face Landmarker v2 (face_landmarker.task), Apache-2.0",
        "paper": "Grishchenko et al. 2020, arXiv 2006.10962",
    }  # fmt: skip
    for network, file in FILES.items():
        path = arguments.folder / file
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != SHA256[network]:
            raise SystemExit(f"{path} is not the known file: sha256 {digest}, not {SHA256[network]}")
        own = convert(network, Graph(path))
        print(f"{network}: {sum(x.size for x in own.values())} values, {check(network, own, path):.2g} apart")
        flat |= {f"{network}/{name}": np.ascontiguousarray(x) for name, x in own.items()}
        metadata[f"sha256 of {file}"] = digest
    safetensors_numpy.save_file(flat, arguments.output, metadata)
    arguments.output.chmod(0o644)  # safetensors leaves it to its writer alone; installers copy the mode
    if arguments.golden:
        write_golden(arguments.golden, arguments.folder / FILES["blendshapes"])


if __name__ == "__main__":
    main()
