"""Files of jobs: one JSON object a line, or a csv with a header; fields are options of `avct animate`."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from avct_jax import errors
from avct_jax.cli import option_fields
from avct_jax.cli.commands import animate
from avct_jax.data.media import subtitles
from avct_jax.files import json_text, text_file
from avct_jax.jobs import animation_job

BARRED = frozenset(
    {"list_faces", "jobs", "workers", "dry_run", "sidecar", "quiet", "verbose", "debug"}
    | {"shard", "engine", "worker_cpus", "worker_gpus"}
)


class RefusedLine(NamedTuple):
    """A line that is no job: where it is, and why."""

    place: str
    reason: str


class ReadJobs(NamedTuple):
    """What a file of jobs holds, in its order."""

    jobs: list[animation_job.AnimationJob]
    refused: list[RefusedLine]


def read(path: str, defaults: animate.Options, folder: str | None = None) -> ReadJobs:
    """Read a file of jobs.

    Args:
      path: .csv, or else lines of JSON; what is relative in it is relative to its folder.
      defaults: options of all jobs; image, audio and others may be among them.
      folder: where relative outputs go; by default the file's folder.

    Raises:
      UserError: it cannot be read, holds no job, or its header names what is no option.
    """
    if not os.path.isfile(path):
        raise errors.UserError(f"no file of jobs at {path!r}; name a .jsonl or .csv file")
    text = text_file.read(path)
    rows = _of_csv(path, text) if path.lower().endswith(".csv") else _of_json(text)
    found = ReadJobs([], [])
    for line, row in rows:
        place = f"line {line}"
        try:
            if isinstance(row, errors.UserError):
                raise row
            found.jobs.append(_job(row, defaults, os.path.dirname(path), folder, place))
        except errors.UserError as error:
            found.refused.append(RefusedLine(place, " ".join(str(error).split())))
    if not found.jobs and (
        not found.refused or all(line.reason.startswith(NO_JSON) for line in found.refused)
    ):
        raise errors.UserError(f"{path!r} holds no job; write one a line, such as {EXAMPLE}")
    return found


NO_JSON = "is not JSON"
EXAMPLE = '{"image": "face.jpg", "audio": "speech.wav", "output": "talk.mp4"}'


def _of_json(text: str) -> Iterator[tuple[int, Any]]:
    """Rows by line; a UserError in the place of one that is none."""
    for line, words in enumerate(text.split("\n"), 1):
        if not words.strip():
            continue
        try:
            row = json_text.parse(words)
        except ValueError as error:
            row = errors.UserError(f"{NO_JSON} ({error}); write an object, such as {EXAMPLE}")
        if not isinstance(row, dict | errors.UserError):
            row = errors.UserError(f"is {words.strip()[:40]}; write an object, such as {EXAMPLE}")
        yield line, row


def _of_csv(path: str, text: str) -> Iterator[tuple[int, Any]]:
    mark = text_file.separator(text.partition("\n")[0]) or ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True)
    try:
        for name in reader.fieldnames or ():
            try:
                option_fields.named(animate.Options, name, BARRED)
            except errors.UserError as error:
                raise errors.UserError(f"{path!r}, line 1: {error}") from None
        for row in reader:
            if None in row:
                more = errors.UserError("has more cells than the header; quote what holds a comma")
                yield reader.line_num, more
            elif any(row.values()):
                yield reader.line_num, {name: value for name, value in row.items() if value}
    except csv.Error as error:
        raise errors.UserError(f"{path!r} cannot be read as csv ({error}); save it as UTF-8 csv") from None


def _job(row: dict[str, Any], defaults, beside: str, folder: str | None, place: str):
    values = {}
    for name, value in row.items():
        field = option_fields.named(animate.Options, name, BARRED)
        if value is None:
            continue
        _check_characters(name, value)
        value = field.read(value)
        named = field.is_file and field.name != "output" and isinstance(value, str | tuple)
        values[field.name] = _beside(beside, value) if named else value
    output = values.pop("output", None)
    options = option_fields.replace(defaults, values)
    if output is None:
        image, spoken = animate.needed(options)
        output = animate.default_output(image, *spoken)
    placed = lambda name: os.path.join(folder or beside, name)
    if (titles := options.drawn.subtitles) not in (None, subtitles.BURN):
        drawn = dataclasses.replace(options.drawn, subtitles=placed(titles))
        options = dataclasses.replace(options, drawn=drawn)
    return animate.job_of(options, placed(output))._replace(place=place)


def _check_characters(name: str, value: Any) -> None:
    """Refuse what JSON can say and no file's name, nor any other text, can hold."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and ("\0" in text or any("\ud800" <= c <= "\udfff" for c in text)):
            raise errors.UserError(f"{name} has a character that no text may have; mend it")


def _beside(folder: str, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """A file's name, or several, relative to a folder."""
    if isinstance(value, str):
        return os.path.join(folder, value)
    return tuple(name if name == animate.NOBODY else os.path.join(folder, name) for name in value)
