"""Jobs as data: which clash, and what is told at a look."""

import os
import pathlib

import pytest

from avct_jax import errors
from avct_jax.jobs import animation_job
from tests.jobs import made_jobs


def test_two_jobs_of_one_output_are_refused(tmp_path):
    one = made_jobs.job(tmp_path, "one")
    (tmp_path / "sub").mkdir()
    two = made_jobs.job(tmp_path, "two", output=tmp_path / "sub" / ".." / "one.mp4")
    with pytest.raises(errors.UserError, match="line of one and line of two have the same output"):
        animation_job.refuse_clashes([one, two])
    animation_job.refuse_clashes([one, made_jobs.job(tmp_path, "two")])


def test_an_output_that_another_job_reads_is_refused(tmp_path):
    one = made_jobs.job(tmp_path, "one")
    two = made_jobs.job(tmp_path, "two")._replace(audio=one.output)
    with pytest.raises(errors.UserError, match=r"of line of one, .*one\.mp4', is an input of line of two"):
        animation_job.refuse_clashes([two, one])


def test_a_look_refuses_what_is_missing(tmp_path):
    job = made_jobs.job(tmp_path)
    animation_job.look(job)
    for worse, said in (
        (job._replace(image="gone.png"), "there is no file 'gone.png'"),
        (job._replace(checkpoint="gone.safetensors"), "no checkpoint at 'gone.safetensors'"),
        (job._replace(output=job.audio), "is an input"),
        (job._replace(request=job.request._replace(size=255)), "even and from 256"),
    ):
        with pytest.raises(errors.UserError, match=said):
            animation_job.look(worse)


def test_settings_are_all_that_is_told_but_the_files(tmp_path):
    job = made_jobs.job(tmp_path, poses="poses.npy", blink=0.5)._replace(text="Hello.")
    assert set(job.files) == {"image", "audio", "poses"} and "poses" not in job.settings
    assert job.settings["blink"] == 0.5 and job.settings["text"] == "Hello."
    assert job.settings["phonemes"] is None


def titled(tmp_path, name, place, **more):
    found = made_jobs.job(tmp_path, name)
    request = found.request._replace(subtitles=os.fspath(tmp_path / place), transcript="hello")
    return found._replace(request=request, place=f"line {name}", **more)


def test_subtitles_are_outputs_as_the_video_is(tmp_path):
    one, two = (titled(tmp_path, name, "all.srt") for name in "ab")
    with pytest.raises(errors.UserError, match=r"line a and line b have the same output .*all\.srt"):
        animation_job.refuse_clashes([one, two])
    words = tmp_path / "words.srt"
    words.write_text("hello")
    reads = titled(tmp_path, "b", "b.srt", read=(os.fspath(words),))
    with pytest.raises(errors.UserError, match=r"words\.srt.* is an input of line b"):
        animation_job.refuse_clashes([titled(tmp_path, "a", "words.srt"), reads])
    own = titled(tmp_path, "c", "words.srt", read=(os.fspath(words),))
    with pytest.raises(errors.UserError, match=r"--subtitles .*words\.srt' is an input"):
        animation_job.refuse_overwriting(own)
    assert words.read_text() == "hello"
    (tmp_path / "d.srt").mkdir()
    with pytest.raises(errors.UserError, match="is a folder"):
        animation_job.refuse_overwriting(titled(tmp_path, "d", "d.srt"))
    animation_job.make_folder(titled(tmp_path, "e", "titles/e.srt"))
    assert (tmp_path / "titles").is_dir()


@pytest.mark.parametrize("kind", ["direction", "image", "read", "somebody's", "a folder", "subtitles"])
def test_a_record_is_written_over_nothing(kind, tmp_path):
    """It is called OUTPUT.json: so may be a cue file, a transcript, or anything else."""
    job, place = made_jobs.job(tmp_path), tmp_path / "one.mp4.json"
    content = b"[]" if kind != "image" else pathlib.Path(job.image).read_bytes()
    place.mkdir() if kind == "a folder" else place.write_bytes(content)
    changed = {
        "direction": job._replace(request=job.request._replace(direction=os.fspath(place))),
        "image": job._replace(image=os.fspath(place)),
        "read": job._replace(read=(os.fspath(place),)),
        "subtitles": job._replace(request=job.request._replace(subtitles=os.fspath(place))),
    }.get(kind, job)
    with pytest.raises(errors.UserError, match=r"one\.mp4\.json") as refused:
        animation_job.refuse_overwriting(changed)
    assert "\n" not in str(refused.value)
    if kind in ("somebody's", "a folder", "read", "image"):
        animation_job.refuse_overwriting(changed._replace(recorded=False))


def test_a_record_has_a_name_that_can_be_written(tmp_path):
    job = made_jobs.job(tmp_path)._replace(output=os.fspath(tmp_path / ("a" * 251 + ".mp4")))
    with pytest.raises(errors.UserError, match="choose a shorter --output"):
        animation_job.refuse_overwriting(job)
    animation_job.refuse_overwriting(job._replace(recorded=False))
