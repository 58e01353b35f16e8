"""The renderer stage on TINY: every network learns, on one device or eight, in either arithmetic."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.dataset import batch_types
from avct_jax.data.faces import landmark_motion
from avct_jax.layers.geometry import grid
from avct_jax.models import patch_discriminator, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train.augmentation import random_warps
from avct_jax.train.core import grad_accumulation, init_params, optimizer
from avct_jax.train.monitoring import overlay
from avct_jax.train.stages import renderer_forward, renderer_stage
from tests import quick, training_batches

PARTS = ("keypoint_detector", "renderer")
RULE = optimizer.OptimizerConfig(learning_rate=1e-3)
FLOAT32 = grad_accumulation.ComputeConfig()
# FOMM's losses, as far down as 64 pixels and a VGG of two blocks go.
FOMM = renderer_stage.RendererStageConfig(perceptual_layers=(1, 2), perceptual_scales=(1, 2))
OFF = dataclasses.replace(FOMM, perceptual=0.0, equivariance_keypoints=0.0, equivariance_jacobians=0.0)
ALL = dataclasses.replace(
    FOMM,
    l1=5.0,
    mouth=5.0,
    painted=0.5,
    mouth_perceptual=1.0,
    mouth_layers=(1, 2),
    landmarks=10.0,
    noise=0.02,
    jitter=0.1,
    gan=1.0,
    output_size=32,
    discriminator=patch_discriminator.PatchDiscriminatorConfig(
        block_expansion=4, num_blocks=2, max_features=8
    ),
)


@pytest.fixture(scope="module")
def network():
    """A VGG of two narrow blocks."""
    config = vgg.VGGConfig(blocks=(1, 2), channels=(4, 6))
    variables = quick.jit(
        lambda: vgg.VGG(config).init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), (1, 2))
    )()
    return vgg.torchvision_network(variables["params"])


@pytest.fixture(scope="module")
def begin(tiny_variables, network):
    """Build a stage that begins with the same weights each time."""
    init = {part: tiny_variables[part] for part in PARTS}

    def make(config, compute=FLOAT32, **fields):
        options = {"init": init, "perceptual": network} | fields
        return renderer_stage.make_stage(system_config.TINY, config, RULE, compute, **options)

    return make


@pytest.fixture(scope="module")
def run(begin):
    """Thirty steps of every loss there is, on one batch: (first state, last state, metrics of each step)."""
    stage = begin(ALL)
    batch, first, rows = training_batches.pairs(b=2, n=2), stage.initial(), []
    step = quick.jit_wiring(stage.step)
    current = first
    for _ in range(30):
        current, metrics = step(current, stage.frozen, batch, jax.random.key(0))
        rows.append(jax.device_get(metrics))
    return first, current, rows


def test_step_moves_the_parameters_of_every_player(run):
    first, last, _ = run
    assert int(last.step) == 30 and set(last.network_states) == {*PARTS, "patch_discriminator"}
    for name, network_state in last.network_states.items():
        before = first.network_states[name]
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), before.params, network_state.params)
        # Biases that a normalisation takes away again do nothing: they alone may stay.
        useless = ("['conv']['bias']", "['conv1']['bias']")
        paths = jax.tree.leaves_with_path(moved)
        counts = [x for path, x in paths if not jax.tree_util.keystr(path).endswith(useless)]
        assert np.mean(counts) > 0.9, name
        changed = jax.tree.map(
            lambda a, b: bool((a != b).any()), before.batch_stats, network_state.batch_stats
        )
        # The discriminator's last layer has one output: its singular vector is 1.
        assert np.mean(jax.tree.leaves(changed)) > 0.8, name


def test_step_reports_every_term_as_a_finite_scalar(run):
    _, _, rows = run
    terms = {*ALL.weights, "total", "gradient_norm", "gan_discriminator"}
    assert set(rows[0]) == terms and {"perceptual", "equivariance_jacobians", "painted"} < terms
    assert all(
        np.isfinite(v) and v.shape == () and v.dtype == np.float32 for row in rows for v in row.values()
    )
    total = sum(w * rows[5][name] for name, w in ALL.weights.items())
    assert rows[5]["total"] == pytest.approx(total, rel=1e-5)


def test_steps_on_one_batch_lower_its_losses(run):
    _, _, rows = run
    mean = lambda name, part: np.mean([row[name] for row in rows[part]])
    for name in ("landmarks", "l1", "perceptual", "painted", "gan_discriminator", "equivariance_keypoints"):
        assert mean(name, slice(-5, None)) < 0.9 * mean(name, slice(5)), name


def test_average_follows_the_parameters(run):
    """After 30 steps the share kept has been at most 30/39: the average is near, and not the same."""
    first, last, _ = run

    def apart(a, b):
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return np.mean([np.abs(np.asarray(x) - np.asarray(y)).mean() for x, y in pairs])

    network_state = last.network_states["renderer"]
    begun = first.network_states["renderer"].params
    assert (
        0 < apart(network_state.ema_params, network_state.params) < 0.5 * apart(begun, network_state.params)
    )


@pytest.fixture(scope="module")
def found(begin):
    """FOMM's gradients and metrics of one batch of eight, and the program that finds them, by setting."""
    batch, keys = training_batches.pairs(b=8, n=1), jax.random.split(jax.random.key(1), 8)

    def find(compute=FLOAT32, place=lambda x: x):
        stage = begin(FOMM, compute)
        plan = renderer_forward.RendererPlan(system_config.TINY, FOMM, compute)
        network_states = stage.initial().network_states
        params, stats = (
            {n: getattr(p, part) for n, p in network_states.items()} for part in ("params", "batch_stats")
        )
        arguments = (params, stats, stage.frozen, *place((batch, keys)))
        lowered = jax.jit(lambda *a: renderer_stage.find_gradients(plan, *a)).lower(*arguments)
        program = lowered.compile(quick.OPTIONS | compute.compiler_options("cpu"))
        gradient, _, metrics = program(*arguments)
        memory = program.memory_analysis().temp_size_in_bytes
        return jax.device_get(gradient), jax.device_get(metrics), memory

    return find, *find()


