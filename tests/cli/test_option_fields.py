"""Options as fields of rows: the same values as on the command line."""

import dataclasses
from typing import Annotated, Literal

import pytest
import tyro

from avct_jax import errors
from avct_jax.cli import option, option_fields
from avct_jax.cli.commands import animate

WORDS = {
    "image": ("a.png", "a.png"),
    "text": ("Hello, world.", "Hello, world."),
    "still": (True, None),
    "head_motion": (0.5, "0.5"),
    "blink": ("off", "off"),
    "mouth": (2, "2"),
    "seed": (7, "7"),
    "size": ("256", "256"),
    "face": ([120, 80.5], "120,80.5"),
    "recogniser": ("hama", "hama"),
    "audio_track": (2, "2"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_field_is_what_the_word_is(name):
    value, word = WORDS[name]
    field = option_fields.named(animate.Options, name)
    words = [f"--{name.replace('_', '-')}", *([] if word is None else [word])]
    typed = option.parse(animate.Options, words, "avct animate")
    read = option_fields.replace(animate.Options(), {name: field.read(value)})
    assert read == typed and option_fields.get(read, field) == option_fields.get(typed, field)
    assert read != animate.Options()


REFUSED = [
    ("seed", -1, "seed: '-1' must be a whole number, 0 or more"),
    ("seed", 1.5, "seed: '1.5' must be a whole number"),
    ("seed", True, "seed: True is no value"),
    ("still", "perhaps", "still: 'perhaps' must be true or false"),
    ("blink", 5, "blink: '5' must be a number from 0 to 4, or off"),
    ("recogniser", "ear", "recogniser: invalid choice: 'ear', not of auto, pocketsphinx, hama"),
    ("face", [1, 2, 3], "face: '1,2,3' must be a face's number"),
    ("face", [], "face: [] is no value"),
    ("audio", 3, "audio: 3 must be text"),
    ("audio", {}, "audio: {} must be text, or a list of texts"),
]


@pytest.mark.parametrize("name, value, said", REFUSED)
def test_what_is_no_value_is_refused(name, value, said):
    with pytest.raises(errors.UserError) as caught:
        option_fields.named(animate.Options, name).read(value)
    assert said in str(caught.value)


def test_names_may_have_dashes_and_unknown_ones_are_told():
    assert option_fields.named(animate.Options, "head-motion").name == "head_motion"
    with pytest.raises(errors.UserError, match="no option 'szie'; did you mean 'size'"):
        option_fields.named(animate.Options, "szie")
    with pytest.raises(errors.UserError, match="'quiet' has no place here"):
        option_fields.named(animate.Options, "quiet", frozenset({"quiet"}))


def test_of_a_group_one_is_given_and_the_default_makes_room():
    defaults = option.parse(animate.Options, ["--audio", "a.wav", "--still"], "avct animate")
    found = option_fields.replace(defaults, {"text": "Hello.", "head_motion": 2.0})
    assert (found.audio, found.text, found.head.still, found.head.head_motion) == ((), "Hello.", False, 2.0)
    assert option_fields.replace(defaults, {"seed": 3}).audio == ("a.wav",)
    assert option_fields.replace(defaults, {"still": False}).head.still is False
    with pytest.raises(errors.UserError, match="not allowed with"):
        option_fields.replace(defaults, {"text": "Hello.", "audio": "b.wav"})


@dataclasses.dataclass(frozen=True)
class Inner:
    """An option of each plain kind."""

    place: Annotated[str, option.shown_as("FILE")] = "here"
    factor: float = 1.0
    which: Annotated[Literal["a", "b"], tyro.conf.arg(metavar="W")] = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    """A group."""

    inner: Inner = Inner()


def test_options_without_a_reader_of_their_own_are_read_too():
    known = option_fields.fields(Outer)
    assert [known[name].is_file for name in known] == [True, False, False]
    assert known["factor"].read("0.5") == 0.5 and known["which"].read("b") == "b"
    with pytest.raises(errors.UserError, match="factor: could not convert"):
        known["factor"].read("much")
    assert option_fields.replace(Outer(), {"factor": 2.0}) == Outer(Inner(factor=2.0))


def test_zero_is_given():
    defaults = option.parse(animate.Options, ["--poses", "p.npy"], "avct animate")
    found = option_fields.replace(defaults, {"head_motion": 0.0})
    assert (found.head.poses, found.head.head_motion) == (None, 0.0)
