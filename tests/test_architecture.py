"""Imports point down one ladder, and every file is one noun."""

import ast
import builtins
import pathlib
import symtable

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(p.relative_to(ROOT) for top in ("avct_jax", "scripts") for p in (ROOT / top).rglob("*.py"))
# motion < layers < models < inference | train < presets < agents, evaluation < cli, scripts.
# The longest name that a module's own begins with says where it stands.
RUNGS = {
    "errors": 0,
    "malloc": 0,
    "stuck_signals": 0,
    "progress": 0,
    "files": 0,
    "arguments": 0,
    "face_topology": 0,
    "speech_format": 0,
    "motion": 1,
    "data": 1,
    "metrics": 1,
    "layers": 2,
    "marks": 2,
    "convert.name_map": 2,
    "models": 3,
    "weights_file": 4,
    "weights_folder": 4,
    "inference": 5,
    "train": 5,
    "convert": 6,
    "animator": 6,
    "compile_cache": 0,
    "demo": 1,
    "workers": 1,
    "jobs": 7,
    "live": 6,
    "serve": 7,
    "inspection": 7,
    "presets": 6,
    "": 6,  # the public names
    "agents": 7,
    "evaluation": 7,  # it trains, animates and measures
}
TOP = 8  # cli, and what only it uses; scripts
SIGNALS = {"data", "metrics"}  # beside the ladder
ASIDE = {"motion": SIGNALS, "layers": SIGNALS, "models": SIGNALS, "inference": {*SIGNALS, "train"}}
ASIDE |= {"train": {"inference"}, "data": {"metrics"}}
PUBLIC = {"", "__init__", "__version__", "Animator", "load"}
BARRED = {
    "data": {"flax", "jax"},
    "metrics": {"flax", "jax", "tensorflow"},
    "files": {"flax", "jax", "torch"},
}
MOST = 12  # modules in a folder: more is a room in which nothing is found


def imports(path):
    """Every module that a file names in an import, in any function too: ("avct_jax.layers.norm", ...)."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit(name):
    """The part of the package that a module belongs to, and its rung: ("layers", 2)."""
    top, _, rest = name.partition(".")
    if top != "avct_jax":
        return top, TOP
    known = [rung for rung in RUNGS if rest == rung or rest.startswith(f"{rung}.")]
    return rest.partition(".")[0], RUNGS[max(known, key=len)] if known else RUNGS[
        ""
    ] if rest in PUBLIC else TOP


def faults(path):
    """Imports of a file that the ladder does not allow."""
    here, rung = unit(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    for name in imports(path):
        there, other = unit(name)
        if name.partition(".")[0] in BARRED.get(here, ()) or (
            name.startswith("tensorflow") and here != "data"
        ):
            yield f"{path} imports {name}, which only another part may"
        elif name.partition(".")[0] in ("avct_jax", "scripts") and other > rung:
            yield f"{path} imports {name}, which is above it"
        elif name.startswith("avct_jax") and there != here and there in ASIDE.get(here, ()):
            yield f"{path} imports {name}, which stands beside it"


def test_imports_point_down_the_ladder():
    assert len(FILES) > 50 and not [fault for path in FILES for fault in faults(path)]


def test_files_are_one_noun_of_at_most_400_lines():
    assert not {path.stem for path in FILES} & {"utils", "util", "common", "helpers", "misc"}
    assert not [str(p) for p in FILES if len((ROOT / p).read_text().splitlines()) > 400]


def test_no_folder_holds_more_than_one_can_look_through():
    folders = {p.parent for p in FILES if p.parts[0] == "avct_jax"}
    counts = {
        str(f): len({p.stem for p in FILES if p.parent == f} - {"__init__", "__main__"}) for f in folders
    }
    assert len(counts) > 20 and not {f: n for f, n in counts.items() if n > MOST}


def test_tests_mirror_the_package():
    """test_crop.py is about avct_jax/data/faces; what is about the whole lies in tests/ itself."""
    folders = {p.parent.relative_to(ROOT / "tests") for p in (ROOT / "tests").rglob("test_*.py")}
    assert len(folders) > 20 and not [f for f in folders if not (ROOT / "avct_jax" / f).is_dir()]


def undefined(text):
    """Names that code uses and nothing defines.

    Ruff's F821 is off: it reads the shapes of jaxtyping, which are strings, as code.
    """
    module, tables = symtable.symtable(text, "", "exec"), []
    rest = [module]
    while rest:
        tables.append(rest.pop())
        rest += tables[-1].get_children()
    outside = lambda table: [s for s in table.get_symbols() if table is module or s.is_global()]
    symbols = [symbol for table in tables for symbol in outside(table)]
    known = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return sorted({s.get_name() for s in symbols} - known - set(dir(builtins)) - {"__file__"})


def test_names_are_defined_or_imported():
    text = "import os\ndef f(a: Float[os, 'b t'], c):\n  return [pathlib.Path(c + d) for d in a] + g()\ng = 1"
    assert undefined(text) == ["Float", "pathlib"]
    files = [*FILES, *(p.relative_to(ROOT) for p in (ROOT / "tests").rglob("*.py"))]
    found = {str(p): undefined((ROOT / p).read_text()) for p in files}
    assert len(found) > 300 and not {path: names for path, names in found.items() if names}


def test_no_two_classes_share_a_name():
    """A traceback or an index names classes without their modules; each command's `Options` are its own."""
    homes = {}
    for path in FILES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ClassDef) and path.parts[0] == "avct_jax":
                homes.setdefault(node.name, []).append(str(path))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    commands = shared.pop("Options")
    assert len(homes) > 200 and shared == {} and all("cli/commands" in path for path in commands)
