"""The wiring of D_sync's and of the painter's stage: whose mouth, whose audio, who is real.

Images are of one grey, their number, and stubs answer with the numbers that they are given.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.data.clips import clip
from avct_jax.data.dataset import batch_types
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.models.mesh import mouth_painter, mouth_patch
from avct_jax.train.mesh_stages import mouth_discriminator, mouth_patches, painter_stage
from avct_jax.train.stages import sync_stage
from tests import quick, training_batches

WINDOW = (2, -3)
close = lambda a, b, atol=1e-5: np.testing.assert_allclose(a, b, atol=atol)


def once(function, *arguments):
    """Call it as one program: its operations one by one would take longer to compile."""
    return quick.jit(function)(*arguments)


def unchecked(function):
    """A function without the tests' checks of types, which stubs would not pass."""
    return getattr(function, "__wrapped__", function)


def test_sync_network_sees_each_examples_frames_in_order_beside_its_audio():
    b, size = 3, 32
    number = np.arange(1, 1 + b * 5).reshape(b, 5)
    frames = np.broadcast_to(number[..., None, None, None], (b, 5, size, size, 3)).astype(np.uint8)
    audio = np.broadcast_to(np.arange(b).reshape(-1, 1, 1), (b, 80, 16)).astype(np.float32)
    boxes = np.tile(np.float32([4, 8, 28, 30]), (b, 5, 1))
    still = training_batches.variation(b=b, vary=False)
    batch = batch_types.SyncWindows(frames, boxes, audio, np.ones(b, np.float32), still)
    seen = once(sync_stage.see, batch)
    faces = np.asarray(seen.faces).reshape(b, 48, 96, 5, 3)
    close(255 * faces[:, 24, 48, :, 0], number, atol=1e-3)
    np.testing.assert_array_equal(seen.mel[..., 0], audio)


class NextAudio:
    """In the place of D_sync: every mouth is like the next example's audio."""

    def apply(self, variables, mel, faces, *, train=False, mutable=None):
        audio = jnp.eye(len(mel))
        face = jnp.roll(audio, 1, axis=1)
        return ((audio, face), {"batch_stats": {}}) if mutable else (audio, face)


def test_cosines_are_of_every_mouth_in_its_row_with_every_audio_in_its_column():
    batch = training_batches.sync_windows(b=3)
    wanted = np.roll(np.eye(3), 1, axis=1)  # mouth 0 goes with audio 1
    evaluated = once(lambda batch: unchecked(sync_stage.similarities)(NextAudio(), {}, batch), batch)
    embedded, _ = sync_stage._embed(NextAudio(), {}, once(sync_stage.see, batch), remat=False)
    np.testing.assert_array_equal(evaluated, wanted)
    np.testing.assert_array_equal(sync_stage.cosines_of(*embedded), wanted)


def test_mouths_that_prefer_their_own_audio_are_counted_not_sounds_their_mouth():
    cosines = jnp.array([[0.5, 0.6, 0.1], [0.1, 0.9, 0.2], [0.3, 0.2, 0.4]])
    assert float(sync_stage.scores(cosines, jnp.ones(3))["picking"]) == pytest.approx(2 / 3)


def test_contrast_asks_only_pairs_in_sync_for_their_own_audio():
    cosines, same = jnp.array([[0.8, 0.3, 0.1], [0.2, 0.7, 0.4], [0.5, 0.6, 0.9]]), jnp.array([1.0, 0, 0])
    logits = np.asarray(cosines) / 0.1
    log_share = lambda row: row[0] - np.log(np.exp(row).sum())
    wanted = -(log_share(logits[0]) + log_share(logits[:, 0])) / 2
    close(sync_stage.contrast(cosines, same, 0.1), wanted, atol=1e-4)


def test_cross_entropy_wants_pairs_in_sync_alike_and_drawn_others_not():
    config = sync_stage.SyncStageConfig(contrastive=0.0, easy_steps=0)
    cosines = jnp.array([[0.9, 0.5, 0.5], [0.5, 0.3, 0.5], [0.5, 0.5, 0.2]])
    found = sync_stage.sync_losses(config, cosines, jnp.array([1.0, 0, 0]), 0)["bce"]
    wanted = (-np.log(0.9) - (np.log(0.7) + np.log(0.8)) / 2) / 2
    close(found, wanted, atol=1e-3)


class Critic:
    """In the place of the painter's discriminator: brightness, times its parameter."""

    def apply(self, variables, seen):
        bright = variables["params"] * seen[..., :3].mean((1, 2, 3), keepdims=True)
        return bright, [2 * bright]


def mouths():
    """Two examples: real videos of 0.7 and 0.6, warped skin of 0.5, portraits of 0.4, mouths all over."""
    plane = (2, *mouth_patch.PATCH)
    grey = lambda *levels: jnp.broadcast_to(jnp.array(levels).reshape(-1, 1, 1, 1), (*plane, 3))
    patch = mouth_patch.Patch(grey(0.5, 0.5), jnp.ones(plane), jnp.zeros(plane), jnp.zeros(plane))
    own = mouth_painter.Own(grey(0.4, 0.4), jnp.zeros(plane))
    return painter_stage.Example(patch, own, grey(0.7, 0.6)), grey(0.2, 0.9)


