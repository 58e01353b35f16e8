"""The jitted functions that draw a clip."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import motion, weights_file
from avct_jax.animator import keypoint_animator
from avct_jax.inference import keypoint_inference
from avct_jax.models import avct, system_config
from tests import quick

TINY = system_config.TINY


@pytest.fixture(scope="module")
def variables(tiny_variables):
    return jax.tree.map(jnp.asarray, tiny_variables)


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(1).uniform(0, 1, (64, 64, 3)), jnp.float32)


def make_track(frames, seed=2):
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 0.1, (frames, 6)) + np.array([0, 0, 0, 0, 0, 250])
    return keypoint_animator.KeypointTrack(
        rng.integers(0, 41, frames).astype(np.int32),
        rng.normal(0, 1, (frames, 4, 41)).astype(np.float32),
        poses.astype(np.float32),
    )


def some_inputs(track, begin, count):
    return jax.tree.map(jnp.asarray, keypoint_animator.inputs_of(track, begin, count))


def begin(config, variables, image, track):
    outside = some_inputs(track, -1, 0)
    return keypoint_inference.start(
        config, variables, image, outside, some_inputs(track, 0, 2 * config.avct.window_radius)
    )


def begun_by(config, variables, image, track):
    """`begin` as one program, the same for all that give it the same."""
    return quick.jit(lambda variables, image: begin(config, variables, image, track))(variables, image)


def draw(variables, image, track, chunk):
    system = keypoint_animator.KeypointAnimator(weights_file.System(TINY, variables), chunk=chunk)
    pixels = np.asarray(image * 255).astype(np.uint8)
    return system, np.concatenate(list(system.draw(pixels, track)))


@pytest.mark.parametrize("frames", [1, 11, 40])
def test_draw_gives_the_same_frames_for_any_chunk(variables, image, frames):
    track = make_track(frames)
    _, a = draw(variables, image, track, 16)
    _, b = draw(variables, image, track, 11)
    assert a.shape == (frames, 64, 64, 3)
    assert np.abs(a.astype(int) - b).max() <= 1
    assert np.ptp(a) > 0


def test_advance_predicts_what_the_whole_clip_predicts(variables, image):
    track, radius = make_track(20), TINY.avct.window_radius
    inputs, ahead = some_inputs(track, 0, 20), some_inputs(track, radius, 20)

    @jax.jit
    def both(image):
        begun = begin(TINY, variables, image, track)
        _, found = keypoint_inference.advance(TINY, variables, begun.portrait, begun.carry, ahead)
        boxes = keypoint_inference.pose_image.draw_corners(inputs.corners)
        clip = (x[None] for x in (inputs.phonemes, boxes, inputs.audio))
        return found, avct.AVCT(TINY.avct).apply(variables["avct"], *clip, begun.portrait.features)

    found, whole = both(image)
    np.testing.assert_allclose(found.keypoints, whole.keypoints[0], atol=1e-5)
    np.testing.assert_allclose(found.jacobians, whole.jacobians[0], atol=1e-5)


def test_draw_compiles_once_for_all_lengths(variables, image):
    system, _ = draw(variables, image, make_track(5), 16)
    pixels = np.asarray(image * 255).astype(np.uint8)
    for frames in (16, 17, 100):
        list(system.draw(pixels, make_track(frames)))
    assert system._animate_chunk._cache_size() == 1
    assert system._start._cache_size() == 1


def test_draw_shows_the_portrait_while_the_driver_rests(variables, image):
    still = make_track(1)
    track = keypoint_animator.KeypointTrack(
        np.full(30, avct.SILENCE, np.int32), np.zeros((30, 4, 41), np.float32), np.repeat(still.poses, 30, 0)
    )
    _, frames = draw(variables, image, track, 16)
    assert np.ptp(frames.astype(int), axis=0).max() <= 1


def one_chunk(variables, image, audio):
    track, radius = make_track(16), TINY.avct.window_radius
    begun = begin(TINY, variables, image, track)
    inputs = some_inputs(track, radius, 16)._replace(audio=audio)
    _, driving = keypoint_inference.advance(TINY, variables, begun.portrait, begun.carry, inputs)
    return keypoint_inference.render(TINY, variables, begun.portrait, begun.reference, driving)


def test_frames_have_a_gradient_with_respect_to_audio_and_image(variables, image):
    audio = jnp.asarray(make_track(16).audio)
    gradients = jax.jit(jax.grad(lambda i, a: one_chunk(variables, i, a).mean(), argnums=(0, 1)))(
        image, audio
    )
    assert all(bool(jnp.isfinite(g).all()) and float(jnp.abs(g).max()) > 0 for g in gradients)


def test_render_can_be_mapped_over_portraits(variables, image):
    images = jnp.stack([image, image[:, ::-1]])
    audio = jnp.asarray(make_track(16).audio)
    mapped = jax.jit(jax.vmap(lambda i: one_chunk(variables, i, audio)))(images)
    single = jax.jit(lambda i: one_chunk(variables, i, audio))(images[1])
    np.testing.assert_allclose(mapped[1], single, atol=1e-4)


def test_animate_chunk_survives_export(variables, image):
    radius = TINY.avct.window_radius
    frames = 2 * radius  # the fewest a call draws
    track = make_track(16)
    begun = begun_by(TINY, variables, image, track)
    inputs = some_inputs(track, radius, frames)
    draw = functools.partial(keypoint_inference.animate_chunk, TINY)

    def flat(variables, begun_leaves, inputs_leaves):
        again = jax.tree.unflatten(jax.tree.structure(begun), begun_leaves)
        _, drawn = draw(variables, again, again.carry, keypoint_inference.KeypointInputs(*inputs_leaves))
        return drawn

    arguments = (variables, jax.tree.leaves(begun), list(inputs))
    exported = jax.export.export(jax.jit(flat))(*arguments)
    again = jax.export.deserialize(exported.serialize()).call(*arguments)
    np.testing.assert_array_equal(again, jax.jit(flat)(*arguments))


def test_first_reference_is_the_first_frames_motion(variables, image):
    config = dataclasses.replace(TINY, reference="first")
    track = make_track(16)
    ahead = some_inputs(track, config.avct.window_radius, 16)

    @jax.jit
    def first_and_reference(image):
        begun = begin(config, variables, image, track)
        _, driving = keypoint_inference.advance(config, variables, begun.portrait, begun.carry, ahead)
        return jax.tree.map(lambda x: x[:1], driving), begun.reference

    first, reference = first_and_reference(image)
    np.testing.assert_allclose(first.keypoints, reference.keypoints, atol=1e-5)
    np.testing.assert_allclose(first.jacobians, reference.jacobians, atol=1e-5)


def test_gain_enlarges_the_change_of_the_image(variables, image):
    track = make_track(16)
    frames = {}
    for gain in (0.0, 0.5, 1.0):
        config = dataclasses.replace(TINY, motion_scale=gain)
        begun = begun_by(config, variables, image, track)
        # By less than a pixel: the image is noise, and no less like itself further away.
        turned = begun.reference._replace(keypoints=begun.reference.keypoints + 0.02)
        drawn = jax.jit(
            lambda b, d, c=config: keypoint_inference.render(c, variables, b.portrait, b.reference, d)
        )
        frames[gain] = drawn(begun, turned)
    change = {g: float(jnp.abs(frames[g] - frames[0.0]).mean()) for g in frames}
    assert 0 == change[0.0] < change[0.5] < change[1.0]


def test_shut_brings_the_lips_together_and_leaves_shut_ones():
    points = jnp.asarray(np.random.default_rng(0).uniform(-0.5, 0.5, (3, 10, 2)), jnp.float32)
    points = points.at[:, 3].set(points[:, 2] + 0.5 * (points[:, 7] - points[:, 6]))  # no smile
    shut, half = motion.shut_mouth(points, 1.0), motion.shut_mouth(points, 0.5)
    opening = lambda p: p[:, 1] - p[:, 0]
    touching = motion.SHUT_GAP * jnp.linalg.norm(points[:, 7] - points[:, 6], axis=-1)
    np.testing.assert_allclose(jnp.linalg.norm(opening(shut), axis=-1), touching, rtol=1e-4)
    np.testing.assert_allclose(opening(half), (opening(points) + opening(shut)) / 2, atol=1e-6)
    np.testing.assert_array_equal(shut[:, [2, 3, 5, 6, 7, 8, 9]], points[:, [2, 3, 5, 6, 7, 8, 9]])
    np.testing.assert_allclose(motion.shut_mouth(shut, 1.0), shut, atol=1e-6)
    nearer = points.at[:, 1].set(points[:, 0] + 0.5 * opening(shut))
    np.testing.assert_array_equal(motion.shut_mouth(nearer, 1.0), nearer)
    gone = jax.grad(lambda p: motion.shut_mouth(p, 1.0).sum())(jnp.zeros((10, 2)))
    assert jnp.isfinite(gone).all()


def smiling(gap, width):
    """A face one unit between the eyes, in shares of that distance."""
    points = jnp.zeros((10, 2)).at[6:8, 0].set(jnp.array([-0.5, 0.5]))
    points = points.at[2:4].set(jnp.array([[-width / 2, 1.0], [width / 2, 1.0]]))
    return points.at[:2, 1].set(jnp.array([1.0, 1.0 + gap]))


def test_shut_relaxes_a_smile_with_parted_lips_alone():
    width = lambda points: float(points[3, 0] - points[2, 0])
    gap = 0.25
    parted = 1 - motion.SHUT_GAP / gap
    wide = motion.shut_mouth(smiling(gap, 1.0), 1.0)
    assert width(wide) == pytest.approx(1.0 - parted * (1.0 - motion.SHUT_WIDTH), abs=1e-5)
    assert float(wide[2, 0] + wide[3, 0]) == pytest.approx(0, abs=1e-6)
    assert width(motion.shut_mouth(smiling(gap, 1.0), 0.5)) == pytest.approx((1 + width(wide)) / 2, abs=1e-5)
    for untouched in (smiling(0.02, 1.0), smiling(gap, 0.75)):
        assert width(motion.shut_mouth(untouched, 1.5)) == width(untouched)


def test_shut_is_drawn_before_anything_is_said(variables, image):
    track, drawn = make_track(16), {}
    begun = begun_by(TINY, variables, image, track)
    still = jax.tree.map(lambda x: x[:1], begun.reference)
    for share in (0.0, 1.0):
        config = dataclasses.replace(TINY, mouth_closing=share)
        draw = quick.jit(
            lambda b, m, c=config: keypoint_inference.render(c, variables, b.portrait, b.reference, m)
        )
        drawn[share] = draw(begun, still)
    rest = begun.portrait.motion
    by_hand = rest._replace(keypoints=motion.shut_mouth(rest.keypoints, 1.0))
    expected = quick.jit(lambda p, m: keypoint_inference.draw(TINY, variables, p, m))(begun.portrait, by_hand)
    np.testing.assert_allclose(drawn[1.0], expected, atol=1e-5)
    assert jnp.abs(drawn[1.0] - drawn[0.0]).max() > 1e-4


def test_animate_draws_many_examples_as_the_animator_draws_each(variables, image):
    tracks, radius = [make_track(12, seed) for seed in (2, 3)], TINY.avct.window_radius
    each = [keypoint_inference.make_inputs(*track) for track in tracks]
    images = jnp.stack([image, image[::-1]])
    drawn = quick.jit(functools.partial(keypoint_inference.animate, TINY))(
        variables, images, jax.tree.map(lambda *x: jnp.stack(x), *each)
    )
    assert drawn.shape == (2, 12, 64, 64, 3) and drawn.dtype == jnp.float32

    @quick.jit
    def alone(image, outside, opening, ahead):
        begun = keypoint_inference.start(TINY, variables, image, outside, opening)
        return keypoint_inference.animate_chunk(TINY, variables, begun, begun.carry, ahead)[1]

    for i, track in enumerate(tracks):
        pieces = ((-1, 0), (0, 2 * radius), (radius, 12))
        frames = alone(images[i], *(some_inputs(track, *piece) for piece in pieces))
        assert np.abs(np.asarray(keypoint_inference.to_bytes(drawn[i]), int) - np.asarray(frames)).max() <= 1
