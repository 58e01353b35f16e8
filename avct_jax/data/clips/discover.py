"""The videos to make clips of: found in folders, named, and who is seen and what is said in them."""

import csv
import glob
import io
import os
import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from avct_jax import errors
from avct_jax.data.clips import clip, make_clips, manifest
from avct_jax.data.media import video_io
from avct_jax.files import text_file

CONTAINERS = "mp4|m4v|mov|mkv|webm|avi|mpg|mpeg|mts|m2ts|ts|wmv|flv|3gp|ogv|gif"
WHERE = "files are looked for relative to the csv, then to the folder of videos, then by a name that one has"
LONGEST_NAME, LONGEST_BYTES = 100, 200  # characters and bytes; file systems end at 255 bytes in all


def find_videos(
    names: Iterable[str | os.PathLike], *, output: str | os.PathLike | None = None
) -> list[pathlib.Path]:
    """The videos that names, folders (with the folders in them) and patterns stand for, each once, in order.

    A file named itself is taken whatever its suffix; of a folder those named as CONTAINERS are.

    Args:
      output: a folder whose videos are clips made before, where it lies in one that is searched.

    Raises:
      UserError: nothing is there, or a folder holds no video.
    """
    found: dict[pathlib.Path, pathlib.Path] = {}
    for name in (os.fspath(name) for name in names):
        paths = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        if not paths:
            raise errors.UserError(f"there is no video, folder or match of {name!r}; check the path")
        for path in map(pathlib.Path, paths):
            inside = _videos_in(path, output) if path.is_dir() else [path]
            if not inside and len(paths) == 1:
                raise errors.UserError(f"no video is in the folder {name!r}; name another one")
            for video in inside:  # named as asked for, also where that is a link; each file once
                found.setdefault(video.resolve(), video.absolute())
    return list(found.values())


def _videos_in(folder: pathlib.Path, output: str | os.PathLike | None) -> list[pathlib.Path]:
    """Hidden files and folders are left out: clips in the making are such."""
    clips = pathlib.Path(output).resolve() if output is not None else None
    within = clips is not None and folder.resolve() in clips.parents
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower().lstrip(".") in CONTAINERS.split("|")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
        and not (within and clips in path.resolve().parents)
    )


def read_people(
    path: str | os.PathLike,
    given: Iterable[str | os.PathLike] = (),
    videos: Sequence[pathlib.Path] = (),
) -> dict[pathlib.Path, str]:
    """Who is seen in which video, of a csv with columns file and person.

    A file is looked for relative to the csv, then to the folders in `given`, then among the names of
    `videos`, where only one has it. One that is nowhere is what it would be beside the csv.

    Args:
      given: names, folders and patterns that find_videos was given.
      videos: whole paths, what it found.

    Raises:
      UserError: no such file, a column is missing, or a file is there twice, with two people.
    """
    folders = [pathlib.Path(path).absolute().parent]
    folders += [pathlib.Path(name).absolute() for name in given if os.path.isdir(name)]
    count = Counter(video.name for video in videos)
    alone = {video.name: video for video in videos if count[video.name] == 1}
    people: dict[pathlib.Path, str] = {}
    for row in _read_rows(path, ("file", "person")):
        places = [folder / row["file"] for folder in folders]
        found = next((place for place in places if place.exists()), alone.get(row["file"], places[0]))
        if people.setdefault(found, row["person"]) != row["person"]:
            raise errors.UserError(
                f"{os.fspath(path)!r} says of {row['file']!r} that two people are seen; leave one row out"
            )
    return people


def unused_rows(
    videos: Sequence[pathlib.Path],
    people: Iterable[pathlib.Path] | None,
    words: Iterable[str] | None,
) -> list[str]:
    """Lines to say of rows that speak of no file, or of no video here."""
    lines = []
    if missing := [path.name for path in people or () if not path.exists()]:
        lines.append(f"--people: {len(missing)} files are nowhere: {errors.few(missing)}; {WHERE}")
    stems = {path.stem for path in videos}
    if unknown := [name for name in words or () if name not in stems]:
        lines.append(
            f"--words: {len(unknown)} clips are no videos here: {errors.few(unknown)}; "
            "they bear the names of videos, without suffix"
        )
    return lines


