"""What each stage hands to whom: the right audio, the right window, the right video, the right weights.

Stubs answer with the numbers of the frames that they are given, so that a shift by one is seen.
"""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import motion
from avct_jax.data.faces import face_basis
from avct_jax.inference import keypoint_inference
from avct_jax.layers.geometry import pose_image
from avct_jax.models import avct, head_motion, patch_discriminator, sync_discriminator, system_config
from avct_jax.train.augmentation import random_warps
from avct_jax.train.core import optimizer, train_state
from avct_jax.train.mesh_stages import phoneme_stage, speech_stage
from avct_jax.train.stages import avct_inputs, avct_losses, head_motion_stage, renderer_stage, temporal_gan
from tests import quick, training_batches
from tests.models.mesh import test_speech_motion
from tests.train.mesh_stages import test_heard_lips, test_painter_stage, test_speech_stage
from tests.train.stages import (
    test_avct_stage,
    test_head_motion_stage,
    test_renderer_contracts,
    test_renderer_stage,
    test_sync_stage,
)

KEY = jax.random.key(0)


def unchecked(function):
    """A function without the tests' checks of types, which stubs would not pass."""
    return getattr(function, "__wrapped__", function)


class Numbered:
    """In the place of D_sync: keeps what it was asked, and finds all alike."""

    def apply(self, variables, mel, faces):
        self.mel, self.faces = mel, faces
        return jnp.ones((len(mel), 2)), jnp.ones((len(faces), 2))


def test_every_window_of_mouths_is_heard_with_its_own_mel():
    """Eq. 1: five frames and the mel that begins with the first of them."""
    b, n, size = 2, 8, 32
    number = np.arange(b * n).reshape(b, n)
    mel = jnp.asarray(np.broadcast_to(number[..., None, None] / 100, (b, n, 80, 16)), jnp.float32)
    made = jnp.asarray(
        np.broadcast_to(number.reshape(-1, 1, 1, 1) / 100, (b * n, size, size, 3)), jnp.float32
    )
    boxes = jnp.tile(jnp.array([[4.0, 8, 28, 30]]), (b * n, 1))
    sync = Numbered()
    networks = types.SimpleNamespace(sync=sync)
    frozen = types.SimpleNamespace(sync_discriminator={})
    real = avct_losses.Real(None, made, boxes, mel, None, None)
    loss = avct_losses._sync_term(networks, frozen, made, real)
    assert float(loss) < 1e-3  # all that are found alike are meant to be
    first = np.array([i * n + j for i in range(b) for j in range(n - sync_discriminator.FRAMES + 1)])
    np.testing.assert_allclose(sync.mel[:, 0, 0, 0] * 100, first, atol=1e-3)
    seen = np.asarray(sync.faces).reshape(len(first), 48, 96, sync_discriminator.FRAMES, 3)
    wanted = first[:, None] + np.arange(sync_discriminator.FRAMES)
    np.testing.assert_allclose(seen[:, 24, 48, :, 0] * 100, wanted, atol=1e-3)


def test_real_frames_and_mel_begin_with_the_same_frame():
    batch = training_batches.sequences(b=2, t=6, vary=False)
    first = np.array([2, 0])  # each example's own
    frames, boxes, mel = avct_inputs.see_frames(batch, first, 3, batch.frames.shape[2])
    own = lambda x: np.stack([row[i : i + 3] for row, i in zip(x, first, strict=True)])
    np.testing.assert_array_equal(mel, own(batch.mel))
    np.testing.assert_allclose(boxes.reshape(2, 3, 4), own(batch.boxes), atol=1e-4)
    wanted = own(batch.frames).astype(np.float32) / 255
    np.testing.assert_allclose(frames.reshape(wanted.shape), wanted, atol=1e-5)


class Spots:
    """In the place of E_kd: finds the spots that test_renderer_contracts draws, in an oblique frame."""

    FRAME = np.float32([[1.0, 0.8], [-0.5, 1.0]])  # does not commute with warps

    def apply(self, variables, images):
        found, _ = test_renderer_contracts.Tracker().apply(variables, images, train=False, mutable=[])
        return found._replace(motion=found.motion._replace(jacobians=found.motion.jacobians @ self.FRAME))


