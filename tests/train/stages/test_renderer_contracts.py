"""The renderer stage's wiring: which frame drives which source, who learns from whom, what is turned round.

Images are of one grey, their number, and stubs answer with the numbers that they are given.
"""

import dataclasses
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from avct_jax import motion
from avct_jax.data.dataset import batch_types
from avct_jax.data.faces import face_basis, landmark_motion
from avct_jax.layers.geometry import grid, heatmap
from avct_jax.models import dense_motion, keypoint_detector, renderer, system_config
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation, random_warps
from avct_jax.train.core import grad_accumulation, train_state
from avct_jax.train.monitoring import overlay
from avct_jax.train.stages import avct_inputs, renderer_forward, renderer_stage
from tests import quick, training_batches

SIZE = system_config.TINY.image_size
DETECTOR, RENDERER, CRITIC = (
    renderer_forward.DETECTOR,
    renderer_forward.RENDERER,
    renderer_forward.DISCRIMINATOR,
)
OFF = renderer_forward.RendererStageConfig(
    perceptual=0.0, equivariance_keypoints=0.0, equivariance_jacobians=0.0, l1_scales=(1,)
)
NOTHING = renderer_forward.RendererFrozen(None, None)
# Numbers of two sources, and of two driving frames each: brighter than their source, and darker.
SOURCES, DRIVING = np.array([40, 200]), np.array([[60, 70], [150, 160]])
OWN, DRIVEN = SOURCES.repeat(2) / 255, DRIVING.ravel() / 255  # of all rendered frames
close = lambda a, b, atol=1e-5: np.testing.assert_allclose(a, b, atol=atol)


def once(function, *arguments):
    """Call it as one program: its operations one by one would take longer to compile."""
    return quick.jit(function)(*arguments)


def moved(number):
    """A motion that says a number: its keypoints stand there, its Jacobians are as large."""
    number = jnp.asarray(number, jnp.float32)
    keypoints = jnp.broadcast_to(number[..., None, None], (*number.shape, 10, 2))
    ones = jnp.broadcast_to(jnp.eye(2), (*keypoints.shape, 2))
    return batch_types.FaceMotion(keypoints, (0.5 + keypoints[..., None]) * ones)


def numbered(landmarks=lambda number: number / 255):
    """The sources and driving frames, and what landmarks say of them."""
    paint = lambda n: np.broadcast_to(n[..., None, None, None], (*n.shape, SIZE, SIZE, 3)).astype(np.uint8)
    told = (moved(landmarks(n)) for n in (SOURCES, DRIVING))
    return batch_types.Pairs(
        paint(SOURCES), paint(DRIVING), *told, training_batches.variation(b=2, vary=False)
    )


class Detector:
    """In the place of E_kd: finds an image's number, moved by its one parameter."""

    def apply(self, variables, images, *, train, mutable):
        self.train = train
        found = moved(images.mean((1, 2, 3)) + variables["params"]["shift"])
        return keypoint_detector.Detection(motion.Motion(*found), None), {"batch_stats": {}}


class Encoded(NamedTuple):
    number: jax.Array
    full: jax.Array


class Renderer:
    """In the place of E_r: red says whose image it was, green the driving keypoints, blue the source's.

    What it paints says how large the driving Jacobians are.
    """

    def apply(self, variables, image, driving, source, *, method, mutable):
        self.level = variables["params"]["level"]
        return method(self, image, driving, source), {"batch_stats": {}}

    def encode(self, image, full, *, train):
        return Encoded(image.mean((1, 2, 3)), full)

    def decode(self, encoded, driving, source, *, train):
        told = jnp.stack([encoded.number, driving.keypoints[:, 0, 0], source.keypoints[:, 0, 0]], -1)
        return self.show(told, driving.jacobians[:, :1, 0, 0])

    def show(self, told, painted):
        whole = lambda x: jnp.broadcast_to(x[:, None, None], (len(x), SIZE, SIZE, 3))
        still = jnp.broadcast_to(jnp.asarray(grid.coordinate_grid(8, 8)), (len(told), 8, 8, 2))
        dense = dense_motion.DenseMotion(still, still[..., :1], still)
        return renderer.Rendering(whole(self.level + told), dense, whole(painted), None)


