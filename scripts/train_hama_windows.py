"""Teach hama's phoneme network to hear a stream's windows as it hears whole recordings.

  python scripts/train_hama_windows.py SOUNDS... --out a.safetensors
  python scripts/train_hama_windows.py --average a.safetensors b.safetensors --out hama_windows.safetensors

A live stream knows some 0.8 s of audio before a chunk and 0.28 s after it, and zeros beyond. The network is
given such windows, and its log-posteriors are to move the lips, by the embedded E_avct, as those of the whole
recording do. SOUNDS are sound files, or folders of .wav files. They are heard once, and kept in --cache. A
step of 16 windows takes some 0.6 s of a CPU core. Weights of several
trainings are averaged, and hama's with them (Wortsman et al. 2022, arXiv 2109.01903): what is known by heart
of little sound goes, what hama knows of other voices stays.
"""

import argparse
import functools
import multiprocessing
import pathlib
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Array, Float
from safetensors import numpy as safetensors_numpy

import avct_jax
from avct_jax import speech_format
from avct_jax.data.speech import audio_io, hearing, mesh_features, speech_features, streaming_features
from avct_jax.inference import live_inference, mesh_inference
from avct_jax.live import ears
from avct_jax.models.frozen import hama_conformer
from avct_jax.models.mesh import speech_motion

FRAME, CHUNK = hearing.FRAME, 2
KEPT = ("cosines", "mel", "sines")  # how spectra are made; as hama has them
PIECE = 8000  # samples; lengths are multiples, so that few programs are compiled
LONGEST = 12 * speech_features.SAMPLE_RATE
OPENING = 0.05  # eye distances: the usual standard deviation of lips' opening
POSE = np.array([0.08, 0.12, 0.05, 0.1, 0.1, 0.1], np.float32)  # rad and eye distances, standard deviations


class Recording(NamedTuple):
    """What is known of t frames.

    Attributes:
      wav: full scale 1.
      audio: features.
      logs: log-posteriors by the whole recording.
    """

    wav: Float[np.ndarray, " n"]
    audio: Float[np.ndarray, "t 4 columns"]
    logs: Float[np.ndarray, "t 2 s"]


class Windows(NamedTuple):
    """A batch, as `live_inference.hear` and `live_inference.predict` take it.

    Attributes:
      sound: of `back` frames, a chunk, the frames ahead and those that features need.
      logs: that are wanted of the chunk's frames and `radius` more on both sides.
      audio: their features.
      inside: which of them lie in the recording.
      poses: of the head.
    """

    sound: Float[Any, "b n"]
    logs: Float[Any, "b m 2 s"]
    audio: Float[Any, "b m 4 columns"]
    inside: Float[Any, "b m"]
    poses: Float[Any, "b m 6"]


class Reach(NamedTuple):
    """What a stream's window holds beside a chunk, frames.

    Attributes:
      radius: whose posteriors the mouth sees, before and after the chunk.
      back: of audio before the chunk.
      ahead: of audio after it that are waited for.
    """

    radius: int
    back: int
    ahead: int


def find(given: list[pathlib.Path]) -> list[pathlib.Path]:
    """Return all sound files."""
    return [file for path in given for file in (sorted(path.glob("*.wav")) if path.is_dir() else [path])]


