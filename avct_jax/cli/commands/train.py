"""`avct train`: the trainings of both families, and their results as one checkpoint."""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from avct_jax import errors
from avct_jax.cli import remote_places, terminal

STAGES = {
    "renderer": "keypoints and images, from pairs of frames (first)",
    "sync": "do a mouth and a voice belong together? (before avct, where it is asked)",
    "avct": "sound and phonemes to motion, of one speaker (needs renderer, and sync for the whole loss)",
    "head-motion": "sound to head poses, of one speaker (needs no other)",
    "painter": "mesh family: teeth, tongue and lips, from patches of mouths (needs no other)",
    "phonemes": "mesh family: sound to phoneme posteriors, learned from hama's (before speech, if at all)",
    "speech": "mesh family: sound to the mesh's motion, of many people (needs no other)",
}
EXPORT = {
    "export": "one checkpoint of a run's stages",
    "pack": "clips as records, for trainings on many hours",
}
MESH = ("painter", "phonemes", "speech")
STOPPED = 75  # exit code (sysexits.h: EX_TEMPFAIL): what comes after a training must not begin on half of one
ABOUT = "Train the networks on a folder of clips that `avct preprocess` made, one stage after the other."
EXAMPLES = """
examples:
  avct train renderer    --preset lite --clips clips --run runs/mine
  avct train sync        --preset lite --clips clips --run runs/mine
  avct train avct        --preset lite --clips clips --run runs/mine --steps 2000 --batch-size 16
  avct train head-motion --preset lite --clips clips --run runs/mine
  avct train export      --run runs/mine --output mine.safetensors
  avct train painter     --preset lite --clips clips --run runs/mesh
  avct train phonemes    --preset lite --clips clips --run runs/mesh --recordings more-speech
  avct train speech      --preset speaker --clips clips --run runs/first
  avct train speech      --preset lite --clips clips --run runs/mesh --init runs/first/speech.safetensors
  avct train export      --run runs/mesh --output mine.safetensors
  avct animate --checkpoint mine.safetensors --image face.jpg --audio speech.wav --output talk.mp4

`avct train STAGE --help` lists a stage's options with the preset's values. Ctrl-C or SIGTERM ends the
running step, saves, and exits with 75; the same command goes on. Curves: RUN/STAGE/metrics.jsonl, and
`tensorboard --logdir RUN`; images: RUN/STAGE/images. Several machines: scripts/slurm and scripts/k8s, or on
each of them --coordinator HOST:PORT --process-id I --process-count N.
"""


def read(words: Sequence[str]) -> tuple[Callable[[Any], int], Any]:
    """What is to be run, and what it is asked.

    Raises:
      UserError: the words do not fit.
    """
    name = terminal.choose(words, "avct train", "STAGE", STAGES | EXPORT, ABOUT, EXAMPLES)
    from avct_jax.cli import (
        option,  # and tyro
        training_options,
    )

    if name in STAGES:
        return run, training_options.parse(name, words[1:])
    if name == "pack":
        return pack, option.parse(training_options.Pack, words[1:], "avct train pack")
    return export, option.parse(training_options.Export, words[1:], "avct train export")


def run(asked: Any) -> int:
    """Train a stage as `training_options.Asked` says; STOPPED where it was asked to stop, and saved."""
    from avct_jax import compile_cache

    if asked.where.workers and (asked.where.source != "grain" or asked.stage in MESH):
        raise errors.UserError(
            "--workers are those of --source grain, for the stages renderer, sync, avct and head-motion; "
            "leave it out, or give --source grain"
        )
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS and Orbax tell of what is usual
    compile_cache.enable()
    from avct_jax import malloc
    from avct_jax.train import run as training
    from avct_jax.train.core import sharding

    malloc.keep_freed()

    where, quiet = asked.where, asked.shown.quiet
    sharding.join(sharding.find_cluster(where.coordinator, where.process_id, where.process_count))
    mesh = sharding.make_mesh(where.devices, where.fsdp)
    with remote_places.opened(where, quiet=quiet) as here:
        if asked.stage in MESH:
            from avct_jax.train import mesh_run

            given = (asked.stage, asked.training, here.clips, here.run, mesh)
            extra = {"init": here.init, "vgg_file": here.vgg, "held": here.source == "device"}
            outcome = mesh_run.train(*given, **extra, quiet=quiet)
        else:
            paths = (here.clips, here.run, here.source, here.vgg, here.init)
            places = training.TrainingPaths(*paths, workers=here.workers)
            outcome = training.train(asked.stage, asked.training, places, mesh, quiet=quiet)
    if not (quiet or outcome.stopped) and sharding.is_first_process():
        file = training.run_weights.path(here.run, asked.stage).name
        terminal.show(
            f"wrote {remote_places.shown(where.run)}/{file}: {asked.stage} after {outcome.step} steps"
        )
    return STOPPED if outcome.stopped else 0


def export(options: Any) -> int:
    """Write the checkpoint that `training_options.Export` describes."""
    from avct_jax.cli import option
    from avct_jax.files import remote_folder
    from avct_jax.train import mesh_weights, run_weights

    output = pathlib.Path(options.output)
    option.check_files(options.output)
    option.tell_overwriting(options.output, quiet=options.shown.quiet)
    address = remote_folder.address(options.run)
    copied = remote_folder.mirrored(address, send=False) if address else contextlib.nullcontext(options.run)
    with copied as run:
        folder = pathlib.Path(run)
        if any(mesh_weights.path_of(folder, name).exists() for name in MESH):
            said = mesh_weights.export(folder, output, init=options.init)
        else:
            said = run_weights.export(folder, output, best=options.best, init=options.init)
    if not options.shown.quiet:
        for line in said:
            terminal.note(line)
        terminal.show(f"wrote {output}")
    return 0


def pack(options: Any) -> int:
    """Pack clips as `training_options.Pack` says."""
    import os

    from avct_jax import progress
    from avct_jax.data.records import packing

    part, by, quiet = options.work.part(), options.work.by(), options.shown.quiet
    with terminal.going_on_later(), progress.Progress(unit="shards", quiet=quiet) as bar:
        made = packing.pack(
            options.clips,
            images=not options.columns_only,
            processes=by.count(options.jobs, os.cpu_count() or 1),
            part=part,
            by=by,
            show=lambda state: bar.show(state.done, state.total),
        )
    if not quiet:
        of = "" if part.is_whole else f" of part {part}; without --shard the index is written"
        terminal.show(f"{options.clips}: {made.done} shards are packed{of}")
    return 0
