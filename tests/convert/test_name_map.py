"""The map between torch's tensors and ours: names, layouts, and what is said when they do not fit."""

import json
import pathlib

import numpy as np
import pytest

from avct_jax.convert import name_map

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
SHAPES = {
    part: {name: tuple(shape) for name, (shape, _) in tensors.items()}
    for file in ("inference_state_shapes.json", "training_state_shapes.json")
    for part, tensors in json.loads((GOLDENS / file).read_text()).items()
}


def test_import_part_changes_names_and_layouts_only_at_the_leaves():
    conv, linear = np.arange(120.0).reshape(2, 3, 4, 5), np.arange(6.0).reshape(2, 3)
    tensors = {
        "a.0.conv.weight": conv,
        "a.0.norm.running_var": np.ones(2),
        "fc.weight": linear,
        "fc.bias": conv[0, 0, 0],
    }
    variables = name_map.import_part("generator", tensors)
    kernel = variables["params"]["a_0"]["conv"]["kernel"]
    assert kernel.shape == (4, 5, 3, 2) and kernel[3, 1, 2, 1] == conv[1, 2, 3, 1]
    assert variables["params"]["fc"]["kernel"].shape == (3, 2)
    assert set(variables["batch_stats"]["a_0"]["norm"]) == {"var"}


def test_import_part_keeps_special_layouts_as_torch_has_them():
    tensors = {name: np.zeros(shape) for name, shape in SHAPES["ph2kp"].items() if "feature" not in name}
    params = name_map.import_part("ph2kp", tensors)["params"]
    assert params["embedding"]["embedding"].shape == (41, 256)
    assert params["audio_embedding_0"]["kernel"].shape == (29, 14, 8, 1)
    assert params["transformer"]["encoder"]["layers_0"]["self_attn"]["in_proj_weight"].shape == (1536, 512)
    assert params["audio_embedding_1"]["scale"].shape == (8,)
    assert "pos_enc" not in params and "down_pose" not in params


@pytest.mark.parametrize("part", name_map.PARTS)
def test_export_part_undoes_import_part(part):
    # Zero strides: the shapes of the released networks without their hundreds of megabytes.
    tensors = {
        n: np.broadcast_to(np.float32(i), s) for i, (n, s) in enumerate(SHAPES[part].items()) if len(s) < 4
    }
    tensors |= {
        n: np.random.RandomState(0).rand(*s[:2], *s[2:])
        for n, s in SHAPES[part].items()
        if 0 < np.prod(s) < 5e4
    }
    kept = {name: t for name, t in tensors.items() if not name_map.CONSTANTS.search(name)}
    back = name_map.export_part(part, name_map.import_part(part, tensors))
    assert back.keys() == kept.keys()
    for given in (back, kept):  # of an LSTM's two biases only the sum is known
        for name in [n for n in given if ".bias_ih_l" in n]:
            given[name.replace("_ih_", "_hh_")] = given[name.replace("_ih_", "_hh_")] + given.pop(name)
    for name in kept:
        np.testing.assert_array_equal(back[name], kept[name].astype(np.float32))


def test_check_names_an_lstms_tensors_as_torch_does():
    part = "audio2pose"
    names = [n for n in SHAPES[part] if "lstm." in n]
    right = {n: np.broadcast_to(np.float32(0), SHAPES[part][n]) for n in names}
    first, last = names[0], names[-1]
    wrong = {n: right[n][:7] if n == first else right[n] for n in names[:-1]}
    expected = name_map.import_part(part, right)
    assert name_map.check(part, name_map.import_part(part, wrong), expected) == [
        f"{part}/{last}: missing",
        f"{part}/{first}: shape {(7, *SHAPES[part][first][1:])}, must be {SHAPES[part][first]}",
    ]


def test_check_names_missing_extra_and_misshapen_tensors():
    right = {
        "first.conv.weight": np.zeros((8, 3, 7, 7)),
        "final.bias": np.zeros(3),
        "kp.weight": np.zeros((4, 5)),
    }
    wrong = {
        "first.conv.weight": np.zeros((9, 3, 7, 7)),
        "final.bias": np.zeros(3),
        "last.running_mean": np.zeros(2),
    }
    expected = name_map.import_part("generator", right)
    lines = name_map.check("generator", name_map.import_part("generator", wrong), expected)
    assert lines == [
        "generator/kp.weight: missing",
        "generator/last.running_mean: extra",
        "generator/first.conv.weight: shape (9, 3, 7, 7), must be (8, 3, 7, 7)",
    ]
    assert name_map.check("generator", expected, expected) == []
