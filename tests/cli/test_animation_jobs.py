"""`avct animate --jobs` and `--dry-run`: what is told, and exit codes."""

import json
import subprocess
import sys

import pytest
import scipy.io.wavfile

from avct_jax.animator import base
from avct_jax.cli import main, terminal
from avct_jax.data.clips import worker_pool
from avct_jax.data.media import subtitles
from avct_jax.data.phonemes import languages
from avct_jax.jobs import job_queue
from avct_jax.workers import engine
from tests.jobs import made_jobs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to be in, with a portrait and a voice."""
    monkeypatch.chdir(tmp_path)
    made_jobs.job(tmp_path)
    return tmp_path


def write(*rows):
    with open("jobs.jsonl", "w") as file:
        file.write("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


GOOD = {"image": "face.png", "audio": "one.wav", "output": "a.mp4"}


def test_a_dry_run_tells_each_problem_with_its_line(folder, capsys):
    scipy.io.wavfile.write("silent.wav", 16000, made_jobs.voice(1) * 0)
    write(
        GOOD,
        "nonsense",
        GOOD | {"audio": "silent.wav", "output": "b.mp4", "size": 100},
        {"image": "face.png"},
    )
    before = names(folder)
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--dry-run"]) == 1
    out, said = capsys.readouterr()
    lines = said.splitlines()
    assert [line[:13] for line in lines] == [
        "avct: line 2:",
        "avct: line 4:",
        "avct: line 3:",
        "avct: line 3:",
    ]
    assert "--audio, or --text" in lines[1] and "size 100 px" in lines[2] and "is silent" in lines[3]
    assert out == "something is wrong with 3 of 4 jobs\n" and names(folder) == before


def test_a_dry_run_of_what_is_right_says_so(folder, capsys):
    write(GOOD)
    before = names(folder)
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--dry-run", "--output", "new"]) == 0
    one = ["animate", "--image", "face.png", "--audio", "one.wav", "--dry-run"]
    assert main.main(one) == 0 and names(folder) == before
    assert capsys.readouterr().out == "1 job: nothing is wrong\n" * 2
    assert main.main([*one, "--transcript-file", "gone.txt"]) == 1
    assert "avct: 'gone.txt' cannot be read" in capsys.readouterr().err


def test_a_dry_run_does_not_import_jax(folder):
    write(GOOD, GOOD | {"output": "b.mp4", "seed": 3})
    lines = ["import sys", "from avct_jax.cli import main"]
    lines += ["assert main.main(['animate', '--jobs', 'jobs.jsonl', '--dry-run']) == 0"]
    lines += ["assert 'jax' not in sys.modules"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "2 jobs: nothing is wrong\n", done.stderr


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_jobs_of_one_output_are_refused_before_work(words, folder, capsys):
    write(GOOD, GOOD | {"seed": 2})
    assert main.main(["animate", "--jobs", "jobs.jsonl", *words]) == main.REFUSED
    assert "line 1 and line 2 have the same output 'a.mp4'" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(folder, capsys):
    write(GOOD)
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--output", "face.png"]) == main.REFUSED
    assert "--output 'face.png' is no folder; with --jobs it names one" in capsys.readouterr().err


@pytest.fixture
def queued(monkeypatch):
    """What `job_queue.run` is asked, in the place of doing it: every third job fails, the second is kept."""
    asked = []

    def run(jobs, *, workers, by):
        asked.append((jobs, workers, by))
        for number, job in enumerate(jobs):
            yield job, worker_pool.WorkProgress(10)
            if number % 3 == 2:
                yield job, job_queue.JobOutcome(failure="it broke")
            elif number == 1:
                yield job, job_queue.JobOutcome(kept=True)
            else:
                report = base.Report(10, 0.4, ["a note"], {"draw": 0.25})
                yield job, job_queue.JobOutcome(report)

    monkeypatch.setattr(job_queue, "run", run)
    return asked


def test_each_job_is_told_of_in_a_line_and_the_rest_goes_on(folder, queued, capsys):
    write("nonsense", *(GOOD | {"output": f"{n}.mp4"} for n in range(4)))
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--workers", "3", "--size", "256"]) == 1
    ((jobs, workers, by),) = queued
    assert by == engine.HERE
    assert workers == 3 and [job.request.size for job in jobs] == [256] * 4
    out, said = capsys.readouterr()
    assert said.splitlines()[1:] == [
        "avct: line 2: wrote 0.mp4: 10 frames, 0.40 s of sound; a note",
        "avct: line 3: 1.mp4 is made already, and kept",
        "avct: line 4: it broke",
        "avct: line 5: wrote 3.mp4: 10 frames, 0.40 s of sound; a note",
    ]
    assert out == "5 jobs: 2 made, 1 kept, 2 failed\n"


def test_quiet_jobs_tell_failures_alone(folder, queued, capsys):
    write(*(GOOD | {"output": f"{n}.mp4"} for n in range(3)))
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--quiet"]) == 1
    assert capsys.readouterr() == ("", "avct: line 3: it broke\n")
    write(GOOD)
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--quiet"]) == 0 and capsys.readouterr() == ("", "")


def test_one_animation_needs_an_image(folder, capsys):
    for words in ([], ["--list-faces"]):
        assert main.main(["animate", "--audio", "one.wav", *words]) == main.REFUSED
        assert "the following arguments are required: --image" in capsys.readouterr().err


def test_a_shard_is_every_so_manyth_job_and_line_that_is_none(folder, queued, capsys):
    write("nonsense", "more", *(GOOD | {"output": f"{n}.mp4"} for n in range(5)))
    made = []
    for part in ("1/3", "2/3", "3/3"):
        main.main(["animate", "--jobs", "jobs.jsonl", "--shard", part])
        made.append([job.output for job in queued.pop()[0]])
    assert made == [["0.mp4", "3.mp4"], ["1.mp4", "4.mp4"], ["2.mp4"]]
    said = [line for line in capsys.readouterr().err.splitlines() if "is not JSON" in line]
    assert [line[:13] for line in said] == ["avct: line 1:", "avct: line 2:"]


def test_engines_and_shards_are_refused_in_a_line(folder, queued, capsys, monkeypatch):
    write(GOOD)
    monkeypatch.setitem(sys.modules, "ray", None)
    many = ["animate", "--jobs", "jobs.jsonl"]
    for words, said in (
        ([*many, "--shard", "3"], "'3' is no part; write I/N"),
        ([*many, "--engine", "dask"], "'dask' is none; choose local, ray, ray://auto or ray://HOST:10001"),
        ([*many, "--engine", "ray"], "--engine ray needs Ray: pip install 'avct-jax[ray]'"),
        ([*many, "--worker-gpus", "1"], "are for --engine ray; leave them out"),
        (["animate", "--image", "face.png", "--audio", "one.wav", "--shard", "1/2"], "are for --jobs"),
        (
            [*many[:1], "--image", "face.png", "--audio", "one.wav", "--dry-run", "--shard", "1/2"],
            "for --jobs",
        ),
    ):
        code, said_there = main.main(words), capsys.readouterr().err
        assert said in said_there and said_there.count("\n") == 1, words
        assert code == main.REFUSED and not queued


def test_a_dry_run_remarks_letters_of_another_language_and_counts_no_fault(folder, capsys, monkeypatch):
    monkeypatch.setattr(languages, "check", lambda code: code)
    write(GOOD | {"transcript": "Good morning.", "language": "ru"})
    assert main.main(["animate", "--jobs", "jobs.jsonl", "--dry-run"]) == 0
    out, said = capsys.readouterr()
    assert (
        said
        == "avct: line 1: the text is in Latin letters, which are not those of ru: is the language right?\n"
    )
    assert out == "1 job: nothing is wrong\n"


def test_the_line_of_a_video_tells_of_its_subtitles():
    cues = subtitles.Subtitle("Hello.", 0.0, 0.2), subtitles.Subtitle("Bye.", 0.2, 0.4, guessed=True)
    report = base.Report(10, 0.4, [], {}, cues=cues)
    plain = "a.mp4: 10 frames, 0.40 s of sound"
    assert terminal.made_line("a.mp4", report) == plain
    assert terminal.made_line("a\n\udce9.mp4", report).startswith("a\\n\udce9.mp4: ")  # of one line
    assert terminal.made_line("a.mp4", report, "b.srt") == f"{plain}; b.srt: 2 subtitles, times of 1 guessed"
    report = report._replace(cues=cues[:1])
    assert terminal.made_line("a.mp4", report, "burn") == f"{plain}; 1 subtitle, in the picture"