class OwnFrame(Renderer):
    """Paints the source's number and nothing else: no gradient goes to the detector through it."""

    def decode(self, encoded, driving, source, *, train):
        own = jnp.repeat(encoded.number[:, None], 3, 1)
        return self.show(own, own)


class Critic:
    """In the place of D: its opinion is in proportion to brightness, and hangs on the maps' places."""

    def apply(self, variables, images, *, train=False, mutable=None):
        ramp = jnp.linspace(0, 1, SIZE).reshape(1, 1, SIZE, 1)
        bright = images[..., :3].mean((1, 2, 3), keepdims=True)
        places = (ramp * images[..., 3:]).mean((1, 2, 3), keepdims=True)
        says = variables["params"]["w"] * bright + places
        return ((says, [says]), {"batch_stats": {}}) if mutable else (says, [says])


class Plan(renderer_forward.RendererPlan):
    """With stubs in the places of the networks."""

    detector, renderer, discriminator = Detector(), Renderer(), Critic()


class GamePlan(Plan):
    renderer = OwnFrame()


PARAMS = {DETECTOR: {"shift": 0.0}, RENDERER: {"level": 0.0}, CRITIC: {"w": 0.7}}
VARIABLES = {name: {"params": params} for name, params in PARAMS.items()}


def plan(kind=Plan, **config):
    return kind(system_config.TINY, dataclasses.replace(OFF, **config), grad_accumulation.ComputeConfig())


def forward(stubbed, batch, *, train=False, keys=None, frozen=NOTHING):
    run = lambda batch, keys: renderer_forward.forward(stubbed, VARIABLES, frozen, batch, keys, train=train)
    return once(run, batch, keys)


def test_every_frame_is_its_own_source_driven_by_its_own_driver():
    out = forward(plan(l1=1.0), numbered())
    close(out.seen.target[:, 0, 0, 0], DRIVEN)
    close(out.frame[:, 0, 0], np.stack([OWN, DRIVEN, OWN], -1))
    close(out.terms["l1"], np.abs(out.frame - out.seen.target).mean())


def test_taught_renderer_follows_the_landmarks_movement_since_the_source():
    """By eq. 3, from where the detector finds the source."""
    out = forward(plan(l1=1.0, teach=True), numbered(lambda number: number / 500))
    says = lambda number: number / 500
    moving, still = says(DRIVING.ravel()), says(SOURCES.repeat(2))
    close(out.frame[:, 0, 0], np.stack([OWN, moving - still + OWN, OWN], -1))
    jacobians = (0.5 + moving) / (0.5 + still) * (0.5 + OWN)
    close(out.made.painted[:, 0, 0, 0], jacobians)


def test_detector_is_compared_with_each_images_own_landmarks():
    config = {"landmarks": 1.0, "l1": 1.0}
    assert float(forward(plan(**config), numbered()).terms["landmarks"]) < 1e-6
    off = numbered(lambda number: number / 255 + 0.01)
    close(forward(plan(**config), off).terms["landmarks"], 0.01 * (1 + OFF.landmark_jacobians / 2))


def test_discriminator_sees_real_and_made_frames_with_the_drivers_keypoints():
    out = forward(plan(gan=1.0), numbered(), train=True)
    real, made = jnp.split(out.shown, 2)
    close(real[..., :3], out.seen.target)
    close(made[..., :3], out.frame)
    places = jnp.broadcast_to(DRIVEN[:, None, None], (4, 10, 2))
    maps = heatmap.gaussians(places, SIZE, SIZE, variance=system_config.TINY.renderer.motion.variance)
    close(real[..., 3:], maps)
    close(made[..., 3:], maps)


