"""Measure what videos show by themselves, beside videos of other people: no two of them belong together."""

import functools
import os
import pathlib
from collections.abc import Callable, Collection, Mapping

import avct_jax
from avct_jax import errors
from avct_jax.evaluation import evaluate, measures, result_cache, scores, video_features
from avct_jax.evaluation import video_files as videos
from avct_jax.metrics import landmarks
from avct_jax.workers import shard

PEOPLE = "real people"


def measure(
    generated: Mapping[str, str | os.PathLike],
    real: str | os.PathLike | None,
    output: str | os.PathLike,
    networks: video_features.Scorers,
    protocol: Mapping[str, str] | None = None,
    show: evaluate.Show = lambda done, total, text: None,
    *,
    names: Mapping[str, Collection[str]] | None = None,
    part: shard.Shard = shard.WHOLE,
) -> evaluate.Report:
    """Measure all videos of all folders, each by itself; figures are of `measures.OF_PEOPLE`.

    What is known of videos is kept in `output`, as by `evaluate.evaluate`. A generated video without any face
    counts as one that does nothing, and its system has no mean of what cannot be said of it; a real one is
    left out and listed, as videos that cannot be read are.

    Args:
      generated: folders of videos by system's name.
      real: of videos of people; None: there are none.
      protocol: how the videos were made: {"name", "about"}.
      show: called with videos done, videos in all, and what is looked at.
      names: the only videos to measure, of systems that are named; others are measured whole.
      part: of the videos of systems that are not named.

    Raises:
      UserError: a folder is missing or empty, or a system's name is no name of a folder.
    """
    evaluate.check_names(generated)
    run = _Comparison(
        networks._replace(embed=None), result_cache.Store(pathlib.Path(output) / evaluate.FOLDER)
    )
    folders = ({evaluate.TRUTH: real} if real is not None else {}) | dict(generated)
    work = [
        (system, name, path)
        for system, folder in folders.items()
        for name, path in _of_part(videos.find(folder), (names or {}).get(system), part).items()
    ]
    for done, (system, name, path) in enumerate(work):
        what = f"{system}: {name}"
        at = functools.partial(show, done, len(work))
        at(what)
        run.look(system, name, path, lambda frames, at=at, what=what: at(f"{what}, frame {frames}"))
    show(len(work), len(work), "")
    return run.report(list(folders), protocol)


def _of_part(found, names, part):
    """The videos of these names; else of the part."""
    chosen = set(part.of(list(found)) if names is None else names)
    return {name: path for name, path in found.items() if name in chosen}


class _Comparison:
    """One evaluation of videos by system and name."""

    def __init__(self, networks: video_features.Scorers, kept: result_cache.Store):
        self.networks, self.kept = networks, kept
        self.seen_by = {**networks.labels, "sync": networks.sync_scorer.label}
        self.found: dict[str, dict[str, scores.Scores]] = {}
        self.failed: list[dict[str, str]] = []

    def look(self, system: str, name: str, path: pathlib.Path, tick: Callable[[int], None]) -> None:
        """Measure one video; what fails is noted."""
        try:
            self.found.setdefault(system, {})[name] = self._scores(system, name, path, tick)
        except (errors.UserError, ValueError) as error:
            self.failed.append({"system": system, "video": name, "reason": " ".join(str(error).split())})

    def _scores(self, system, name, path, tick):
        video = videos.from_file(path, name)
        stamp = [sorted(self.seen_by.items()), video.stamp]
        if record := self.kept.read(system, name, stamp):
            return record["scores"]
        is_real = system == evaluate.TRUTH
        seen = video_features.observe(video, self.networks, tick=tick, needs_face=is_real)
        if is_real and not landmarks.found(seen.points).any():
            raise errors.UserError("no frame of the video shows a face; give a video of one from the front")
        figures = scores.score(seen, seen, {}, self.networks.sync_scorer, paired=False)
        found = {key: figures[key] for key in measures.OF_PEOPLE}
        record = {"scores": found, "openings": scores.openings(seen)}
        return self.kept.write(system, name, stamp, record)["scores"]

    def report(self, systems: list[str], protocol: Mapping[str, str] | None) -> evaluate.Report:
        """Everything in plain types, as evaluate.evaluate gives it."""
        listed = [m for m in measures.VIDEO_MEASURES if m.key in measures.OF_PEOPLE]
        return {
            "version": evaluate.VERSION,
            "made_with": {"avct_jax": avct_jax.__version__, "networks": self.seen_by},
            "protocol": dict(protocol) if protocol else None,
            "matched": False,
            "measures": [m._asdict() for m in listed],
            "systems": [self._system(system) for system in systems],
            "failed": self.failed,
        }

    def _system(self, system):
        is_real = system == evaluate.TRUTH
        found = self.found.get(system, {})
        means, deviations = evaluate.mean_and_error(list(found.values()))
        for name, figures in found.items():
            if gone := dict.fromkeys(_lost(figures)):
                means, deviations = means | gone, deviations | gone
                reason = "shows no face long enough, so the system has no mean of what that one lacks"
                self.failed.append({"system": system, "video": name, "reason": reason})
        return {
            "key": system,
            "title": PEOPLE if is_real else system,
            "kind": "truth" if is_real else "generated",
            "videos": len(found),
            "means": means,
            "errors": deviations,
            "per_video": found,
        }


def _lost(figures: scores.Scores) -> list[str]:
    """What a video lacks because its face is not seen: a mean over the others would be better for it."""
    if figures["jitter"] is not None and figures["faces"]:
        return []
    return [key for key in measures.OF_PEOPLE if figures[key] is None and key not in measures.SPARSE]