def test_predicted_motion_that_follows_every_warp_has_no_equivariance_loss():
    """Predicted exactly; E_kd's motion of the warped frame is brought back by the warp."""
    driving = test_renderer_contracts.spotted().driving
    frames = jnp.asarray(driving.reshape(4, *driving.shape[2:]), jnp.float32) / 255
    networks = types.SimpleNamespace(detector=Spots())
    frozen = types.SimpleNamespace(keypoint_detector={"params": {"shift": 0.0}})
    config = types.SimpleNamespace(equivariance_keypoints=1.0, equivariance_jacobians=1.0)

    @quick.jit
    def look(frames, keys):
        expected = avct_losses._expect(networks, frozen, frames, keys)
        exact = Spots().apply(frozen.keypoint_detector, frames).motion
        spoken = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), exact)
        return expected, exact, avct_losses._equivariance_terms(config, spoken, expected)

    expected, exact, terms = look(frames, jax.random.split(jax.random.key(3), 2))
    assert terms["equivariance_keypoints"] < 0.01
    assert terms["equivariance_jacobians"] < 0.3 * jnp.abs(exact.jacobians - expected.jacobians).mean()


def test_predicted_motion_is_compared_where_the_warp_takes_it():
    """The same exactly, with E_kd's answers given: the warp's Jacobian is that at the warped keypoint."""
    keys = jax.random.split(jax.random.key(3), 2)
    there, warped = test_renderer_contracts.following(random_warps.random_warps(keys, 2))
    answers = types.SimpleNamespace(apply=lambda variables, images: types.SimpleNamespace(motion=warped))
    networks, frozen = types.SimpleNamespace(detector=answers), types.SimpleNamespace(keypoint_detector={})
    expected = avct_losses._expect(networks, frozen, jnp.zeros((4, 8, 8, 3)), keys)
    config = types.SimpleNamespace(equivariance_keypoints=1.0, equivariance_jacobians=1.0)
    spoken = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), there)
    assert max(map(float, avct_losses._equivariance_terms(config, spoken, expected).values())) < 1e-5


class Windows:
    """In the place of E_avct: answers with what stands in the middle of each window."""

    config = types.SimpleNamespace(window_radius=2)

    def encode_frames(self, phonemes, boxes, *, train):
        return phonemes[..., None].astype(jnp.float32)

    def decode_frames(self, audio, features, *, train):
        return audio[..., :1, 0]

    def predict_windows(self, said, heard, *, train):
        assert said.shape[2] == heard.shape[2] == 5
        middle = lambda x: x[:, :, 2]
        return motion.Motion(middle(said), middle(heard))


@pytest.mark.parametrize("with_rest", [False, True])
def test_every_frame_is_told_from_the_window_around_it(with_rest):
    """Batched Sequential Training: frame i of the answer is frame i of what is to be learned."""
    b, t, radius = 2, 6, Windows.config.window_radius
    n = t + 2 * radius
    number = jnp.broadcast_to(jnp.arange(1, n + 1), (b, n))
    poses = jnp.broadcast_to(jnp.asarray(training_batches.REST), (b, n, 6))
    seen = types.SimpleNamespace(
        phonemes=number.astype(jnp.int32),
        audio=jnp.broadcast_to(number[..., None, None], (b, n, 4, 41)).astype(jnp.float32),
        poses=poses,
        rest_pose=poses[:, :1],
    )
    found = unchecked(avct_inputs.predict)(Windows(), seen, None, with_rest=with_rest)
    wanted = np.broadcast_to(1 + np.arange(radius, n - radius), (b, t))
    for said in found.spoken:
        np.testing.assert_array_equal(np.asarray(said)[..., 0], wanted)
    if with_rest:
        assert found.rest is not None
        said, heard = (np.asarray(x)[..., 0] for x in found.rest)
        np.testing.assert_array_equal(said, np.full((b, 1), avct.SILENCE))
        np.testing.assert_array_equal(heard, np.zeros((b, 1)))


def test_video_judge_comes_to_prefer_real_videos():
    """Bright videos are real, dark ones made."""
    network = patch_discriminator.PatchDiscriminator(
        patch_discriminator.PatchDiscriminatorConfig(4, 2, 8, spectral=False)
    )
    rng = np.random.default_rng(0)
    videos = lambda level: jnp.asarray(level + 0.05 * rng.random((4, 24, 24, 6)), jnp.float32)
    made, real = videos(0.2), videos(0.7)
    params = quick.jit(network.init)(KEY, real)["params"]
    adam = optimizer.make_optimizer(optimizer.OptimizerConfig(learning_rate=5e-3))
    network_state = train_state.make_network_state({"params": params}, adam)

    @quick.jit
    def step(network_state):
        grads, _, loss = temporal_gan.discriminator_step(network, network_state.params, {}, made, real)
        return train_state.update(network_state, grads, {}, adam, ema_decay=0.0), loss

    for _ in range(60):
        network_state, _ = step(network_state)
    says = quick.jit(lambda params, video: network.apply({"params": params}, video)[0].mean())
    assert says(network_state.params, real) > says(network_state.params, made) + 0.3


