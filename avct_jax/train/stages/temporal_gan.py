"""D_seq: the discriminator that sees T successive frames as one film, stacked in channels."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.models import patch_discriminator
from avct_jax.train import losses

Film = Float[Array, "b h w c"]


def as_films(frames: Float[Array, "m h w 3"], count: int) -> Film:
    """Stack the frames of `count` sequences, laid end to end, as D_seq sees them."""
    return patch_discriminator.stack_frames(frames.reshape(count, -1, *frames.shape[1:]))


def opinion(
    network: patch_discriminator.PatchDiscriminator,
    variables: Mapping[str, Any],
    made: Film,
    real: Film,
    *,
    weights: Mapping[str, float],
) -> dict[str, Float[Array, ""]]:
    """What D_seq, held still, thinks of rendered films: terms of E_avct, before their weights.

    Args:
      weights: by metric; terms that have none are not computed.
    """
    prediction, features = _judge(network, variables, made)
    terms = {"gan_generator": losses.gan_generator(prediction)} if weights.get("gan_generator") else {}
    if weights.get("feature_matching"):
        _, wanted = _judge(network, variables, real)
        terms["feature_matching"] = losses.feature_matching(wanted, features, weight=1.0)
    return terms


def learn(
    network: patch_discriminator.PatchDiscriminator, params: Any, stats: Any, made: Film, real: Film
) -> tuple[Any, Any, Float[Array, ""]]:
    """D_seq's own gradient, new statistics and loss; no gradient reaches the films.

    Real and rendered films go in one batch, so that the singular vectors take one step.
    """
    both = jnp.concatenate([real, jax.lax.stop_gradient(made)])

    def loss_fn(params):
        variables = {"params": params, "batch_stats": stats}
        (prediction, _), updated = network.apply(variables, both, train=True, mutable=["batch_stats"])
        return losses.gan_discriminator(*jnp.split(prediction, 2)), updated["batch_stats"]

    (loss, updated), slopes = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return slopes, updated, loss


def _judge(network, variables, films) -> Any:
    return network.apply(variables, films)
