"""What became of each video of a folder of clips: records of finished videos, and the manifest of all.

A video's record is written when all its clips are whole. It makes a run that was killed go on where it was,
and the manifest can be written from the records alone.
"""

import contextlib
import json
import math
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from avct_jax import errors
from avct_jax.data.clips import clip
from avct_jax.data.media import video_io
from avct_jax.files import atomic_write, json_text

FILE, RECORDS, UNFINISHED = "manifest.json", ".done", ".part"
VERSION = 2


class Entry(NamedTuple):
    """A clip as all that choose clips know it; what it shows and says is clip.Clip.

    Attributes:
      name: of its files, NAME.mp4 and NAME.npz.
      person: who is seen.
      frames: its length.
      audio: whether it has audio.
      source: the video that it was cut out of, from begin_s to end_s; "" where only the clip is known.
      video_bytes: size of NAME.mp4.
      offset: frames by which the lips come after the audio; NaN where unknown.
      in_sync: they belong together.
      held_out: never trained on. Decided for the whole folder at once; a record does not know it.
    """

    name: str
    person: str
    frames: int
    audio: bool
    source: str = ""
    begin_s: float = 0.0
    end_s: float = 0.0
    video_bytes: int = 0
    offset: float = math.nan
    in_sync: bool = False
    held_out: bool = False

    @property
    def split(self) -> str:
        """What the manifest calls it."""
        return "test" if self.held_out else "train"


class Refusal(NamedTuple):
    """A part of a video, or all of it, that became no clip.

    Attributes:
      source: the video.
      begin_s: where the part begins, s.
      end_s: where it ends, s.
      kind: the reason in a few words, to count.
      reason: the reason with value and limit.
    """

    source: str
    begin_s: float
    end_s: float
    kind: str
    reason: str


class Record(NamedTuple):
    """A finished video.

    Attributes:
      made_with: the options that decide what its clips are.
    """

    name: str
    source: str
    source_bytes: int
    made_with: dict[str, Any]
    clips: tuple[Entry, ...]
    refused: tuple[Refusal, ...]
    checked: bool = False  # whether the clips' offsets were judged


class Manifest(NamedTuple):
    """What manifest.json says of a folder of clips.

    Attributes:
      speaker: whose speech is learned; "" for nobody's.
      clips: in order of name.
      refused: parts of videos that became no clip.
      counts: of videos, clips, people, frames and refusals.
      mean_face: whose and how many frames the folder's mean face is of.
    """

    speaker: str
    clips: tuple[Entry, ...]
    refused: tuple[Refusal, ...]
    counts: dict[str, Any]
    mean_face: dict[str, Any]

    def without(self, part: str) -> list[Entry]:
        """Clips but for those whose source's path has this part; "" leaves none out."""
        return [entry for entry in self.clips if not (part and part in entry.source)]


def write_record(folder: pathlib.Path, record: Record) -> None:
    """Say that a video is finished."""
    (folder / RECORDS).mkdir(exist_ok=True)
    value = record._asdict()
    value["clips"] = [_as_json(entry) for entry in record.clips]
    value["refused"] = [refusal._asdict() for refusal in record.refused]
    write_json(folder / RECORDS / f"{record.name}.json", value)


