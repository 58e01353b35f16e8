"""Post-norm encoder-decoder transformer, with torch's parameter names and layouts."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import dtypes
from jaxtyping import Array, Float

from avct_jax.layers import dropout, precision

LAYER_NORM_EPSILON = 1e-5  # torch's; flax's own is 1e-6


class Transformer(nn.Module):
    """Vaswani et al., 2017, without masks: every token of a short window sees all others.

    Layers are normalised after each residual sum. Only the decoder has a norm at its end.
    """

    num_heads: int
    feedforward: int
    encoder_layers: int
    decoder_layers: int
    dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        source: Float[Array, "b m d"],
        target: Float[Array, "b w d"],
        *,
        row: int | None = None,
        train: bool = False,
    ) -> Float[Array, "b q d"]:
        """Decode `target` with attention to the encoded `source`.

        Args:
          row: the only row of the result that is wanted; the last layer computes nothing else.
        """
        fields = (self.num_heads, self.feedforward, self.dropout, self.dtype)
        memory = TransformerEncoder(*fields, self.encoder_layers, name="encoder")(source, train=train)
        decoder = TransformerDecoder(*fields, self.decoder_layers, name="decoder")
        return decoder(target, memory, row=row, train=train)


class TransformerEncoder(nn.Module):
    """A stack of EncoderLayer."""

    num_heads: int
    feedforward: int
    dropout: float
    dtype: Any
    num_layers: int

    @nn.compact
    def __call__(self, x: Float[Array, "b m d"], *, train: bool = False) -> Float[Array, "b m d"]:
        for i in range(self.num_layers):
            layer = EncoderLayer(
                self.num_heads, self.feedforward, self.dropout, self.dtype, name=f"layers_{i}"
            )
            x = layer(x, train=train)
        return x


class TransformerDecoder(nn.Module):
    """A stack of DecoderLayer and a norm."""

    num_heads: int
    feedforward: int
    dropout: float
    dtype: Any
    num_layers: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b w d"],
        memory: Float[Array, "b m d"],
        *,
        row: int | None = None,
        train: bool = False,
    ) -> Float[Array, "b q d"]:
        for i in range(self.num_layers):
            layer = DecoderLayer(
                self.num_heads, self.feedforward, self.dropout, self.dtype, name=f"layers_{i}"
            )
            last = i == self.num_layers - 1
            x = layer(x, memory, row=row if last else None, train=train)
        return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=self.dtype, name="norm")(x)


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each added and then normalised."""

    num_heads: int
    feedforward: int
    dropout: float
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b m d"], *, train: bool = False) -> Float[Array, "b m d"]:
        attention = Attention(self.num_heads, self.dropout, self.dtype, name="self_attn")
        x = _add_and_norm(self, "norm1", x, attention(x, x, train=train), train)
        return _add_and_norm(self, "norm2", x, _perceptron(self, x, train), train)


class DecoderLayer(nn.Module):
    """Self-attention, attention to the encoder's output, perceptron."""

    num_heads: int
    feedforward: int
    dropout: float
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b w d"],
        memory: Float[Array, "b m d"],
        *,
        row: int | None = None,
        train: bool = False,
    ) -> Float[Array, "b q d"]:
        own = Attention(self.num_heads, self.dropout, self.dtype, name="self_attn")
        cross = Attention(self.num_heads, self.dropout, self.dtype, name="multihead_attn")
        query = x if row is None else x[:, row : row + 1]
        query = _add_and_norm(self, "norm1", query, own(query, x, train=train), train)
        query = _add_and_norm(self, "norm2", query, cross(query, memory, train=train), train)
        return _add_and_norm(self, "norm3", query, _perceptron(self, query, train), train)


class Attention(nn.Module):
    """Multi-head attention.

    Parameters `in_proj_weight` (3 d, d) and `in_proj_bias` (3 d,) stack query, key and value as torch
    does, and are applied transposed; `out_proj` is a Dense.
    """

    num_heads: int
    dropout: float
    dtype: Any = None

    @nn.compact
    def __call__(
        self, query: Float[Array, "b q d"], values: Float[Array, "b m d"], *, train: bool = False
    ) -> Float[Array, "b q d"]:
        d = query.shape[-1]
        weight = self.param("in_proj_weight", nn.initializers.xavier_uniform(), (3 * d, d))
        bias = self.param("in_proj_bias", nn.initializers.zeros_init(), (3 * d,))
        query, values, weight, bias = dtypes.promote_dtype(query, values, weight, bias, dtype=self.dtype)
        q = self._heads(query @ weight[:d].T + bias[:d].reshape(1, 1, -1))
        keys_values = values @ weight[d:].T + bias[d:].reshape(1, 1, -1)
        k, v = self._heads(keys_values[..., :d]), self._heads(keys_values[..., d:])
        scores = jnp.einsum("bqhc,bmhc->bhqm", q, k) / np.sqrt(d // self.num_heads).astype(q.dtype)
        weights = jax.nn.softmax(precision.widen(scores), axis=-1).astype(q.dtype)
        weights = dropout.Dropout(self.dropout)(weights, train=train)
        mixed = jnp.einsum("bhqm,bmhc->bqhc", weights, v).reshape(query.shape)
        return nn.Dense(d, dtype=self.dtype, name="out_proj")(mixed)

    def _heads(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, -1)


def _add_and_norm(module, name, x, y, train):
    y = dropout.Dropout(module.dropout)(y, train=train)
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=module.dtype, name=name)(x + y)


def _perceptron(module, x, train):
    y = nn.Dense(module.feedforward, dtype=module.dtype, name="linear1")(x)
    y = dropout.Dropout(module.dropout)(nn.relu(y), train=train)
    return nn.Dense(x.shape[-1], dtype=module.dtype, name="linear2")(y)


def sinusoids(length: int, features: int) -> np.ndarray:
    """Fixed position codes (length, features): sines at even, cosines at odd columns.

    Vaswani et al., 2017, section 3.5: wavelengths from 2 pi to 10000 * 2 pi.
    """
    column = np.arange(features)
    angles = np.arange(length)[:, None] / 10000.0 ** (2 * (column // 2) / features)[None]
    return np.where(column[None] % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)