def test_stage_tells_the_video_judge_which_videos_are_real(tiny_variables, monkeypatch):
    """Its loss is made the mean of what it is told is real, minus that of what is told to be made."""
    given = {part: tiny_variables[part] for part in ("keypoint_detector", "renderer")}
    only = test_avct_stage.NOTHING | {"gan": 1.0}
    config = dataclasses.replace(test_avct_stage.WHOLE, **only, matching=0.0, rendered=5)

    def discriminator_step(network, params, stats, made, real):
        return jax.tree.map(jnp.zeros_like, params), stats, real.mean() - made.mean()

    monkeypatch.setattr(temporal_gan, "discriminator_step", discriminator_step)
    built = test_avct_stage.make(config, {"frozen": given})
    batch = training_batches.sequences(b=2, t=5, vary=False)
    white = batch._replace(frames=np.full_like(batch.frames, 255))
    step = quick.jit_wiring(built.step)
    _, told = step(built.initial(), built.frozen, white, KEY)
    # Nothing rendered of a coloured portrait is white all over.
    assert float(told["gan_discriminator"]) > 0.05


def test_stage_asks_the_video_judge_about_what_was_rendered(tiny_variables, monkeypatch):
    """Its opinion is made the mean of the videos that it is asked about; the real ones are white."""
    given = {part: tiny_variables[part] for part in ("keypoint_detector", "renderer")}
    only = test_avct_stage.NOTHING | {"gan": 1.0}
    config = dataclasses.replace(test_avct_stage.WHOLE, **only, matching=0.0, rendered=5)

    def generator_terms(network, variables, made, real, *, weights):
        return {"gan_generator": made.mean(), "real": jax.lax.stop_gradient(real.mean())}

    monkeypatch.setattr(temporal_gan, "generator_terms", generator_terms)
    built = test_avct_stage.make(config, {"frozen": given})
    batch = training_batches.sequences(b=2, t=5, vary=False)
    white = batch._replace(frames=np.full_like(batch.frames, 255))
    _, told = quick.jit_wiring(built.step)(built.initial(), built.frozen, white, KEY)
    assert float(told["real"]) == 1.0 and float(told["gan_generator"]) < 0.95


def test_head_motion_hears_the_audio_before_each_pose(monkeypatch):
    """The audio of frame i leads to pose i + 1: in the step, and in judging as in inference."""
    batch = training_batches.poses(b=2, t=4)
    heard = {}

    def predict(network, variables, audio, poses, *, remat=False):
        loud = jnp.asarray(audio).mean((2, 3))[..., None]
        return jnp.broadcast_to(loud, poses.shape), variables["batch_stats"]

    stage = test_head_motion_stage.make()
    begun = stage.initial()
    with monkeypatch.context() as patched:
        patched.setattr(head_motion_stage, "predict", predict)
        _, heard = quick.jit(stage.step)(begun, {}, batch, KEY)
    poses = head_motion.to_network_range(jnp.asarray(batch.poses))
    loud = jnp.broadcast_to(jnp.asarray(batch.audio).mean((2, 3))[..., None], poses.shape)
    wanted = head_motion_stage.pose_losses(head_motion_stage.HeadMotionStageConfig(), loud, poses)
    np.testing.assert_allclose(heard["pose"], wanted["pose"], rtol=1e-6)

    variables = {"head_motion": begun.network_states["head_motion"].ema_variables}
    first = jnp.asarray(batch.poses[0, 0])
    carry, pose = keypoint_inference.begin_head_motion(system_config.TINY, variables, first)
    _, later = keypoint_inference.predict_poses(
        system_config.TINY, variables, carry, jnp.asarray(batch.audio[0, :-1])
    )
    said = jnp.concatenate([pose[None], later])
    one = jax.tree.map(lambda x: x[:1], batch)
    evaluated = quick.jit(stage.eval_step)(begun, {}, one, KEY)
    np.testing.assert_allclose(
        evaluated["rotation_rad"], jnp.abs(said - one.poses[0])[:, :3].mean(), rtol=1e-4
    )


