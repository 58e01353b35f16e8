"""The cores of a CPU as devices: as many as divide the batch, where nobody else has said how many."""

import os
import subprocess
import sys

import pytest

from avct_jax.train.distributed import cpu_devices

CODE = """
import sys, jax
from avct_jax.train.distributed import cpu_devices
cpu_devices._cores = lambda: 4
told = cpu_devices.divide(int(sys.argv[1]), devices=int(sys.argv[2]))
print(told, jax.device_count())
"""


@pytest.mark.parametrize(
    "examples, devices, environment, found",
    [
        (24, 0, {}, "4 4"),
        (6, 0, {}, "3 3"),
        (7, 0, {}, "1 1"),
        (24, 1, {}, "1 1"),
        (24, 6, {}, "6 6"),
        (24, 0, {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, "0 3"),
        (24, 0, {"JAX_NUM_CPU_DEVICES": "3"}, "0 3"),
    ],
)
def test_a_cpu_becomes_as_many_devices_as_divide_a_batch(examples, devices, environment, found):
    usual = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    words = [sys.executable, "-c", CODE, str(examples), str(devices)]
    environment = usual | {"JAX_PLATFORMS": "cpu"} | environment
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found


def test_what_jax_has_found_stays():
    assert cpu_devices.divide(24) == 0
