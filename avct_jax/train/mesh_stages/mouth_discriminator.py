"""What the mouth painter and its discriminator learn from each other.

Both losses are taken of the same parameters, so the discriminator sees a painting forward once for both.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.models import patch_discriminator
from avct_jax.train import losses

MOUTH = (10, 12, 44, 72)  # first row, first column, rows and columns of the patch that it sees
ELSEWHERE = 0.05  # weight of an opinion about skin, against 1 of one about the inside


class Opinion(NamedTuple):
    """What the discriminator makes of paintings, and what both sides learn from it.

    Attributes:
      terms: of the painter's losses, before their weights.
      slope: of the painter's loss, weights and loudness included, in what is shown.
      loss: the discriminator's own, least squares as FOMM's.
      gradients: of that loss.
    """

    terms: dict[str, Float[Array, ""]]
    slope: Float[Array, "b h w 3"]
    loss: Float[Array, ""]
    gradients: Any


def judge_paintings(
    critic: patch_discriminator.PatchDiscriminator,
    weights: Mapping[str, float],
    params: Any,
    *,
    inside: Float[Array, "b h w"],
    real: Float[Array, "b h w 3"],
    wanted: Float[Array, "b h w 3"],
    shown: Float[Array, "b h w 3"],
    heard: Float[Array, ""],
    window: Any,
) -> Opinion:
    """Ask the discriminator, once for both losses: it sees a painting forward once, and back for each.

    Args:
      weights: of the painter's losses, by term.
      params: the discriminator's.
      inside: 1 between the lips.
      wanted: whose features the paintings' shall have.
      heard: loudness, see `painter_stage.loudness`.
      window: (rows, columns) by which it looks beside its usual place.
    """
    look: Any = lambda params, image: critic.apply({"params": params}, seen(image, inside, window))
    of_real, pull_real = jax.vjp(lambda params: look(params, real)[0], params)
    (of_made, features), pull_made = jax.vjp(look, params, shown)
    weight, (_, wanted_features) = _weights(inside, window, of_made), look(params, wanted)

    def painter_loss(made, features):
        matching = losses.feature_matching(wanted_features, features, weight=1.0)
        terms = {"gan_generator": ((1 - made) ** 2 * weight).mean(), "feature_matching": matching}
        return heard * losses.total(weights, terms), terms

    def discriminator_loss(real, made):
        return ((1 - real) ** 2 * weight).mean() + (made**2 * weight).mean()

    slopes, terms = jax.grad(painter_loss, (0, 1), has_aux=True)(of_made, features)
    loss, (to_real, to_made) = jax.value_and_grad(discriminator_loss, (0, 1))(of_real, of_made)
    by_real, by_made = pull_real(to_real)[0], pull_made((to_made, jax.tree.map(jnp.zeros_like, features)))[0]
    return Opinion(terms, pull_made(slopes)[1], loss, jax.tree.map(jnp.add, by_real, by_made))


def seen(image, inside, window=(0, 0)):
    """What the discriminator looks at."""
    top, left, height, width = MOUTH
    both = jnp.concatenate([image, inside[..., None]], -1)
    begin = (0, top + window[0], left + window[1], 0)
    return jax.lax.dynamic_slice(both, begin, (len(both), height, width, both.shape[-1]))


def _weights(inside, window, opinions):
    """Opinions count where there is a mouth to see into, and a little elsewhere; mean 1.

    Most patches show skin, which looks alike in both: with them the discriminator says 0.5 to everything.
    """
    there = seen(inside[..., None], inside, window)[..., :1]
    opened = jax.image.resize(there, (len(there), *opinions.shape[1:3], 1), "linear") + ELSEWHERE
    return jax.lax.stop_gradient(opened / opened.mean())
