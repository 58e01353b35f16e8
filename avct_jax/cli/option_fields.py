"""A command's options as fields by name, for files whose rows hold them: read and checked as words are.

What an option is stands in the command's dataclasses alone (see option.py); a new one is a field at once.
"""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeVar, Union

import tyro

from avct_jax import errors
from avct_jax.cli import option

Kind = TypeVar("Kind")
WORDS = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
}
MUTEX = type(tyro.conf.create_mutex_group(required=False))
SHOWN = type(tyro.conf.arg())


class OptionField(NamedTuple):
    """An option.

    Attributes:
      name: with underscores.
      groups: fields of the nested dataclasses in which it is.
      kind: str, bool, ...
      default: where it is not given.
      notes: what its annotation says beside the type.
    """

    name: str
    groups: tuple[str, ...]
    kind: Any
    default: Any
    notes: tuple[Any, ...]

    @property
    def is_file(self) -> bool:
        """Whether it names a file."""
        return any(isinstance(note, SHOWN) and getattr(note, "metavar", "") == "FILE" for note in self.notes)

    @property
    def excludes(self) -> Any:
        """The group of which one may be given; None: it is in none."""
        return next((note for note in self.notes if isinstance(note, MUTEX)), None)

    def read(self, value: Any) -> Any:
        """Take a value of JSON, or a word.

        Raises:
          UserError: it is none of this option.
        """
        try:
            return self._read(value)
        except ValueError as error:
            raise errors.UserError(f"{self.name}: {error}") from None

    def _read(self, value: Any) -> Any:
        if self.kind is bool:
            known = value if isinstance(value, bool) else WORDS.get(str(value).strip().lower())
            if known is None:
                raise ValueError(f"{value!r} must be true or false")
            return known
        if self.kind is tuple:
            words = value if isinstance(value, list) else [value]
            if not words or not all(isinstance(word, str) for word in words):
                raise ValueError(f"{value!r} must be text, or a list of texts")
            return tuple(words)
        if any(isinstance(note, option.AlsoJson) and isinstance(value, note.kind) for note in self.notes):
            return value
        if isinstance(value, bool | dict) or (isinstance(value, list) and not value):
            raise ValueError(f"{value!r} is no value for it")
        word = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for note in self.notes:
            if isinstance(note, tyro.constructors.PrimitiveConstructorSpec):
                return note.instance_from_str([word])
        if typing.get_origin(self.kind) is Literal:
            if word not in (choices := typing.get_args(self.kind)):
                raise ValueError(f"invalid choice: {word!r}, not of {', '.join(map(str, choices))}")
            return word
        if self.kind is str and not isinstance(value, str):
            raise ValueError(f"{value!r} must be text")
        return self.kind(word)


@functools.cache
def fields(kind: type) -> dict[str, OptionField]:
    """List a command's options by name, those of nested dataclasses too."""
    return {field.name: field for field in _fields(kind, ())}


def _fields(kind: type, groups: tuple[str, ...]):
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType] - it is one
        hint, notes = hints[field.name], ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *found = typing.get_args(hint)
            notes = tuple(found)
        if dataclasses.is_dataclass(hint):
            yield from _fields(typing.cast(type, hint), (*groups, field.name))
            continue
        if typing.get_origin(hint) in (Union, types.UnionType):
            hint = next(part for part in typing.get_args(hint) if part is not type(None))
        yield OptionField(field.name, groups, hint, field.default, notes)


def named(kind: type, name: str, barred: frozenset[str] = frozenset()) -> OptionField:
    """Return the option of a name, written with underscores or dashes.

    Args:
      barred: options that have no place there.

    Raises:
      UserError: there is none.
    """
    known = fields(kind)
    plain = name.strip().lstrip("-").replace("-", "_")
    if plain in barred:
        raise errors.UserError(f"{name!r} has no place here; give it on the command line")
    if plain not in known:
        near = difflib.get_close_matches(plain, set(known) - barred, n=1)
        meant = f"did you mean {near[0]!r}?" if near else "see `avct animate --help`"
        raise errors.UserError(f"there is no option {name!r}; {meant}")
    return known[plain]


def get(options: Any, field: OptionField) -> Any:
    """Return what an option is in a command's options."""
    for group in field.groups:
        options = getattr(options, group)
    return getattr(options, field.name)


def replace(options: Kind, values: Mapping[str, Any]) -> Kind:
    """Return options with other values, by name; of others in their groups, of which one may be given, none.

    Raises:
      UserError: two of such a group are given.
    """
    known = fields(type(options))
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    others: dict[str, Any] = {}
    for name in given:
        group = known[name].excludes
        rivals = (
            [] if group is None else [f for f in known.values() if f.excludes is group and f.name != name]
        )
        for rival in rivals:
            if rival.name in given:
                raise errors.UserError(f"{rival.name}: not allowed with {name}")
            others[rival.name] = rival.default
    for name, value in (others | dict(values)).items():
        options = _replaced(options, known[name].groups, name, value)
    return options


def _replaced(options: Any, groups: tuple[str, ...], name: str, value: Any) -> Any:
    if not groups:
        return dataclasses.replace(options, **{name: value})
    inner = _replaced(getattr(options, groups[0]), groups[1:], name, value)
    return dataclasses.replace(options, **{groups[0]: inner})
