"""Table 2 at TINY size: variants that train, compare, and animate."""

import dataclasses
import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import demo, errors, weights_file
from avct_jax.animator import keypoint_animator
from avct_jax.benchmark import throughput
from avct_jax.data.clips import clip
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io
from avct_jax.evaluation import ablation, protocols
from avct_jax.inference import keypoint_inference
from avct_jax.models import networks, system_config
from avct_jax.train import run_weights
from avct_jax.train.core import init_params, sharding
from tests import made_clips, toy_stage

WARM, WHOLE = ablation.RECIPES["tiny"]
IMAGE = "image-instead-of-keypoint-features"
SMOKE = """
import dataclasses, pathlib, sys
from avct_jax.evaluation import ablation, protocols
from avct_jax.train.core import sharding
root = pathlib.Path(sys.argv[1])
warm = dataclasses.replace(ablation.RECIPES["tiny"].warm, steps=1, eval_every=0, image_every=0)
places = ablation.AblationPaths(root / "clips", root / "run", str(root / "shared.safetensors"))
made = ablation.train([sys.argv[2]], ablation.Recipe(warm, warm), places, sharding.make_mesh(0), quiet=True)
output = root / "videos"
protocols.make("speech", places.clips, output, checkpoint=made[sys.argv[2]], transcribed=True)
"""


def shared_networks(path):
    """What all variants begin with, at random."""
    variables = dict(throughput.random_system(system_config.TINY).variables)
    sync = init_params.sync_discriminator_variables(WHOLE.stage.sync_discriminator)
    variables[ablation.SYNC] = jax.device_get(sync)
    weights_file.save(path, weights_file.System(system_config.TINY, variables), dtype="float32")
    return path


@pytest.mark.slow
def test_variant_that_sees_the_image_trains_and_speaks(tmp_path):
    """By keypoints alone, twice; equation 2 itself is tried in test_train_end_to_end."""
    (tmp_path / "clips").mkdir()
    made_clips.make(tmp_path / "clips")
    with demo.sentence() as audio:
        wav = audio_io.read_audio(audio)[2400 : 2400 + 32 * 640]
    with video_io.VideoWriter(tmp_path / "clips" / "s1_1.mp4", size=made_clips.SIZE, audio=wav) as writer:
        writer.write(made_clips.images(8, 32))
    # Poses that only tell their frame are no head's.
    path = tmp_path / "clips" / "s1_1.npz"
    known = clip.load(path)
    clip.save(path, known._replace(poses=known.poses / 1000))
    shared_networks(tmp_path / "shared.safetensors")
    words = [sys.executable, "-c", SMOKE, str(tmp_path), IMAGE]
    done = subprocess.run(
        words, env=toy_stage.environment(flags=toy_stage.WIRING), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    frames = np.stack(list(video_io.read_frames(tmp_path / "videos" / "speech" / "s1_1.mp4")))
    assert frames.shape == (32, 64, 64, 3) and frames.std() > 0
    assert weights_file.load(tmp_path / "run" / f"{IMAGE}.safetensors").config.avct.reference == "image"


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variants_system_animates(name):
    """By shapes: a chunk of frames comes out, whatever E_avct is denied."""
    config = ablation.change(name, WHOLE).system
    shapes = {part: networks.expected(config, part) for part in weights_file.PARTS}
    track = keypoint_animator.KeypointTrack(
        np.zeros(16, np.int32), np.zeros((16, 4, 41), np.float32), np.float32([[0, 0, 0, 0, 0, 250]] * 16)
    )
    of = lambda count: keypoint_animator.inputs_of(track, 0, count)
    image = np.zeros((config.image_size, config.image_size, 3), np.float32)
    bound = lambda function: functools.partial(function, config)
    window = 2 * config.avct.window_radius
    begun = jax.eval_shape(bound(keypoint_inference.start), shapes, image, of(1), of(window))
    _, frames = jax.eval_shape(bound(keypoint_inference.animate_chunk), shapes, begun, begun.carry, of(16))
    assert frames.shape == (16, *image.shape)


def test_image_variant_goes_by_what_the_image_shows():
    """Two portraits, one recording: what the decoder is given hangs on the image itself."""
    config = ablation.change(IMAGE, WHOLE).system
    variables = jax.tree.map(jnp.asarray, dict(throughput.random_system(config).variables))
    corners = jnp.zeros((11, 8, 2), jnp.int32)
    inputs = keypoint_inference.KeypointInputs(jnp.arange(11), jnp.ones((11, 4, 41)), corners)

    @jax.jit
    def decoded(image):
        portrait = keypoint_inference.encode_portrait(config, variables, image)
        return keypoint_inference.embed(config, variables, portrait, inputs)[1]

    dark, light = (decoded(jnp.full((64, 64, 3), level, jnp.float32)) for level in (0, 1))
    assert np.abs(dark - light).max() > 1e-3


def places(tmp_path, name="shared.safetensors", content=b"networks"):
    (tmp_path / name).write_bytes(content)
    return ablation.AblationPaths(tmp_path, tmp_path / "run", str(tmp_path / name))


def test_rows_trained_otherwise_are_not_put_in_one_table(tmp_path):
    train = lambda recipe, where: ablation.train([], recipe, where, sharding.make_mesh(0))
    recipe, where = ablation.Recipe(WARM, WHOLE), places(tmp_path)
    assert train(recipe, where) == train(recipe, where) == {}
    seldom = recipe._replace(warm=dataclasses.replace(WARM, report_every=99))
    assert train(seldom, where) == {}
    with pytest.raises(errors.UserError, match=r"run was begun with whole.steps 8, which is 9 now"):
        train(recipe._replace(whole=dataclasses.replace(WHOLE, steps=9)), where)
    with pytest.raises(errors.UserError, match="begun with shared networks"):
        train(recipe, places(tmp_path, content=b"others"))
    with pytest.raises(errors.UserError, match="no variant 'half'"):
        ablation.train(["half"], recipe, places(tmp_path), sharding.make_mesh(0))


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "name, folder",
    [
        ("full", "warm-full"),
        ("without-sync-discriminator", "warm-full"),
        ("without-audio", "warm-without-audio"),
    ],
)
def test_variants_of_equation_2_share_what_comes_before_it(name, folder, tmp_path, monkeypatch):
    def finish(config, where, mesh, quiet):
        seen.append((where.run.name, config))
        raise Stop

    seen = []
    monkeypatch.setattr(ablation, "_finish", finish)
    shared = ablation.AblationPaths(
        tmp_path, tmp_path / "run", str(shared_networks(tmp_path / "a.safetensors"))
    )
    with pytest.raises(Stop):
        ablation.train([name], ablation.Recipe(WHOLE, WHOLE), shared, sharding.make_mesh(0))
    (found,) = seen
    assert found[0] == folder and found[1].stage == WHOLE.stage
    assert found[1].system.avct.audio == (name != "without-audio")


