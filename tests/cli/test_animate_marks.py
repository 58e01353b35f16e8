"""`avct animate`, where it is named who signs the film."""

import types

import pytest

from avct_jax import compile_cache
from avct_jax.animator import base, factory
from avct_jax.cli import option
from avct_jax.cli.commands import animate


@pytest.fixture
def made(monkeypatch):
    """What an animation is to come to, without one; returns what says so, and animates."""
    shown = {"report": base.Report(10, 0.4, [], {})}
    toy = types.SimpleNamespace(animate=lambda *_, **__: shown["report"])
    monkeypatch.setattr(factory, "load", lambda *_, **__: toy)
    monkeypatch.setattr(compile_cache, "enable", lambda: None)

    def run(report, *, quiet=True):
        shown["report"] = report
        networks = animate.NetworkOptions()
        return animate.animate("i", "a", "o.mp4", base.Request(), networks, option.Shown(quiet=quiet))

    return run


@pytest.mark.parametrize("quiet", [True, False])
def test_a_film_that_is_not_signed_as_asked_ends_with_a_code_and_is_told_of(quiet, made, capsys):
    report = base.Report(10, 0.4, [], {})
    assert made(report, quiet=quiet) == 0
    assert made(report._replace(unsigned="no luck"), quiet=quiet) == animate.UNSIGNED
    assert "avct: o.mp4 is whole and NOT signed as asked: no luck" in capsys.readouterr().err.splitlines()