def test_both_sides_of_the_game_learn_what_they_should_and_nothing_else():
    """All gradients by hand: D's of its own loss alone, E_r's through D held still, E_kd's none by maps."""
    stubbed = plan(GamePlan, gan=2.0, feature_matching=3.0)
    out = forward(stubbed, numbered(), train=True)
    maps = (np.linspace(0, 1, SIZE).reshape(1, 1, SIZE, 1) * out.shown[:4, ..., 3:]).mean((1, 2, 3))
    real = lambda w: w * DRIVEN + maps
    made = lambda w, level: w * (OWN + level) + maps

    def own(w):
        return (jnp.square(1 - real(w)) + jnp.square(made(w, 0.0))).mean()

    def of_renderer(level):
        fooled = jnp.square(1 - made(0.7, level)).mean()
        return 2 * fooled + 3 * jnp.abs(made(0.7, level) - real(0.7)).mean()

    keys = jax.random.split(jax.random.key(0), 2)
    stats = {name: {} for name in PARAMS}
    find = lambda *args: renderer_stage.find_gradients(stubbed, args[0], stats, NOTHING, *args[1:])
    found, _, told = once(find, PARAMS, numbered(), keys)
    close(told["gan_discriminator"], own(0.7))
    close(told["total"], of_renderer(0.0))
    close(found[CRITIC]["w"], jax.grad(own)(0.7))
    close(found[RENDERER]["level"], jax.grad(of_renderer)(0.0))
    assert float(found[DETECTOR]["shift"]) == 0


def test_frozen_detector_looks_with_its_own_weights_and_statistics():
    stubbed = plan(l1=1.0, train_detector=False)
    frozen = renderer_forward.RendererFrozen({"params": {"shift": 0.1}}, None)
    out = forward(stubbed, numbered(), train=True, frozen=frozen)
    assert stubbed.detector.train is False and set(out.batch_stats) == {RENDERER}
    close(out.found.source.keypoints[:, 0, 0], SOURCES / 255 + 0.1)


class Tracker:
    """In the place of E_kd: finds a red spot, and the affine frame that green and blue ones span with it."""

    def apply(self, variables, images, *, train, mutable):
        weight = images / images.sum((1, 2), keepdims=True)
        spots = jnp.einsum("bhwc,hwd->bcd", weight, jnp.asarray(grid.coordinate_grid(SIZE, SIZE)))
        spots = spots + variables["params"]["shift"]
        jacobians = jnp.stack([spots[:, 1] - spots[:, 0], spots[:, 2] - spots[:, 0]], -1) / ARM
        found = motion.Motion(spots[:, :1], jacobians[:, None])
        return keypoint_detector.Detection(found, None), {"batch_stats": {}}


class TrackerPlan(Plan):
    detector = Tracker()


RED = np.array([[[-0.1, 0.1], [0.15, -0.2]], [[-0.2, -0.1], [0.05, 0.1]]])  # of two driving frames of two
ARM = 0.3  # from the red spot to the others


def spotted():
    """Images of three spots, the red ones at RED."""
    spots = RED[..., None, :] + np.array([[0, 0], [ARM, 0], [0, ARM]])
    offset = grid.coordinate_grid(SIZE, SIZE)[:, :, None] - spots[..., None, None, :, :]
    images = (250 * np.exp(-np.square(offset).sum(-1) / (2 * 0.06**2))).astype(np.uint8)
    return numbered()._replace(source=images[:, 0], driving=images)


def test_detector_that_follows_every_warp_has_no_equivariance_loss():
    """What is found in the warped image is brought back by the warp, not by its inverse."""
    keys = jax.random.split(jax.random.key(3), 2)
    stubbed = plan(TrackerPlan, equivariance_keypoints=1.0, equivariance_jacobians=1.0)
    out = forward(stubbed, spotted(), train=True, keys=keys)
    flat = jax.tree.map(lambda x: x.reshape(4, *x.shape[2:]), (out.found.driving, out.found.warped))
    close(flat[0].keypoints[:, 0], RED.reshape(4, 2), atol=0.01)
    away = jnp.abs(flat[0].keypoints - flat[1].keypoints).mean()
    turned = jnp.abs(flat[0].jacobians - flat[1].jacobians).mean()
    assert out.terms["equivariance_keypoints"] < 0.1 * away
    assert out.terms["equivariance_jacobians"] < 0.3 * turned


def following(warp):
    """Motion of two frames each of two examples that follows the warp: in the image, in the warped one."""
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(-0.9, 0.9, (4, 3, 2)), jnp.float32)
    frames = jnp.asarray(np.eye(2) + rng.uniform(-0.4, 0.4, (4, 3, 2, 2)), jnp.float32)
    back = motion.invert_2x2(random_warps.warp_jacobian(warp, points))
    return motion.Motion(random_warps.warp_points(warp, points), frames), motion.Motion(points, back @ frames)


