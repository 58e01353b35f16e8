"""Exported programs run in another process that has JAX and none of this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import skimage.data

from avct_jax import errors, weights_file
from avct_jax.animator import keypoint_animator, mesh_animator
from avct_jax.convert import stablehlo
from avct_jax.models import system_config
from tests import quick
from tests.animator import test_mesh_animator

ELSEWHERE = """
import json, sys
sys.modules["avct_jax"] = None  # importing it fails
import jax, numpy as np
from jax import export

folder = sys.argv[1]
known = json.load(open(f"{folder}/programs.json"))["programs"]
found = {}
for name in sys.argv[2:]:
    program = known[name]
    given = np.load(f"{folder}/{name}_inputs.npz")
    with open(f"{folder}/{program['files'][0]}", "rb") as file:
        call = export.deserialize(bytearray(file.read())).call
    outputs = call(*(given[x["name"]] for x in program["inputs"]))
    for told, output in zip(program["outputs"], outputs, strict=True):
        assert list(output.shape) == told["shape"] and str(output.dtype) == told["dtype"]
        found[f"{name}/{told['name']}"] = np.asarray(output)
np.savez(f"{folder}/found.npz", **found)
"""


def some(example, rng):
    whole = np.issubdtype(example.dtype, np.integer)
    return np.asarray(example) if whole else rng.normal(0, 0.1, example.shape).astype(np.float32)


def mesh_system_of(variables):
    config = test_mesh_animator.TINY
    return mesh_animator.MeshAnimator(
        weights_file.System(config, test_mesh_animator.random_variables(config)), chunk=2
    )


def keypoint_system_of(variables):
    return keypoint_animator.KeypointAnimator(weights_file.System(system_config.TINY, variables), chunk=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "names"), [(mesh_system_of, ["predict", "draw"]), (keypoint_system_of, ["start"])]
)
def test_programs_give_the_same_in_another_process(make, names, tiny_variables, tmp_path, monkeypatch):
    animator, programs, keep = make(tiny_variables), [], stablehlo._export

    def kept(program, platforms):
        programs.append(program)
        return keep(program, platforms)

    monkeypatch.setattr(stablehlo, "_export", kept)
    files = stablehlo.export(animator, skimage.data.astronaut(), tmp_path / "face")
    known = json.loads((tmp_path / "face" / "programs.json").read_text())["programs"]
    assert files[-1] == "programs.json" and len(files) == 5 and list(known)[-1] == "draw"
    rng, wanted = np.random.default_rng(0), {}
    for (name, told), program in zip(known.items(), programs, strict=True):
        assert (tmp_path / "face" / told["files"][1]).read_bytes()[:4] == b"ML\xefR"
        if name not in names:  # it takes a minute to compile
            continue
        given = {n: some(x, rng) for n, x in program.inputs.items()}
        np.savez(tmp_path / "face" / f"{name}_inputs.npz", **given)
        wanted |= {f"{name}/{n}": x for n, x in quick.jit(program.function)(**given).items()}
    environment = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "face"), *names]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "face" / "found.npz")
    assert set(found) == set(wanted) and len(wanted) > 1
    for name, value in wanted.items():
        apart = np.abs(found[name].astype(np.float64) - np.asarray(value, np.float64))
        assert apart.max() <= (1 if name == "draw/frames" else 1e-4), name
    assert min(np.ptp(value) for value in found.values()) > 0


def test_what_cannot_be_exported_is_told_first(tmp_path):
    def refused(message, folder=tmp_path, **options):
        with pytest.raises(errors.UserError, match=message):
            stablehlo.export(None, None, folder, **options)

    refused("platform 'gpu' is not known; choose from cpu, cuda", platforms=["cpu", "gpu"])
    (tmp_path / "letter.txt").write_text("mine")
    refused("holds other files; name an empty or a new folder")
    refused("is a file; name a folder", tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "mine"
