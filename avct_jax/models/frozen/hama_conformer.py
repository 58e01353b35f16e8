"""The phoneme network of hama 1.7 (Apache-2.0) in Flax: a conformer over 80 mel bands, CTC over IPA.

Gulati et al. 2020, "Conformer: Convolution-augmented Transformer for Speech Recognition" (arXiv 2005.08100),
with four blocks, no positions and batch norms folded into the convolutions. hama's own library takes
12 times the processor time (scripts/benchmarks/hama_speed.py); weights are read from its package.
"""

import functools
import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float
from safetensors import numpy as safetensors_numpy

from avct_jax import errors
from avct_jax.files import tensor_package

Variables = Mapping[str, Any]
WINDOWS = pathlib.Path(__file__).parents[2] / "pretrained" / "hama_windows.safetensors"
WINDOW, HOP = 400, 160  # samples of a spectrum
STEP = 2 * HOP  # samples of an answer: 20 ms
LEAST = 1e-10  # power
BLOCKS, HEADS, TAPS = 4, 4, 31
HEAD = "acoustic_model.model."
OTHER = "this hama has another network than hama 1.7, run `pip install 'hama>=1.7,<1.8'`"


class HamaConformer(nn.Module):
    """Audio to log-probabilities of hama's 191 tokens, every 20 ms."""

    @nn.compact
    def __call__(self, wav: Float[Array, "b n"]) -> Float[Array, "b t 191"]:
        """Hear recordings as whole ones: each answer hangs on all of them.

        Args:
          wav: 16 kHz, full scale 1, 40 ms at least.

        Returns:
          Natural logarithms, whose exponentials sum up to 1; t = n // 320 + 1, the first at the begin.
        """
        x = jnp.pad(_log_mel(self, wav), ((0, 0), (1, 1), (0, 0)))
        steps = (x.shape[1] - 3) // 2 + 1
        taps = jnp.concatenate([x[:, tap : tap + 2 * steps - 1 : 2] for tap in range(3)], -1)
        x = nn.gelu(nn.Dense(144, name="stem")(taps), approximate=False)
        for number in range(BLOCKS):
            x = ConformerBlock(name=f"block_{number}")(x)
        return nn.log_softmax(nn.Dense(191, name="tokens")(x))


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, a norm."""

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """Refine each step by all others."""
        x = x + 0.5 * _feed_forward(x, "feed_forward_1")
        x = x + _attend(x)
        x = x + _convolve(self, x)
        x = x + 0.5 * _feed_forward(x, "feed_forward_2")
        return _norm("norm")(x)


def _log_mel(module: nn.Module, wav):
    """Mel bands of power spectra, every 10 ms; hama rounds them to half precision."""
    count = wav.shape[1] // HOP + 1
    padded = jnp.pad(wav, ((0, 0), (WINDOW // 2, WINDOW // 2)), mode="reflect")
    frames = padded[:, HOP * np.arange(count)[:, None] + np.arange(WINDOW)]
    make = lambda name, *shape: module.param(name, nn.initializers.zeros_init(), shape)
    parts = [frames @ make(name, WINDOW, WINDOW // 2 + 1) for name in ("cosines", "sines")]
    power = (parts[0] ** 2 + parts[1] ** 2) @ make("mel", WINDOW // 2 + 1, 80)
    return jnp.log(jnp.maximum(power, LEAST)).astype(jnp.float16).astype(jnp.float32)


def _norm(name):
    return nn.LayerNorm(epsilon=1e-5, name=name)


def _feed_forward(x, name):
    hidden = nn.silu(nn.Dense(4 * x.shape[-1], name=f"{name}_in")(_norm(f"{name}_norm")(x)))
    return nn.Dense(x.shape[-1], name=f"{name}_out")(hidden)


def _attend(x):
    batch, steps, width = x.shape
    heads = nn.Dense(3 * width, name="attention_in")(_norm("attention_norm")(x))
    query, key, value = jnp.split(heads.reshape(batch, steps, 3 * HEADS, -1), 3, axis=2)
    scores = jnp.einsum("bihd,bjhd->bhij", query, key) / np.sqrt(width // HEADS)
    mixed = jnp.einsum("bhij,bjhd->bihd", nn.softmax(scores), value)
    return nn.Dense(width, name="attention_out")(mixed.reshape(batch, steps, width))


def _convolve(module: nn.Module, x):
    steps, width = x.shape[1:]
    gated, gate = jnp.split(nn.Dense(2 * width, name="convolution_in")(_norm("convolution_norm")(x)), 2, -1)
    padded = jnp.pad(gated * nn.sigmoid(gate), ((0, 0), (TAPS // 2, TAPS // 2), (0, 0)))
    taps = module.param("taps", nn.initializers.zeros_init(), (TAPS, width))
    shift = module.param("shift", nn.initializers.zeros_init(), (width,))
    # One channel at a time: XLA's convolution takes many times as long as so many products.
    mixed = sum(padded[:, tap : tap + steps] * taps[None, None, tap] for tap in range(TAPS))
    return nn.Dense(width, name="convolution_out")(nn.silu(mixed + shift[None, None]))


@functools.cache
def variables() -> dict[str, Any]:
    """Read the weights from the hama that is installed.

    Raises:
      UserError: there is none, or its network is another one.
    """
    found = importlib.util.find_spec("hama")
    if found is None or found.origin is None:
        raise errors.UserError("hama hears phonemes, and is missing; run `pip install hama`")
    given = tensor_package.read(pathlib.Path(found.origin).parent / "assets" / "asr_waveform.hama")
    try:
        params = _params(given)
    except KeyError:
        raise errors.UserError(OTHER) from None
    expected = jax.eval_shape(HamaConformer().init, jax.random.key(0), jnp.zeros((1, 6400)))["params"]
    if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, expected):
        raise errors.UserError(OTHER)
    return {"params": params}


def window_variables(path: pathlib.Path = WINDOWS) -> dict[str, Any]:
    """Read the weights that hear a stream's windows as hama's hear whole recordings.

    scripts/train_hama_windows.py made them of hama's; what makes spectra is hama's own.

    Raises:
      UserError: as `variables`, or the file is missing, or no safetensors file.
    """
    try:
        flat = safetensors_numpy.load_file(path)
    except Exception as error:
        raise errors.UserError(f"{path} cannot be read ({error}); reinstall avct-jax") from None
    learned = traverse_util.unflatten_dict(
        {name: value.astype(np.float32) for name, value in flat.items()}, sep="/"
    )
    return {"params": variables()["params"] | learned}


def _params(given: dict[str, np.ndarray]) -> dict[str, Any]:
    """Bring hama's tensors to the modules' names; its numbers are those of nodes of an exported graph."""
    stem, bias = given["onnx::Conv_801"], given["onnx::Conv_802"]
    return {
        "cosines": given["stft_real_kernel"][:, 0].T,
        "sines": given["stft_imag_kernel"][:, 0].T,
        "mel": given["mel_fb"],
        "stem": {"kernel": stem.transpose(2, 1, 0).reshape(-1, len(bias)), "bias": bias},
        "tokens": _pointwise(given, f"{HEAD}proj"),
        **{f"block_{number}": _block(given, number) for number in range(BLOCKS)},
    }


def _block(given: dict[str, np.ndarray], number: int) -> dict[str, Any]:
    name, products, convolution = f"{HEAD}blocks.{number}.", 829 + 9 * number, 804 + 3 * number
    dense = lambda product, bias: {
        "kernel": given[f"onnx::MatMul_{products + product}"],
        "bias": given[name + bias],
    }
    norm = lambda of: {"scale": given[f"{name}{of}.weight"], "bias": given[f"{name}{of}.bias"]}
    return {
        "feed_forward_1_norm": norm("ffn1.norm"),
        "feed_forward_1_in": dense(0, "ffn1.fc1.bias"),
        "feed_forward_1_out": dense(1, "ffn1.fc2.bias"),
        "attention_norm": norm("attn_norm"),
        "attention_in": dense(2, "attn.in_proj_bias"),
        "attention_out": dense(6, "attn.out_proj.bias"),
        "convolution_norm": norm("conv.norm"),
        "convolution_in": _pointwise(given, f"{name}conv.pointwise1"),
        "taps": given[f"onnx::Conv_{convolution}"][:, 0].T,
        "shift": given[f"onnx::Conv_{convolution + 1}"],
        "convolution_out": _pointwise(given, f"{name}conv.pointwise2"),
        "feed_forward_2_norm": norm("ffn2.norm"),
        "feed_forward_2_in": dense(7, "ffn2.fc1.bias"),
        "feed_forward_2_out": dense(8, "ffn2.fc2.bias"),
        "norm": norm("norm"),
    }


def _pointwise(given: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {"kernel": given[f"{name}.weight"][..., 0].T, "bias": given[f"{name}.bias"]}