def read_records(folder: pathlib.Path) -> dict[str, Record]:
    """The finished videos by name, of which all clips are still there; damaged records count as none."""
    records = {}
    for path in sorted((folder / RECORDS).glob("*.json")):
        try:
            record = _as_record(json_text.parse(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if record.name == path.stem and all(_is_whole(folder, entry) for entry in record.clips):
            records[record.name] = record
    return records


def drop(folder: pathlib.Path, name: str) -> None:
    """Forget a video and remove its clips, the record first: clips without one are made again."""
    path = folder / RECORDS / f"{name}.json"
    try:
        names = [entry["name"] for entry in json_text.parse(path.read_text(encoding="utf-8"))["clips"]]
    except (OSError, ValueError, TypeError, KeyError):
        names = []
    path.unlink(missing_ok=True)
    for each in names:
        for suffix in (".npz", ".mp4"):
            (folder / f"{each}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def part_folder(folder: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """Make a folder for a video's clips that are not whole yet; it is removed in the end.

    No two have one name: a machine that was thought to be lost may still write its own.

    Raises:
      UserError: it cannot be made.
    """
    token = atomic_write.token()
    part = folder / UNFINISHED / f"{name}-{token}"
    with contextlib.ExitStack() as kept:
        try:
            _hold(kept, folder / UNFINISHED / f"{atomic_write.PREFIX}{token}")
            part.mkdir()
        except OSError as error:
            raise errors.UserError(
                f"cannot write {part} ({error.strerror}); free space or choose another folder"
            ) from None
        kept.callback(shutil.rmtree, part, ignore_errors=True)  # before it is held no more
        yield part


def _hold(kept: contextlib.ExitStack, path: pathlib.Path) -> None:
    """Hold a file, in a folder that is made, until the stack ends and removes it."""
    kept.callback(path.unlink, missing_ok=True)
    while True:
        path.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # somebody removed the folder, which was empty
            kept.enter_context(atomic_write.held(path))
            return


def clean(folder: pathlib.Path) -> None:
    """Remove what runs that were killed left half-written; what a living one writes stays."""
    place = folder / UNFINISHED
    for each in (folder, folder / RECORDS, place):
        atomic_write.remove_half_written(each)
    parts: list[pathlib.Path] = []
    with contextlib.suppress(OSError):  # another run has just removed it, empty
        parts = list(place.glob("*"))
    for part in parts:
        token = part.name[-2 * atomic_write.TOKEN_BYTES :]
        if part.is_dir() and not (place / f"{atomic_write.PREFIX}{token}").exists():
            shutil.rmtree(part, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is not there, or not empty
        place.rmdir()


def write(
    folder: pathlib.Path, records: Iterable[Record], *, speaker: str, mean_face: dict[str, Any]
) -> Manifest:
    """Write manifest.json of the records, and return it."""
    made = of_records(records, speaker=speaker, mean_face=mean_face)
    value = {
        "version": VERSION,
        "speaker": speaker or None,
        "counts": made.counts,
        "mean_face": mean_face,
        "clips": [{**_as_json(entry), "split": entry.split} for entry in made.clips],
        "refused": [refusal._asdict() for refusal in made.refused],
    }
    write_json(folder / FILE, value)
    return made


def of_records(records: Iterable[Record], *, speaker: str, mean_face: dict[str, Any]) -> Manifest:
    """Sum up records."""
    records = list(records)
    clips = sorted(
        entry._replace(held_out=clip.held_out(entry.name, entry.person, speaker=speaker))
        for record in records
        for entry in record.clips
    )
    refused = [refusal for record in records for refusal in record.refused]
    counts = count(records, clips, refused)
    return Manifest(speaker, tuple(clips), tuple(refused), counts, mean_face)


def read(folder: str | os.PathLike, *, least: int = 0) -> Manifest:
    """Read the manifest of a folder of clips.

    Args:
      least: clips that it must list.

    Raises:
      UserError: there is none, it is damaged, or it lists too few clips.
    """
    path = pathlib.Path(folder) / FILE
    try:
        value = json_text.parse(path.read_text(encoding="utf-8"))
        version = value["version"]
        if version != VERSION:
            raise errors.UserError(
                f"{path} is of version {str(version)[:20]}, this program reads {VERSION}; "
                "run `avct preprocess` on its videos again"
            )
        found = Manifest(
            value["speaker"] or "",
            tuple(sorted(_as_entry(entry, split=entry["split"]) for entry in value["clips"])),
            tuple(Refusal(**refusal) for refusal in value["refused"]),
            value["counts"],
            value.get("mean_face", {}),
        )
    except FileNotFoundError:
        raise errors.UserError(
            f"no {FILE} in {os.fspath(folder)!r}; make clips by `avct preprocess VIDEOS --output DIR`"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise errors.UserError(
            f"{path} is damaged ({error}); run `avct preprocess` on its videos again, it only mends this file"
        ) from None
    if len(found.clips) < least:
        raise errors.UserError(f"{os.fspath(folder)!r} lists no clip; give `avct preprocess` other videos")
    return found


def count(records: Sequence[Record], clips: Sequence[Entry], refused: Sequence[Refusal]) -> dict[str, Any]:
    """Count what came out."""

    def some(chosen: Sequence[Entry]) -> dict[str, Any]:
        frames = sum(entry.frames for entry in chosen)
        return {
            "clips": len(chosen),
            "people": len({entry.person for entry in chosen}),
            "frames": frames,
            "seconds": round(frames / video_io.FRAME_RATE, 2),
            "with_audio": sum(entry.audio for entry in chosen),
            "judged": sum(not math.isnan(entry.offset) for entry in chosen),
            "in_sync": sum(entry.in_sync for entry in chosen),
        }

    return {
        "videos": len(records),
        "videos_without_clips": sum(not record.clips for record in records),
        **some(clips),
        "splits": {name: some([e for e in clips if e.split == name]) for name in ("train", "test")},
        "refused": dict(sorted(Counter(refusal.kind for refusal in refused).items())),
        "refused_seconds": round(sum(r.end_s - r.begin_s for r in refused), 2),
    }


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write a file that is whole or not there.

    Raises:
      UserError: the folder is full or not to be written to.
    """
    atomic_write.write(path, json.dumps(value, indent=1, allow_nan=False).encode())


def _is_whole(folder: pathlib.Path, entry: Entry) -> bool:
    video = folder / f"{entry.name}.mp4"
    try:
        return video.stat().st_size == entry.video_bytes and (folder / f"{entry.name}.npz").is_file()
    except OSError:
        return False


def _as_json(entry: Entry) -> dict[str, Any]:
    """JSON has no NaN: an unknown offset is null. The split is said by the manifest alone."""
    fields = entry._asdict()
    del fields["held_out"]
    return {**fields, "offset": None if math.isnan(entry.offset) else round(entry.offset, 2)}


def _as_entry(value: dict[str, Any], *, split: str = "train") -> Entry:
    fields = {name: value[name] for name in Entry._fields if name != "held_out"}
    offset = math.nan if fields["offset"] is None else fields["offset"]
    return Entry(**{**fields, "offset": offset, "held_out": split == "test"})


def _as_record(value: dict[str, Any]) -> Record:
    clips = tuple(_as_entry(entry) for entry in value["clips"])
    refused = tuple(Refusal(**refusal) for refusal in value["refused"])
    return Record(**{**value, "clips": clips, "refused": refused})
