"""What is written beside a video."""

import hashlib
import importlib.metadata
import json
import pathlib

from avct_jax import weights_file
from avct_jax.animator import base
from avct_jax.data.media import subtitles
from avct_jax.jobs import result_record
from tests.jobs import made_jobs


def test_a_record_holds_what_a_video_was_made_of(tmp_path):
    job = made_jobs.job(tmp_path, blink=0.5)
    pathlib.Path(job.output).write_bytes(b"video")
    report = base.Report(10, 0.4, ["a note"], {"draw": 1.23456}, seed=1234, size=256)
    result_record.write(job, report, result_record.digests(job))
    found = json.loads((tmp_path / "one.mp4.json").read_text())
    sha256 = lambda path: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    assert found["settings"]["blink"] == 0.5 and found["settings"]["seed"] is None and found["seed"] == 1234
    assert found["inputs"]["audio"] == {"file": job.audio, "sha256": sha256(job.audio)}
    assert found["inputs"]["image"]["sha256"] == sha256(job.image) and set(found["inputs"]) == {
        "image",
        "audio",
    }
    with weights_file.embedded() as weights:
        assert found["checkpoint"] == {"file": weights.name, "sha256": sha256(weights)}
    video = {
        "file": "one.mp4",
        "sha256": hashlib.sha256(b"video").hexdigest(),
        "frames": 10,
        "frame_rate": 25,
    }
    assert found["video"] == video | {"seconds": 0.4, "size": 256}
    assert found["notes"] == ["a note"] and found["timings"] == {"draw": 1.235}
    assert found["packages"]["jax"] == importlib.metadata.version("jax") and found["made"].endswith("+00:00")


def test_a_record_tells_of_subtitles_and_whose_times_are_guessed(tmp_path):
    job = made_jobs.job(tmp_path, subtitles="burn", transcript="Hello. Bye.")
    pathlib.Path(job.output).write_bytes(b"video")
    cues = subtitles.Subtitle("Hello.", 0.0, 0.2), subtitles.Subtitle("Bye.", 0.2, 0.4, guessed=True)
    for told, wanted in (((), (0, 0)), (cues, (2, 1))):
        report = base.Report(10, 0.4, [], {}, cues=told)
        found = result_record.write(job, report, result_record.digests(job))
        assert found["subtitles"] == {"place": "burn", "count": wanted[0], "guessed_times": wanted[1]}
    plain = made_jobs.job(tmp_path)
    assert result_record.write(plain, report, result_record.digests(plain))["subtitles"] is None


def test_a_digest_is_of_what_a_file_holds_now(tmp_path):
    path = tmp_path / "a"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert result_record.digest(path) == hashlib.sha256(content).hexdigest()
