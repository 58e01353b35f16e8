"""What is found in a portrait, a sound or a film."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import transform

from avct_jax import errors
from avct_jax.animator import factory, inputs, mesh_animator, portrait
from avct_jax.data.direction import gaze
from avct_jax.data.faces import crop, face_basis, face_detector, head_motion_bank
from avct_jax.data.media import container, video_io
from avct_jax.data.phonemes import ipa
from avct_jax.data.portrait import portrait_layers
from avct_jax.data.speech import audio_io, mesh_features
from avct_jax.inference import mesh_inference

RATE = head_motion_bank.FRAME_RATE  # frames/s
STEP = 0.5 / RATE  # seconds of a posterior
SHUT = 0.5  # of the way between the lids: eyes blink from here
IMAGES = (".heic", ".heif")  # that Pillow alone does not know
LIMIT = 600.0  # seconds of a film or a sound that are looked at


class SeenFace(NamedTuple):
    """A face in a picture.

    Attributes:
      pixels: the picture, upright.
      points: landmarks, px.
      square: that is drawn.
      others: how many more faces there are.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    points: Float[np.ndarray, "478 3"]
    square: crop.Square
    others: int


class HeardSound(NamedTuple):
    """A sound.

    Attributes:
      samples: 16 kHz mono.
      phonemes: symbols of ARPAbet and when each is heard most surely, seconds; "|" ends a word.
      silent: nobody speaks, frame by frame.
    """

    samples: Float[np.ndarray, " n"]
    phonemes: Sequence[tuple[str, float]]
    silent: Bool[np.ndarray, " t"]


class FaceCurves(NamedTuple):
    """What a face does over time, at 25 frames/s; NaN where no face is seen.

    Attributes:
      opening: of the mouth, eye distances.
      pose: pitch up, yaw to the right and roll clockwise, degrees.
      blink: how far the eyes are shut, 0 to 1.
    """

    opening: Float[np.ndarray, " t"]
    pose: Float[np.ndarray, "t 3"]
    blink: Float[np.ndarray, " t"]


class Findings(NamedTuple):
    """All of it.

    Attributes:
      lines: the facts, a line each.
      face, sound, curves: None where the files hold none.
    """

    lines: tuple[str, ...]
    face: SeenFace | None
    sound: HeardSound | None
    curves: FaceCurves | None


def kind_of(path: str | os.PathLike) -> str:
    """Return "image", "film" or "sound".

    Raises:
      UserError: it is none, or cannot be read.
    """
    video_io.check_readable(path)
    if pathlib.Path(path).suffix.lower() in IMAGES:
        return "image"
    try:
        with PIL.Image.open(path):
            return "image"
    except Exception:  # not an image, or too odd a one: what ffmpeg says of it is said
        found = container.probe(path)
    if not (found.has_video or found.has_audio):
        raise errors.UserError(f"{os.fspath(path)!r} holds neither a picture nor a sound; name another file")
    return "film" if found.has_video else "sound"


def of_files(paths: Sequence[str | os.PathLike], checkpoint: str | None = None) -> Findings:
    """Look at a portrait, a sound, a film, or a portrait and a sound together.

    Args:
      paths: one or two files.
      checkpoint: that would animate; None takes the one in the package.

    Raises:
      UserError: they are of other kinds, cannot be read, or show no face.
    """
    kinds = [kind_of(path) for path in paths]
    by_kind = dict(zip(kinds, paths, strict=True))
    if kinds == ["film"]:
        return _film(paths[0])
    if len(paths) == 2 and "image" in kinds and len(by_kind) == 2:
        other = by_kind.get("sound", by_kind.get("film"))
        assert other is not None
        return _both(by_kind["image"], other, checkpoint)
    if len(paths) != 1:
        raise errors.UserError(
            f"files of {' and '.join(kinds)} are given; give one, or a portrait and a sound"
        )
    return _portrait(paths[0]) if kinds == ["image"] else _sound(paths[0], checkpoint)


def _portrait(path) -> Findings:
    face, lines = _face(path)
    return Findings(tuple(lines), face, None, None)


