"""A CPU's cores as devices of their own: XLA runs most convolutions on one core; others would be idle."""

import os

import jax

FLAG = "xla_force_host_platform_device_count"  # XLA's own way to ask for them; whoever uses it decides
MOST = 8  # more cores than that serve the devices' wider operations


def divide(examples: int, *, devices: int = 0) -> int:
    """Let JAX find several devices in this machine's CPU; to be called before it has looked for any.

    What is learned hangs on the batch alone, so one device and several learn the same.

    Args:
      examples: of a batch, or of a microbatch; the devices divide their number.
      devices: as many as the user asks for; 0: one for each core, of those that divide `examples`.

    Returns:
      How many a CPU will be; 0 where it was left as it is: JAX has looked already, or the environment says.
    """
    if FLAG in os.environ.get("XLA_FLAGS", "") or getattr(jax.config, "jax_num_cpu_devices", -1) >= 0:
        return 0
    most = min(MOST, _cores())
    count = devices or next((n for n in range(most, 1, -1) if examples % n == 0), 1)
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # there are devices already
        return 0
    return count


def _cores() -> int:
    """Those that this process may use: fewer than the machine's in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
