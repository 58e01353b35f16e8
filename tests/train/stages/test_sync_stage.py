"""D_sync learns what belongs together; what it is shown, and what keeps it from standing still."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from avct_jax.data.dataset import batch_types
from avct_jax.models import sync_discriminator, system_config
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.stages import sync_stage
from tests import quick, training_batches

KEY = jax.random.key(0)
RULE = optimizer.OptimizerConfig(learning_rate=2e-3, betas=(0.9, 0.999))
SMALL = sync_discriminator.SyncDiscriminatorConfig(width=0.0625, residual=False)
CONFIG = sync_stage.SyncStageConfig(discriminator=SMALL, easy_steps=20)


def make(config=CONFIG, **compute):
    return sync_stage.make_stage(system_config.TINY, config, RULE, grad_accumulation.ComputeConfig(**compute))


def speaking(seed, b=16, size=32):
    """Mouths that open as far as the audio is loud, each at its own pace, on skins of any shade.

    The recordings of every second example are another's.
    """
    rng = np.random.default_rng((seed, 7))
    phase, pace = rng.uniform(0, 2 * np.pi, (b, 1)), rng.uniform(0.1, 0.4, (b, 1))
    opening = lambda shift: 0.5 + 0.5 * np.sin(phase + shift + pace * np.arange(16))
    in_sync = (np.arange(b) % 2 == 0).astype(np.float32)
    heard = opening(rng.uniform(2, 4, (b, 1)) * (1 - in_sync[:, None]))
    mel = np.repeat(8 * heard[:, None] - 4, 80, 1) + rng.normal(0, 0.3, (b, 80, 16))
    gap = opening(0)[:, ::3][:, :5, None] * 6
    skin = rng.uniform(60, 250, (b, 1, 1, 1, 3))
    frames = skin * np.where(np.abs(np.arange(size) - 20) < gap, 0.4, 1)[..., None, None]
    frames = np.repeat(frames, size, 3).astype(np.uint8)
    boxes = np.tile(np.float32([8, 12, 24, 28]), (b, 5, 1))
    still = training_batches.variation(b=b, vary=False)
    return batch_types.SyncWindows(frames, boxes, mel.astype(np.float32), in_sync, still)


@pytest.fixture(scope="module")
def begun():
    return quick.jit(make().initial)()


@pytest.fixture(scope="module")
def step():
    return quick.jit_repeated(make().step)


def test_sync_stage_learns_which_mouth_belongs_to_which_audio(begun, step):
    current = begun
    for i in range(48):
        current, metrics = step(current, {}, speaking(i), KEY)
    assert all(np.isfinite(m) and m.dtype == jnp.float32 for m in metrics.values())
    eval_step = quick.jit(make().eval_step)
    found = [eval_step(current, {}, speaking(1000 + i), KEY) for i in range(4)]
    mean = {name: np.mean([float(m[name]) for m in found]) for name in found[0]}
    assert mean["ranking"] > 0.8 and mean["margin"] > 0.1 and mean["bce"] < 0.6, mean


def test_step_moves_every_parameter(begun, step):
    after, metrics = step(begun, {}, speaking(0), KEY)
    params = (x.network_states["sync_discriminator"].params for x in (begun, after))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), *jax.device_get(tuple(params)))
    assert np.mean(jax.tree.leaves(moved)) > 0.9 and int(after.step) == 1
    terms, told = {"bce", "contrastive", "total"}, {"accuracy", "margin", "ranking", "picking"}
    assert set(metrics) == terms | told | {"gradient_norm"}
    assert set(make().export(after)) == {"sync_discriminator"}


def first_moments(current):
    """A tenth of the first step's gradients: Adam's own steps would make 1e-4 of rounding at 1e-9."""
    found = jax.tree.leaves(current.network_states, is_leaf=lambda s: hasattr(s, "mu"))
    return jax.device_get([s.mu for s in found if hasattr(s, "mu")])


def test_step_is_the_same_on_eight_devices_that_recompute(begun, step):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(speaking(0), NamedSharding(mesh, PartitionSpec("data")))
    everywhere = jax.device_put(begun, NamedSharding(mesh, PartitionSpec()))
    again = quick.jit(make(remat=True).step)
    one = first_moments(step(begun, {}, speaking(0), KEY)[0])
    eight = first_moments(again(everywhere, {}, spread, KEY)[0])
    chex.assert_trees_all_close(one, eight, atol=1e-5)
    assert max(np.abs(x).max() for x in jax.tree.leaves(one)) > 1e-3


def test_equal_cosines_are_a_floor_of_cross_entropy_but_not_of_contrast():
    """Why the contrastive term: where all cosines are one half, only it says which way to go."""
    half, same = jnp.full((4, 4), 0.5), jnp.array([1.0, 0, 1, 0])
    plain = sync_stage.SyncStageConfig(contrastive=0.0, easy_steps=0)
    terms = sync_stage.sync_losses(plain, half, same, 0)
    np.testing.assert_allclose(terms["bce"], np.log(2), atol=1e-4)
    # A change that all pairs share leads nowhere there.
    along = jax.grad(lambda x: sync_stage.sync_losses(plain, half + x, same, 0)["bce"])(0.0)
    np.testing.assert_allclose(along, 0, atol=1e-4)
    slope = jax.grad(lambda c: sync_stage.contrast(c, same, 0.1))(half)
    np.testing.assert_array_equal(np.sign(slope)[0], [-1, 1, 1, 1])
    assert np.abs(slope).max() > 1


def test_negatives_go_from_the_batchs_sounds_to_the_drawn_ones():
    cosines = jnp.array([[0.9, 0.1], [0.1, 0.8]])  # the second pair is out of sync, and hard to tell
    terms = [
        sync_stage.sync_losses(CONFIG, cosines, jnp.array([1.0, 0.0]), i)["bce"] for i in (0, 10, 20, 99)
    ]
    easy, hard = -np.log(0.9) / 2 - np.log(0.9) / 2, -np.log(0.9) / 2 - np.log(0.2) / 2
    np.testing.assert_allclose(terms, [easy, (easy + hard) / 2, hard, hard], rtol=1e-3)


def test_scores_of_perfect_and_of_blind_cosines():
    same = jnp.array([1.0, 1, 0])
    good = sync_stage.scores(jnp.array([[0.9, 0.1, 0], [0, 0.8, 0], [0, 0, 0.1]]), same)
    assert {k: round(float(v), 4) for k, v in good.items()} == dict(
        accuracy=1, margin=0.75, ranking=1, picking=1
    )
    blind = sync_stage.scores(jnp.full((3, 3), 0.4), same)
    assert float(blind["ranking"]) == 0.5 and float(blind["margin"]) == 0


def test_see_mirrors_and_recolours_an_examples_mouths():
    batch = training_batches.sync_windows(b=2)
    see = quick.jit(sync_stage.see)
    plain = see(batch._replace(variation=training_batches.variation(b=2, vary=False)))
    seen = see(batch._replace(variation=training_batches.variation(b=2, colour=0.0)))
    np.testing.assert_allclose(seen.faces[0], plain.faces[0], atol=1e-6)  # views move boxes and mouths alike
    np.testing.assert_allclose(seen.faces[1], plain.faces[1, :, ::-1], atol=1e-6)
    coloured = see(batch._replace(variation=training_batches.variation(b=2)))
    assert np.abs(coloured.faces - seen.faces).max() > 0.02


def test_image_shows_the_worst_and_the_best_pairs(begun):
    shown = jax.eval_shape(make().image, begun, {}, speaking(0))
    assert {name: x.shape for name, x in shown.items()} == dict.fromkeys(("mouths", "sound"), (8, 48, 496, 3))


def test_step_in_bfloat16_and_parts_makes_float32_parameters_and_metrics(begun):
    built = make(dtype="bfloat16", microbatches=2)
    after, metrics = jax.eval_shape(built.step, begun, {}, speaking(0), KEY)
    kinds = {x.dtype for x in jax.tree.leaves((after.network_states["sync_discriminator"].params, metrics))}
    assert kinds == {np.dtype("float32")}
