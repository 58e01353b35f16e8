"""Keypoints that paint what they know around themselves."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.layers.geometry import heatmap

SHAPE_GAIN = 10.0  # keypoints differ between faces by about 0.1, in [-1, 1] units
CHANGE_GAIN = 20.0  # and between frames of a speaking face by about 0.05
TURN_GAIN = 5.0  # their affine frames by about 0.2


class MotionMap(nn.Module):
    """Learned channels around each keypoint that depend on where all keypoints are.

    A decoder that only sees warped features cannot tell an opening mouth from a lowering jaw: the inside of
    a mouth is nowhere in the source. What it needs is the distance of two keypoints that lie within one
    Gaussian. A perceptron reads both motions' keypoints and says what each keypoint paints.

    Attributes:
      features: channels of the map.
      variance: of the Gaussians, [-1, 1] units squared.
      turns: read also how each keypoint's affine frame has changed: a round mouth from a wide one.
    """

    features: int
    variance: float = 0.006
    hidden: int = 64
    turns: bool = False

    @nn.compact
    def __call__(
        self, driving: motion.Motion, source: motion.Motion, height: int, width: int
    ) -> Float[Array, "b h w d"]:
        b, k, _ = driving.keypoints.shape
        shapes = [m.keypoints - m.keypoints.mean(1, keepdims=True) for m in (driving, source)]
        change = CHANGE_GAIN * (shapes[0] - shapes[1])
        known = jnp.concatenate([SHAPE_GAIN * s for s in shapes] + [change], -1).reshape(b, -1)
        if self.turns:
            turn = driving.jacobians @ motion.invert_2x2(source.jacobians) - jnp.eye(2).reshape(1, 1, 2, 2)
            known = jnp.concatenate([known, TURN_GAIN * turn.reshape(b, -1)], -1)
        paint = nn.Dense(k * self.features, name="paint")(nn.relu(nn.Dense(self.hidden, name="read")(known)))
        places = heatmap.gaussians(driving.keypoints, height, width, variance=self.variance)
        return jnp.einsum("bhwk,bkd->bhwd", places, paint.reshape(b, k, self.features))