def assert_near(gradients, wanted, share):
    """No gradient is farther from the wanted than this share of its network's largest."""
    for name in wanted:
        largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(wanted[name]))
        near = lambda a, b, at=share * largest: np.testing.assert_allclose(a, b, atol=at, rtol=0)
        jax.tree.map(near, gradients[name], wanted[name])


def test_gradients_are_the_same_on_eight_devices(found):
    find, wanted, metrics, _ = found
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    spread, told, _ = find(place=lambda tree: jax.device_put(tree, rows))
    assert_near(spread, wanted, 1e-5)
    assert all(told[name] == pytest.approx(value, rel=1e-5) for name, value in metrics.items())


def test_gradients_are_the_same_when_computed_twice(found):
    find, wanted, _, memory = found
    again, _, spared = find(grad_accumulation.ComputeConfig(remat=True))
    assert_near(again, wanted, 1e-5)
    assert spared < memory


def test_gradients_in_bfloat16_are_float32_and_near(found):
    find, wanted, metrics, _ = found
    rough, told, _ = find(grad_accumulation.ComputeConfig(dtype="bfloat16"))
    assert {x.dtype for x in jax.tree.leaves((rough, told))} == {np.dtype(np.float32)}
    for name in ("total", "perceptual", "equivariance_keypoints"):
        assert told[name] == pytest.approx(metrics[name], rel=0.03), name
    for part in PARTS:
        a, b = (np.concatenate([x.ravel() for x in jax.tree.leaves(g[part])]) for g in (rough, wanted))
        assert (a @ b) / np.sqrt((a @ a) * (b @ b)) > 0.95, part


def test_draws_do_not_hang_on_the_rest_of_the_batch():
    keys = jax.random.split(jax.random.key(0), 4)
    warp = quick.jit(lambda k: random_warps.random_warps(k, 2))
    np.testing.assert_allclose(warp(keys).theta[4:], warp(keys[2:]).theta, atol=1e-6)


