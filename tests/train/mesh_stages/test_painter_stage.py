"""The painter learns from patches; the discriminator waits for its turn; batches are drawn fairly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.models import patch_discriminator
from avct_jax.models.frozen import vgg
from avct_jax.models.mesh import mouth_painter, mouth_patch
from avct_jax.train.core import grad_accumulation, optimizer, sharding
from avct_jax.train.mesh_stages import mouth_patches, painter_stage, patch_source
from tests import quick

SYSTEM = mouth_painter.MouthPainterConfig(channels=(8, 12), canvas=2, codes=3)
GAME = ("gan_generator", "feature_matching", "gan_discriminator")
CRITIC = patch_discriminator.PatchDiscriminatorConfig(
    block_expansion=2, num_blocks=2, max_features=8, spectral=False
)
CONFIG = painter_stage.PainterStageConfig(gan_from=1, discriminator=CRITIC)
RULE = optimizer.OptimizerConfig(learning_rate=3e-3, betas=(0.5, 0.99))
KEY = jax.random.key(0)
FROZEN = painter_stage.PainterFrozen(None)
PAINTER, DISCRIMINATOR, CODES = painter_stage.PART, painter_stage.DISCRIMINATOR, painter_stage.CODES


def make(config=CONFIG, **options):
    return painter_stage.make_stage(
        SYSTEM, config, RULE, grad_accumulation.ComputeConfig(), **{"people": 2} | options
    )


def made_batch(b=2):
    """Grey skin; an ellipse of a mouth that is dark below and light above, as teeth are."""
    h, w = mouth_patch.PATCH
    y, x = np.mgrid[:h, :w]
    mouth = np.repeat((((y - 30) / 12) ** 2 + ((x - 48) / 24) ** 2 < 1)[None], b, 0)
    light = np.where(y < 30, 230, 20)[None, ..., None]
    skin = np.full((b, h, w, 3), 140) + np.arange(b).reshape(-1, 1, 1, 1)
    real = np.where(mouth[..., None], light, skin)
    depth = np.repeat(np.clip((y - 18)[None], -127, 127), b, 0)
    below, above = depth.astype(np.int8), np.clip(24 - depth, -127, 127).astype(np.int8)
    byte = lambda x: x.astype(np.uint8)
    own = (byte(skin), byte(np.zeros_like(mouth)))
    person = np.arange(b, dtype=np.int32) % 2
    return patch_source.PainterBatch(byte(skin), byte(mouth * 255), below, above, byte(real), *own, person)


@pytest.fixture(scope="module")
def begun():
    return quick.jit(make().initial)()


@pytest.fixture(scope="module")
def step():
    return quick.jit(make().step)


@pytest.fixture(scope="module")
def eval_step():
    return quick.jit(make().eval_step)


@pytest.fixture(scope="module")
def after(begun, step):
    """States and metrics of the first two steps: without the discriminator, and with it."""
    first, told = step(begun, FROZEN, made_batch(), KEY)
    second, told_later = step(first, FROZEN, made_batch(), KEY)
    return (first, told), (second, told_later)


def changed(a, b):
    a, b = map(jax.tree.leaves, jax.device_get((a, b)))
    return [bool((x != y).any()) for x, y in zip(a, b, strict=True)]


def test_discriminator_waits_for_its_step_and_then_both_learn(begun, after):
    (first, told), (second, told_later) = after
    names = {"l1", "gradient", "quiet", "code", "total", "gradient_norm", *GAME}
    assert set(told) == set(told_later) == names and int(second.step) == 2
    assert all(np.isfinite(m) and m.dtype == jnp.float32 for m in (*told.values(), *told_later.values()))
    assert all(float(told[name]) == 0 for name in GAME)
    assert all(float(told_later[name]) > 0 for name in GAME)
    params = lambda state, name: {k: v for k, v in state.network_states[name].params.items() if k != "code"}
    for name in (PAINTER, CODES):
        assert all(changed(params(begun, name), params(first, name)))
    assert not any(changed(params(begun, DISCRIMINATOR), params(first, DISCRIMINATOR)))
    assert any(changed(params(first, DISCRIMINATOR), params(second, DISCRIMINATOR)))


def test_teeth_and_darkness_are_learned(begun, step, eval_step):
    current, batch = begun, made_batch()
    before = eval_step(current, FROZEN, batch, KEY)
    for _ in range(40):
        current, _ = step(current, FROZEN, batch, KEY)
    learned = eval_step(current, FROZEN, batch, KEY)
    assert learned["l1_inside"] < 0.7 * before["l1_inside"]
    assert learned["l1"] < learned["l1_warped"]


def test_people_have_teeth_of_their_own(begun, step):
    batch = made_batch()
    real = batch.real.copy()
    real[1] = np.where(batch.inside[1][..., None] > 0, 255 - real[1], real[1])  # dark above, light below
    # The same skin: nothing but the code says whose mouth it is.
    same = lambda x: np.repeat(x[:1], 2, 0)
    batch = batch._replace(real=real, skin=same(batch.skin), own=same(batch.own))
    current = begun
    for _ in range(60):
        current, _ = step(current, FROZEN, batch, KEY)
    shown = [
        np.asarray(quick.jit(make(shipped=i).image)(current, FROZEN, batch)["painted"][0]) for i in (0, 1)
    ]
    off = [[np.abs(a - b / 255)[batch.inside[0] > 0].mean() for b in real] for a in shown]
    assert off[0][0] < 0.7 * off[0][1] and off[1][1] < 0.7 * off[1][0]


def test_judge_measures_what_its_names_say(begun, eval_step):
    batch = made_batch()
    found = eval_step(begun, FROZEN, batch, KEY)
    assert set(found) == {"l1_inside", "l1", "l1_warped", "sharpness"}
    off = np.abs(batch.skin.astype(float) - batch.real) / 255
    np.testing.assert_allclose(found["l1_warped"], off.mean(), rtol=1e-4)
    shown = np.asarray(quick.jit(make().image)(begun, {}, batch)["painted"])
    inside = batch.inside > 0
    np.testing.assert_allclose(found["l1_inside"], np.abs(shown - batch.real / 255)[inside].mean(), rtol=1e-3)
    assert found["sharpness"] < 0.9  # nothing is painted yet where the real mouth has an edge


def test_images_are_of_one_size_and_in_range(begun):
    images = quick.jit(make().image)(begun, {}, made_batch())
    assert {"portrait", "real", "warped", "painted"} == set(images)
    for image in images.values():
        assert image.shape == (2, *mouth_patch.PATCH, 3)
        assert float(image.min()) >= 0 and float(image.max()) <= 1


def test_training_goes_on_from_given_weights_and_exports_the_average(after):
    first, second = (state for state, _ in after)
    given = {name: {"params": network_state.params} for name, network_state in second.network_states.items()}
    again = make(init=given).initial()
    for name in (PAINTER, DISCRIMINATOR, CODES):
        assert not any(changed(again.network_states[name].params, second.network_states[name].params))
    made = make(shipped=1).export(second)
    assert set(made) == {PAINTER}
    network_state, params = second.network_states[PAINTER], dict(made[PAINTER]["params"])
    np.testing.assert_array_equal(params["code"], second.network_states[CODES].ema_params["table"][1])
    assert not any(changed(params | {"code": network_state.ema_params["code"]}, network_state.ema_params))
    assert any(changed(params | {"code": network_state.params["code"]}, network_state.params))
    assert any(changed(first.network_states[PAINTER].ema_params, second.network_states[PAINTER].ema_params))


def test_bytes_become_units_and_eye_distances():
    batch = made_batch()
    batch = batch._replace(below=np.full_like(batch.below, 127), above=np.full_like(batch.above, -127))
    example = painter_stage.to_example(batch)
    np.testing.assert_allclose(example.real, batch.real / 255, atol=1e-6)
    assert set(np.unique(example.patch.inside)) == {0, 1}
    np.testing.assert_allclose(example.patch.below, mouth_patches.DEPTHS, rtol=1e-6)
    np.testing.assert_allclose(example.patch.above, -mouth_patches.DEPTHS, rtol=1e-6)


def test_variations_change_all_images_of_an_example_alike():
    b = 16
    batch = made_batch(b)
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8) + 80, batch.inside.shape)
    images = np.repeat(ramp[..., None], 3, -1)
    batch = batch._replace(skin=images, real=images, own=images, inside=ramp, below=ramp // 2)
    plain = painter_stage.to_example(batch)
    varied = painter_stage.vary(CONFIG, plain, KEY)
    np.testing.assert_array_equal(varied.real, varied.patch.skin)
    np.testing.assert_array_equal(varied.real, varied.own.image)
    mirrored = np.asarray(varied.patch.inside[:, 0, 0] > varied.patch.inside[:, 0, -1])
    assert 0 < mirrored.sum() < b
    for i in range(b):
        flip = slice(None, None, -1 if mirrored[i] else 1)
        for name in ("inside", "below"):
            before, now = (np.asarray(getattr(p.patch, name)[i]) for p in (plain, varied))
            np.testing.assert_array_equal(now, before[:, flip])
        rises = np.diff(np.asarray(varied.real[i, 5, flip, 1]))
        assert (rises >= -1e-6).all()
    lights = np.asarray(varied.real.mean((1, 2, 3)))
    assert lights.std() > 0.005 and not np.allclose(lights, plain.real.mean())


def test_codes_are_lent_and_the_video_says_nothing_of_borrowed_teeth():
    code = jnp.arange(24.0).reshape(8, 3)
    inside = jnp.zeros((8, *mouth_patch.PATCH)).at[4:].set(1)
    own = mouth_painter.Own(jnp.zeros((8, *mouth_patch.PATCH, 3)), inside)
    lent = lambda share, code: painter_stage.lend(
        painter_stage.PainterStageConfig(borrowed=share), code, own, KEY
    )
    kept, free = lent(0.0, code)
    np.testing.assert_array_equal(kept, code)
    assert not free.any()
    others, free = lent(1.0, code)
    assert (np.asarray(others) != np.asarray(code)).any()
    np.testing.assert_array_equal(np.sort(others[:, 0]), code[:, 0])
    np.testing.assert_array_equal(free, [1, 1, 1, 1, 0, 0, 0, 0])  # the last four show their own teeth
    slope = jax.grad(lambda c: lent(0.5, c)[0].sum())(code)
    assert 0 < slope.sum() < code.size  # only kept codes learn


def test_what_is_wanted_of_free_examples_is_the_video_around_the_lips():
    example = painter_stage.to_example(made_batch())
    shown = jnp.full_like(example.real, 0.9)
    wanted = np.asarray(painter_stage.agreeing(example, shown, jnp.array([0.0, 1.0])))
    mouth = np.asarray(example.patch.inside[0] == 1)
    np.testing.assert_array_equal(wanted[0], example.real[0])
    np.testing.assert_allclose(wanted[1][mouth], 0.9, atol=1e-6)
    np.testing.assert_array_equal(wanted[1][~mouth], np.asarray(example.real[1])[~mouth])


def test_discriminator_learns_alone_before_it_is_heard():
    config = painter_stage.PainterStageConfig(gan_from=10, gan_ramp=10)
    steps = (9, 10, 20, 25, 30, 99)
    found = [painter_stage.loudness(config, jnp.array(step)) for step in steps]
    assert [bool(begun) for begun, _ in found] == [False] + 5 * [True]
    np.testing.assert_allclose([heard for _, heard in found], [0, 0, 0, 0.5, 1, 1])
    at_once = painter_stage.loudness(painter_stage.PainterStageConfig(gan_from=10), jnp.array(10))
    assert bool(at_once[0]) and float(at_once[1]) == 1


def test_vgg_is_asked_where_it_has_a_weight():
    asking = dataclasses.replace(CONFIG, perceptual=0.1)
    with pytest.raises(ValueError, match="asks for VGG"):
        make(asking)
    rng, widths = np.random.default_rng(0), {0: (3, 2), 2: (2, 2), 5: (2, 2), 7: (2, 2), 10: (2, 2)}
    convolution = lambda a, b: {"kernel": rng.normal(size=(3, 3, a, b)), "bias": np.zeros(b)}
    network = vgg.torchvision_network({f"features_{i}": convolution(*w) for i, w in widths.items()})
    stage = make(asking, perceptual=network)
    _, told = quick.jit(stage.step)(stage.initial(), stage.frozen, made_batch(), KEY)
    assert float(told["perceptual"]) > 0


def test_errors_between_the_lips_weigh_more():
    example = painter_stage.to_example(made_batch())
    painting = mouth_painter.Painting(example.real, jnp.zeros_like(example.real[..., :1]))
    wrong = lambda rows, columns: example.real.at[:, rows, columns].add(0.1)
    inner = painter_stage.image_losses(CONFIG, example, painting, wrong(slice(28, 32), slice(44, 48)))
    outer = painter_stage.image_losses(CONFIG, example, painting, wrong(slice(52, 56), slice(44, 48)))
    none = painter_stage.image_losses(CONFIG, example, painting, example.real)
    assert inner["l1"] > 3 * outer["l1"] > 0 and inner["gradient"] > outer["gradient"] > 0
    assert float(none["l1"]) == float(none["gradient"]) == float(none["quiet"]) == 0


def made_set():
    """The speaker with 60 examples, two people with 30 and 3, one held out; images tell which they are."""
    clips = np.repeat(np.arange(4), (60, 30, 3, 5))
    n = len(clips)
    source = np.arange(n) // 3
    plane = (1, 1)
    tell = lambda values, *shape: np.broadcast_to(
        values.reshape(-1, 1, 1, *shape), (len(values), *plane, *shape)
    )
    number, owner = np.arange(n).astype(np.uint8), np.arange(source.max() + 1).astype(np.uint8)
    fields = (tell(number, 1), tell(number), tell(number), tell(number), tell(number, 1))
    patches = mouth_patches.MouthPatches(*fields, tell(owner, 1), tell(owner), source, clips)
    return mouth_patches.PatchSet(patches, ("s", "many", "few", "kept"), np.array([0, 0, 0, 1], bool))


def draw(source, **which):
    options = {"seed": 1, "step": 0, "batch_size": 600} | which
    return source.batch("patches", None, **options)


def test_people_are_drawn_alike_and_the_speaker_by_his_share():
    known = made_set()
    source = patch_source.PatchSource(known, speaker="s", speaker_prob=0.2)
    drawn = known.patches.clip[draw(source).skin.ravel()]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[3] == 0 and abs(shares[0] - 0.2) < 0.06
    assert abs(shares[1] - 0.4) < 0.07 and abs(shares[2] - 0.4) < 0.07
    held = draw(source, held_out=True, batch_size=20)
    assert set(known.patches.clip[held.skin.ravel()]) == {3}
    # Codes are found by name, and the person held out has none.
    assert source.names == ["few", "many", "s"] and set(held.person) == {-1}
    np.testing.assert_array_equal(np.array([2, 1, 0, -1])[drawn], draw(source).person)


def test_batches_bring_each_example_its_own_source_and_are_the_same_again():
    known = made_set()
    source = patch_source.PatchSource(known, speaker="s")
    batch = draw(source)
    number = batch.skin.ravel()
    for field in (batch.inside, batch.below, batch.above, batch.real):
        np.testing.assert_array_equal(field.ravel(), number)
    np.testing.assert_array_equal(batch.own.ravel(), known.patches.source[number])
    np.testing.assert_array_equal(batch.own_inside.ravel(), known.patches.source[number])
    np.testing.assert_array_equal(draw(source).skin, batch.skin)
    assert (draw(source, step=1).skin != batch.skin).any()
    assert (draw(source, seed=2).skin != batch.skin).any()
    halves = [draw(source, part=(i, 2)).skin for i in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves), batch.skin)
    stream = source.batches("patches", None, first_step=3, seed=1, batch_size=600)
    np.testing.assert_array_equal(next(stream).skin, draw(source, step=3).skin)
    with pytest.raises(ValueError, match="patches only"):
        source.batch("frames", None, seed=1, step=0, batch_size=2)


def test_batches_of_patches_held_by_devices_are_the_same():
    mesh = sharding.make_mesh(0)
    known = made_set()
    sources = (patch_source.PatchSource(known, speaker="s", mesh=m) for m in (None, mesh))
    one, two = (s.batch("patches", None, seed=3, step=2, batch_size=2 * mesh.devices.size) for s in sources)
    assert all(isinstance(x, jax.Array) for x in two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_late_in_a_training_only_sharp_mouths_are_drawn():
    rng = np.random.default_rng(0)
    h, w = mouth_patch.PATCH
    noise = {"blurred": 5, "sharp": 60, "sharper": 90, "held": 120}
    per = 14
    real = np.concatenate(
        [128 + rng.uniform(-a, a, (per, h, w, 1)).repeat(3, -1) for a in noise.values()]
    ).astype(np.uint8)
    n = len(real)
    inside = np.zeros((n, h, w), np.uint8)
    inside[:, 20:36, 30:66] = 255
    clip = np.repeat(np.arange(4), per)
    flat = np.zeros((n, h, w), np.int8)
    source = np.arange(n)
    patches = mouth_patches.MouthPatches(real, inside, flat, flat, real, real, inside, source, clip)
    known = mouth_patches.PatchSet(patches, tuple(noise), np.array([False, False, False, True]))
    assert patch_source.sharpest_people(known, 2) == ["sharper", "sharp"]
    drawn = patch_source.PatchSource(known, sharpest=2, sharp_from=10)
    who = lambda step, **which: set(
        np.asarray(drawn.batch("patches", None, seed=0, step=step, batch_size=64, **which).person).tolist()
    )
    assert who(9) == {0, 1, 2} and who(10) == {1, 2}  # of blurred, sharp, sharper
    assert who(10, held_out=True) == {-1}
    shut = patches._replace(inside=0 * inside)
    assert np.isnan(patch_source.sharpness(shut)).all()


@pytest.mark.parametrize("compute", [{"microbatches": 2}, {"remat": True}])
def test_what_the_painter_does_not_do_is_refused(compute):
    with pytest.raises(errors.UserError, match="takes its batches whole"):
        painter_stage.make_stage(SYSTEM, CONFIG, RULE, grad_accumulation.ComputeConfig(**compute), people=2)
