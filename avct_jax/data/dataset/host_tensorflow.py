"""TensorFlow for reading data, on the host alone: the accelerator is JAX's."""

import functools
import os
import types

from avct_jax import errors


@functools.cache
def load() -> types.ModuleType:
    """Import TensorFlow, which takes up to 20 s, before anything else does, and show it no GPU.

    Raises:
      UserError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow as tf
    except ImportError:
        raise errors.UserError(
            "tf.data needs TensorFlow: pip install 'avct-jax[train]', or use the numpy source"
        ) from None
    tf.config.set_visible_devices([], "GPU")
    return tf
