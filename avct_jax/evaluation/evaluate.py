"""Measure the videos of any number of systems beside the real ones, and beside what needs no system."""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import avct_jax
from avct_jax import errors
from avct_jax.evaluation import measures, result_cache, scores, video_features
from avct_jax.evaluation import video_files as videos
from avct_jax.metrics import frechet
from avct_jax.workers import shard

VERSION = 1
TRUTH, STILL, WRONG = "ground truth", "still face", "wrong sound"
KINDS = {TRUTH: "truth", STILL: "baseline", WRONG: "baseline"}
FOLDER = "videos"
SMALLEST = 2  # frames, of which a covariance can be taken
# Of the real video's frames, what a made video must have. Programs that work in windows end some frames
# early; a video that was cut off would be compared where it is easiest, near its portrait.
WHOLE = 0.8

Show = Callable[[int, int, str], None]
Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """paired: the real video shows the same face saying the same; else only mouth and audio are compared with
      it.
    protocol: how the videos were made, if it is known here: {"name", "about"}.

    Attributes:
      videos: at most so many, evenly chosen by name; 0: all.
      baselines: also still face and wrong audio.
      part: of the videos, that is looked at; what it finds is kept for who looks at all.
      only: the names of those that are there yet; then the wrong audio waits.
    """

    videos: int = 0
    baselines: bool = True
    paired: bool = True
    protocol: Mapping[str, str] | None = None
    part: shard.Shard = shard.WHOLE
    only: Collection[str] | None = None


def evaluate(
    generated: Mapping[str, str | os.PathLike],
    real: str | os.PathLike,
    output: str | os.PathLike,
    networks: video_features.Scorers,
    options: EvaluationOptions | None = None,
    show: Show = lambda done, total, text: None,
) -> Report:
    """Measure every video that the real folder and a system have in common.

    Videos are looked at one after the other; what is known of them is kept in `output`, and used again while
    videos and networks are the same. A video that cannot be measured is listed and left out of all systems'
    means, so that every mean is of the same videos.

    Args:
      generated: folders of videos by system's name; none: only the real videos and the baselines.
      show: called with videos done, videos in all, and what is looked at.

    Raises:
      UserError: a folder is missing or empty, has no video in common with the real ones, or a system's name
        is one of the baselines', or no name of a folder.
    """
    check_names(generated)
    run = _Evaluation(generated, real, output, networks, options or EvaluationOptions())
    run.go(show)
    return run.report()


def check_names(systems: Iterable[str]) -> None:
    """Refuse systems that would not have a folder of their own in the store.

    Raises:
      UserError: a name is empty, hidden, a path, one of the baselines', or as good as another's.
    """
    used = {result_cache.folder(kind): kind for kind in KINDS}
    for name in systems:
        place = result_cache.folder(name).casefold()
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise errors.UserError(
                f"a system cannot be called {name!r}; write --generated NAME=DIR, a plain NAME"
            )
        if place in used:
            what = "is a baseline" if used[place] in KINDS else "is another system"
            raise errors.UserError(
                f"a system cannot be called {name!r}: {used[place]!r} {what}; name it otherwise"
            )
        used[place] = name


