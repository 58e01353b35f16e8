"""The documents name what is there."""

import pathlib
import re

import pytest

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