def test_motion_that_follows_the_warp_costs_nothing():
    """The warp's Jacobian is taken where the keypoint is in the warped image (FOMM's equation 11)."""
    warp = random_warps.random_warps(jax.random.split(jax.random.key(3), 2), 2)
    there, warped = following(warp)
    split = lambda moved: jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), moved)
    config = renderer_forward.RendererStageConfig()
    found = renderer_forward.DetectedMotion(
        jax.tree.map(lambda x: x[:2], there), split(there), split(warped), warp
    )
    terms = renderer_forward._detector_terms(config, found, forward(plan(), numbered(), train=False).seen)
    assert max(map(float, terms.values())) < 1e-5 and set(terms) == {
        "equivariance_keypoints",
        "equivariance_jacobians",
    }


def test_parts_of_a_batch_take_the_step_of_the_whole():
    """Of every network, with the same draws: each example has a key of its own."""
    weights = {"equivariance_keypoints": 1.0, "l1": 1.0, "gan": 1.0, "feature_matching": 1.0}
    rules = dict.fromkeys(PARAMS, optax.sgd(1.0))
    network_states = {
        name: train_state.make_network_state(jax.tree.map(jnp.float32, v), rules[name])
        for name, v in VARIABLES.items()
    }
    begun = train_state.TrainState(jnp.zeros((), jnp.int32), network_states)

    def step(parts):
        stubbed = dataclasses.replace(
            plan(TrackerPlan, **weights), compute=grad_accumulation.ComputeConfig(microbatches=parts)
        )
        take = lambda *given: renderer_stage._step(stubbed, rules, *given)
        after, told = once(take, begun, NOTHING, spotted(), jax.random.key(3))
        return {name: network_state.params for name, network_state in after.network_states.items()}, told

    (one, whole), (two, halves) = step(1), step(2)
    jax.tree.map(close, one, two)
    jax.tree.map(close, whole, halves)
    moved = jax.tree.map(lambda a, b: float(abs(a - b)), one, PARAMS)
    assert min(jax.tree.leaves(moved)) > 1e-3, moved