class _Evaluation:
    """One evaluation: videos by name on one side, systems on the other."""

    def __init__(self, generated, real, output, networks, options):
        self.real = videos.find(real)
        self.made = {system: videos.find(folder) for system, folder in generated.items()}
        names, missing = videos.in_common(self.made, self.real)
        self.names = choose(names, options.videos)
        self.own = [n for n in options.part.of(self.names) if options.only is None or n in options.only]
        self.networks, self.options = networks, options
        self.store = result_cache.Store(pathlib.Path(output) / FOLDER)
        baselines = (STILL,) if options.only is not None else (STILL, WRONG)
        self.systems = [TRUTH, *(baselines if options.baselines else ()), *self.made]
        self.scores: dict[str, dict[str, scores.Scores]] = {system: {} for system in self.systems}
        self.failed = [
            {"system": system, "video": name, "reason": "there is no such video"}
            for system, lacking in missing.items()
            for name in sorted(set(self.own) & set(lacking))
        ]
        self.tick: Callable[[int], None] = lambda frames: None
        self.broken: set[str] = set()  # real videos that cannot be measured
        self.seen_by = sorted({**networks.labels, "sync": networks.sync_scorer.label}.items())

    def go(self, show: Show) -> None:
        """Measure everything; what fails is noted."""
        work = [(name, system) for name in self.own for system in self._systems_of(name)]
        for done, (name, system) in enumerate(work):
            what = f"{system}: {name}"
            show(done, len(work), what)
            if name in self.broken:
                continue
            at = functools.partial(show, done, len(work))
            self.tick = lambda frames, at=at, what=what: at(f"{what}, frame {frames}")
            try:
                self.scores[system][name] = self._measure(system, name)["scores"]
            except (errors.UserError, ValueError) as error:
                reason = " ".join(str(error).split())
                self.failed.append({"system": system, "video": name, "reason": reason})
                # Without the real video there is nothing to compare the others with.
                self.broken |= {name} if system == TRUTH else set()
        show(len(work), len(work), "")

    def _systems_of(self, name):
        return [s for s in self.systems if s not in self.made or name in self.made[s]]

    def _measure(self, system, name):
        """The record of one video of one system, from the store where it is known."""
        real = videos.from_file(self.real[name], name)
        if system == TRUTH:
            return self._truth(name)
        if system == STILL:
            return self._kept(system, name, [real.stamp], lambda truth: self._still(real, truth))
        if system == WRONG:
            other = self._next(name)  # which has been measured
            stamp = [real.stamp, videos.from_file(self.real[other], other).stamp]
            return self._kept(system, name, stamp, lambda truth: self._wrong(truth, other))
        path = self.made[system][name]
        made = videos.from_file(path, name)
        return self._kept(system, name, [real.stamp, made.stamp], lambda truth: self._made(path, real, truth))

    def _truth(self, name):
        """The real video's record; its observation is what all others are compared with."""
        real = videos.from_file(self.real[name], name)
        stamp = [self.seen_by, self.options.paired, real.stamp]
        record = self.store.read(TRUTH, name, stamp)
        if record and self.store.has_observation(TRUTH, name):
            return record
        seen = video_features.observe(real, self.networks, tick=self.tick)
        return self._keep(TRUTH, name, stamp, seen, seen, self._same())

    def _kept(self, system, name, stamp, measure):
        stamp = [self.seen_by, self.options.paired, *stamp]
        record = self.store.read(system, name, stamp)
        if record and self.store.has_observation(system, name):
            return record
        truth = self.store.observation(TRUTH, name)
        seen, images = measure(truth)
        return self._keep(system, name, stamp, seen, truth, images)

    def _keep(self, system, name, stamp, seen, truth, images):
        self.store.keep(system, name, seen)
        found = scores.score(seen, truth, images, self.networks.sync_scorer, paired=self.options.paired)
        return self.store.write(system, name, stamp, {"scores": found, "openings": scores.openings(seen)})

    def _still(self, real, truth):
        seen = video_features.hold_still(truth, real, self.networks.sync_scorer)
        return seen, self._images(videos.still_of(real), real)

    def _wrong(self, truth, other):
        heard = self.store.observation(TRUTH, other)
        wrong = truth._replace(speech=heard.speech, silent=heard.silent, phonemes=heard.phonemes)
        return wrong, self._same()

    def _next(self, name):
        """The video whose audio is the wrong one: the next that has what this one's audio has.

        A silent one would leave the baseline without its mean; it is taken only where there is no other.
        """
        asked = [key for key in measures.OF_AUDIO if self.scores[TRUTH][name][key] is not None]
        place = self.names.index(name)
        lesser = None
        for other in self.names[place + 1 :] + self.names[:place]:
            if other in self.broken:
                continue
            with contextlib.suppress(errors.UserError, ValueError):  # told when its turn comes
                found = self._truth(other)["scores"]
                if all(found[key] is not None for key in asked):
                    return other
                lesser = lesser or other
        if lesser is None:
            raise errors.UserError("the only video; another's sound is needed")
        return lesser

    def _made(self, path, real, truth):
        seen = video_features.observe(videos.from_file(path, real.name), self.networks, truth, self.tick)
        if len(seen.points) < WHOLE * len(truth.points):
            raise errors.UserError(
                f"{path} has {len(seen.points)} frames, the real video {len(truth.points)}; "
                f"make {WHOLE:.0%} of them at least"
            )
        return seen, self._images(videos.from_file(path, real.name, size=truth.size), real)

    def _images(self, made, real):
        return scores.compare(made, real, self.networks) if self.options.paired else {}

    def _same(self):
        """Differences of a video from itself."""
        return {"l1": 0.0, "ssim": 1.0} | ({"lpips": 0.0} if self.networks.distance else {})

    def report(self) -> Report:
        """Everything in plain types: report.json."""
        # A baseline that no video has is left out: the wrong audio of a single video. A system that fails
        # everywhere stays, but does not take the others' figures with it.
        self.systems = [s for s in self.systems if self.scores[s] or KINDS.get(s) != "baseline"]
        measured = [s for s in self.systems if self.scores[s]]
        common = [name for name in self.own if measured and all(name in self.scores[s] for s in measured)]
        whole = self._distances(common) if self.options.paired else {}
        listed = [m for m in measures.VIDEO_MEASURES if self.options.paired or not m.paired]
        names = {key for found in whole.values() for key in found}
        listed = [m for m in _of_systems() if m.key in names] + listed
        listed = [m for m in listed if m is not measures.IDENTITY or self.networks.identify]
        systems, gaps = [], []
        for system in self.systems:
            shared = common if system in measured else []
            means, errors_ = mean_and_error(self._comparable(system, shared))
            for name in shared:
                lacking = dict.fromkeys(self._lacking(system, name))
                means, errors_ = means | lacking, errors_ | lacking
                gaps += [{"system": system, "video": name, "reason": _gap(lacking)}] if lacking else []
            systems.append(
                {
                    "key": system,
                    "title": system,
                    "kind": KINDS.get(system, "generated"),
                    "videos": len(shared),
                    "means": means | whole.get(system, {}),
                    "errors": errors_,
                    "per_video": self.scores[system],
                }
            )
        networks = {**self.networks.labels, "sync": self.networks.sync_scorer.label}
        return {
            "version": VERSION,
            "made_with": {"avct_jax": avct_jax.__version__, "networks": networks},
            "protocol": dict(self.options.protocol) if self.options.protocol else None,
            "measures": [m._asdict() for m in listed],
            "systems": systems,
            "failed": self.failed + gaps,
        }

    def _comparable(self, system, names):
        """Figures of videos, without those that the real video lacks but others have: it is a silent one.

        So that a mean is of the same videos for all. What no real video has, as PSNR, stays.
        """
        truth = self.scores[TRUTH]
        compared = [key for key in measures.KEYS if key not in measures.SPARSE]
        partly = [key for key in compared if any(truth[name][key] is not None for name in names)]
        unasked = {name: [key for key in partly if truth[name][key] is None] for name in names}
        return [self.scores[system][name] | dict.fromkeys(unasked[name]) for name in names]

    def _lacking(self, system, name):
        """Measures that the real video has and this one has not: it lost its face, or its audio.

        A mean over the system's other videos would be better for it.
        """
        made, real = self.scores[system][name], self.scores[TRUTH][name]
        asked = [key for key in measures.KEYS if key not in measures.SPARSE]
        return [key for key in asked if made[key] is None and real[key] is not None]

    def _distances(self, names):
        """Fréchet distances of each system's frames from the real ones, by measure; one video at a time."""
        moments: dict[str, dict[str, frechet.Moments]] = {system: {} for system in self.systems}
        for system in self.systems:
            for name in names if self.networks.embed and self.scores[system] else ():
                kept = video_features.features_of(self.store.path(system, name, ".npz"))
                for key, values in kept.items():
                    moments[system].setdefault(key, frechet.Moments(values.shape[1])).add(values)
        return {
            system: {
                key: frechet.distance(found, moments[TRUTH][key])
                for key, found in of.items()
                if min(found.count, moments[TRUTH][key].count) >= SMALLEST
            }
            for system, of in moments.items()
        }


def choose(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, evenly spread over the order; 0: all."""
    if not most or most >= len(names):
        return list(names)
    return [names[i * len(names) // most] for i in range(most)]


def mean_and_error(found: Sequence[scores.Scores]) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Means over videos by measure, and their standard errors; of the videos that have a figure."""
    means, deviations = {}, {}
    for key in measures.KEYS:
        values = [x for record in found if (x := record.get(key)) is not None]
        means[key] = statistics.fmean(values) if values else None
        several = len(values) > 1
        deviations[key] = statistics.stdev(values) / math.sqrt(len(values)) if several else None
    return means, deviations


def _gap(keys):
    titles = ", ".join(m.title for m in measures.VIDEO_MEASURES if m.key in keys)
    return f"has no {titles}, so the system has no mean of it; look for a lost face or sound"


def _of_systems():
    return [*(measures.frechet(size) for size in measures.FID_SIZES), measures.STAND_IN]
