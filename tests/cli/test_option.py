"""How options are read, and how refusals and helps look, whatever the terminal."""

import dataclasses
import functools
import os
import sys
from typing import Annotated, Literal

import pytest

from avct_jax import errors
from avct_jax.cli import main, option
from avct_jax.cli import training_options as training
from avct_jax.cli.commands import ablate, animate, bench, convert, demo, evaluate, export, preprocess
from tests import pseudo_terminal

KINDS = [module.Options for module in (ablate, animate, bench, convert, demo, evaluate, export, preprocess)]


@dataclasses.dataclass(frozen=True)
class Several:
    """Options of all kinds.

    Attributes:
      files: some
      output: where
    """

    files: option.SomeFiles
    output: option.File
    size: option.MaybePositive = None
    seed: option.MaybeNatural = None
    kind: Literal["good", "better"] = "good"
    names: option.SomeNames = None
    judge: option.AnyFile = None
    shift: Annotated[float, option.shown_as("S")] = 0.5
    still: option.Flag = False
    shown: option.Shown = option.Shown()


def parse(*words):
    return option.parse(Several, words, "avct several")


@pytest.mark.parametrize("columns", ["20", "80", None])
@pytest.mark.parametrize(
    "words, said",
    [
        ([], "the following arguments are required: --output"),
        (["--output", "o"], "FILE ...: expected at least one"),
        (
            ["a", "--output"],
            "--output: expected a value, which may begin with a dash where it is written --output",
        ),
        (["a", "--output", "-o"], "--output: expected a value, which may begin with a dash"),
        (["a", "--output", "o", "--size", "0"], "--size: '0' must be a whole number above 0"),
        (["a", "--output", "o", "--size", "None"], "--size: 'None' must be a whole number above 0"),
        (["a", "--output", "o", "--size", 99 * "x"], f"--size: {99 * 'x'!r} must be a whole number above 0"),
        (["a", "--output", "o", "--seed", "-1"], "--seed: '-1' must be a whole number, 0 or more"),
        (
            ["a", "--output", "o", "--kind", "best"],
            "--kind: invalid choice: 'best', not of ('good', 'better')",
        ),
        (["a", "--output", "o", "--stil"], "unrecognized arguments: --stil; did you mean --still?"),
        (["a", "--output", "o", "--no-still"], "unrecognized arguments: --no-still"),
        (["a", "--output", "o", "--still=yes"], "unrecognized arguments: yes"),
        (["a", "--output", "o", "--names"], "--names: expected at least one"),
        (["a", "--output", "o", "--judge", "b", "c"], "--judge: expected one at most"),
        (["a", "--output", "o", "--quiet", "--debug"], "--debug: not allowed with --quiet"),
        (["a", "--out_put", "o"], "unrecognized arguments: --out_put; did you mean --out-put?"),
    ],
)
def test_a_refusal_is_one_whole_line(words, said, columns, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(errors.UserError) as caught:
        parse(*words)
    assert str(caught.value).startswith(said) and "--help`" in str(caught.value)
    assert "\n" not in str(caught.value) and "  " not in str(caught.value)
    assert capsys.readouterr() == ("", "") and os.environ.get("COLUMNS") == columns


def test_another_release_s_complaint_is_one_line_too():
    assert (
        option._complaint("usage: avct\navct: error: what\n  is this\n")
        == "usage: avct avct: error: what is this"
    )


def test_words_become_values():
    found = parse("a", "b c", "--output=-o", "--size", "3", "--still", "--names", "x", "y", "--shift", "-1.5")
    assert (found.files, found.output, found.size, found.still) == (["a", "b c"], "-o", 3, True)
    assert (found.names, found.shift, found.judge, found.shown.quiet) == (["x", "y"], -1.5, None, False)
    assert parse("a", "--output", "o", "--judge").judge == ""
    assert parse("a", "--output", "None", "--judge", "None", "--output", "o", "--quiet").judge == "None"
    assert parse("--output", "o", "--", "-a").files == ["-a"]
    assert parse("a", "--output", "n", "--output", "o").output == "o"


@pytest.mark.parametrize("kind", [*KINDS, training.Export], ids=lambda kind: kind.__module__)
def test_help_fits_the_terminal_and_says_only_what_can_be_typed(kind, monkeypatch, capsys):
    for columns in (1, 40, 60, 100, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            option.parse(kind, ["--help"], "avct", "more\n")
        said = capsys.readouterr().out
        about, boxes = said.split("\n\n", 2)[1:]
        assert ended.value.code == 0 and said.endswith("more\n") and about
        assert max(map(len, boxes.splitlines())) <= max(columns, 40)
        assert "--quiet" in said and not {"None", "False", "--no-quiet", "--shown."} & {*said.split()}


@pseudo_terminal.needed
def test_help_keeps_to_the_terminal_s_letters_and_colours():
    seen = functools.partial(
        pseudo_terminal.shown, [sys.executable, "-m", "avct_jax", "demo", "--help"], "stdout"
    )
    assert b"\x1b[" in (said := seen(PYTHONIOENCODING="utf-8")) and "│".encode() in said
    assert b"\x1b[" not in seen(PYTHONIOENCODING="utf-8", NO_COLOR="1")
    assert seen(PYTHONIOENCODING="ascii", NO_COLOR="1").isascii()


def test_the_menu_names_every_command_and_the_nearest(capsys):
    with pytest.raises(SystemExit):
        main.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in main.COMMANDS) and "start here:" in shown
    assert main.main(["anymate", "--help"]) == main.REFUSED
    said = capsys.readouterr().err
    assert "there is no COMMAND 'anymate': did you mean animate?" in said and said.count("\n") == 1


def test_animate_is_asked_what_was_typed():
    words = "--image a --audio b --output None --still --audio-track 2 --recogniser hama --seed 0"
    found = option.parse(animate.Options, [*words.split(), "--transcript", "a b"], "avct animate")
    assert (found.speech.audio_track, found.speech.recogniser, found.speech.transcript) == (2, "hama", "a b")
    assert (found.head.still, found.head.poses, found.drawn.seed, found.drawn.size) == (True, None, 0, None)
    assert found.output == "None"
    words = "--image a --audio b --head-motion 0.5 --blink off --mouth 2"
    found = option.parse(animate.Options, words.split(), "avct animate").head
    assert (found.head_motion, found.blink, found.mouth) == (0.5, 0, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--head-motion 4", "--head-motion: '4' must be a number from 0 to 3; 1 is usual"),
        ("--blink never", "--blink: 'never' must be a number from 0 to 4, or off; 1 is usual"),
        ("--mouth nan", "--mouth: 'nan' must be a number from 0 to 2; 1 is usual"),
        ("--still --head-motion 2", "--head-motion: not allowed with --still"),
    ],
)
def test_factors_out_of_range_are_refused(words, said):
    with pytest.raises(errors.UserError) as caught:
        option.parse(animate.Options, ["--image", "a", "--audio", "b", *words.split()], "avct animate")
    assert str(caught.value).startswith(said)


def test_each_face_is_given_its_sound():
    words = "--image a --framing full --audio b.wav --audio none --audio my.c.wav --face all"
    found = option.parse(animate.Options, words.split(), "avct animate")
    assert animate.audio_of(found.audio) == ["b.wav", None, "my.c.wav"]
    request = animate.request_of(found)
    assert (request.framing, request.face, request.redub) == ("full", "all", False)
    assert animate.audio_of(("b.wav",)) == "b.wav" and animate.audio_of(()) is None
    assert animate.default_output("x/a.b.png", "y/b.wav", "my.c.wav") == "a.b_says_b_my.c.mp4"


def test_a_film_takes_the_portraits_place():
    found = option.parse(animate.Options, ["--video", "a.mp4", "--audio", "b"], "avct animate")
    assert found.image is None and animate.request_of(found).redub
    with pytest.raises(errors.UserError, match="--video: not allowed with --image"):
        option.parse(animate.Options, ["--image", "c", "--video", "a.mp4", "--audio", "b"], "avct animate")
    with pytest.raises(errors.UserError, match="are required: --image, or --video"):
        animate.run(option.parse(animate.Options, ["--audio", "b"], "avct animate"))
