"""D_seq: the discriminator that sees T successive frames as one video, stacked in channels."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.models import patch_discriminator
from avct_jax.train import losses

Video = Float[Array, "b h w c"]


def as_videos(frames: Float[Array, "m h w 3"], count: int) -> Video:
    """Stack the frames of `count` sequences, laid end to end, as D_seq sees them."""
    return patch_discriminator.stack_frames(frames.reshape(count, -1, *frames.shape[1:]))


def generator_terms(
    network: patch_discriminator.PatchDiscriminator,
    variables: Mapping[str, Any],
    made: Video,
    real: Video,
    *,
    weights: Mapping[str, float],
) -> dict[str, Float[Array, ""]]:
    """What D_seq, held still, thinks of rendered videos: terms of E_avct, before their weights.

    Args:
      weights: by metric; terms that have none are not computed.
    """
    prediction, features = _evaluate(network, variables, made)
    terms = {"gan_generator": losses.gan_generator(prediction)} if weights.get("gan_generator") else {}
    if weights.get("feature_matching"):
        _, wanted = _evaluate(network, variables, real)
        terms["feature_matching"] = losses.feature_matching(wanted, features, weight=1.0)
    return terms


def discriminator_step(
    network: patch_discriminator.PatchDiscriminator, params: Any, stats: Any, made: Video, real: Video
) -> tuple[Any, Any, Float[Array, ""]]:
    """D_seq's own gradient, new statistics and loss; no gradient reaches the videos.

    Real and rendered videos go in one batch, so that the singular vectors take one step.
    """
    both = jnp.concatenate([real, jax.lax.stop_gradient(made)])

    def loss_fn(params):
        variables = {"params": params, "batch_stats": stats}
        (prediction, _), updated = network.apply(variables, both, train=True, mutable=["batch_stats"])
        return losses.gan_discriminator(*jnp.split(prediction, 2)), updated["batch_stats"]

    (loss, updated), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return grads, updated, loss


def _evaluate(network, variables, videos) -> Any:
    return network.apply(variables, videos)
