"""Each stage takes two steps on made-up clips; augmentation moves pictures and motion alike."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avct_jax import checkpoint_file, errors, motion
from avct_jax.data import clip, phonemes
from avct_jax.layers import pose_image
from avct_jax.models import sizes
from avct_jax.train import augment, avct_stage, loop, recipe, run_folder, state

FRAMES = 70
REST = np.array([0, 0, 0, 0, 0, 250], np.float32)
MIRRORED = jnp.array([1, 0, 2])
NOBODY = state.Player(None, None, None, None)  # who learns nothing


def write_clips(folder):
    """Two people and a speaker, whose faces are random points that shake a little."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(-0.5, 0.5, (468, 3))
    for i, person in enumerate(("one", "two", "s1")):
        points = (mean + 0.01 * rng.normal(size=(FRAMES, 468, 3))).astype(np.float32)
        made = clip.Clip(
            rng.integers(0, 256, (12, 80, 80, 3), np.uint8),
            np.arange(12) * 5,
            points,
            np.ones(FRAMES, np.float32),
            REST + rng.normal(size=(FRAMES, 6)).astype(np.float32) * 0.01,
            person,
            audio=rng.normal(size=(FRAMES, 4, 41)).astype(np.float32),
            phonemes=rng.integers(0, 41, FRAMES),
            recognised=np.full(FRAMES, phonemes.SIL),
            silent=np.arange(FRAMES) < 20,
        )
        clip.save(folder / f"{person}_{i}.npz", made)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("clips", "run")]
    write_clips(folders[0])
    return recipe.Options(*folders, steps=2, config=sizes.TINY, speaker="s1")


@pytest.mark.parametrize("name", recipe.STAGES)
def test_stage_takes_two_steps_and_its_parameters_move(options, name):
    stage = recipe.STAGES[name](options)
    before = jax.device_get(stage.state.player.params)
    lines = []
    save = lambda current: run_folder.save(options.run, stage.part, current, options.config)
    report = lambda *line: lines.append(line)
    after = loop.train(stage.advance, stage.state, stage.draw, steps=2, report=report, save=save)
    assert [done for done, _, _ in lines] == [1, 2] and np.isfinite(list(lines[-1][1].values())).all()
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, jax.device_get(after.player.params))
    assert np.mean(jax.tree.leaves(moved)) > 0.9
    # What is kept is the moving average, and all that is needed to go on.
    kept = run_folder.load_part(options.run, stage.part, options.config)
    jax.tree.map(np.testing.assert_array_equal, kept["params"], after.player.average)
    again = run_folder.resume(options.run, stage.part, after)
    jax.tree.map(np.testing.assert_array_equal, again, after)


def test_export_puts_the_parts_of_a_run_into_one_file(options, tiny_variables, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for part in checkpoint_file.PARTS:
        current = state.make_state(tiny_variables[part], optax.sgd(0.1))
        run_folder.save(run, part, current, options.config)
    run_folder.export(run, tmp_path / "a.safetensors", options.config)
    found = checkpoint_file.load(tmp_path / "a.safetensors", required=checkpoint_file.PARTS)
    assert found.config == sizes.TINY
    with pytest.raises(errors.UserError, match="not trained yet"):
        run_folder.export(tmp_path, tmp_path / "b.safetensors", options.config)
    with pytest.raises(errors.UserError, match="another size"):
        run_folder.load_part(run, "avct", sizes.LITE)


def test_loop_stops_at_a_metric_that_is_not_finite_and_does_not_save_it():
    """Step 3 fails: step 2 was kept, and the message names metric and step."""

    def advance(current, batch, key):
        done = current.step + 1
        return state.State(done, current.player), {
            "good": 1.0 / done,
            "bad": jnp.where(done < 3, 0.0, jnp.nan),
        }

    kept = []
    with pytest.raises(errors.UserError, match="bad is nan at step 3"):
        loop.train(
            advance, state.State(jnp.int32(0), NOBODY), lambda rng: None, steps=9,
            report=lambda *_: None, save=lambda current: kept.append(int(current.step)), save_every=2,
        )  # fmt: skip
    assert kept == [2]


def test_loop_draws_the_same_batches_when_it_goes_on():
    drawn = []
    advance = lambda current, batch, key: (state.State(current.step + 1, NOBODY), {"x": jnp.float32(batch)})
    draw = lambda rng: drawn.append(rng.integers(1000)) or drawn[-1]
    run = lambda first, steps: loop.train(
        advance, state.State(jnp.int32(first), NOBODY), draw, steps=steps,
        report=lambda *_: None, save=lambda _: None, seed=4,
    )  # fmt: skip
    run(0, 6)
    run(3, 6)
    assert drawn[6:] == drawn[3:6] and len(set(drawn[:6])) > 3


def identity_view(batch, mirrored=0.0):
    flip = jnp.array([1.0 - 2 * mirrored, 1.0])
    matrix = jnp.tile(jnp.diag(flip)[None], (batch, 1, 1))
    return augment.View(matrix, jnp.zeros((batch, 2)), jnp.full(batch, mirrored))


def test_look_straight_shows_the_stored_pictures_middle():
    stored = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), np.uint8)
    seen = augment.look(jnp.asarray(stored), identity_view(2), 64, margin=1.25)
    np.testing.assert_allclose(seen, stored[:, 8:72, 8:72] / np.float32(255), atol=1e-4)
    mirrored = augment.look(jnp.asarray(stored), identity_view(2, 1.0), 64, margin=1.25)
    np.testing.assert_allclose(mirrored, seen[:, :, ::-1], atol=1e-4)