def metrics_of(stage, batch):
    """The names of what a step reports, and how many convolutions it takes; nothing is compiled."""
    current = jax.eval_shape(stage.initial)
    traced = jax.jit(stage.step).trace(current, stage.frozen, batch, jax.random.key(0))
    return set(traced.out_info[1]), str(traced.jaxpr).count("conv_general_dilated[")


def test_losses_of_weight_zero_are_not_computed(begin):
    batch = training_batches.pairs(b=2)
    alone = begin(dataclasses.replace(OFF, landmarks=1.0))
    names, convolutions = metrics_of(alone, batch)
    assert names == {"landmarks", "total", "gradient_norm"} and alone.frozen == (None, None)
    assert set(jax.eval_shape(alone.initial).network_states) == {"keypoint_detector"}
    drawn, more = metrics_of(begin(dataclasses.replace(OFF, landmarks=1.0, l1=1.0)), batch)
    assert drawn == names | {"l1"} and more > convolutions
    seen, most = metrics_of(begin(dataclasses.replace(FOMM, gan=1.0, discriminator=ALL.discriminator)), batch)
    assert {"gan_discriminator", "feature_matching", "perceptual"} < seen and most > more


def test_step_in_parts_recomputed_and_in_bfloat16_keeps_the_form_of_the_state(begin):
    compute = grad_accumulation.ComputeConfig(remat=True, microbatches=2, dtype="bfloat16")
    stage = begin(ALL, compute)
    current = stage.initial()
    after, metrics = jax.eval_shape(
        stage.step, current, stage.frozen, training_batches.pairs(b=4), jax.random.key(0)
    )
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert shapes(after) == shapes(current) and "gan_discriminator" in metrics


def test_taught_renderer_teaches_the_detector_nothing(begin):
    """With landmarks at next to no weight, only rendering could move the detector."""
    keys, batch = jax.random.split(jax.random.key(1), 2), training_batches.pairs(b=2, n=1)
    config = dataclasses.replace(OFF, l1=1.0, landmarks=1e-9, teach=True, output_size=16)
    plan, stage = renderer_forward.RendererPlan(system_config.TINY, config, FLOAT32), begin(config)
    network_states = stage.initial().network_states
    trees = ({n: getattr(p, part) for n, p in network_states.items()} for part in ("params", "batch_stats"))
    find = quick.jit(lambda *a: renderer_stage.find_gradients(plan, *a)[0])
    found = find(*trees, stage.frozen, batch, keys)
    largest = {part: max(float(jnp.abs(x).max()) for x in jax.tree.leaves(found[part])) for part in PARTS}
    assert largest["keypoint_detector"] < 1e-6 and largest["renderer"] > 1e-4


def mirrored(batch):
    """What a data source would hold of mirrored clips."""
    index = list(landmark_motion.MIRRORED)

    def turn(m):
        flip = np.array([-1, 1], np.float32)
        jacobians = m.jacobians[..., index, :, :] * np.outer(flip, flip)
        return batch_types.FaceMotion(m.keypoints[..., index, :] * flip, jacobians)

    frames = (x[..., ::-1, :] for x in batch[:2])
    return batch_types.Pairs(*frames, *map(turn, batch[2:4]), batch.variation)


@pytest.fixture(scope="module")
def evaluated(begin):
    """A frozen detector's stage under teaching, and its compiled judge."""
    config = dataclasses.replace(
        OFF, l1=1.0, mouth=1.0, landmarks=10.0, teach=True, train_detector=False, output_size=32
    )
    stage = begin(config)
    current = stage.initial()
    eval_step = quick.jit(stage.eval_step)
    return stage, current, lambda batch: eval_step(current, stage.frozen, batch, jax.random.key(0))


