"""A live chunk's mouth is what the whole audio's would be, where the whole is known."""

import functools

import jax.numpy as jnp
import numpy as np

from avct_jax.data.speech import mesh_features
from avct_jax.inference import live_inference, mesh_inference
from avct_jax.models.mesh import phoneme_net, speech_motion
from tests import quick
from tests.live import live_parts

TINY = live_parts.TINY


def test_chunk_is_predicted_as_in_the_whole_sound():
    rng, frames, gain = np.random.default_rng(0), 30, 1.3
    variables, radius = live_parts.variables(), TINY.speech_motion.window_radius
    features = rng.normal(size=(frames, 4, 41)).astype(np.float32)
    poses = rng.normal(0, 0.1, (frames + 2 * radius, 6)).astype(np.float32)
    logs = np.maximum(
        phoneme_net.recogniser(TINY.phoneme_net, variables["phoneme_net"])(features), mesh_features.LEAST_LOG
    )
    quiet = mesh_features.silence(radius)
    heard = mesh_inference.SpeechWindow(
        jnp.concatenate([quiet.posteriors, logs, quiet.posteriors]),
        jnp.concatenate([quiet.audio, features, quiet.audio]),
        jnp.asarray(poses),
    )
    whole = quick.jit(functools.partial(mesh_inference.predict, TINY))(
        variables, heard, jnp.float32(TINY.style)
    )
    lively = speech_motion.amplify(
        whole, gain, mesh_inference.centre(TINY), mesh_inference.opening(variables)
    )
    predict = quick.jit(functools.partial(live_inference.predict, TINY))
    recognise = quick.jit(functools.partial(live_inference.recognise, TINY))
    back, ahead = TINY.phoneme_net.frames_back, TINY.phoneme_net.frames_ahead
    around = np.pad(features, ((radius + back, radius + ahead + 2), (0, 0), (0, 0)))
    for begin in (0, 12, 28):
        m = 2 + 2 * radius
        index = np.arange(begin - radius, begin - radius + m)
        known = live_inference.Known(
            recognise(variables, jnp.asarray(around[begin : begin + m + back + ahead])),
            jnp.asarray(around[begin + back : begin + back + m]),
            jnp.asarray((index >= 0) & (index < frames)),
            jnp.full((m, 2, 56), -jnp.inf),
            jnp.asarray(poses[begin : begin + m]),
            jnp.float32(gain),
        )
        spoken, moved = predict(variables, known)
        np.testing.assert_allclose(spoken, whole[begin : begin + 2], atol=1e-5)
        np.testing.assert_allclose(moved, lively[begin : begin + 2], atol=1e-5)
    told = known._replace(said=known.said.at[:, :, 5].set(-0.5))
    assert np.abs(predict(variables, told)[0] - spoken).max() > 1e-4
