"""Imports point down one ladder, and every file is one noun."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    p.relative_to(ROOT) for top in ("avct_jax", "scripts", "configs") for p in (ROOT / top).rglob("*.py")
)
# motion < layers < models < inference | train < configs < evaluation < cli, scripts; errors, data: all rungs.
RUNGS = {"errors": 0, "data": 1, "metrics": 1, "motion": 1, "layers": 2, "models": 3, "checkpoint_file": 4}
RUNGS |= {"evaluation": 7}  # it trains, animates and measures
RUNGS |= {
    "face_topology": 0,
    "file_kind": 0,
    "array_file": 0,
    "convert": 5,
    "inference": 5,
    "mesh_inference": 5,
    "train": 5,
    "animation": 6,
    "keypoint_animator": 6,
    "mesh_animator": 6,
    "animator": 6,
    "parity": 6,
    "configs": 6,
    "__init__": 6,
}
RUNGS |= {"avct_jax": 6}  # the public names
TOP = 8  # cli, its commands, and what only they use; scripts
SIGNALS = {"data", "metrics"}  # beside the ladder
ASIDE = {"motion": SIGNALS, "layers": SIGNALS, "models": SIGNALS, "inference": {*SIGNALS, "train"}}
ASIDE |= {"train": {"inference"}, "data": {"metrics"}}
BARRED = {"data": {"flax", "jax"}, "metrics": {"flax", "jax", "tensorflow"}}


def imports(path):
    """Every module that a file names in an import, in any function too: ("avct_jax.layers.conv", ...)."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit(parts):
    """The part of the package that a module belongs to: ("avct_jax", "layers", "conv") -> "layers"."""
    return parts[1].removesuffix(".py") if parts[0] == "avct_jax" and len(parts) > 1 else parts[0]


def faults(path):
    """Imports of a file that the ladder does not allow."""
    here = unit(path.parts)
    for name in imports(path):
        parts = name.split(".")
        there = unit(parts)
        ours = parts[0] in ("avct_jax", "scripts", "configs") and there != here
        if parts[0] in BARRED.get(here, ()) or (parts[0] == "tensorflow" and here != "data"):
            yield f"{path} imports {name}, which only another part may"
        elif ours and RUNGS.get(there, TOP) > RUNGS.get(here, TOP):
            yield f"{path} imports {name}, which is above it"
        elif ours and there in ASIDE.get(here, ()):
            yield f"{path} imports {name}, which stands beside it"


def test_imports_point_down_the_ladder():
    assert len(FILES) > 50 and not [fault for path in FILES for fault in faults(path)]


def test_files_are_one_noun_of_at_most_400_lines():
    assert not {path.stem for path in FILES} & {"utils", "util", "common", "helpers", "misc"}
    assert not [str(p) for p in FILES if len((ROOT / p).read_text().splitlines()) > 400]
