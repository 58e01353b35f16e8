"""`avct ablate`: what is each part of E_avct worth? (Table 2)"""

import dataclasses
import pathlib
from typing import Literal

from avct_jax.cli import option
from avct_jax.cli.commands import evaluate

EXAMPLES = """
examples:
  avct ablate --clips clips --run ablation --output report --vgg vgg19.npz
  avct ablate --clips clips --run ablation --output report --only full without-phonemes without-audio

Each variant is E_avct trained anew: first by keypoints (--steps; not with --preset paper), then by equation 2
(--whole-steps), beside the same frozen keypoint detector, renderer and sync network. Then each animates the
speaker's clips that training never saw, with real head poses, and the videos are measured. A run that is
stopped goes on where it was.
"""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What is trained.

    Attributes:
      only: some of them (default: full and all six)
      preset: size
      steps: by keypoints (default: the preset's; paper has none)
      whole_steps: by equation 2 (default: the preset's)
      init: shared networks ('embedded': the package's own)
      vgg: VGG-19 for the perceptual loss
    """

    only: option.SomeNames = None
    preset: Literal["paper", "lite", "tiny"] = "lite"
    steps: option.MaybePositive = None
    whole_steps: option.MaybePositive = None
    init: option.File = "embedded"
    vgg: option.MaybeFile = None


@dataclasses.dataclass(frozen=True)
class AblationMeasures:
    """What is measured.

    Attributes:
      videos: at most so many, evenly chosen
      shown: videos in the pages
    """

    videos: option.MaybePositive = None
    shown: option.Positive = 3


@dataclasses.dataclass(frozen=True)
class Options:
    """Train E_avct without one of its parts at a time, and print the paper's Table 2 of them.

    Attributes:
      clips: folder that `avct preprocess` made
      run: folder of the trainings
      output: folder of the report
    """

    clips: option.Folder
    run: option.Folder
    output: option.Folder
    training: Trained = Trained()
    network: evaluate.ScorerOptions = evaluate.ScorerOptions()
    measure: AblationMeasures = AblationMeasures()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    from avct_jax import compile_cache, errors, malloc, progress
    from avct_jax.cli import terminal
    from avct_jax.evaluation import ablation
    from avct_jax.evaluation.report import report_files
    from avct_jax.train.core import sharding

    trained, networks = options.training, options.network
    warm, whole = ablation.RECIPES[trained.preset]
    if trained.steps is not None:
        if warm is None:
            raise errors.UserError("--preset paper trains by equation 2 alone: leave out --steps")
        warm = dataclasses.replace(warm, steps=trained.steps)
    if trained.whole_steps is not None:
        whole = dataclasses.replace(whole, steps=trained.whole_steps)
    report_files.keep_inputs(options.output, options.clips, trained.init, trained.vgg, *networks.files())
    malloc.keep_freed()
    compile_cache.enable()
    judges = networks.load()
    path = lambda text: None if text is None else pathlib.Path(text)
    places = ablation.AblationPaths(
        pathlib.Path(options.clips),
        pathlib.Path(options.run),
        trained.init,
        path(networks.sync),
        path(trained.vgg),
    )
    variants = trained.only or ablation.VARIANTS
    recipe, quiet = ablation.Recipe(warm, whole), options.shown.quiet
    checkpoints = ablation.train(variants, recipe, places, sharding.make_mesh(0), quiet=quiet)
    output = pathlib.Path(options.output)
    with terminal.going_on_later(), progress.Progress(unit="videos", quiet=quiet) as bar:
        report, generated, real = ablation.score(
            checkpoints, places.clips, output, judges, videos=options.measure.videos or 0, show=bar.show
        )
    report_files.write(report, generated, real, output, options.measure.shown)
    terminal.show(ablation.table(report))
    if not quiet:
        terminal.show(f"wrote {output / 'report.html'}")
    return 0
