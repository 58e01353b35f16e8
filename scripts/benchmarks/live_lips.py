"""How well a stream's lips agree with those of `avct animate`: correlation of the mouth's opening, by voice.

  python scripts/benchmarks/live_lips.py VOICES... --json lips.json

Both predict the mouth for the same head motion, the stream's; nothing is drawn. A stream that is given the
whole recording at once hears no more of it for any frame than one whose audio arrives as it is said. Voices
are sound files, and text files that name one a line, relative to themselves. `tokens` is the share of steps
of 20 ms in which the checkpoint's phoneme network and hama, each over the whole recording, find the same
symbol the most likely, those that are blank to both left out.
"""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import avct_jax
from avct_jax import speech_format
from avct_jax.data.faces import head_motion_bank
from avct_jax.data.speech import audio_io, mesh_features
from avct_jax.inference import mesh_inference
from avct_jax.live import demeanour, ears, frame_planner, mouth
from avct_jax.models import mesh_system
from avct_jax.models.mesh import phoneme_net

CHUNK = 2  # frames, as streams have them
Plan = Callable[[np.ndarray], tuple[np.ndarray, head_motion_bank.Behaviour]]


def planner(animator: Any, recogniser: str) -> Plan:
    """Return what plans a recording: the mouth's coefficients, and what the head does."""
    heard_by = ears.choose(recogniser, animator.config, animator.variables, CHUNK)
    moves = mouth.Mouth(animator.config, animator.variables, heard_by.chunk)
    settings = demeanour.settings(0)

    def plan(wav):
        made = frame_planner.FramePlanner(heard_by, moves, settings)
        made.push(wav, audio_io.SAMPLE_RATE)
        made.flush()
        while made.plan_speech():
            pass
        rows = [plan.controls for plan in made.planned]
        names = ("speech", *head_motion_bank.Behaviour._fields)  # no expression is told
        stacked = {name: np.stack([getattr(row, name) for row in rows]) for name in names}
        return stacked.pop("speech"), head_motion_bank.Behaviour(**stacked)

    return plan


def measure(animator: Any, plans: dict[str, Plan], wav: np.ndarray) -> dict[str, float]:
    """Correlation of one recording by recogniser, and `tokens` where the checkpoint has a network."""
    speech, row = mesh_features.listen(wav), {}
    assert speech.posteriors is not None
    opening = np.asarray(mesh_inference.opening(animator.variables))
    for name, plan in plans.items():
        streamed, behaviour = plan(wav)
        whole = animator.predict(speech, behaviour)
        row[name] = float(np.corrcoef(streamed @ opening, whole @ opening)[0, 1])
    if mesh_system.HEARING in animator.variables:
        net = animator.config.phoneme_net
        recognise = phoneme_net.recogniser(net, animator.variables[mesh_system.HEARING])
        row["tokens"] = agreement(recognise(speech.audio), speech.posteriors)
    return row


def agreement(found: np.ndarray, wanted: np.ndarray) -> float:
    """The share of steps whose most likely symbol is the same, those that are blank to both left out."""
    a, b = found.argmax(-1), wanted.argmax(-1)
    told = (a != speech_format.BLANK) | (b != speech_format.BLANK)
    return float((a == b)[told].mean()) if told.any() else float("nan")


def find(given: list[pathlib.Path]) -> list[pathlib.Path]:
    """Read lists of files."""
    found = []
    for path in given:
        lines = path.read_text().split("\n") if path.suffix == ".txt" else []
        found += [path.parent / line.strip() for line in lines if line.strip()] or [path]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voices", nargs="+", type=pathlib.Path, help="sound files, or lists of them (.txt)")
    parser.add_argument("--recognisers", nargs="+", choices=ears.SOURCES, default=["network"])
    parser.add_argument("--checkpoint", help="a .safetensors file; the embedded one by default")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    animator = avct_jax.load(arguments.checkpoint)
    plans = {name: planner(animator, name) for name in arguments.recognisers}
    rows = {}
    for path in find(arguments.voices):
        rows[path.stem] = measure(animator, plans, audio_io.read_audio(path))
        print(f"{path.stem:24}", *(f"{name} {x:.3f}" for name, x in rows[path.stem].items()), flush=True)
    for name in next(iter(rows.values()), {}):
        values = np.array([row[name] for row in rows.values()])
        print(f"{name}: mean {values.mean():.3f}, least {values.min():.3f}, of {len(values)} voices")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
