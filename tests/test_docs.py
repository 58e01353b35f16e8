"""The documents name what is there."""

import ast
import contextlib
import importlib
import pathlib
import re
import types

import pytest

from avct_jax import errors

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *(p for p in (ROOT / "docs").rglob("*.md") if not {"lab-notebook", "_build"} & {*p.parts}),
    *(ROOT / "avct_jax").rglob("*.md"),
]
PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]  # it and the notebook tell of what was


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [m for m in re.findall(r"\]\(([^)#\s]+)\)", text) if not m.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"(?:avct_jax|scripts|configs|tests|docs)(?:/[\w.-]+)+/?(?<![.,])", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert [path for path in missing if "_build" not in path] == []  # made by `make docs`


def test_architecture_names_modules_that_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)", text))
    known = {str(p.relative_to(ROOT / "avct_jax")) for p in (ROOT / "avct_jax").rglob("*.py")}
    ends = {"/".join(parts[i:]) for parts in (name.split("/") for name in known) for i in range(len(parts))}
    assert len(named) > 30 and not {name for name in named if name.removeprefix("avct_jax/") not in ends} - {
        "tests/test_architecture.py"
    }


def code_of(text):
    """The Python of a page: its blocks, notebooks' cells as well."""
    return re.findall(r"```(?:python|\{code-cell\} ipython3)\n(.*?)```", text, re.DOTALL)


CODE = [page for page in PAGES if code_of(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_names_what_the_package_has(page):
    """Imports, and what is asked of imported modules; `make docs` runs notebooks, which takes minutes."""
    modules, wrong = {}, []
    for block in code_of(page.read_text(encoding="utf-8")):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    if name.name.split(".")[0] == "avct_jax":
                        modules[name.asname or "avct_jax"] = importlib.import_module(name.name)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "avct_jax":
                for name in node.names:
                    found = _member(node.module, name.name)
                    wrong += [f"{node.module}.{name.name}"] if found is None else []
                    modules[name.asname or name.name] = found
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = modules.get(node.value.id)
                if isinstance(module, types.ModuleType) and not hasattr(module, node.attr):
                    wrong.append(f"{node.value.id}.{node.attr}")
    assert wrong == []


def _member(module, name):
    """A module's member or a module within it; of extras that are not here, anything."""
    try:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(f"{module}.{name}")
        return getattr(importlib.import_module(module), name, None)
    except errors.UserError:
        return object()
    except ModuleNotFoundError as missing:
        return None if (missing.name or "avct_jax").startswith("avct_jax") else object()
