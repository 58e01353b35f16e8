"""What it takes to add a network, or to change a size that several networks share."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest

from avct_jax.models import networks, renderer, system_config

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parent.parent / "avct_jax"
DIFF = HERE / "toy_renderer.diff"


def test_build_makes_what_the_config_asks_for():
    made = networks.build(system_config.TINY)
    assert made._fields == networks.PARTS and isinstance(made.renderer, renderer.Renderer)
    assert [getattr(made, part).config for part in made._fields] == [
        getattr(system_config.TINY, part) for part in made._fields
    ]


def test_init_draws_what_expected_says():
    drawn = networks.init(system_config.TINY, "head_motion", jax.random.key(1))
    wanted = networks.expected(system_config.TINY, "head_motion")
    shapes = lambda tree: {jax.tree_util.keystr(p): x.shape for p, x in jax.tree.leaves_with_path(tree)}
    assert shapes(drawn) == shapes(wanted) and len(shapes(drawn)) > 10
    with pytest.raises(ValueError, match="part 'lips' is not one of"):
        networks.expected(system_config.TINY, "lips")


@pytest.mark.slow
def test_a_new_renderer_touches_three_files(tmp_path):
    """The diff is applied to a copy of the package, whose system is saved, loaded, animated and trained."""
    touched = [line[6:] for line in DIFF.read_text().splitlines() if line.startswith("+++ b/")]
    assert len(touched) == 3 and all(name.startswith("avct_jax/models/") for name in touched)
    shutil.copytree(
        PACKAGE, tmp_path / "avct_jax", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
    )
    (tmp_path / "tests").symlink_to(HERE.parent)
    subprocess.run(["git", "apply", str(DIFF)], cwd=tmp_path, check=True)
    quick = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
    environment = {
        **os.environ,
        "XLA_FLAGS": quick,
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "tests.models.toy_run", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("trained")


def test_another_number_of_keypoints_is_one_call():
    config = system_config.with_keypoints(system_config.TINY, 6)
    shapes = networks.expected(config, "avct")["params"]["kp"]["bias"].shape
    assert shapes == (12,) and config.renderer.motion.prior_reach == ()
    with pytest.raises(ValueError, match="keypoints: 10 of keypoint_detector, 6 of avct"):
        dataclasses.replace(
            system_config.TINY, avct=dataclasses.replace(system_config.TINY.avct, num_keypoints=6)
        )