def read(path: pathlib.Path) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "t 4 columns"]] | None:
    """Read a recording and its features; None where it is too short or silent."""
    wav = audio_io.read_audio(path)[:LONGEST]
    wav = wav[: len(wav) // PIECE * PIECE].astype(np.float32)
    if len(wav) < 4 * PIECE or np.abs(wav).max() < 1e-4:
        return None
    return wav, streaming_features.features(wav).astype(np.float32)


def prepare(files: list[pathlib.Path], cache: pathlib.Path | None) -> list[Recording]:
    """Hear all files, or read what has been heard of them."""
    if cache and cache.exists():
        with np.load(cache) as stored:
            edges = stored["frames"].cumsum()[:-1]
            parts = [np.split(stored[name], edges) for name in ("audio", "logs")]
            wavs = np.split(stored["wav"], edges * FRAME)
        return [Recording(*(x.astype(np.float32) for x in row)) for row in zip(wavs, *parts, strict=True)]
    heard = jax.jit(live_inference.hear)
    hear = functools.partial(heard, hama_conformer.variables(), jnp.asarray(mesh_features.columns()))
    recordings = []
    with futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for row in pool.map(read, files, chunksize=8):
            if row is None:
                continue
            wav, audio = row
            logs = np.asarray(hear(speech_features.normalised(wav)))
            index = np.minimum(2 * np.arange(len(audio))[:, None] + np.arange(2), len(logs) - 1)
            recordings.append(Recording(wav, audio, logs[index]))
    if cache:
        half = lambda name: np.concatenate([getattr(one, name) for one in recordings]).astype(np.float16)
        pad = lambda one: np.pad(one.wav, (0, len(one.audio) * FRAME - len(one.wav)))
        frames = np.array([len(one.audio) for one in recordings])
        wav = np.concatenate([pad(one) for one in recordings])
        np.savez(cache, frames=frames, wav=wav, audio=half("audio"), logs=half("logs"))
    return recordings


def cut(one: Recording, begin: int, reach: Reach) -> tuple[np.ndarray, ...]:
    """Return the window of the chunk that begins at a frame: sound, logs, audio, inside."""
    first, after = begin - reach.back, begin + CHUNK + reach.ahead + hearing.AHEAD
    known = one.wav[: after * FRAME]
    sound = np.zeros((after - first) * FRAME, np.float32)
    part = known[max(first, 0) * FRAME :]
    sound[max(-first, 0) * FRAME :][: len(part)] = part
    index = np.arange(begin - reach.radius, begin + CHUNK + reach.radius)
    inside = (index >= 0) & (index < len(one.audio))
    near = np.clip(index, 0, len(one.audio) - 1)
    audio = np.where(inside[:, None, None], one.audio[near], 0)
    return sound / max(float(np.abs(known).max()), ears.HAMA_LEAST_PEAK), one.logs[near], audio, inside


def batches(recordings: list[Recording], size: int, reach: Reach, seed: int) -> Iterator[Windows]:
    """Yield random windows for ever; each frame is as likely."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum([len(one.audio) for one in recordings])
    while True:
        rows = []
        for place in rng.integers(ends[-1], size=size):
            number = int(np.searchsorted(ends, place, side="right"))
            one = recordings[number]
            rows.append(cut(one, int(place) - int(ends[number]) + len(one.audio), reach))
        sound, logs, audio, inside = (np.stack(part).astype(np.float32) for part in zip(*rows, strict=True))
        poses = POSE * rng.standard_normal((size, 1, 6), np.float32)
        yield Windows(sound, logs, audio, inside, np.broadcast_to(poses, (size, inside.shape[1], 6)))


def make_loss(animator: Any, reach: Reach, shares: dict[str, float]) -> Any:
    """Return what tells how far the lips of a batch are from those that are wanted, and the parts of that."""
    variables, columns = animator.variables, jnp.asarray(mesh_features.columns())
    gap = mesh_inference.opening(variables)
    first = mesh_features.STEPS * (reach.back - reach.radius)

    def move(logs: Float[Array, "m 2 s"], window: Windows) -> Float[Array, "n k"]:
        quiet = jnp.full(logs.shape, speech_motion.LEAST_LOG)
        known = live_inference.Known(
            logs, window.audio, window.inside > 0, quiet, window.poses, jnp.float32(1)
        )
        return live_inference.predict(animator.config, variables, known)[0]

    def loss(params: Any, windows: Windows) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        heard: Any = hama_conformer.HamaConformer().apply({"params": params}, windows.sound)
        wanted, count = windows.logs, windows.logs.shape[1]
        logs = heard[:, first : first + mesh_features.STEPS * count, columns].reshape(wanted.shape)
        logs = jnp.maximum(logs, speech_format.LEAST_LOG)
        off = jax.vmap(move)(logs, windows) - jax.vmap(move)(wanted, windows)
        apart = (jnp.exp(wanted) * (wanted - logs)).sum((-1, -2)) * windows.inside
        parts = {
            "opening": jnp.square(off @ gap / OPENING).mean(),
            "coefficients": jnp.square(off).mean(),
            "divergence": apart.sum() / windows.inside.sum(),
        }
        return jnp.stack([shares[name] * part for name, part in parts.items()]).sum(), parts

    return loss


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", nargs="*", type=pathlib.Path, help="sound files, or folders of .wav files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the weights, half precision")
    parser.add_argument("--cache", type=pathlib.Path, help="an .npz file of what has been heard")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32, help="windows of a step")
    parser.add_argument("--rate", type=float, default=2e-4, help="the highest learning rate")
    parser.add_argument("--coefficients", type=float, default=0.2, help="weight beside the opening's 1")
    parser.add_argument("--divergence", type=float, default=0.02, help="weight beside the opening's 1")
    parser.add_argument("--decay", type=float, default=0.99, help="of the mean of weights that is kept")
    parser.add_argument("--every", type=int, default=100, help="steps after which weights are written")
    parser.add_argument("--begin", type=pathlib.Path, help="weights to go on from; hama's by default")
    parser.add_argument("--average", type=pathlib.Path, nargs="+", help="weights to be averaged, not trained")
    parser.add_argument("--learned", type=float, default=0.6, help="their share; the rest is hama's")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.average:
        write(arguments.out, average(arguments.average, arguments.learned))
        return
    if not arguments.sounds:
        parser.error("name sounds, or weights to be averaged")
    recordings = prepare(find(arguments.sounds), arguments.cache)
    seconds = sum(len(one.wav) for one in recordings) / speech_features.SAMPLE_RATE
    print(f"{len(recordings)} recordings, {seconds / 3600:.2f} h", flush=True)
    train(recordings, arguments)


def train(recordings: list[Recording], arguments: argparse.Namespace) -> None:
    """Train, tell how it goes, and write weights."""
    animator: Any = avct_jax.load()
    radius = animator.config.speech_motion.window_radius
    reach = Reach(radius, radius + ears.HAMA_BACK, ears.AHEAD)
    shares = {
        "opening": 1.0,
        "coefficients": arguments.coefficients,
        "divergence": arguments.divergence,
    }
    loss = make_loss(animator, reach, shares)
    params = jax.tree.map(jnp.asarray, hama_conformer.variables()["params"])
    if arguments.begin:
        params = jax.tree.map(jnp.asarray, hama_conformer.window_variables(arguments.begin)["params"])
    kept, learned = ({k: v for k, v in params.items() if (k in KEPT) == is_kept} for is_kept in (True, False))
    rates = optax.warmup_cosine_decay_schedule(
        0, arguments.rate, min(50, arguments.steps // 2), arguments.steps, 0.02 * arguments.rate
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rates, b2=0.99, weight_decay=1e-3))

    @jax.jit
    def step(learned, mean, state, windows):
        gradients, parts = jax.grad(lambda learned: loss(kept | learned, windows), has_aux=True)(learned)
        updates, state = optimizer.update(gradients, state, learned)
        learned = optax.apply_updates(learned, updates)
        mean = optax.incremental_update(learned, mean, 1 - arguments.decay)
        return learned, mean, state, parts

    state, mean, told, begun = optimizer.init(learned), learned, [], time.monotonic()
    source = batches(recordings, arguments.batch, reach, arguments.seed)
    for number in range(1, arguments.steps + 1):
        learned, mean, state, parts = step(learned, mean, state, next(source))
        told.append(jax.device_get(parts))
        if number % 20 == 0:
            words = (f"{name} {np.mean([row[name] for row in told]):.4f}" for name in told[0])
            print(number, *words, f"{time.monotonic() - begun:.0f} s", flush=True)
            told = []
        if number % arguments.every == 0 or number == arguments.steps:
            write(arguments.out, mean)


def average(paths: list[pathlib.Path], learned: float) -> Any:
    """Return the mean of weights, and of hama's with the share that is left."""
    own = {name: part for name, part in hama_conformer.variables()["params"].items() if name not in KEPT}
    found = [hama_conformer.window_variables(path)["params"] for path in paths]
    found = [{name: params[name] for name in own} for params in found]
    return jax.tree.map(lambda old, *new: (1 - learned) * old + learned * np.mean(new, 0), own, *found)


def write(path: pathlib.Path, learned: Any) -> None:
    """Write weights by their names in the network, half precision."""
    flat = traverse_util.flatten_dict(learned, sep="/")
    safetensors_numpy.save_file({name: np.asarray(value, np.float16) for name, value in flat.items()}, path)


if __name__ == "__main__":
    main()
