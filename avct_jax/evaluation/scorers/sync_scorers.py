"""Two judges of how lips fit speech: SyncNet, which published figures are measured with, and our own D_sync.

Both are asked by one protocol, that of syncnet_python: embeddings of five frames and of the audio behind
them, and their distances at shifts of -15 to 15 frames (metrics/syncnet.py). Numbers compare only with
numbers of the same judge.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, UInt8

from avct_jax import errors, weights_file
from avct_jax.convert import name_map, released
from avct_jax.data.clips import clip, mel_steps
from avct_jax.data.dataset import frame_cache
from avct_jax.data.faces import crop
from avct_jax.data.speech import mel, speech_features
from avct_jax.evaluation.scorers import face_crops
from avct_jax.files import torch_pickle
from avct_jax.metrics import syncnet as metric
from avct_jax.models import networks, sync_discriminator, system_config
from avct_jax.models.frozen import syncnet
from avct_jax.train.augmentation import mouth_crops

WINDOW = syncnet.WINDOW  # frames; D_sync's are as long
LIP_CHUNK = 16  # windows embedded at once: 90 MB of SyncNet's first layer
SPEECH_CHUNK = 64
PEAK = 32768  # of 16-bit audio
# px of the images that D_sync's mouths are cut from, in the presets: of released width, and narrower.
IMAGE_SIZE, NARROW_IMAGE_SIZE = 256, 128
EMBEDDED = "sync.safetensors"

Frames = Iterable[UInt8[np.ndarray, "h w 3"]]
Embeddings = Float[np.ndarray, "n d"]
Network = Callable[..., Any]


@runtime_checkable
class SyncScorer(Protocol):
    """Who embeds lips and speech.

    Attributes:
      key: "syncnet" or "own".
      label: network, file and the first digits of its sha256.
    """

    key: str
    label: str

    def lips(self, frames: Frames, points: Float[np.ndarray, "t 478 3"]) -> Float32[np.ndarray, "n d"]:
        """Embed every five successive frames of a video: n = t - 4 rows, none of a shorter video.

        Frames are taken one by one and not kept. Where one shows no face, it is looked at where the face of
        its neighbours would be.

        Args:
          frames: t of them, RGB.
          points: of each, px of the frames; NaN where there is no face.

        Raises:
          UserError: no frame shows a face.
          ValueError: not as many frames as points.
        """
        ...

    def speech(self, wav: Float[np.ndarray, " m"], frames: int) -> Float32[np.ndarray, "n d"]:
        """Embed the audio behind every five frames: n = min(frames, m // 640) - 5 rows, or none.

        One less than a video has, as syncnet_python counts.

        Args:
          wav: 16 kHz mono, full scale = 1.
          frames: of the video.
        """
        ...

    def compare(self, lip: Embeddings, speech: Float[np.ndarray, "m d"]) -> metric.Sync:
        """Score the windows that both have; the audio may be another video's.

        Raises:
          ValueError: there is none.
        """
        ...


class SyncNetScorer:
    """SyncNet (Chung and Zisserman 2016) with the crops and the audio of syncnet_python.

    Boxes come of landmarks, not of S3FD, and the crops do not go through a compressed video as there: figures
    differ a little from that program's.
    """

    key = "syncnet"

    def __init__(self, file: str | os.PathLike):
        """Read syncnet_v2.model as published, or what `avct convert` made of it.

        Raises:
          UserError: the file is missing or damaged, or holds no SyncNet.
        """
        variables = read(file, "syncnet")
        self.label = f"SyncNet {fingerprint(file)}"
        self.size = variables["params"]["netfclip_3"]["kernel"].shape[-1]
        apply: Network = syncnet.SyncNet(syncnet.SyncNetConfig(self.size / 1024)).apply
        lips = jax.jit(lambda variables, frames: apply(variables, None, frames[None])[1][0])
        speech = jax.jit(lambda variables, mfcc: apply(variables, mfcc, None)[0])
        self._lips, self._speech = (functools.partial(embed, variables) for embed in (lips, speech))

    def lips(self, frames: Frames, points: Float[np.ndarray, "t 478 3"]) -> Float32[np.ndarray, "n d"]:
        """As `SyncScorer` says."""
        squares = face_crops.face_squares(face_crops.filled(points))
        crops = (face_crops.face_crop(*pair)[..., ::-1] for pair in zip(frames, squares, strict=True))
        embed = lambda shown: self._lips(np.stack(shown).astype(np.float32))
        return _of_windows(embed, crops, self.size)

    def speech(self, wav: Float[np.ndarray, " m"], frames: int) -> Float32[np.ndarray, "n d"]:
        """As `SyncScorer` says."""
        count = metric.window_count(frames, len(wav))
        if not count:
            return np.zeros((0, self.size), np.float32)
        whole = np.clip(np.rint(wav * np.float32(PEAK)), -PEAK, PEAK - 1).astype(np.int16)
        rows = mel.syncnet_mfcc(whole).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(rows, syncnet.MFCC_STEPS, axis=0)[::4]
        return _of_chunks(self._speech, windows[:count, ..., None])

    def compare(self, lip: Embeddings, speech: Float[np.ndarray, "m d"]) -> metric.Sync:
        """As `SyncScorer` says."""
        count = min(len(lip), len(speech))
        return metric.score(lip[:count], speech[:count])


class DSyncScorer:
    """D_sync, which this program trains: for where no SyncNet is at hand.

    Its distance is sqrt(2 - 2 cos), from 0 to sqrt 2. It knows the people whom it was trained on, and a
    system may have been trained to please it.
    """

    key = "own"

    def __init__(self, file: str | os.PathLike | None = None, *, image_size: int | None = None):
        """Read D_sync; by default the one in this package.

        Args:
          file: a run's sync.safetensors, or Wav2Lip's lipsync_expert.pth as published.
          image_size: px of the images that it was trained on; by default what the presets have, 256 at
            the released width, 128 below.

        Raises:
          UserError: the file is missing or damaged, or holds no D_sync.
        """
        with sync_file(file) as path:
            variables = read(path, "sync_discriminator")
            self.label = f"our D_sync, no SyncNet; sure of its training speaker only: {fingerprint(path)}"
        params = variables["params"]
        self.size = params["face_encoder_16"]["conv_block_0"]["kernel"].shape[-1]
        config = sync_discriminator.SyncDiscriminatorConfig(self.size / 512, "face_encoder_2" in params)
        self.image_size = image_size or (IMAGE_SIZE if config.width >= 1 else NARROW_IMAGE_SIZE)
        lips, speech = _sync_embedders(sync_discriminator.SyncDiscriminator(config))
        self._lips, self._speech = (functools.partial(embed, variables) for embed in (lips, speech))

    def lips(self, frames: Frames, points: Float[np.ndarray, "t 478 3"]) -> Float32[np.ndarray, "n d"]:
        """As `SyncScorer` says. The head is cut out first, as `avct preprocess` does."""
        points, frames = face_crops.filled(points), iter(frames)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"no frame, and points of {len(points)}; give as many of each")
        square = face_crops.head_square(points, first.shape)
        boxes = clip.mouth_boxes(crop.to_crop(points, square)) * np.float32(self.image_size / crop.SIZE)
        heads = (crop.crop(frame, square) for frame in itertools.chain([first], frames))
        images = (frame_cache.resize(head, self.image_size) for head in heads)
        embed = lambda shown: self._lips(*map(np.stack, zip(*shown, strict=True)))
        return _of_windows(embed, zip(images, boxes, strict=True), self.size)

    def speech(self, wav: Float[np.ndarray, " m"], frames: int) -> Float32[np.ndarray, "n d"]:
        """As `SyncScorer` says. The level of the audio does not count."""
        count = metric.window_count(frames, len(wav))
        if not count:
            return np.zeros((0, self.size), np.float32)
        steps = mel_steps.of_sound(speech_features.normalised(wav), count)
        windows = mel_steps.windows(steps, np.arange(count))
        return _of_chunks(self._speech, windows[..., None].astype(np.float32))

    def compare(self, lip: Embeddings, speech: Float[np.ndarray, "m d"]) -> metric.Sync:
        """As `SyncScorer` says.

        Beyond the clip the protocol has zeros for speech. To embeddings of length 1 these can be nearer than
        any speech, and would decide short clips. Here all embeddings are moved by one vector and get one more
        component, so that zeros are as far as the clip's speech is in the root mean square; no other distance
        changes by it.
        """
        count = min(len(lip), len(speech))
        if not count:
            return metric.score(lip[:0], speech[:0])
        lip, speech = lip[:count].astype(np.float64), speech[:count].astype(np.float64)
        mean = speech.mean(0)
        more = np.full((count, 1), np.sqrt(np.square(speech - mean).sum(-1).mean()))
        return metric.score(*(np.concatenate([x - mean, more], 1) for x in (lip, speech)))


def read(file: str | os.PathLike, part: str) -> Mapping[str, Any]:
    """Read the variables of one network from a file of ours, or from its published PyTorch file.

    Args:
      part: of checkpoint_file.EXTRA.

    Raises:
      UserError: the file is missing or damaged, or does not hold that network.
    """
    path = pathlib.Path(file)
    if path.suffix == ".safetensors":
        return weights_file.load(path, required=(part,)).variables[part]
    for tensors in released.state_dicts(torch_pickle.read(path)):
        name = released.recognise(tensors)
        if name and released.NAMES[name] == part:
            variables = name_map.import_part(name, tensors)
            lines = name_map.check(name, variables, networks.expected(system_config.PAPER, part))
            if wrong := [line for line in lines if not line.endswith(": extra")]:
                raise errors.UserError(f"{path} does not fit: {wrong[0]}; give the file as it was published")
            return variables
    raise errors.UserError(f"{path} holds no {part}; give its published file, or what `avct convert` made")


@contextlib.contextmanager
def sync_file(file: str | os.PathLike | None) -> Iterator[str | os.PathLike]:
    """A file of D_sync; None: the one in this package.

    Raises:
      UserError: the package has none.
    """
    with weights_file.embedded(EMBEDDED) if file is None else contextlib.nullcontext(file) as path:
        if file is None and not os.path.exists(path):
            raise errors.UserError(
                f"this package has no pretrained/{EMBEDDED}; name a file of `avct train sync`, or a SyncNet"
            )
        yield path


def fingerprint(file):
    """The file's name, and enough of its hash to tell trainings apart."""
    return f"{pathlib.Path(file).name} {hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()[:8]}"


def _sync_embedders(network: sync_discriminator.SyncDiscriminator) -> tuple[Network, Network]:
    """D_sync's two halves; what is not asked for is not computed."""

    def lips(variables, frames, boxes):
        mouths = mouth_crops.windows(mouth_crops.crop(frames.astype(jnp.float32) / 255, boxes)[None])
        return network.apply(variables, jnp.zeros((len(mouths), 80, 16, 1)), mouths)[1]

    def speech(variables, windows):
        mouths = jnp.zeros((len(windows), mouth_crops.HEIGHT, mouth_crops.WIDTH, 15))
        return network.apply(variables, windows, mouths)[0]

    return jax.jit(lips), jax.jit(speech)


def _of_windows(embed: Network, shown: Iterable[Any], size: int) -> Float32[np.ndarray, "n d"]:
    """Embed all windows of five, LIP_CHUNK of them at once: one shape whatever the video's length."""
    parts = [np.zeros((0, size), np.float32)]
    parts += [np.asarray(embed(some))[:count] for some, count in _overlapping(shown)]
    return np.concatenate(parts)


def _overlapping(shown: Iterable[Any]) -> Iterator[tuple[list[Any], int]]:
    """Runs of LIP_CHUNK + 4 things, and how many windows are new in each; the last is repeated to fill up."""
    held, full = [], LIP_CHUNK + WINDOW - 1
    for each in shown:
        held.append(each)
        if len(held) == full:
            yield held, LIP_CHUNK
            held = held[LIP_CHUNK:]
    if len(held) >= WINDOW:
        yield held + (full - len(held)) * held[-1:], len(held) - WINDOW + 1


def _of_chunks(embed: Network, windows: Float32[np.ndarray, "n b s 1"]) -> Float32[np.ndarray, "n d"]:
    """Embed windows of audio, SPEECH_CHUNK at once."""
    parts = []
    for first in range(0, len(windows), SPEECH_CHUNK):
        some = windows[first : first + SPEECH_CHUNK]
        fill = np.pad(some, ((0, SPEECH_CHUNK - len(some)), (0, 0), (0, 0), (0, 0)))
        parts.append(np.asarray(embed(fill))[: len(some)])
    return np.concatenate(parts)
