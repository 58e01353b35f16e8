"""Smaller images."""

from jaxtyping import Array, Float


def halve(x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
    """Take 2 x 2 means; an odd last row or column is left out.

    As a sum of four images: XLA for CPUs takes twice as long for a window's, and for its gradient.
    """
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)
    return (x[:, :, 0, :, 0] + x[:, :, 0, :, 1] + x[:, :, 1, :, 0] + x[:, :, 1, :, 1]) * 0.25
