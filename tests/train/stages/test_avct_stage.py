"""Equation 2 and its warm-up: who learns, who is left alone, what is rendered, and on how many devices."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.spatial import transform

from avct_jax import errors
from avct_jax.data.dataset import batch_types
from avct_jax.layers.geometry import pose_image
from avct_jax.models import patch_discriminator, sync_discriminator, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train import ablations
from avct_jax.train.core import grad_accumulation, init_params, optimizer
from avct_jax.train.stages import avct_inputs, avct_stage
from tests import quick, training_batches

KEY = jax.random.key(0)
RULE = optimizer.OptimizerConfig(learning_rate=2e-3, betas=(0.9, 0.999))
SYNC = sync_discriminator.SyncDiscriminatorConfig(width=0.0625, residual=False)
WHOLE = avct_stage.AVCTStageConfig(
    matching=1.0,
    rendered=5,
    output_size=32,
    perceptual_layers=(1,),
    perceptual_scales=(1,),
    discriminator=patch_discriminator.PatchDiscriminatorConfig(4, 2, 8),
    sync_discriminator=SYNC,
)
TERMS = ("sync", "perceptual", "equivariance_keypoints", "equivariance_jacobians")
GAME = ("gan_generator", "feature_matching", "gan_discriminator")
WARMING = ("keypoints", "opening", "jacobians", "places")
NOTHING = dict.fromkeys((*TERMS, "gan"), 0.0)
WARM = avct_stage.AVCTStageConfig(**NOTHING, keypoint=10.0, transfer=True)


@pytest.fixture(scope="module")
def given(tiny_variables):
    network = vgg.VGG(vgg.VGGConfig((1,) * 5, (4,) * 5))
    params = quick.jit(lambda: network.init(KEY, jnp.zeros((1, 32, 32, 3))))()["params"]
    frozen = {**tiny_variables, "sync_discriminator": init_params.sync_discriminator_variables(SYNC)}
    frozen = {part: frozen[part] for part in ("keypoint_detector", "renderer", "sync_discriminator")}
    return {"frozen": frozen, "perceptual": vgg.torchvision_network(params)}


def make(config, given, **compute):
    return avct_stage.make_stage(
        system_config.TINY, config, RULE, grad_accumulation.ComputeConfig(**compute), **given
    )


@pytest.fixture(scope="module")
def whole(given):
    """The stage of eq. 2, its state at step 0, its frozen networks on the device, its compiled step."""
    built = make(WHOLE, given)
    return built, built.initial(), quick.jit_wiring(built.step)


def doubled(**fields):
    """Two examples, each four times: eight devices have one, and parts of a batch are alike."""
    return jax.tree.map(
        lambda x: np.repeat(x, 4, axis=0), training_batches.sequences(b=2, t=6, vary=False, **fields)
    )


def first_moments(current):
    """A tenth of the first step's gradients: Adam's own steps would make 1e-4 of rounding at 1e-9."""
    found = jax.tree.leaves(current.network_states, is_leaf=lambda s: hasattr(s, "mu"))
    return jax.device_get([s.mu for s in found if hasattr(s, "mu")])


def test_step_of_equation_2_moves_both_players(whole):
    built, begun, step = whole
    after, metrics = step(begun, built.frozen, doubled(), KEY)
    weighted = sum(weight * float(metrics[name]) for name, weight in WHOLE.weights.items())
    assert float(metrics["total"]) == pytest.approx(weighted, rel=1e-5)
    assert set(metrics) == {*TERMS, *GAME, "total", "gradient_norm"}
    assert all(np.isfinite(m) and m > 0 and m.dtype == jnp.float32 for m in metrics.values())
    for name in ("avct", "patch_discriminator"):
        params = (x.network_states[name].params for x in (begun, after))
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), *params)
        assert np.mean(jax.tree.leaves(moved)) > 0.9, moved
    assert set(built.export(after)) == {"avct", "patch_discriminator"} and int(after.step) == 1


def test_eight_devices_that_render_frame_by_frame_take_the_same_step(whole, given):
    built, begun, step = whole
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(doubled(), NamedSharding(mesh, PartitionSpec("data")))
    everywhere = jax.device_put((begun, built.frozen), NamedSharding(mesh, PartitionSpec()))
    again = quick.jit_wiring(make(WHOLE, given, remat=True).step)
    one, eight = step(begun, built.frozen, doubled(), KEY), again(*everywhere, spread, KEY)
    chex.assert_trees_all_close(one[1], eight[1], rtol=1e-4)
    one, eight = first_moments(one[0]), first_moments(eight[0])
    assert max(np.abs(x).max() for x in jax.tree.leaves(one)) > 1e-3
    chex.assert_trees_all_close(one, eight, atol=1e-5)


def test_warm_up_renders_nothing_and_its_loss_falls(given):
    only = {"frozen": {"keypoint_detector": given["frozen"]["keypoint_detector"]}}
    built = make(WARM, only)
    assert built.frozen.renderer is None and built.frozen.perceptual is None
    current, step = built.initial(), quick.jit_wiring(built.step)
    assert set(current.network_states) == {"avct"}
    batch, totals = training_batches.sequences(b=2, t=4, with_frames=False), []
    for _ in range(30):
        current, metrics = step(current, built.frozen, batch, KEY)
        totals.append(float(metrics["total"]))
    assert np.isfinite(metrics["gradient_norm"]) and set(metrics) == {*WARMING, "total", "gradient_norm"}
    assert totals[-1] < 0.7 * totals[0]
    shown = jax.eval_shape(built.image, current, built.frozen, batch)
    assert set(shown) == {"source", "keypoints"}


def test_warm_up_by_the_detector_needs_frames(given):
    config = avct_stage.AVCTStageConfig(**NOTHING, keypoint=10.0, targets="detector")
    built = make(config, {"frozen": given["frozen"]})
    begun = jax.eval_shape(built.initial)
    _, metrics = jax.eval_shape(built.step, begun, built.frozen, doubled(), KEY)
    assert set(metrics) == {*WARMING, "total", "gradient_norm"}
    with pytest.raises(ValueError, match="draw sequences with_frames"):
        jax.eval_shape(built.step, begun, built.frozen, doubled(with_frames=False), KEY)


def test_best_is_by_what_the_run_trains():
    by = lambda **weights: avct_stage.AVCTStageConfig(**NOTHING | weights).best_metric
    assert WARM.best_metric == "keypoint_error" and avct_stage.AVCTStageConfig().best_metric == "perceptual"
    assert by(sync=1.0) == "sync" and by(equivariance_jacobians=1.0) == "equivariance_jacobians"


def test_judge_reports_and_image_shows_all_that_there_is(whole):
    built, begun, _ = whole
    metrics = jax.eval_shape(built.eval_step, begun, built.frozen, doubled(), KEY)
    assert {"keypoint_error", "opening_correlation", "opening_spread", "sync", "perceptual"} < set(metrics)
    shown = jax.eval_shape(built.image, begun, built.frozen, doubled())
    assert {name: x.shape for name, x in shown.items()} == dict.fromkeys(
        ("driving", "keypoints", "result", "source"), (6, 32, 32, 3)
    )


@pytest.mark.parametrize("name", [n for n in ablations.ABLATIONS if not n.endswith("discriminators")])
def test_steps_of_table_2s_ablated_systems_keep_the_form_of_their_state(given, name):
    system, config = ablations.ABLATIONS[name](system_config.TINY, WARM)
    built = avct_stage.make_stage(system, config, RULE, grad_accumulation.ComputeConfig(), **given)
    begun = jax.eval_shape(built.initial)
    after, _ = jax.eval_shape(built.step, begun, built.frozen, doubled(with_frames=False), KEY)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, begun)
    assert (system == system_config.TINY) == (name == "without-sync-discriminator")


def test_ablated_losses_of_table_2_are_left_out():
    assert len(ablations.ABLATIONS) == 6
    _, neither = ablations.ABLATIONS["without-discriminators"](system_config.TINY, WHOLE)
    _, no_sync = ablations.ABLATIONS["without-sync-discriminator"](system_config.TINY, WHOLE)
    assert not neither.adversarial and not neither.sync and neither.renders
    assert no_sync.adversarial and not no_sync.sync


def test_step_in_bfloat16_makes_float32_parameters_and_metrics(given):
    config = dataclasses.replace(
        WHOLE, perceptual=0.0, equivariance_jacobians=0.0, equivariance_keypoints=0.0
    )
    built = make(config, given, dtype="bfloat16", microbatches=2)
    begun = jax.eval_shape(built.initial)
    after, metrics = jax.eval_shape(built.step, begun, built.frozen, doubled(), KEY)
    kinds = {x.dtype for x in jax.tree.leaves(([p.params for p in after.network_states.values()], metrics))}
    assert kinds == {np.dtype("float32")}


def test_stage_refuses_what_cannot_be(given):
    with pytest.raises(ValueError, match="there are no real frames"):
        dataclasses.replace(WHOLE, transfer=True)
    with pytest.raises(ValueError, match="rendered 4 is too few for sync"):
        dataclasses.replace(WHOLE, rendered=4)
    with pytest.raises(errors.UserError, match="needs a trained sync_discriminator"):
        make(WHOLE, {**given, "frozen": {k: given["frozen"][k] for k in ("keypoint_detector", "renderer")}})
    with pytest.raises(errors.UserError, match="perceptual loss needs VGG weights"):
        make(WHOLE, {"frozen": given["frozen"]})


def variation(**fields):
    view = jnp.array([[fields.get(n, 0.0) for n in ("size", "turn", "x", "y")]])
    return batch_types.Variation(jnp.array([fields.get("mirrored", False)]), view, jnp.zeros((1, 4)))


VIEWS = (
    {"turn": 0.3},
    {"size": -0.2},
    {"x": 0.2, "y": -0.1},
    {"mirrored": True},
    {"mirrored": True, "turn": 0.2, "size": 0.1},
)


@pytest.mark.parametrize("how", VIEWS)
def test_poses_seen_are_those_of_the_image_seen(how):
    """The head is where the view moves it; its box too, but for the perspective of another place."""
    pose = np.float32([[[0.2, -0.3, 0.1, 20.0, -10.0, 300.0]]])
    seen = np.asarray(avct_inputs.see_poses(jnp.asarray(pose), variation(**how)))
    size, turn = np.exp(how.get("size", 0.0)), how.get("turn", 0.0)
    matrix = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    mirror = np.array([-1 if "mirrored" in how else 1, 1])
    move = lambda place: (place - [how.get("x", 0.0), how.get("y", 0.0)]) @ np.linalg.inv(matrix).T * mirror
    middle = lambda p: pose_image.FOCAL * p[0, :, 3:5] / p[0, :, 5:] / (pose_image.SIZE / 2)
    np.testing.assert_allclose(middle(seen), move(middle(pose)), atol=1e-4)
    box = lambda p: (pose_image.project_box(p[0]) - 128) / 128
    moved = move(box(pose))[:, [3, 2, 1, 0, 7, 6, 5, 4] if "mirrored" in how else slice(None)]
    np.testing.assert_allclose(box(seen), moved, atol=0.02 if set(how) <= {"turn", "mirrored"} else 0.07)


def look(batch, *, transfer):
    return quick.jit(lambda batch: avct_inputs.see(batch, radius=5, image_size=64, transfer=transfer))(batch)


def test_transfer_moves_the_portrait_by_the_speakers_motion_since_rest():
    batch = training_batches.sequences(b=2, t=3, vary=False, with_frames=False)
    seen = look(batch, transfer=True)
    moved = batch.motion.keypoints[:, 5:-5] - batch.rest_motion.keypoints[:, None]
    np.testing.assert_allclose(seen.target.keypoints - seen.rest.keypoints, moved, atol=1e-5)
    np.testing.assert_allclose(seen.rest.keypoints[:, 0], batch.portrait_motion.keypoints, atol=1e-6)
    np.testing.assert_allclose(seen.rest_pose[:, 0], batch.portrait_pose, rtol=1e-5, atol=1e-5)
    plain = look(batch, transfer=False)
    np.testing.assert_allclose(plain.target.keypoints, batch.motion.keypoints[:, 5:-5], atol=1e-6)


def test_transferred_head_turns_from_where_the_portrait_looks_as_the_speakers_did():
    """Rotations follow one another; their vectors' sum would be off by some degrees (here 6)."""
    rng = np.random.default_rng(0)
    batch = training_batches.sequences(b=2, t=3, vary=False, with_frames=False)
    reach, far = np.float32([0.5] * 3 + [20.0] * 3), np.float32([0, 0, 0, 0, 0, 300])
    draw = lambda shape: rng.uniform(far - reach, far + reach, (*shape, 6)).astype(np.float32)
    batch = batch._replace(poses=draw((2, 13)), rest_pose=draw((2,)), portrait_pose=draw((2,)))
    seen = look(batch, transfer=True)
    turn = lambda poses: transform.Rotation.from_rotvec(poses[..., :3].reshape(-1, 3))
    each = lambda x: np.repeat(x, 13, axis=0)
    wanted = turn(batch.poses) * turn(each(batch.rest_pose)).inv() * turn(each(batch.portrait_pose))
    np.testing.assert_allclose(np.reshape(seen.poses, (-1, 6))[:, :3], wanted.as_rotvec(), atol=1e-5)
    moved = batch.poses - batch.rest_pose[:, None] + batch.portrait_pose[:, None]
    np.testing.assert_allclose(seen.poses[..., 3:], moved[..., 3:], atol=1e-4)
    apart = (turn(moved).inv() * wanted).magnitude()
    assert apart.max() > np.radians(6)


def test_hushed_frames_are_true_silence_and_others_are_not():
    config = dataclasses.replace(WARM, silence_augmentation=1.0)
    batch = training_batches.sequences(b=2, t=3, vary=False, with_frames=False)
    seen = look(batch, transfer=True)
    silence = jnp.full((4, 41), 7.0)
    heard = avct_inputs.vary_audio(seen, batch.silent, silence, KEY, config=config)
    hushed = np.asarray((heard.audio == 7).all((2, 3)))
    np.testing.assert_array_equal(hushed, batch.silent > 0)
    np.testing.assert_array_equal(np.asarray(heard.phonemes)[~hushed], batch.phonemes[~hushed])
    assert (np.asarray(heard.phonemes)[hushed] == 31).all()
