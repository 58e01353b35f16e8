"""Videos become a folder of clips to train on: the whole of `avct preprocess`, without its printing."""

import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from avct_jax import errors
from avct_jax.data.clips import clip, clip_folder, discover, make_clips, manifest
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import decoders
from avct_jax.workers import engine, shard

Path = str | os.PathLike

_log = logging.getLogger(__name__)


def preprocess(
    videos: Path | Iterable[Path],
    output: Path,
    *,
    person: str | None = None,
    people: Path | Mapping[pathlib.Path, str] | None = None,
    speaker: str = "",
    words: Path | Mapping[str, Sequence[clip.Word]] | None = None,
    shortest: float = 0.96,
    longest: float = 10.0,
    smallest_face: int = 48,
    audio: bool = True,
    new_mean_face: bool = False,
    processes: int | None = None,
    part: shard.Shard = shard.WHOLE,
    by: engine.Engine = engine.HERE,
    show: clip_folder.Show = lambda state: None,
    note: Callable[[str], None] = _log.info,
) -> manifest.Manifest:
    """Make clips of one steady face each of videos, in a folder that further calls add to.

    What is finished stays: a call that was interrupted leaves a folder that can be trained on, and the same
    call goes on from there. Processes are spawned: a script has to call it under `if __name__ == "__main__"`.

    Args:
      videos: one or several files, folders, patterns; none: all of `people`.
      output: folder of the clips; made if missing.
      person: who is seen in all videos. Without it and `people` each shows somebody else.
      people: who is seen in which video: a csv with columns file and person, or a person by whole path.
      speaker: whose speech is learned: split clip by clip, not as a whole; "" keeps the folder's.
      words: what is said: a csv with columns clip (the video's name), start_s, end_s and word, or
        (word, start, end) by the video's name.
      shortest: s, of a clip at least.
      longest: s; longer stretches are divided.
      smallest_face: px, height of a face that is taken.
      audio: whether to listen; without it clips serve the renderer alone, and are made faster.
      new_mean_face: also where the folder has one; networks trained with that one must be trained again.
      processes: by default one a core; with Ray as many as there is room for.
      part: of the videos that is made. Several calls, here or elsewhere, may make theirs in one folder at
        once. None of them writes the manifest: in the end a call for the whole does, and makes what is
        missing.
      by: who works, see `workers.engine`.
      show: called with how far it is.
      note: called with lines that are worth telling; by default they are logged.

    Returns:
      The folder's manifest, with its clips, counts, and why parts were left out; of a part what the manifest
      will say of it. There may be no clip.

    Raises:
      UserError: there is no video or nothing to listen with, a csv is wrong, or the folder cannot be used.
    """
    options = _options(shortest, longest, smallest_face, audio)
    if audio:
        decoders.pocketsphinx("preparing sound", "leave it out by --no-audio")  # told before the work
    given = [videos] if isinstance(videos, str | os.PathLike) else list(videos)
    if not given and people is None:
        raise errors.UserError("no VIDEO and no --people; name videos, a folder, or a csv of them")
    found = discover.find_videos(given, output=output)
    seen = people
    if seen is not None and not isinstance(seen, Mapping):
        seen = discover.read_people(seen, given, found)
    found = found if given else list(seen or ())
    if not found:
        raise errors.UserError(f"{people!r} has no row; name videos in it")
    said = words if words is None or isinstance(words, Mapping) else discover.read_words(words)
    folder = clip_folder.open_folder(output, found)
    with clip_folder.locked(folder, shared=not part.is_whole):
        manifest.clean(folder)
        records = manifest.read_records(folder)
        jobs = discover.make_jobs(found, records, person=person, people=seen, words=said)
        jobs = jobs if part.is_whole else part.of(sorted(jobs))
        for line in discover.unused_rows(found, seen, said) if part.number == 1 else ():
            note(line)
        failed: list[manifest.Refusal] = []
        how = {"processes": by.count(processes, _cores()), "show": show, "by": by}
        speaker = discover.printable(speaker)
        if not part.is_whole:
            failed = clip_folder.make(folder, jobs, options, **how)
            return clip_folder.sum_up_part(folder, jobs, failed, speaker=speaker)
        try:
            failed = clip_folder.make(folder, jobs, options, **how)
            clip_folder.check_offsets(folder, show=note)
        finally:  # a run that is stopped leaves a folder that can be trained on
            made = clip_folder.sum_up(folder, failed, speaker=speaker, new_mean_face=new_mean_face)
            manifest.clean(folder)
    return made


def _options(shortest: float, longest: float, smallest_face: int, audio: bool) -> make_clips.ClipOptions:
    """What becomes a clip, in frames."""
    least, most = (round(seconds * video_io.FRAME_RATE) for seconds in (shortest, longest))
    if most < least:
        raise errors.UserError(f"--longest {longest:g} s is below --shortest {shortest:g} s; raise it")
    return make_clips.ClipOptions(least, most, smallest_face, audio)


def _cores() -> int:
    """Those that this process may use: fewer than the machine's in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