def test_mouth_terms_look_at_the_drivers_lips(monkeypatch):
    """Errors at a frame's own lips weigh, those at another frame's or the source's do not."""
    places = np.array([[[-0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]], np.float32)
    keypoints = np.broadcast_to(places[:, :, None], (2, 2, 10, 2)).copy()
    keypoints[:, :, 4:] = 0
    nowhere, told = motion.Motion(jnp.zeros((2, 10, 2)), None), motion.Motion(jnp.asarray(keypoints), None)
    seen = renderer_forward.RendererInputs(None, None, jnp.zeros((4, SIZE, SIZE, 3)), nowhere, told)
    made = renderer.Rendering(None, None, None, None)
    lips = keypoints.reshape(4, 10, 2)[:, :1]
    bright = lambda tree, made, real, **options: jnp.abs(made - real).mean()
    monkeypatch.setattr(losses, "perceptual", bright)
    ask = plan(mouth=1.0, mouth_perceptual=1.0, mouth_side=0.4)

    def terms(at):
        frame = heatmap.gaussians(at, SIZE, SIZE, variance=0.003).repeat(3, -1)
        return renderer_forward._image_terms(ask, None, frame, made, seen)

    here, there, middle = (once(terms, at) for at in (lips, np.roll(lips, 1, 0), 0 * lips))
    for name in ("mouth", "mouth_perceptual"):
        assert here[name] > 0.05 and max(there[name], middle[name]) < 0.01, name


NETWORKS = {name: types.SimpleNamespace(ema_variables=VARIABLES[name]) for name in (DETECTOR, RENDERER)}
EMA = types.SimpleNamespace(network_states=NETWORKS)


def test_judge_measures_the_error_of_the_frame_and_of_the_source():
    found = once(lambda batch: renderer_stage._evaluate(plan(l1=1.0), EMA, NOTHING, batch, None), numbered())
    frame = np.stack([OWN, DRIVEN, OWN], -1)
    close(found["l1"], np.abs(frame - DRIVEN[:, None]).mean())
    close(found["l1_still"], np.abs(OWN - DRIVEN).mean())


def test_image_shows_each_source_driven_by_its_last_frame(monkeypatch):
    monkeypatch.setattr(overlay, "keypoints", lambda p, k: jnp.zeros_like(p) + k[:, :1, :1, None])
    shown = once(lambda batch: renderer_stage._image(plan(l1=1.0), EMA, NOTHING, batch), numbered())
    own, last = SOURCES / 255, DRIVING[:, -1] / 255
    for name, number in {"source": own, "driving": last, "warp": own}.items():
        close(shown[name], np.broadcast_to(number[:, None, None, None], (2, SIZE, SIZE, 3)))
        if name != "warp":
            close(shown[f"{name}_keypoints"][:, 0, 0, 0], number)
    close(shown["result"][:, 0, 0], np.stack([own, last, own], -1))


def mirrored_motion(m):
    index = [0, 1, 3, 2, 4, 5, 7, 6, 8, 9]  # mouth corners and eyes change places
    flip = np.array([-1, 1], np.float32)
    return batch_types.FaceMotion(
        m.keypoints[..., index, :] * flip, m.jacobians[..., index, :, :] * np.outer(flip, flip)
    )


def test_keypoints_of_a_mirrored_face_are_those_that_its_landmarks_give():
    """The face turned round in its landmarks, left ones for right ones, against what `see_motion` makes."""
    mean = face_basis.embedded().canonical[:, :2].astype(np.float64)
    mean -= mean.mean(0)
    other = np.square(mean[:, None] * [-1, 1] - mean[None]).sum(-1).argmin(1)  # each landmark's twin
    assert (other[other] == np.arange(478)).mean() > 0.95 and other[33] == 263 and other[61] == 291
    mean = (mean + mean[other] * [-1, 1]) / 2
    rng = np.random.default_rng(0)
    points = mean @ (np.eye(2) + 0.2 * rng.normal(size=(3, 2, 2))) * 0.5 + 0.1 * rng.normal(size=(3, 1, 2))
    points += 0.1 * mean**2 @ rng.normal(size=(3, 2, 2))  # bent, so that left is not like right
    plain, wanted = (
        batch_types.FaceMotion(*landmark_motion.face_motion(p, mean))
        for p in (points, points[:, other] * [-1, 1])
    )
    still = training_batches.variation(b=3, vary=False)
    seen = image_augmentation.see_motion(plain, still._replace(mirrored=np.ones(3, bool)))
    close(seen.keypoints, wanted.keypoints, atol=0.01)
    close(seen.jacobians, wanted.jacobians, atol=0.05)
    apart = np.abs(mirrored_motion(plain).keypoints - wanted.keypoints).max()
    assert apart < 0.01 < np.abs(plain.keypoints * [-1, 1] - wanted.keypoints).max()


def test_mirrored_sequence_is_seen_as_a_mirrored_clip_would_be():
    """Portrait, frames, boxes, motions and poses turn round together; the audio stays."""
    batch = training_batches.sequences(b=2, t=3, vary=False)
    turned = lambda pose: pose * np.array([1, -1, -1, -1, 1, 1], np.float32)
    clip = batch._replace(
        portrait=batch.portrait[..., ::-1, :],
        frames=batch.frames[..., ::-1, :],
        boxes=(batch.frames.shape[2] - batch.boxes)[..., [2, 1, 0, 3]] * [1, 0, 1, 0]
        + batch.boxes * [0, 1, 0, 1],
        **{
            name: mirrored_motion(getattr(batch, name))
            for name in ("portrait_motion", "rest_motion", "motion")
        },
        **{name: turned(getattr(batch, name)) for name in ("portrait_pose", "rest_pose", "poses")},
    )
    clip = clip._replace(boxes=clip.boxes.astype(np.float32))
    asked = batch._replace(variation=batch.variation._replace(mirrored=np.ones(2, bool)))
    see = lambda b: (
        avct_inputs.see(b, radius=5, image_size=SIZE, transfer=True),
        avct_inputs.see_frames(b, 1, 2, SIZE),
    )
    jax.tree.map(lambda a, b: close(a, b, atol=1e-4), *(once(see, batch) for batch in (asked, clip)))
