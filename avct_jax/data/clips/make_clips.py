"""One video becomes clips of one steady face each.

The video is decoded twice at the same time: the second reading runs some seconds behind the first, which
looks for the face, because a clip's square is known at its end only. Memory does not grow with the length.
"""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from avct_jax import errors
from avct_jax.data.clips import clip, face_tracks, manifest
from avct_jax.data.faces import crop, face_detector, head_pose
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io, speech_features

TRACKED_SIDE = 1280  # px, longer side of the images in which the face is looked for
SHOWN_SIDE = 1920  # px, of those that clips are cut out of: more is never seen in 256 px
FEWEST_FACES = 0.8  # share of a clip's frames in which the face must be found
LEAST_SHARE = 0.3  # of the face in its clip's square; where the head travels farther the clip is divided
QUIET = 1e-4  # of full scale: a audio track that never exceeds it holds no audio
MOST_TURNED = 1.0  # rad = 57 degrees, median turn of the head: beyond it half of the face is guessed

Report = Callable[[int], None]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """What becomes a clip.

    Attributes:
      shortest, longest: frames.
      smallest_face: px, longer side of the face's box. audio: whether to listen.
    """

    shortest: int = 24
    longest: int = 250
    smallest_face: int = 48
    audio: bool = True


class ClipJob(NamedTuple):
    """A video, the name of its clips, who is seen, and what is said where that is known."""

    source: str
    name: str
    person: str
    words: tuple[clip.Word, ...] | None = None


def made_with(job: ClipJob, options: ClipOptions) -> dict:
    """What decides a video's clips, beside the video: where it changes they have to be made again."""
    said = [list(word) for word in job.words] if job.words and options.audio else None
    return {**dataclasses.asdict(options), "person": job.person, "words": said, "version": clip.CONTENT}


def preprocess(
    job: ClipJob,
    folder: pathlib.Path,
    options: ClipOptions,
    landmarker: face_detector.FaceLandmarker,
    progress: Report | None = None,
) -> manifest.Record:
    """Make a video's clips in a folder, and its record.

    Nothing appears under a clip's name before all clips of the video are whole; then the record is written.

    Args:
      progress: called with frames done now and then.

    Raises:
      UserError: the folder cannot be written to.
    """
    with manifest.part_folder(folder, job.name) as part:
        maker = _Maker(job, part, options)
        try:
            maker.run(landmarker, progress or (lambda frames: None))
        except errors.UserError as error:
            if not _is_about(error, job.source):
                raise
            maker.refuse(0, 0, "unreadable", str(error))
        several = len(maker.clips) > 1
        clips = []
        for number, entry in enumerate(maker.clips, 1):
            name = f"{job.name}_{number:02d}" if several else job.name
            for suffix in (".mp4", ".npz"):
                os.replace(part / f"{entry.name}{suffix}", folder / f"{name}{suffix}")
            clips.append(entry._replace(name=name))
        source_bytes = os.stat(job.source).st_size if os.path.exists(job.source) else 0
        record = manifest.Record(
            job.name, job.source, source_bytes, made_with(job, options), tuple(clips), tuple(maker.refused)
        )
        manifest.write_record(folder, record)
    return record


