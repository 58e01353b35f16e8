"""A stage and a source small enough to see through: a perceptron learns a line's sines."""

import contextlib
import itertools
import math
import os
import pathlib
import signal
import socket
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from avct_jax import errors
from avct_jax.data.dataset import source as sources
from avct_jax.train import run_config
from avct_jax.train.core import loop, sharding, train_state
from avct_jax.train.distributed import fsdp
from avct_jax.train.stages import stage

NAME = "toy"
FLAGS = "--xla_backend_optimization_level=0"  # as the tests' own programs
# Compiled in half of the time again, but some gradients come out wrong by a tenth: where no number counts.
WIRING = f"{FLAGS} --xla_cpu_use_fusion_emitters=false"
HERE = pathlib.Path(__file__).parent.parent  # where `tests` is imported from


class Network(nn.Module):
    """Two layers with batch statistics between them."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(1)(jnp.tanh(x))


def make_stage(rule=None, *, nan_at=-1, nan_gradient_at=-1):
    """Build it; its loss becomes NaN in step `nan_at`, and its gradient alone in `nan_gradient_at`."""
    network, rule = Network(), rule or optax.adam(1e-2)

    def step(current, frozen, batch, key):
        network_state = current.network_states[NAME]
        noise = jax.random.normal(jax.random.fold_in(key, current.step), batch["x"].shape) * 0.01

        def loss_fn(params):
            variables = {"params": params, "batch_stats": network_state.batch_stats}
            found, updates = network.apply(variables, batch["x"] + noise, train=True, mutable=["batch_stats"])
            loss = jnp.mean((found - batch["y"] * frozen["scale"]) ** 2)
            bad = jnp.where(current.step + 1 == nan_at, jnp.nan, 1.0)
            # The root of nothing: 0, with an infinite slope that a factor of 0 makes NaN.
            at = jnp.where(current.step + 1 == nan_gradient_at, 0.0, 1.0)
            hidden = 0 * jnp.sqrt(at * (1 + jax.tree.leaves(params)[0].sum() ** 2))
            return loss * bad + hidden, updates["batch_stats"]

        (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(network_state.params)
        after, norm = train_state.advance(current, {NAME: grads}, {NAME: stats}, {NAME: rule}, ema_decay=0.9)
        return after, {"loss": loss, **norm}

    def eval_step(current, frozen, batch, key):
        found = network.apply(current.network_states[NAME].ema_variables, batch["x"])
        return {"loss": jnp.mean((found - batch["y"] * frozen["scale"]) ** 2)}

    def image(current, frozen, batch):
        grey = jnp.broadcast_to(batch["x"][:, :, None, None], (len(batch["x"]), 2, 16, 3))
        return {"input": grey * 0.5 + 0.5, "map": jnp.zeros((len(grey), 1, 8, 3))}

    def initial():
        return train_state.make_state({NAME: network.init(jax.random.key(0), jnp.zeros((1, 2)))}, rule)

    frozen = {"scale": jnp.float32(1.5)}
    export = lambda current: {NAME: current.network_states[NAME].ema_variables}
    return stage.Stage(NAME, "poses", step, eval_step, image, initial, frozen, export)


class Source:
    """Batches by (seed, step).

    missing_at: the step whose clip is gone. signal_at: the one whose batch brings signal `number`. seconds: a
    batch takes.
    """

    def __init__(self, *, missing_at=-1, signal_at=-1, number=signal.SIGTERM, seconds=0.0):
        self._missing_at, self._signal_at, self._seconds = missing_at, signal_at, seconds
        self._number = number

    def batch(self, kind, config, *, seed, step, batch_size, part=(0, 1), held_out=False):
        if not held_out and step == self._missing_at:
            raise errors.UserError("clip a.mp4 is gone; copy it back")
        if not held_out and step == self._signal_at:
            os.kill(os.getpid(), self._number)
        time.sleep(self._seconds)
        x = np.random.default_rng((seed, step, held_out)).uniform(-1, 1, (batch_size, 2)).astype(np.float32)
        own = x[[*sources.part_of(batch_size, part)]]
        return {"x": own, "y": np.sin(math.pi * own).sum(1, keepdims=True)}

    def batches(self, kind, config, *, first_step=0, **options):
        for step in itertools.count(first_step):
            yield self.batch(kind, config, step=step, **options)


def make_task(folder, *, made=None, source=None, export=None, **config):
    """A task in `folder` with everything due every step or two."""
    usual = {"steps": 4, "batch_size": 8, "report_every": 1, "save_every": 2, "eval_every": 0}
    usual |= {"eval_batches": 1, "image_every": 0}
    folder.mkdir(parents=True, exist_ok=True)
    options = {"export": export} if export else {}
    return loop.Task(
        made or make_stage(),
        source or Source(),
        None,
        run_config.RunConfig(**usual | config),
        folder,
        best_metric="loss",
        **options,
    )


def environment(*, flags=FLAGS):
    """For a process of its own: one CPU device, and the tests' compile cache."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(HERE / ".jax_cache")}
    usual = os.environ | {"XLA_FLAGS": flags}
    return usual | cache | {"JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def main(folder, *, signal_at=-1, number=signal.SIGTERM, seconds=0.0, cluster=None, parts=1, **config):
    """Train in a process of its own; with others by SGD, whose steps rounding hardly changes.

    parts: devices over which the state, small as it is, is split.
    """
    sharding.join(cluster)
    fsdp.LEAST = 2
    if cluster:
        config["made"] = make_stage(optax.sgd(0.1))
    source = Source(signal_at=signal_at, number=number, seconds=seconds)
    return loop.train(make_task(folder, source=source, **config), sharding.make_mesh(0, parts))


@contextlib.contextmanager
def free_port():
    """One that nobody listens at, kept from everybody but those who share ports on purpose, as gRPC does."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", 0))
        yield made.getsockname()[1]
