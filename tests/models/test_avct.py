"""E_avct against the reference's numbers, and what it may and may not see."""

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import weights_file
from avct_jax.convert import parity
from avct_jax.inference import keypoint_inference
from avct_jax.models import avct, networks, system_config

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
SMALL = avct.AVCTConfig(
    window_radius=2,
    num_keypoints=3,
    d_model=16,
    num_heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=1,
    channels=(4, 8),
    pose_size=16,
    phoneme_encoder="embedding",
    audio_encoder="mlp",
    feature_size=16,
    feature_channels=5,
)


def make_inputs(config, frames):
    key = jax.random.key(0)
    phonemes = jax.random.randint(key, (1, frames), 0, config.num_phonemes)
    poses = jax.random.uniform(key, (1, frames, config.pose_size, config.pose_size)) * 255
    audio = jax.random.normal(key, (1, frames, 4, 41))
    return (
        phonemes,
        poses,
        audio,
        jax.random.uniform(key, (1, *[config.feature_size] * 2, config.feature_channels)),
    )


@pytest.fixture(scope="module")
def small():
    """A model whose heads are not nearly zero, so that what it sees shows in what it says."""
    model, inputs = avct.AVCT(SMALL), make_inputs(SMALL, 9)
    variables = jax.jit(model.init)(jax.random.key(0), *inputs)
    heads = {
        "kp": variables["params"]["kp"]["kernel"] * 30,
        "jacobian": variables["params"]["jacobian"]["kernel"],
    }
    params = {**variables["params"]}
    for name, kernel in heads.items():
        params[name] = {**params[name], "kernel": kernel}
    return model, {**variables, "params": params}, inputs