class _Maker:
    """A video on its way to clips, which get numbers for names."""

    def __init__(self, job: ClipJob, part: pathlib.Path, options: ClipOptions):
        self.job, self.part, self.options = job, part, options
        self.clips: list[manifest.Entry] = []
        self.refused: list[manifest.Refusal] = []

    def run(self, landmarker: face_detector.FaceLandmarker, progress: Report) -> None:
        found = video_io.probe(self.job.source)
        if not found.has_video:
            raise errors.UserError(f"{self.job.source!r} holds no video; give a video file")
        self.shown_size = _at_most(found.size, SHOWN_SIDE)
        tracked_size = _at_most(found.size, TRACKED_SIDE)
        self.scale = self.shown_size[0] / tracked_size[0]
        self.audio = _open_audio(self.job.source) if self.options.audio and found.has_audio else None
        self._video, self._next = read(self.job.source, found.size, self.shown_size), 0
        watched = read(self.job.source, found.size, tracked_size)
        limits = {"longest": self.options.longest, "shortest": self.options.shortest}
        try:
            for part in face_tracks.find_tracks(watched, landmarker, **limits):
                self.consider(part)
                progress(part.frames)
        finally:
            self._video.close()

    def consider(self, part: face_tracks.FaceTrack) -> None:
        """Make a clip of a stretch, or say why not."""
        begin, end = part.begin, part.begin + part.frames
        if part.points is None or part.score is None:
            if part.frames > face_tracks.MOST_GAP:
                self.refuse(begin, end, "no face", "no face was found")
            return
        if part.frames < self.options.shortest:
            needed = self.options.shortest / video_io.FRAME_RATE
            reason = (
                f"one steady face for {part.frames / video_io.FRAME_RATE:.2f} s, {needed:.2f} s are needed"
            )
            return self.refuse(begin, end, "too short", reason)
        points = part.points * np.float32(self.scale)
        size = float(np.median([face_tracks.size_of(frame) for frame in points]))
        if size < self.options.smallest_face:
            reason = f"the face is {size:.0f} px high, {self.options.smallest_face} px are needed"
            return self.refuse(begin, end, "too small", reason)
        if (share := float((part.score > 0).mean())) < FEWEST_FACES:
            reason = f"a face in {share:.0%} of the frames, {FEWEST_FACES:.0%} are needed"
            return self.refuse(begin, end, "no steady face", reason)
        square = crop.trajectory_square(points, self.shown_size)
        if size < LEAST_SHARE * square.size:
            return self._divide(part)
        self._make(part, points, square)

    def _divide(self, part: face_tracks.FaceTrack) -> None:
        half = part.frames // 2
        if half < self.options.shortest:
            end = part.begin + part.frames
            reason = f"the head travels so far that it would fill less than {LEAST_SHARE:.0%} of the image"
            return self.refuse(part.begin, end, "moves too far", reason)
        assert part.points is not None and part.score is not None
        for inner in (slice(0, half), slice(half, part.frames)):
            points, score = part.points[inner], part.score[inner]
            self.consider(face_tracks.FaceTrack(part.begin + inner.start, len(points), points, score))

    def _make(self, part: face_tracks.FaceTrack, points: Float32[np.ndarray, "t 478 3"], square: crop.Square):
        begin, end = part.begin, part.begin + part.frames
        assert part.score is not None
        in_crop = crop.to_crop(points, square)
        poses = head_pose.track(in_crop)
        if (turn := float(np.median(np.abs(poses[:, 1])))) > MOST_TURNED:
            reason = f"the head is turned away by {turn:.1f} rad, {MOST_TURNED:.1f} are the most"
            return self.refuse(begin, end, "turned away", reason)
        wav = self._audio_of(begin, end)
        unit = clip.to_unit(points, square)
        boxes = clip.mouth_boxes(in_crop)
        made = clip.Clip(unit, part.score, poses, boxes, self.job.person)
        if wav is not None:
            made = made._replace(**clip.listen(wav, part.frames, self._words_of(begin, end)))
        name = f"{len(self.clips):06d}"
        video = self.part / f"{name}.mp4"
        with video_io.VideoWriter(video, size=crop.SIZE, audio=wav) as writer:
            for frame in self._frames_of(begin, end):
                writer.write(crop.crop(frame, square))
        if writer.frames != part.frames:
            raise errors.UserError(f"{self.job.source!r} gave other frames when read again; convert it first")
        clip.save(self.part / f"{name}.npz", made)
        times = (begin / video_io.FRAME_RATE, end / video_io.FRAME_RATE)
        entry = (name, self.job.person, part.frames, wav is not None, self.job.source, *times)
        self.clips.append(manifest.Entry(*entry, video.stat().st_size))

    def _frames_of(self, begin: int, end: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        while self._next < end and (frame := next(self._video, None)) is not None:
            self._next += 1
            if self._next > begin:
                yield frame

    def _audio_of(self, begin: int, end: int) -> Float32[np.ndarray, " m"] | None:
        """The audio of these frames, exactly as long; None where there is none, or where half is missing."""
        if self.audio is None:
            return None
        wav = np.array(
            self.audio[begin * speech_features.FRAME_SAMPLES : end * speech_features.FRAME_SAMPLES]
        )
        wav = np.nan_to_num(wav, copy=False, posinf=1.0, neginf=-1.0)
        wanted = (end - begin) * speech_features.FRAME_SAMPLES
        if len(wav) < wanted / 2 or float(np.ptp(wav)) < QUIET:
            return None
        return np.pad(wav, (0, wanted - len(wav)))

    def _words_of(self, begin: int, end: int) -> Sequence[clip.Word] | None:
        """The words whose middle lies in these frames, in seconds from the first of them."""
        if self.job.words is None:
            return None
        start, stop = begin / video_io.FRAME_RATE, end / video_io.FRAME_RATE
        inside = [w for w in self.job.words if start <= (w[1] + w[2]) / 2 < stop]
        return [(w, max(a, start) - start, min(b, stop) - start) for w, a, b in inside]

    def refuse(self, begin: int, end: int, kind: str, reason: str) -> None:
        """List a part that becomes no clip; parts that follow each other for one reason are one."""
        begin_s, end_s = begin / video_io.FRAME_RATE, end / video_io.FRAME_RATE
        last = self.refused[-1] if self.refused else None
        if last and last.reason == reason and abs(last.end_s - begin_s) < 1e-6:
            self.refused[-1] = last._replace(end_s=end_s)
        else:
            self.refused.append(manifest.Refusal(self.job.source, begin_s, end_s, kind, reason))


def read(
    source: str, size: tuple[int, int], wanted: tuple[int, int]
) -> Generator[UInt8[np.ndarray, "h w 3"], None, None]:
    """A video's frames at 25 frames/s, scaled only where they are too large."""
    yield from video_io.read_frames(source, size=None if wanted == size else wanted)


def _open_audio(source: str) -> np.ndarray | None:
    """The video's audio; a track that cannot be decoded is none, and said to be.

    Raises:
      UserError: the disk is full: what was read is not all.
    """
    try:
        return audio_io.map_audio(source)
    except errors.UserError as error:
        if not _is_about(error, source):
            raise
        _log.warning("%s; its clips have no sound", error)
        return None


def _at_most(size: tuple[int, int], side: int) -> tuple[int, int]:
    share = min(1.0, side / max(size))
    return max(2, round(size[0] * share)), max(2, round(size[1] * share))


def _is_about(error: errors.UserError, source: str) -> bool:
    """Whether the video is to blame; else it is the folder, and every video would fail."""
    return os.fspath(source) in str(error) or repr(os.fspath(source)) in str(error)
