"""A dry run finds each kind of fault, all of a job's, and writes nothing."""

import os

import cv2
import numpy as np
import pytest
import safetensors.numpy
import scipy.io.wavfile

from avct_jax import errors
from avct_jax.jobs import animation_job, job_check
from tests.jobs import made_jobs


@pytest.fixture
def job(tmp_path):
    """A job without a fault."""
    return made_jobs.job(tmp_path, output=tmp_path / "new" / "sub" / "one.mp4")


def no_face(job):
    cv2.imwrite("grey.png", np.full((300, 300, 3), 128, np.uint8))
    return job._replace(image="grey.png")


def two_sounds(job):
    return job._replace(audio=[job.audio, None], request=job.request._replace(framing="full"))


def no_image(job):
    with open("text.png", "w") as file:
        file.write("no image")
    return job._replace(image="text.png")


def silent(job):
    scipy.io.wavfile.write("silent.wav", 16000, np.zeros(16000, np.int16))
    return job._replace(audio="silent.wav")


def short(job):
    scipy.io.wavfile.write("short.wav", 16000, made_jobs.voice(0.02))
    return job._replace(audio="short.wav")


def damaged(job):
    safetensors.numpy.save_file({"a": np.zeros(1)}, "other.safetensors", {"format": "another"})
    return job._replace(checkpoint="other.safetensors")


def folder_is_a_file(job):
    open("file", "w").close()
    return job._replace(output=os.path.join("file", "sub", "one.mp4"))


def asked(**told):
    return lambda job: job._replace(request=job.request._replace(**told))


FAULTS = {
    no_face: "no face was found in ",
    no_image: "is not an image",
    two_sounds: "2 sounds are given and 1 faces are seen",
    silent: "is silent",
    short: "20 ms of sound; at least 40 ms",
    damaged: "other.safetensors",
    folder_is_a_file: "file' is not a folder",
    (lambda job: job._replace(image="gone.png")): "there is no file 'gone.png'",
    (lambda job: job._replace(audio="gone.wav")): "there is no file 'gone.wav'",
    (lambda job: job._replace(audio=job.image)): "has no sound track",
    (lambda job: job._replace(output="one.avi")): "ends with '.avi'",
    (lambda job: job._replace(output=job.image)): "is an input",
    asked(size=100): "even and from 256 to 1024",
    asked(face=2): "which has one face",
    asked(audio_track=3): "no track 3",
    asked(blink=7.0): "blink",
    asked(poses="gone.npy"): "there is no file 'gone.npy'",
    asked(transcript="?!"): "no English word",
}


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_and_nothing_written(fault, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worse = fault(job)
    before = everything(tmp_path)
    found = job_check.problems(worse)
    assert len([line for line in found if FAULTS[fault] in line]) == 1, found
    assert len(found) <= 2 and everything(tmp_path) == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "told", [{"transcript": "Hello \U0001f9d1."}, {"captions": (("\U0001f9d1", 0.0, 1.0),)}]
)
def test_subtitles_without_a_font_are_told_before_they_are_drawn(told, job):
    found = job_check.problems(asked(subtitles="burn", **told)(job))
    assert found == ["no font here has the letters '\U0001f9d1'; name a .srt file instead of burn"]
    spoken = asked(subtitles="burn", captions=())(job)._replace(text="Hello \U0001f9d1.", audio=None)
    assert found == job_check.problems(spoken)
    with pytest.raises(errors.UserError, match="no font here"):
        animation_job.look(spoken)


def test_a_transcript_in_other_letters_is_remarked_and_no_fault(job):
    other = asked(transcript="Good morning", language="ru")(job)
    assert "is in Latin letters, which are not those of ru" in job_check.remarks(other)[0]
    assert job_check.remarks(job) == [] == job_check.remarks(asked(transcript="Good morning")(job))


def test_nothing_is_told_of_a_good_job_and_all_of_a_bad_one(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert job_check.problems(job) == []
    found = job_check.problems(silent(no_face(job))._replace(output="a.avi"))
    assert len(found) == 3 and "'.avi'" in found[0] and "no face" in found[1] and "is silent" in found[2]
