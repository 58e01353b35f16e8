"""A state split over devices learns what one that lies whole learns."""

import chex
import jax
import numpy as np
import optax
import pytest

from avct_jax.train.core import compilation, loop, sharding
from avct_jax.train.distributed import fsdp
from tests import toy_stage


@pytest.fixture(autouse=True)
def _every_tensor(monkeypatch):
    """A toy has no large ones."""
    monkeypatch.setattr(fsdp, "LEAST", 2)


@pytest.fixture(scope="module")
def one_device():
    return after_a_step(sharding.make_mesh(1))


def after_a_step(mesh):
    """Parameters, metrics and the state after one step of plain SGD, which is the gradient."""
    made = toy_stage.make_stage(optax.sgd(1.0, momentum=0.9))
    step = compilation.compile_stage(made, mesh).step
    batch = sharding.place_batch(toy_stage.Source().batch("", None, seed=0, step=0, batch_size=16), mesh)
    asked = sharding.place_batch(np.zeros(mesh.size, np.int32), mesh)
    current, frozen = fsdp.place(made.initial(), mesh), sharding.place(made.frozen, mesh)
    current, (metrics, _) = step(current, frozen, batch, sharding.make_key(0, mesh), asked)
    return jax.device_get((current.network_states["toy"].params, metrics)), current


@pytest.mark.parametrize("devices, parts", [(2, 2), (4, 1), (4, 2), (8, 8)])
def test_gradients_are_those_of_one_device(devices, parts, one_device):
    mesh = sharding.make_mesh(devices, parts)
    found, current = after_a_step(mesh)
    chex.assert_trees_all_close(found, one_device[0], atol=1e-6)
    own = current.network_states["toy"]
    for tree in (own.params, own.ema_params, own.opt_state[0].trace):
        kernel = tree["Dense_0"]["kernel"]  # (2, 8)
        assert kernel.addressable_shards[0].data.shape == (2, 8 // parts)
    assert own.batch_stats["BatchNorm_0"]["mean"].addressable_shards[-1].data.shape == (8 // parts,)


@pytest.mark.parametrize(
    "shape, axis", [((3, 3, 64, 128), 3), ((3, 3, 128, 128), 3), ((512, 130), 0), ((9, 7), None), ((), None)]
)
def test_tensors_are_split_on_their_largest_axis_that_is_divisible(shape, axis, monkeypatch):
    mesh = sharding.make_mesh(8, 4)
    spec = fsdp.sharding_of(shape, mesh).spec
    assert [i for i, name in enumerate(spec) if name == "fsdp"] == ([] if axis is None else [axis])
    monkeypatch.setattr(fsdp, "LEAST", 2**30)
    assert fsdp.sharding_of(shape, mesh).is_fully_replicated


@pytest.mark.parametrize("before, after", [((8, 4), (4, 1)), ((2, 1), (8, 8))])
def test_run_goes_on_with_a_state_split_otherwise(before, after, tmp_path):
    made = toy_stage.make_stage(optax.sgd(0.1, momentum=0.9))
    exported = []
    task = lambda **options: toy_stage.make_task(
        tmp_path, made=made, eval_every=2, image_every=4,
        export=lambda current, best: exported.append(made.export(current)), **options,
    )  # fmt: skip
    loop.train(task(steps=2), sharding.make_mesh(*before))
    then = loop.train(task(steps=4), sharding.make_mesh(*after))
    kernel = then.state.network_states["toy"].params["Dense_0"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (2, 8 // after[1])
    whole = loop.train(toy_stage.make_task(tmp_path / "whole", made=made), sharding.make_mesh(1))
    chex.assert_trees_all_close(*jax.device_get((then.state, whole.state)), atol=1e-6)
    assert exported[-1]["toy"]["params"]["Dense_0"]["kernel"].is_fully_replicated
