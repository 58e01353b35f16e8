"""`avct train`: the trainings of both families, and their results as one checkpoint."""

import argparse
import logging
import pathlib

from avct_jax.cli import option

STAGES = {
    "renderer": "keypoints and images, from pairs of frames (first)",
    "sync": "do a mouth and a voice belong together? (before avct, where it is asked)",
    "avct": "sound and phonemes to motion, of one speaker (needs renderer, and sync for the whole loss)",
    "head-motion": "sound to head poses, of one speaker (needs no other)",
    "painter": "mesh family: teeth, tongue and lips, from patches of mouths (needs no other)",
    "phonemes": "mesh family: sound to phoneme posteriors, learned from hama's (before speech, if at all)",
    "speech": "mesh family: sound to the mesh's motion, of many people (needs no other)",
}
MESH = ("painter", "phonemes", "speech")
ABOUT = "Train the networks on a folder of clips that `avct preprocess` made, one stage after the other."
EXAMPLES = """\
examples:
  avct train renderer    --preset lite --clips clips --run runs/mine
  avct train sync        --preset lite --clips clips --run runs/mine
  avct train avct        --preset lite --clips clips --run runs/mine --steps 2000 --batch-size 16
  avct train head-motion --preset lite --clips clips --run runs/mine
  avct train export      --run runs/mine --output mine.safetensors
  avct train painter     --preset lite --clips clips --run runs/mesh
  avct train phonemes    --preset lite --clips clips --run runs/mesh --sounds more-speech
  avct train speech      --preset speaker --clips clips --run runs/first
  avct train speech      --preset lite --clips clips --run runs/mesh --init runs/first/speech.safetensors
  avct train export      --run runs/mesh --output mine.safetensors
  avct animate --checkpoint mine.safetensors --image face.jpg --audio speech.wav --output talk.mp4

`avct train STAGE --help` lists a stage's options with the preset's values. Ctrl-C or SIGTERM ends the
running step and saves; the same command goes on. Curves: RUN/STAGE/metrics.jsonl, and `tensorboard --logdir
RUN`; images: RUN/STAGE/images. Several machines: scripts/slurm and scripts/k8s, or on each of them
--coordinator HOST:PORT --process-id I --process-count N.
"""


def add(subparsers) -> list[argparse.ArgumentParser]:
    """Describe the subcommand; returns the parsers of its own subcommands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "train", help="train the networks", description=ABOUT, epilog=EXAMPLES, formatter_class=raw
    )
    stages = parser.add_subparsers(metavar="STAGE", required=True, title="stages")
    made = []
    for name, about in STAGES.items():
        # Its options are tyro's: known only once the stage's code is imported.
        one = stages.add_parser(name, help=about, add_help=False, allow_abbrev=False)
        one.set_defaults(run=run, stage=name, free=True)
        made.append(one)
    return [*made, _add_export(stages)]


def _add_export(stages) -> argparse.ArgumentParser:
    about = "Put the averaged networks of a run's stages into one checkpoint for `avct animate`."
    one = stages.add_parser("export", help="one checkpoint of a run's stages", description=about)
    one.add_argument("--run", dest="folder", required=True, metavar="DIR", help="the run's folder")
    one.add_argument("--output", required=True, metavar="FILE", help="the .safetensors file to write")
    one.add_argument("--best", action="store_true", help="the best by held-out examples, not the newest")
    one.add_argument(
        "--init",
        metavar="FILE",
        help="takes parts that were not trained from there; 'embedded': the package's",
    )
    one.set_defaults(run=export)
    return one


def run(arguments: argparse.Namespace) -> int:
    """Train a stage; 0 also where it was asked to stop, and saved."""
    from avct_jax import compile_cache
    from avct_jax.cli import terminal, training_options

    asked = training_options.parse(arguments.stage, arguments.rest)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS and Orbax tell of what is usual
    compile_cache.enable()
    from avct_jax.train import run as training
    from avct_jax.train.core import malloc, sharding

    malloc.keep_freed()

    where = asked.where
    sharding.join(sharding.find_cluster(where.coordinator, where.process_id, where.process_count))
    mesh = sharding.make_mesh(where.devices)
    if arguments.stage in MESH:
        from avct_jax.train import mesh_run

        given = (arguments.stage, asked.training, where.clips, where.run, mesh)
        extra = {"init": where.init, "vgg_file": where.vgg, "held": where.source == "device"}
        outcome = mesh_run.train(*given, **extra, quiet=arguments.quiet)
    else:
        places = training.Places(where.clips, where.run, where.source, where.vgg, where.init)
        outcome = training.train(arguments.stage, asked.training, places, mesh, quiet=arguments.quiet)
    if not (arguments.quiet or outcome.stopped) and sharding.is_first_process():
        file = training.run_weights.path(where.run, arguments.stage)
        terminal.show(f"wrote {file}: {arguments.stage} after {outcome.step} steps")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the checkpoint."""
    from avct_jax.cli import terminal
    from avct_jax.train import mesh_run, run_weights

    folder, output = pathlib.Path(arguments.folder), pathlib.Path(arguments.output)
    option.check_files(arguments.output)
    option.tell_overwriting(arguments.output, quiet=arguments.quiet)
    if any(mesh_run.path_of(folder, name).exists() for name in MESH):
        said = mesh_run.export(folder, output, init=arguments.init)
    else:
        said = run_weights.export(folder, output, best=arguments.best, init=arguments.init)
    if not arguments.quiet:
        for line in said:
            terminal.note(line)
        terminal.show(f"wrote {output}")
    return 0