def test_papers_rows_begin_with_the_shared_networks_and_equation_2(tmp_path, monkeypatch):
    """Nothing comes before it, and nothing of another E_avct is taken along."""
    seen = []
    monkeypatch.setattr(ablation, "_finish", lambda config, where, mesh, quiet: seen.append((config, where)))
    monkeypatch.setattr(run_weights, "export", lambda folder, output, init: seen.append((folder, init)))
    where = ablation.AblationPaths(
        tmp_path, tmp_path / "run", str(shared_networks(tmp_path / "a.safetensors"))
    )
    recipe = ablation.RECIPES["paper"]._replace(whole=WHOLE)
    assert recipe.warm is None
    ablation.train(["without-audio"], recipe, where, sharding.make_mesh(0))
    (config, paths), (folder, init) = seen
    assert (
        config == ablation.change("without-audio", WHOLE)
        and paths.run == folder == where.run / "without-audio"
    )
    assert paths.init == str(init) and "avct" not in weights_file.load(init).variables


def test_videos_that_a_variant_could_not_make_are_in_the_report(tmp_path, monkeypatch):
    folder = pathlib.Path(tmp_path)
    failed = {"full": {}, "without-audio": {"a": "no face"}}

    def make(protocol, clips, output, *, checkpoint, videos, show):
        return protocols.VideoFolders(output / "speech", output / "real", "about", True, failed[output.name])

    monkeypatch.setattr(protocols, "make", make)
    monkeypatch.setattr(ablation.evaluate, "evaluate", lambda *given: {"systems": [*given[0]], "failed": []})
    report, generated, real = ablation.score({n: n for n in failed}, folder, folder, made_networks())
    assert report["failed"] == [{"system": "without-audio", "video": "a", "reason": "no face"}]
    assert list(generated) == list(failed) and real == folder / "generated" / "full" / "real"


def made_networks():
    from tests import made_videos

    return made_videos.networks()


def test_variants_leave_out_what_they_say():
    warm, whole = ablation.RECIPES["lite"]
    assert not ablation.change("without-audio", warm).system.avct.audio
    assert ablation.change("without-sync-discriminator", whole).stage.sync == 0 < whole.stage.sync
    assert ablation.change(ablation.FULL, whole) == whole and len(ablation.VARIANTS) == 7
