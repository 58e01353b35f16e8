"""Files of jobs, as lines of JSON and as csv."""

import json
import os

import pytest

from avct_jax import errors
from avct_jax.cli import jobs_file
from avct_jax.cli.commands import animate

DEFAULTS = animate.Options(audio=("/voices/all.wav",), drawn=animate.VideoOptions(size=256))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder to be in, with one for the jobs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


def read(text, name="jobs.jsonl", defaults=DEFAULTS, folder=None):
    path = os.path.join("in", name)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return jobs_file.read(path, defaults, folder)


ROWS = [
    {"image": "a.png", "output": "x/a.mp4", "seed": 7, "head-motion": 0.5},
    {"image": "/faces/b.png", "audio": "b.wav", "blink": "off", "poses": "p.npy", "size": 512},
    {"image": "c.png", "transcript": 'He said: "no, never".', "still": True, "audio": None},
]


def check(found):
    one, two, three = found.jobs
    assert not found.refused and (one.image, one.audio) == ("in/a.png", "/voices/all.wav")
    assert (one.output, one.request.seed, one.request.head_motion, one.request.size) == (
        "in/x/a.mp4",
        7,
        0.5,
        256,
    )
    assert (two.image, two.audio, two.output) == ("/faces/b.png", "in/b.wav", "in/b_says_b.mp4")
    assert (two.request.blink, two.request.poses, two.request.size) == (0.0, "in/p.npy", 512)
    assert three.request.transcript == 'He said: "no, never".' and three.request.still is True
    assert (three.audio, three.output) == ("/voices/all.wav", "in/c_says_all.mp4")


def test_lines_of_json_are_jobs():
    found = read("\n\n".join(map(json.dumps, ROWS)) + "\n")
    check(found)
    assert [job.place for job in found.jobs] == ["line 1", "line 3", "line 5"]


def test_what_directs_a_face_may_be_objects_and_lists():
    told = {"expression": {"smile": 0.3}, "gaze": [0.1, 0], "blinks": [0.5]}
    told["direction"] = [{"time": 1, "what": "smile", "value": 0.5}]
    rows = [
        told,
        {"expression": "smile=.3", "gaze": "camera", "blinks": "b.txt", "direction": "/c.json"},
        {"gaze": {"x": 1}},
        {"image": ["a.png"]},
    ]
    one, two, *more = read("\n".join(json.dumps({"image": "a.png"} | row) for row in rows)).jobs
    assert {name: getattr(one.request, name) for name in told} == told
    asked = one.request.checked()
    assert asked.expression == {"smile": 0.3} and asked.gaze == (0.1, 0.0)
    assert (two.request.blinks, two.request.direction) == ("in/b.txt", "/c.json") and not more
    assert [two.request.expression, two.request.gaze] == ["smile=.3", "camera"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_rows_of_csv_are_jobs(mark):
    lines = [
        ("image", "output", "seed", "head-motion", "audio", "blink", "poses", "size", "transcript", "still"),
        ("a.png", "x/a.mp4", "7", "0.5", "", "", "", "", "", ""),
        ("/faces/b.png", "", "", "", "b.wav", "off", "p.npy", "512", "", "no"),
        ("c.png", "", "", "", "", "", "", "", '"He said: ""no, never""."', "yes"),
    ]
    found = read("\r\n".join(mark.join(cells) for cells in lines), "jobs.csv")
    check(found)
    assert [job.place for job in found.jobs] == ["line 2", "line 3", "line 4"]


def test_outputs_go_into_the_folder_that_is_named():
    found = read('{"image": "a.png"}\n{"image": "b.png", "output": "b/b.mp4"}', folder="out")
    assert [job.output for job in found.jobs] == ["out/a_says_all.mp4", "out/b/b.mp4"]


def test_texts_are_read_from_files_of_the_jobs_folder(folder, monkeypatch):
    from avct_jax.data.speech import speaker

    monkeypatch.setattr(speaker, "check_installed", lambda: None)
    (folder / "in" / "words.txt").write_text("Hello.")
    (job,) = read('{"image": "a.png", "text-file": "words.txt"}').jobs
    assert job.text == "Hello." and job.audio is None and job.output == "in/a_says_words.mp4"


LINES = {
    "no json": "is not JSON (Expecting value",
    "[1]": "is [1]; write an object",
    '{"image": "a.png", "szie": 256}': "there is no option 'szie'; did you mean 'size'?",
    '{"image": "a.png", "jobs": "b.jsonl"}': "'jobs' has no place here",
    '{"image": "a.png", "seed": -2}': "seed: '-2' must be a whole number",
    '{"audio": "b.wav"}': "the following arguments are required: --image",
    '{"image": "a.png", "still": true, "poses": "p.npy"}': "not allowed with",
    '{"image": "a.png", "transcript-file": "gone.txt"}': "'in/gone.txt' cannot be read",
    '{"image": "a.png", "text": "?", "transcript": "a"}': "--transcript is of a recording",
}


def test_a_line_that_is_no_job_is_told_and_the_rest_read():
    found = read("\n".join(['{"image": "a.png"}', *LINES, '{"image": "z.png"}']))
    assert [job.image for job in found.jobs] == ["in/a.png", "in/z.png"]
    assert [line.place for line in found.refused] == [f"line {2 + i}" for i in range(len(LINES))]
    assert not [
        pair for pair in zip(LINES.values(), found.refused, strict=True) if pair[0] not in pair[1].reason
    ]


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.jsonl", "\n \n", "holds no job"),
        ("a.jsonl", "no\njson\n" * 50, "holds no job"),
        ("a.csv", "image,szie\na.png,3\n", "line 1: there is no option 'szie'; did you mean 'size'"),
        ("a.csv", "image,output\n", "holds no job"),
    ],
)
def test_a_file_without_jobs_is_refused(name, text, said):
    with pytest.raises(errors.UserError, match=said):
        read(text, name)


def test_a_missing_file_of_jobs_is_told():
    with pytest.raises(errors.UserError, match=r"no file of jobs at 'gone\.jsonl'"):
        jobs_file.read("gone.jsonl", DEFAULTS)


def test_a_row_with_more_cells_than_the_header_is_told():
    found = read("image,transcript\na.png,Hello, world.\nb.png,Yes.\n", "a.csv")
    assert found.refused == [("line 2", "has more cells than the header; quote what holds a comma")]
    assert [job.image for job in found.jobs] == ["in/b.png"]


def test_several_sounds_of_one_picture_are_a_list():
    (job,) = read('{"image": "a.png", "audio": ["l.wav", "none"], "framing": "full"}').jobs
    assert job.audio == ["in/l.wav", None]
    assert job.files == {"image": "in/a.png", "audio 1": "in/l.wav"}