def _face(path) -> tuple[SeenFace, list[str]]:
    notes: list[str] = []
    landmarker = portrait.landmarker("mediapipe")
    seen = portrait.read_portrait(path, landmarker, notes, least=inputs.SIZES[0] // 2)
    others = len(portrait.faces(path)) - 1
    face = SeenFace(seen.pixels, seen.points, seen.square, max(others, 0))
    height, width = seen.pixels.shape[:2]
    lines = [f"{_name(path)}: {width}x{height} px, {_many(face.others + 1, 'face')}"]
    return face, [*lines, *_about(face), *notes]


def _about(face: SeenFace) -> list[str]:
    square, points = face.square, face.points
    size = face_basis.align(points[None], face_basis.embedded().canonical)
    turned = transform.Rotation.from_matrix(size.rotation[0].T).as_rotvec()
    pitch, yaw, roll = _degrees(turned[None])[0]
    eyes = gaze.own(size.points[0], face_basis.embedded().canonical, turned)
    looks = np.degrees(eyes.aside) + yaw
    opening = portrait_layers.opening(points)
    mouth = "open: its teeth are covered" if opening > portrait_layers.OPEN else "shut"
    side = portrait.size_for(square.size)
    return [
        f"the square: {square.size} px from {square.left},{square.top}; the video is {side} px by default",
        f"eyes: {_eye_distance(points):.0f} px apart at their outer corners",
        f"head: pitch {pitch:+.0f}, yaw {yaw:+.0f}, roll {roll:+.0f} degrees (up, right, clockwise)",
        f"gaze: {looks:+.0f} degrees to the right of the camera",
        f"mouth: {mouth} ({opening:.3f} eye distances between the inner lips)",
    ]


def _sound(path, checkpoint) -> Findings:
    animator = _animator(checkpoint)
    speech = _speech(animator, path)
    sound, lines = _heard(path, speech)
    count = len(speech.silent)
    opening = _openings(animator, animator.predict(speech, head_motion_bank.still(count)))
    curves = FaceCurves(opening, np.full((count, 3), np.nan), np.full(count, np.nan))
    return Findings((*lines, *_of_curves(curves)), None, sound, curves)


def _animator(checkpoint) -> mesh_animator.MeshAnimator:
    found = factory.load(checkpoint)
    if not isinstance(found, mesh_animator.MeshAnimator):
        raise errors.UserError(
            "inspecting needs a checkpoint of the mesh family, this one has learned keypoints; leave it out"
        )
    return found


def _both(image, audio, checkpoint) -> Findings:
    animator = _animator(checkpoint)
    face, lines = _face(image)
    ready = animator.prepare(image, audio)
    sound, heard = _heard(audio, _speech(animator, audio))
    track = ready.track
    behaviour = track.behaviour
    curves = FaceCurves(
        _openings(animator, track.speech), _degrees(behaviour.rotation), behaviour.blink.mean(1)
    )
    notes = [note for note in ready.notes if note not in lines]
    return Findings((*lines, *heard, *notes, *_of_curves(curves)), face, sound, curves)


def _film(path) -> Findings:
    probed = container.probe(path)
    landmarker, shown, points, found = face_detector.FaceLandmarker(), None, [], None
    for index, frame in enumerate(video_io.read_frames(path)):
        if index >= LIMIT * RATE:
            break
        found = landmarker.follow(frame, found)
        points.append(found.points if found else np.full((face_detector.POINTS, 3), np.nan, np.float32))
        if found and shown is None:
            shown = SeenFace(frame, found.points, crop.face_square(found.points, frame.shape), 0)
    if shown is None:
        raise errors.UserError(
            f"no face was found in {_name(path)}; use a film that shows one from the front"
        )
    curves = _measured(np.asarray(points, np.float32))
    lost = int(np.isnan(curves.opening).sum())
    height, width = shown.pixels.shape[:2]
    rate = f"{probed.frame_rate:g} frames/s"
    lines = [f"{_name(path)}: {width}x{height} px, {rate}, {len(points) / RATE:.2f} s"]
    lines.append(
        f"a face in {len(points) - lost} of {len(points)} frames at {RATE} frames/s; in the first of them:"
    )
    lines += _about(shown)
    if not probed.has_audio:
        return Findings((*lines, "no sound", *_of_curves(curves)), shown, None, curves)
    sound, heard = _heard(path, mesh_features.listen(audio_io.read_audio(path)))
    return Findings((*lines, *heard, *_of_curves(curves)), shown, sound, curves)


def _measured(points: Float[np.ndarray, "t 478 3"]) -> FaceCurves:
    known = np.isfinite(points[:, 0, 0])
    aligned = face_basis.align(points[known], face_basis.embedded().canonical)
    turned = transform.Rotation.from_matrix(np.swapaxes(aligned.rotation, 1, 2)).as_rotvec()
    found = FaceCurves(*(np.full((len(points), *shape), np.nan) for shape in ((), (3,), ())))
    found.opening[known] = np.linalg.norm(aligned.points[:, 14] - aligned.points[:, 13], axis=1)
    found.pose[known] = _degrees(turned)
    found.blink[known] = face_basis.blink_share(aligned.points).mean(1)
    return found


def _speech(animator: Any, path):
    return mesh_features.listen(audio_io.read_audio(path), animator.recogniser)


def _heard(path, speech) -> tuple[HeardSound, list[str]]:
    phonemes = spikes(speech.posteriors)
    spoken = float((~speech.silent).sum()) / RATE
    said = " ".join(name for name, _ in phonemes if name != "|")
    lines = [
        f"{_name(path)}: {speech.seconds:.2f} s of sound, {spoken:.2f} s of it speech",
        f"loudness: {20 / np.log(10) * float(np.max(speech.loudness)):.0f} dB of full scale at most",
        f"phonemes: {said or 'none'}",
    ]
    return HeardSound(speech.samples, phonemes, speech.silent), lines


def spikes(posteriors: Float[np.ndarray, "t 2 s"] | None) -> list[tuple[str, float]]:
    """Return which phonemes are heard, as ARPAbet, and when each is surest, seconds."""
    if posteriors is None:
        return []
    logs = posteriors.reshape(-1, posteriors.shape[-1])
    best, found, before = logs.argmax(1), [], 0
    for step, token in enumerate(best):
        if token != before and token:
            name = mesh_features.TOKENS[token]
            spelled = ["|"] if name == "<wb>" else [s for s in ipa.to_arpabet(name) if s != "NSN"]
            found += [(symbol, (step + 0.5) * STEP) for symbol in spelled]
        before = token
    return found


def _openings(animator, spoken) -> Float[np.ndarray, " t"]:
    return np.asarray(spoken) @ np.asarray(mesh_inference.opening(animator.variables))


def _of_curves(curves: FaceCurves) -> list[str]:
    lines = [
        f"mouth's opening: mean {np.nanmean(curves.opening):.3f}, most {np.nanmax(curves.opening):.3f} "
        "eye distances"
    ]
    if np.isfinite(curves.pose).any():
        low, high = np.nanmin(curves.pose, axis=0), np.nanmax(curves.pose, axis=0)
        axes = zip(("pitch", "yaw", "roll"), low, high, strict=True)
        lines.append(f"head: {', '.join(f'{n} {a:+.1f} to {b:+.1f}' for n, a, b in axes)} degrees")
        lines.append(f"blinks: {len(blinks(curves.blink))}")
    return lines


def blinks(shut: Float[np.ndarray, " t"]) -> list[float]:
    """Return when eyes begin to be shut, seconds."""
    down = np.nan_to_num(shut) > SHUT
    return [float(i) / RATE for i in np.flatnonzero(down & ~np.roll(down, 1)) if i or down[0]]


def _degrees(rotation: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    """Rotation vectors as pitch up, yaw to the right, roll clockwise."""
    return np.degrees(rotation) * [-1, -1, 1]


def _eye_distance(points) -> float:
    return portrait_layers.eye_distance(points)


def _name(path) -> str:
    return pathlib.Path(path).name


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