@pytest.mark.slow
def test_avct_gives_the_reference_motion():
    golden = np.load(GOLDENS / "inference.npz")
    shapes = json.loads((GOLDENS / "inference_state_shapes.json").read_text())
    variables = parity.stand_in_variables("ph2kp", shapes["ph2kp"], int(golden["seed"]))
    clip = slice(int(golden["start"]), int(golden["start"]) + 16)
    boxes = np.unpackbits(golden["pose_boxes"], axis=-1).astype(np.float32) * 255
    audio = golden["audio_features"][:396].reshape(99, 4, 41)
    features = golden["kp_source/feature_map"].transpose(1, 2, 0)
    # Weights as arguments: as constants of the program they would be held three times.
    predict = jax.jit(avct.AVCT(avct.AVCTConfig()).apply)
    given = (golden["phonemes"][None, clip], boxes[None], audio[None, clip], features[None])
    motion = predict(variables, *given)
    for ours, name in ((motion.keypoints, "value"), (motion.jacobians, "jacobian")):
        theirs = golden[f"kp_driving/{name}"]
        assert np.abs(ours[0] - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_avct_has_the_released_shapes():
    shapes = json.loads((GOLDENS / "inference_state_shapes.json").read_text())["ph2kp"]
    expected = parity.stand_in_variables("ph2kp", shapes, 0)
    model = avct.AVCT(avct.AVCTConfig())
    found = jax.eval_shape(model.init, jax.random.key(0), *make_inputs(model.config, 2))
    assert jax.tree.map(jnp.shape, expected) == jax.tree.map(jnp.shape, found)


@pytest.mark.parametrize("flavour", [{}, {"phoneme_encoder": "image"}, {"audio_encoder": "conv"}])
def test_avct_predicts_one_motion_a_frame_in_every_flavour(flavour):
    fields = {"feature_size": 32, "pose_size": 32, "num_keypoints": 4} | flavour
    config = avct.AVCTConfig(d_model=8, num_heads=2, channels=(4, 8), phoneme_features=64, **fields)
    motion, _ = jax.eval_shape(avct.AVCT(config).init_with_output, jax.random.key(0), *make_inputs(config, 6))
    assert motion.keypoints.shape == (1, 6, 4, 2) and motion.jacobians.shape == (1, 6, 4, 2, 2)


def test_avct_ignores_frames_outside_its_window(small):
    model, variables, (phonemes, poses, audio, features) = small

    def of_frame_4(poses, audio):
        return model.apply(variables, phonemes, poses, audio, features).keypoints[0, 4].sum()

    for gradient in jax.jit(jax.grad(of_frame_4, (0, 1)))(poses, audio):
        seen = np.abs(gradient[0]).max((1, 2)) > 0
        np.testing.assert_array_equal(seen, [False, False, True, True, True, True, True, False, False])


def test_avct_encodes_each_frame_once_with_the_numbers_of_whole_windows(small):
    model, variables, (phonemes, poses, audio, features) = small
    whole = jax.jit(model.apply)(variables, phonemes, poses, audio, features)

    def of_window(phonemes, poses, audio):
        encoded = model.apply(variables, phonemes, poses, method="encode_frames")
        decoded = model.apply(variables, audio, features, method="decode_frames")
        return model.apply(variables, encoded[:, None], decoded[:, None], method="predict_windows").keypoints

    alone = jax.jit(of_window)(phonemes[:, 1:6], poses[:, 1:6], audio[:, 1:6])
    np.testing.assert_allclose(alone[:, 0], whole.keypoints[:, 3], atol=1e-5)


def test_avct_hears_silence_and_sees_a_still_head_outside_the_clip(small):
    model, variables, (phonemes, poses, audio, features) = small
    apply = jax.jit(model.apply)
    padded = (
        jnp.pad(phonemes, ((0, 0), (2, 2)), constant_values=avct.SILENCE),
        jnp.pad(poses, ((0, 0), (2, 2), (0, 0), (0, 0)), mode="edge"),
        jnp.pad(audio, ((0, 0), (2, 2), (0, 0), (0, 0))),
    )
    whole = apply(variables, phonemes, poses, audio, features).keypoints
    np.testing.assert_allclose(apply(variables, *padded, features).keypoints[:, 2:-2], whole, atol=1e-5)


def test_avct_begins_near_identity_jacobians():
    model, inputs = avct.AVCT(SMALL), make_inputs(SMALL, 3)
    motion, _ = jax.jit(model.init_with_output)(jax.random.key(3), *inputs)
    assert np.abs(motion.jacobians - jnp.eye(2).reshape(1, 1, 1, 2, 2)).max() < 0.5


def test_avct_refuses_an_unknown_encoder():
    with pytest.raises(ValueError, match="audio_encoder 'lstm' must be one of"):
        avct.AVCTConfig(audio_encoder="lstm")


@pytest.mark.parametrize(
    ("switch", "seen"),
    [
        ({"phonemes": False}, (False, True, True)),
        ({"audio": False}, (True, False, True)),
        ({"reference": "none"}, (True, True, False)),
        ({"reference": "image"}, (True, True, True)),
    ],
)
@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_ablated_avct_ignores_what_it_is_denied(switch, seen, encoder):
    size = {"feature_size": 32} if encoder == "conv" else {}
    config = dataclasses.replace(SMALL, audio_encoder=encoder, **size, **switch)
    model = avct.AVCT(config)
    phonemes, poses, audio, _ = make_inputs(config, 3)
    features = jax.random.uniform(
        jax.random.key(1), (1, *[config.feature_size] * 2, config.reference_channels)
    )
    variables = jax.jit(model.init)(jax.random.key(0), phonemes, poses, audio, features)
    predict = jax.jit(model.apply)
    first = predict(variables, phonemes, poses, audio, features).keypoints
    others = ((phonemes + 1, poses, audio, features), (phonemes, poses, audio + 1, features))
    others = (*others, (phonemes, poses, audio, 1 - features))
    assert seen == tuple(bool(np.abs(predict(variables, *x).keypoints - first).max() > 1e-7) for x in others)


def test_avct_refuses_to_decode_nothing():
    with pytest.raises(ValueError, match="without audio and reference"):
        avct.AVCTConfig(audio=False, reference="none")


def test_reference_of_a_portrait_is_its_features_or_its_small_image():
    image, features = jnp.ones((1, 64, 64, 3)), jnp.zeros((1, 16, 16, 5))
    assert avct.reference_of(SMALL, image, features) is features
    seen = avct.reference_of(dataclasses.replace(SMALL, reference="image"), image, features)
    assert seen.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(seen[0, 4:12, 4:12], 1, atol=1e-5)


def test_system_with_the_image_in_place_of_features_animates():
    system = dataclasses.replace(
        system_config.TINY, avct=dataclasses.replace(system_config.TINY.avct, reference="image")
    )
    variables = {part: networks.expected(system, part) for part in weights_file.PARTS}
    portrait = functools.partial(keypoint_inference.encode_portrait, system)
    found = jax.eval_shape(portrait, variables, jax.ShapeDtypeStruct((64, 64, 3), jnp.float32))
    assert found.features.shape == (1, 16, 16, 3)
    shapes = ((2,), jnp.int32), ((2, 4, 41), jnp.float32), ((2, 8, 2), jnp.int32)
    inputs = keypoint_inference.KeypointInputs(*(jax.ShapeDtypeStruct(*x) for x in shapes))
    embedded = jax.eval_shape(functools.partial(keypoint_inference.embed, system), variables, found, inputs)
    assert [x.shape for x in embedded] == [(2, 32), (2, 32)]