def asked(critic, params, heard=0.5):
    """Of `mouths`, whose paintings' features shall be those of grey 0.65 and 0.55."""
    example, shown = mouths()
    given = {
        "inside": example.patch.inside,
        "real": example.real,
        "wanted": example.real - 0.05,
        "shown": shown,
    }
    weights = {"gan_generator": 2.0, "feature_matching": 3.0, "l1": 1.0}
    judge = lambda params, images: unchecked(mouth_discriminator.judge_paintings)(
        critic, weights, params, heard=jnp.array(heard), window=WINDOW, **images
    )
    return once(judge, params, given)


def test_mouth_discriminator_learns_that_videos_are_real_and_paintings_are_not():
    real, made, wanted = np.array([0.7, 0.6]), np.array([0.2, 0.9]), np.array([0.65, 0.55])
    found = asked(Critic(), jnp.array(1.0))
    close(found.loss, np.square(1 - real).mean() + np.square(made).mean(), atol=5e-5)  # a sum of thousands
    close(found.gradients, (-2 * (1 - real) * real).mean() + (2 * made**2).mean())
    close(found.terms["gan_generator"], np.square(1 - made).mean())
    close(found.terms["feature_matching"], 2 * np.abs(made - wanted).mean())


def test_painter_learns_from_the_discriminator_by_its_weights_and_loudness_and_where_it_looks():
    made, wanted = np.array([0.2, 0.9]), np.array([0.65, 0.55])
    slope = np.asarray(asked(Critic(), jnp.array(1.0)).slope)
    top, left, height, width = mouth_discriminator.MOUTH
    looked = slope[:, top + WINDOW[0] :, left + WINDOW[1] :][:, :height, :width]
    each = 0.5 * (2.0 * -2 * (1 - made) + 3.0 * 2 * np.sign(made - wanted)) / 2  # of an example's brightness
    close(looked.sum((1, 2, 3)), each, atol=5e-5)  # a sum of thousands
    close(slope.sum((1, 2, 3)), each)
    assert not np.asarray(asked(Critic(), jnp.array(1.0), heard=0.0).slope).any()


def test_painting_is_compared_with_the_video_of_its_own_example():
    example, shown = mouths()
    config = painter_stage.PainterStageConfig(gradient=0.0, quiet=0.0, inside=0.0, edge=0.0)
    painting = mouth_painter.Painting(shown, shown[..., :1])
    found = once(lambda *given: painter_stage.image_losses(config, *given)["l1"], example, painting, shown)
    close(found, (0.5 + 0.3) / 2 * mouth_painter.border().mean(), atol=1e-4)


def test_patches_warp_the_source_to_each_driving_frame_and_are_real_there(monkeypatch):
    """Of more frames than are drawn at once: points, head and image are of one frame, own of the source."""
    t, canonical = 45, face_basis.embedded().canonical
    points = np.repeat(0.8 * canonical[None], t, 0) + 0.002 * np.arange(t).reshape(-1, 1, 1) * [1, 0, 0]
    frames = np.broadcast_to(np.arange(t).reshape(-1, 1, 1, 1), (t, 8, 8, 3)).astype(np.uint8)
    one = clip.Clip(*[None] * len(clip.Clip._fields))._replace(points=points, score=np.ones(t))
    across = lambda x: np.round((np.asarray(x) - points[0]).mean((1, 2)) * 3 / 0.002)  # number of its frame
    spread = lambda x: np.broadcast_to(np.asarray(x).reshape(-1, 1, 1), (len(x), 2, 2))

    def make(image, landmarks, _):
        assert across(landmarks[None]) == image.max()
        return image.max()

    def draw(source, driving, head, origin, images):
        number = across(driving)
        at = np.round((origin - fitted.origin[0])[:, 0] / (fitted.origin[1] - fitted.origin[0])[0])
        np.testing.assert_array_equal(at, number)
        own = np.full((1, 2, 2), source)
        fields = [np.full_like(number, source), number, number, number, np.asarray(images).max((1, 2, 3))]
        return [spread(x) for x in fields], (own[0], own[0])

    fitted = mouth_patches.heads(points, canonical)
    monkeypatch.setattr(portrait_layers, "make", make)
    monkeypatch.setattr(mouth_patches, "portrait_of", lambda number: number)
    monkeypatch.setattr(mouth_patches, "draw", draw)
    rng = np.random.default_rng(0)
    made = unchecked(mouth_patches.pack_clip)(one, frames, canonical, (2, 40), rng)
    number = {name: values[:, 0, 0] for name, values in made.items() if name != "source"}
    assert len(made["source"]) == 80 and len(set(number["own"])) == 2
    np.testing.assert_array_equal(number["real"], number["inside"])
    np.testing.assert_array_equal(number["skin"], number["own"][made["source"]])
    assert (number["real"] != number["skin"]).all() and len(set(number["real"][:40])) == 40
