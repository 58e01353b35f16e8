"""From heatmaps to keypoints and back to Gaussians."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers.geometry import grid


def gaussians(
    keypoints: Float[Array, "b k 2"], height: int, width: int, *, variance: float
) -> Float[Array, "b h w k"]:
    """Draw exp(-|z - keypoint|^2 / (2 variance)) on the coordinate grid."""
    places = jnp.asarray(grid.coordinate_grid(height, width))[None, :, :, None]
    distance = jnp.square(places - keypoints[:, None, None]).sum(-1)
    return jnp.exp(-0.5 * distance / variance)


def spatial_softmax(logits: Float[Array, "b h w k"], *, temperature: float) -> Float[Array, "b h w k"]:
    """Softmax over the image, one map per keypoint."""
    b, h, w, k = logits.shape
    return jax.nn.softmax(logits.reshape(b, h * w, k) / temperature, axis=1).reshape(b, h, w, k)


def expected_position(heatmap: Float[Array, "b h w k"]) -> Float[Array, "b k 2"]:
    """Mean place under each map, in [-1, 1]: the soft-argmax."""
    places = jnp.asarray(grid.coordinate_grid(*heatmap.shape[1:3]))
    return jnp.einsum("bhwk,hwd->bkd", heatmap, places)
