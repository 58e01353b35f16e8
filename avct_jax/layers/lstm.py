"""Stacked LSTM, one step at a time, with torch's parameter names and layouts."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class LSTM(nn.Module):
    """One step of `num_layers` stacked LSTM cells.

    Parameters are torch.nn.LSTM's: `weight_ih_l0` (4 h, c), `weight_hh_l0` (4 h, h), `bias_ih_l0`,
    `bias_hh_l0` (4 h,) and so on, gates in the order input, forget, cell, output.
    """

    features: int
    num_layers: int = 1

    @nn.compact
    def __call__(
        self, state: Float[Array, "layers 2 b h"], x: Float[Array, "b c"]
    ) -> tuple[Float[Array, "layers 2 b h"], Float[Array, "b h"]]:
        """Step; `state` holds hidden and cell values of each layer, zeros to begin with."""
        states = []
        for layer in range(self.num_layers):
            hidden, cell = self._step(layer, state[layer, 0], state[layer, 1], x)
            states.append(jnp.stack([hidden, cell]))
            x = hidden
        return jnp.stack(states), x

    def _step(self, layer, hidden, cell, x):
        gates = self._affine(f"ih_l{layer}", x) + self._affine(f"hh_l{layer}", hidden)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * nn.tanh(g)
        return nn.sigmoid(o) * nn.tanh(cell), cell

    def _affine(self, name, x):
        # torch draws all LSTM parameters from +-1/sqrt(h); with fan_in = h that is scale 1/3.
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=1, out_axis=0)
        weight = self.param(f"weight_{name}", init, (4 * self.features, x.shape[-1]))
        bias = self.param(f"bias_{name}", nn.initializers.zeros_init(), (4 * self.features,))
        return x @ weight.T + bias.reshape(1, -1)
