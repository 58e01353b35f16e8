"""E_h learns poses; eight devices, parts of a batch and recomputed activations give the same gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from avct_jax.models import head_motion, system_config
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.stages import head_motion_stage
from tests import quick, training_batches

RULE = optimizer.OptimizerConfig(learning_rate=3e-3, betas=(0.9, 0.999))
VARIED = head_motion_stage.HeadMotionStageConfig(speed=1.0, shift=0.3, turn=0.25, noise=0.15)
PLAIN = head_motion_stage.HeadMotionStageConfig()
KEY = jax.random.key(0)


def make(config=PLAIN, **compute):
    return head_motion_stage.make_stage(
        system_config.TINY, config, RULE, grad_accumulation.ComputeConfig(**compute)
    )


def doubled(b=4):
    """Every example twice, one after the other: two parts of it are alike."""
    return jax.tree.map(lambda x: np.repeat(x, 2, axis=0), training_batches.poses(b=b, t=4))


@pytest.fixture(scope="module")
def begun():
    return quick.jit(make().initial)()


@pytest.fixture(scope="module")
def step():
    return quick.jit_wiring(make().step)


def first_moments(current):
    """A tenth of the first step's gradients: Adam's own steps would make 1e-4 of rounding at 1e-9."""
    return jax.device_get(optimizer_moments(current.network_states["head_motion"].opt_state))


def optimizer_moments(opt_state):
    return next(
        s.mu for s in jax.tree.leaves(opt_state, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")
    )


def test_step_moves_every_parameter_and_counts(begun):
    after, metrics = quick.jit(make(VARIED).step)(begun, {}, training_batches.poses(t=4), KEY)
    assert int(after.step) == 1 and set(metrics) == {"pose", "speed", "total", "gradient_norm"}
    assert all(np.isfinite(m) and m.dtype == jnp.float32 for m in metrics.values())
    params = (x.network_states["head_motion"].params for x in (begun, after))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), *jax.device_get(tuple(params)))
    assert all(jax.tree.leaves(moved)), moved
    assert set(make().export(after)) == {"head_motion"}


def test_loss_of_one_batch_falls(begun, step):
    current, batch, found = begun, doubled(), []
    for _ in range(30):
        current, metrics = step(current, {}, batch, KEY)
        found.append(float(metrics["pose"]))
    assert found[-1] < 0.5 * found[0]
    eval_step = quick.jit(make().eval_step)
    before, after = (eval_step(x, {}, batch, KEY) for x in (begun, current))
    assert float(after["pose"]) < float(before["pose"]) and float(after["translation_mm"]) < 60


def test_step_is_the_same_on_eight_devices(begun, step):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(doubled(), NamedSharding(mesh, PartitionSpec("data")))
    whole = jax.device_put(begun, NamedSharding(mesh, PartitionSpec()))
    one, eight = (first_moments(step(*x, KEY)[0]) for x in ((begun, {}, doubled()), (whole, {}, spread)))
    chex.assert_trees_all_close(one, eight, atol=1e-5)


def test_parts_of_a_batch_and_remat_give_the_whole_batchs_gradient(begun, step):
    parts = quick.jit_wiring(make(remat=True, microbatches=2).step)
    one, two = (first_moments(f(begun, {}, doubled(), KEY)[0]) for f in (step, parts))
    chex.assert_trees_all_close(one, two, atol=1e-5)
    assert max(np.abs(x).max() for x in jax.tree.leaves(one)) > 1e-3


def test_parts_of_a_batch_are_varied_as_the_whole_is(begun, monkeypatch):
    """Moved heads and noise: what an example is given does not hang on the number of parts."""

    def predict(network, variables, audio, poses, *, remat=False):
        return jnp.broadcast_to(audio.mean((2, 3))[..., None], poses.shape), variables["batch_stats"]

    monkeypatch.setattr(head_motion_stage, "predict", predict)
    batch = training_batches.poses(b=4, t=4)
    options = ((VARIED, 1), (VARIED, 2), (PLAIN, 1))
    told = [quick.jit(make(c, microbatches=m).step)(begun, {}, batch, KEY)[1] for c, m in options]
    one, two, plain = (float(metrics["total"]) for metrics in told)
    assert one == pytest.approx(two, rel=1e-5) and one != pytest.approx(plain, rel=1e-3)


def test_vary_moves_a_stretch_as_a_whole():
    batch = training_batches.poses(b=3, t=5)
    audio, poses = head_motion_stage.vary(VARIED, batch, KEY)
    moved = np.asarray(poses - head_motion.to_network_range(jnp.asarray(batch.poses)))
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1], moved.shape), atol=1e-5)
    assert 0.01 < np.abs(moved[..., :3]).max() <= 0.25 and np.abs(audio - batch.audio).max() > 0.1
    untouched = head_motion_stage.vary(PLAIN, batch, KEY)
    np.testing.assert_array_equal(untouched[0], batch.audio)


def test_image_shows_real_and_predicted_boxes_of_one_clip(begun):
    shown = jax.eval_shape(make().image, begun, {}, training_batches.poses(t=6))
    assert {name: x.shape for name, x in shown.items()} == dict.fromkeys(
        ("predicted", "real"), (6, 256, 256, 3)
    )


def test_step_in_bfloat16_makes_float32_parameters_and_metrics(begun):
    built = make(dtype="bfloat16")
    after, metrics = jax.eval_shape(built.step, begun, {}, training_batches.poses(), KEY)
    kinds = {x.dtype for x in jax.tree.leaves((after.network_states["head_motion"].params, metrics))}
    assert kinds == {np.dtype("float32")}