class Audible:
    """In the place of E_h: keeps what it is given."""

    def apply(self, variables, box, audio, *, train, mutable):
        self.box, self.audio = box, audio
        return jnp.zeros((len(audio), audio.shape[1] + 1, 6)), {"batch_stats": {}}


def test_head_motion_is_trained_on_the_first_pose_and_the_audio_before_each_other():
    batch, network = training_batches.poses(b=2, t=4), Audible()
    # Far enough apart to be drawn elsewhere.
    batch = batch._replace(poses=batch.poses + np.float32([0.1, 0, 0, 5, 0, 0]) * np.arange(4)[:, None])
    poses = head_motion.to_network_range(jnp.asarray(batch.poses))
    unchecked(head_motion_stage.predict)(network, {}, jnp.asarray(batch.audio), poses)
    np.testing.assert_array_equal(network.audio, batch.audio[:, :-1])
    boxes = [pose_image.draw_pose_boxes(jnp.asarray(batch.poses[:, i])) for i in range(4)]
    assert [bool((network.box == box).all()) for box in boxes] == [True, False, False, False]


def painter(variables):
    return test_painter_stage.make(), test_painter_stage.made_batch()


def sync(variables):
    return test_sync_stage.make(), test_sync_stage.speaking(0, b=4)


def heads(variables):
    return test_head_motion_stage.make(), training_batches.poses(b=2, t=4)


def speech(variables):
    given = {"frozen": {"keypoint_detector": variables["keypoint_detector"]}}
    batch = training_batches.sequences(b=2, t=4, with_frames=False)
    return test_avct_stage.make(test_avct_stage.WARM, given), batch


def images(variables):
    init = {part: variables[part] for part in test_renderer_stage.PARTS}
    config = dataclasses.replace(test_renderer_stage.OFF, l1=1.0)
    rule, compute = test_renderer_stage.RULE, test_renderer_stage.FLOAT32
    stage = renderer_stage.make_stage(system_config.TINY, config, rule, compute, init=init)
    return stage, training_batches.pairs(b=2, n=1)


def lips(variables):
    found = face_basis.embedded()
    options = {"basis": speech_stage.basis_of(found.components, found.scales), "people": 3, "shipped": 1}
    rule, compute = test_renderer_stage.RULE, test_renderer_stage.FLOAT32
    config = speech_stage.SpeechStageConfig()
    stage = speech_stage.make_stage(test_speech_motion.SMALL, config, rule, compute, **options)
    return stage, test_speech_stage.drawn()


def hearing(variables):
    net, rng = test_heard_lips.NET, np.random.default_rng(0)
    frames = 8 + net.frames_back + net.frames_ahead
    features = rng.normal(size=(2, frames, 4, 41)).astype(np.float32)
    logs = np.log(rng.dirichlet(np.ones(7), (2, 8, 2))).astype(np.float32)
    batch = phoneme_stage.PhonemeBatch(features, logs, np.ones((2, 8), np.float32))
    return test_heard_lips.make_stage(None), batch


@pytest.mark.parametrize("of", [painter, sync, heads, speech, images, lips, hearing])
def test_held_out_figures_are_of_the_averaged_weights(of, tiny_variables):
    stage, batch = of(tiny_variables)
    begun = stage.initial()
    eval_step = quick.jit(stage.eval_step)
    wave = lambda x: 0.3 * np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape)
    shaken = lambda tree: jax.tree.map(lambda x: np.asarray(x) + wave(x), tree)
    change = lambda **fields: begun.replace(
        network_states={
            name: network_state.replace(
                **{field: f(getattr(network_state, field)) for field, f in fields.items()}
            )
            for name, network_state in begun.network_states.items()
        }
    )
    plain, raw, ema_variables = (
        eval_step(current, stage.frozen, batch, KEY)
        for current in (begun, change(params=shaken), change(ema_params=shaken))
    )
    np.testing.assert_array_equal(list(plain.values()), list(raw.values()))
    assert any(float(plain[name]) != float(ema_variables[name]) for name in plain)
    exported = [jax.tree.leaves(jax.device_get(stage.export(c))) for c in (begun, change(params=shaken))]
    assert all((a == b).all() for a, b in zip(*exported, strict=True))