def test_judge_of_mirrored_examples_is_that_of_mirrored_clips(evaluated):
    _, _, eval_step = evaluated
    batch = training_batches.pairs(b=2, n=2, vary=False)
    asked = batch._replace(variation=batch.variation._replace(mirrored=np.ones(2, bool)))
    told, wanted = eval_step(asked), eval_step(mirrored(batch))
    assert set(told) == {"l1", "l1_still", "mouth"}
    assert all(told[name] == pytest.approx(float(wanted[name]), rel=1e-4) for name in told)
    assert told["l1"] != pytest.approx(float(eval_step(batch)["l1"]), rel=1e-4)


def test_judge_finds_a_still_pair_still(evaluated):
    batch = training_batches.pairs(b=2, n=2, vary=False)
    still = batch._replace(driving=np.repeat(batch.source[:, None], 2, 1))
    assert float(evaluated[2](still)["l1_still"]) == 0 < float(evaluated[2](batch)["l1_still"])


def test_frozen_detector_is_neither_player_nor_exported(evaluated, tiny_variables):
    stage, current, _ = evaluated
    assert set(current.network_states) == set(stage.export(current)) == {"renderer"}
    wanted = tiny_variables["keypoint_detector"]
    chex.assert_trees_all_equal(stage.frozen.detector, wanted)
    renderer = stage.export(current)["renderer"]
    chex.assert_trees_all_equal(renderer["params"], tiny_variables["renderer"]["params"])


def test_image_shows_everything_in_order(begin):
    stage = begin(ALL)
    current = jax.eval_shape(stage.initial)
    shown = jax.eval_shape(jax.jit(stage.image), current, stage.frozen, training_batches.pairs(b=3, n=2))
    first = ["source", "source_keypoints", "driving", "driving_keypoints"]
    assert list(shown) == [*first, "warp", "occlusion", "keep", "painted", "result"]
    assert {x.shape for x in shown.values()} == {(3, 64, 64, 3)}


def test_keypoints_are_drawn_where_they_are_each_in_its_colour():
    places = jnp.array([[[-0.5, 0.0], [0.5, 0.5]]])
    draw = jax.jit(lambda p: overlay.keypoints(jnp.full((1, 41, 41, 3), 0.5), p, radius=0.1))
    drawn = np.asarray(draw(places))[0]
    np.testing.assert_allclose(drawn[[20, 30], [10, 30]], [[1, 0, 0], [0, 1, 1]])
    assert 0.004 < (drawn != 0.5).any(-1).mean() < 0.03


def test_moved_by_no_deformation_is_the_image():
    images = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    rest = jnp.tile(jnp.asarray(grid.coordinate_grid(8, 8))[None], (2, 1, 1, 1))
    np.testing.assert_allclose(jax.jit(overlay.moved)(images, rest), images, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"perceptual": 1.0}, "perceptual weight 1.0 needs VGG weights"),
        ({"mouth_perceptual": 2.0}, "perceptual weight 2.0 needs VGG weights"),
        ({}, "every loss has weight 0"),
        ({"l1": 1.0, "teach": True}, "teaches the detector nothing"),
        ({"landmarks": 1.0, "painted": 1.0}, "painted 1.0 repeats l1 and mouth"),
        ({"l1": 1.0, "train_detector": False}, "needs a trained keypoint_detector"),
    ],
)
def test_stage_refuses_what_cannot_train(begin, fields, message):
    with pytest.raises(errors.UserError, match=message):
        begin(dataclasses.replace(OFF, **fields), perceptual=None, init=None)


def test_begin_refuses_weights_of_another_size(tiny_variables):
    wrong = {
        "renderer": {**tiny_variables["renderer"], "params": {"final": {"kernel": np.zeros((3, 3, 4, 4))}}}
    }
    with pytest.raises(errors.UserError, match=r"renderer\['params'\].* in the weights to begin from"):
        init_params.begin("renderer", wrong, lambda: tiny_variables["renderer"])
    made = init_params.begin("renderer", None, lambda: tiny_variables["renderer"])
    assert made is tiny_variables["renderer"]