def read_words(path: str | os.PathLike) -> dict[str, list[clip.Word]]:
    """What is said in each video, by its stem, of a csv with columns clip, start_s, end_s, word.

    Raises:
      UserError: no such file, a column is missing, or a time is no number.
    """
    words: dict[str, list[clip.Word]] = {}
    for row in _read_rows(path, ("clip", "start_s", "end_s", "word")):
        try:
            said = (row["word"], float(row["start_s"]), float(row["end_s"]))
        except ValueError:
            raise errors.UserError(
                f"{os.fspath(path)!r}: {row['start_s']!r} - {row['end_s']!r} are no seconds; correct that row"
            ) from None
        words.setdefault(row["clip"], []).append(said)
    return {name: sorted(said, key=lambda word: word[1:]) for name, said in words.items()}


def _read_rows(path: str | os.PathLike, columns: Sequence[str]) -> list[dict[str, str]]:
    name = repr(os.fspath(path))
    try:
        video_io.check_readable(path)
        text = text_file.read(path)
        mark = text_file.separator(text.partition("\n")[0]) or ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        rows = [{column: _stripped(value) for column, value in row.items()} for row in reader]
    except csv.Error as error:
        raise errors.UserError(f"{name} cannot be read as csv ({error}); save it as UTF-8 csv") from None
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise errors.UserError(f"{name} lacks the column {missing[0]!r}; it needs {', '.join(columns)}")
    if any(row[column] is None for row in rows for column in columns):
        raise errors.UserError(f"{name} has a row with fewer than its {len(columns)} columns; correct it")
    return rows


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def make_jobs(
    videos: Sequence[pathlib.Path],
    records: Mapping[str, manifest.Record],
    *,
    person: str | None = None,
    people: Mapping[pathlib.Path, str] | None = None,
    words: Mapping[str, Sequence[clip.Word]] | None = None,
) -> list[make_clips.ClipJob]:
    """Name each video, and say who is seen.

    Args:
      videos: whole paths.
      records: of videos finished before, which keep their names.
      person: who is seen in all.
      people: who is seen where. Without both each video shows somebody else.

    Raises:
      UserError: of a video it is not known who is seen.
    """
    known = {path.resolve(): who for path, who in people.items()} if people is not None else {}
    unknown = [path for path in videos if people is not None and path.resolve() not in known]
    if unknown := [path for path in unknown if not _is_empty(path)]:  # that one is left out anyway
        raise errors.UserError(
            f"the csv of --people has no row for {len(unknown)} of {len(videos)} videos: "
            f"{errors.few(path.name for path in unknown)}; add rows: {WHERE}"
        )
    names = name_videos(videos, records)
    jobs = []
    for path in videos:
        name = names[path]
        who = printable(known.get(path.resolve()) or person or name)
        said = (words or {}).get(path.stem)
        jobs.append(make_clips.ClipJob(str(path), name, who, tuple(said) if said else None))
    return jobs


def _is_empty(path: pathlib.Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def name_videos(
    videos: Sequence[pathlib.Path], records: Mapping[str, manifest.Record]
) -> dict[pathlib.Path, str]:
    """A name for each video: its stem, with as many folders before it as make it the only one of its kind.

    A video that was finished before keeps its name.
    """
    known = {record.source: name for name, record in records.items()}
    names = {path: known[str(path)] for path in videos if str(path) in known}
    taken = {name.casefold() for name in records}
    # Of all of them: what is named does not depend on what is finished, here or by another shard.
    for path, name in _shortest_names(videos).items():
        if path in names:
            continue
        free, number = name, 2
        while _clashes(free.casefold(), taken):
            free, number = f"{name}-v{number}", number + 1
        names[path] = free
        taken.add(free.casefold())
    return names


def _shortest_names(videos: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """Names that differ where three folders can make them; regardless of case, as some disks are."""
    names = {path: _clean(path.stem) for path in videos}
    for folders in (1, 2, 3):
        count = Counter(name.casefold() for name in names.values())
        for path, name in names.items():
            if count[name.casefold()] > 1:
                names[path] = _clean("_".join([*path.parts[-1 - folders : -1], path.stem]))
    return names


def _clashes(name: str, taken: Set[str]) -> bool:
    """Whether a name, or that of a clip of a video that gives several (NAME_01), is one of `taken`."""
    number = re.compile(r"_\d\d+$")
    return name in taken or number.sub("", name) in taken or any(number.sub("", t) == name for t in taken)


def _clean(name: str) -> str:
    """A name that is safe for a file: no spaces, no dot or dash in front."""
    name = re.sub(r"[\s\x00-\x1f/\\:*?\"<>|]+", "_", printable(name))[-LONGEST_NAME:]
    name = name.encode()[-LONGEST_BYTES:].decode(errors="ignore")
    return re.sub(r"^[.-]", "_", name) or "video"


def printable(name: str) -> str:
    """A name as text: bytes that are none, as older systems have in files' names, are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
