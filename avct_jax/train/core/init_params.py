"""What each part of the system begins training with: random variables, or given ones of the same shapes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from avct_jax import errors
from avct_jax.models import networks, patch_discriminator, sync_discriminator, system_config

Variables = dict[str, Any]
# Stages that train what others use.
TRAINED_BY = {"keypoint_detector": "renderer", "renderer": "renderer", "sync_discriminator": "sync"}


def begin(part: str, init: Mapping[str, Any] | None, make: Callable[[], Variables]) -> Variables:
    """A part's variables from `init`, or what `make` draws where it has none.

    Raises:
      UserError: those of `init` have other shapes than `make`'s.
    """
    if init is None or part not in init:
        return make()
    given = jax.tree.map(jnp.asarray, dict(init[part]))
    shapes = lambda tree: {jax.tree_util.keystr(p): x.shape for p, x in jax.tree.leaves_with_path(tree)}
    wanted, found = shapes(jax.eval_shape(make)), shapes(given)
    wrong = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise errors.UserError(
            f"{part}{name} is {found.get(name, 'missing')} in the weights to begin from, "
            f"{wanted.get(name, 'missing')} in this system; choose weights of its size"
        )
    return given


def frozen(part: str, init: Mapping[str, Any] | None) -> Variables:
    """A part that is used but not trained.

    Raises:
      UserError: `init` has none.
    """
    if init is None or part not in init:
        raise errors.UserError(
            f"this stage needs a trained {part}; run `avct train {TRAINED_BY[part]}` with the same --preset, "
            "--clips and --run first, or name a checkpoint that has one with --init"
        )
    return jax.tree.map(jnp.asarray, dict(init[part]))


def patch_discriminator_variables(
    config: patch_discriminator.PatchDiscriminatorConfig,
    channels: int,
    size: int,
    key: Key[Array, ""] | None = None,
) -> Variables:
    """Random variables of D or D_seq, which see `channels` of images of `size` px."""
    network = patch_discriminator.PatchDiscriminator(config)
    return jax.jit(network.init)(_key(key), jnp.zeros((1, size, size, channels)))


def sync_discriminator_variables(
    config: sync_discriminator.SyncDiscriminatorConfig, key: Key[Array, ""] | None = None
) -> Variables:
    """Random variables of D_sync."""
    network = sync_discriminator.SyncDiscriminator(config)
    return jax.jit(network.init)(_key(key), jnp.zeros((1, 80, 16, 1)), jnp.zeros((1, 48, 96, 15)))


def avct_variables(
    config: system_config.SystemConfig,
    mean_keypoints: Float[np.ndarray, "k 2"] | None = None,
    key: Key[Array, ""] | None = None,
) -> Variables:
    """Random variables of E_avct, which at first answers `mean_keypoints` where they are given."""
    variables = networks.init(config, "avct", key)
    if mean_keypoints is None:
        return variables
    params = variables["params"]
    answer = {**params["kp"], "bias": jnp.asarray(mean_keypoints.reshape(-1), jnp.float32)}
    return {**variables, "params": {**params, "kp": answer}}


def _key(key):
    return jax.random.key(0) if key is None else key