def dots(places, size=160, inner=127):
    """White spots on black, where [-1, 1] spans the inner square's pixel centres."""
    rows, columns = np.mgrid[:size, :size]
    middle = (size - 1) / 2
    x, y = (middle + places[:, i, None, None] * inner / 2 for i in (0, 1))
    spots = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return np.repeat((255 * spots)[..., None], 3, -1).astype(np.uint8)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_see_motion_finds_keypoints_where_look_shows_them(mirror):
    keypoints = np.random.default_rng(0).uniform(-0.4, 0.4, (6, 3, 2)).astype(np.float32)
    stored = motion.Motion(jnp.asarray(keypoints), jnp.tile(jnp.eye(2), (6, 3, 1, 1)))
    view = augment.random_view(jax.random.key(0), 6, scale=0.2, shift=0.12, turn=0.2, mirror=mirror)
    told = augment.see_motion(stored, view, MIRRORED).keypoints
    for k in range(3):
        seen = augment.look(jnp.asarray(dots(keypoints[:, k])), view, 128, margin=1.25).sum(-1)
        axis = jnp.linspace(-1, 1, 128)
        weight = seen / seen.sum((1, 2), keepdims=True)
        found = jnp.stack([(weight.sum(1) * axis[None]).sum(1), (weight.sum(2) * axis[None]).sum(1)], -1)
        at = int(MIRRORED[k]) if mirror else k  # in a mirrored picture left is right
        np.testing.assert_allclose(found, told[:, at], atol=0.01)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_see_motion_turns_jacobians_as_the_view_turns_the_picture(mirror):
    """J carries the canonical face: one step d of it is seen as J' d, mirrored where the picture is."""
    rng = np.random.default_rng(1)
    keypoints, jacobians = rng.uniform(-0.4, 0.4, (4, 3, 2)), rng.normal(size=(4, 3, 2, 2))
    view = augment.random_view(jax.random.key(2), 4, scale=0.2, shift=0.1, turn=0.2, mirror=mirror)
    see = lambda k: augment.see_motion(motion.Motion(jnp.float32(k), jnp.float32(jacobians)), view, MIRRORED)
    d = np.array([0.01, 0.02])
    moved = see(keypoints + jacobians @ d).keypoints - see(keypoints).keypoints
    canonical = d * np.array([1 - 2 * mirror, 1])  # the mirrored face takes the mirrored step
    np.testing.assert_allclose(moved, see(keypoints).jacobians @ jnp.float32(canonical), atol=1e-5)


def test_see_poses_moves_the_projected_box_with_the_picture():
    """Corners of a distant, flat enough box go where a view without a turn shows their places."""
    rng = np.random.default_rng(0)
    poses = (REST + rng.uniform(-1, 1, (5, 2, 6)) * [0.1, 0.1, 0.1, 20, 20, 10]).astype(np.float32)
    poses[..., 5] *= 40  # mm: far off, moving and scaling are one
    poses[..., 3:5] *= 40
    view = augment.random_view(jax.random.key(1), 5, scale=0.15, shift=0.08, turn=0.0, mirror=0.0)
    place = lambda p: pose_image.project_box(np.asarray(p, np.float64)).astype(np.float64).mean(-2) / 128 - 1
    told = place(avct_stage.see_poses(jnp.asarray(poses), view))
    wanted = (place(poses) - np.asarray(view.shift)[:, None]) / np.asarray(view.matrix)[:, :1, 0, None]
    np.testing.assert_allclose(told, wanted.reshape(told.shape), atol=0.015)  # 2 px of 256


def test_see_poses_of_the_identity_view_are_the_poses():
    poses = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32))
    np.testing.assert_allclose(avct_stage.see_poses(poses, identity_view(2)), poses, atol=1e-6)
