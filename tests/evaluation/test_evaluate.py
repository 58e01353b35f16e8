"""The evaluation of made-up videos: known orders, broken videos, runs that go on."""

import json

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.cli import main
from avct_jax.data.media import video_io
from avct_jax.evaluation import ablation, evaluate, scores, video_files
from avct_jax.evaluation import video_features as observations
from avct_jax.evaluation.report import html_report, markdown, report_assets, report_files, user_study
from avct_jax.evaluation.scorers import scorers as networks
from tests import made_videos

NAMES = ("a", "b", "inner/c")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Real videos, and three systems': good, wild (another mouth) and faceless (half of the frames lost)."""
    root = tmp_path_factory.mktemp("videos")
    for i, name in enumerate(NAMES):
        mouth = made_videos.opening(i)
        near = np.clip(mouth + np.random.default_rng(9).normal(0, 0.1, len(mouth)), 0, 1)
        made_videos.write(root / "real" / f"{name}.mp4", mouth)
        made_videos.write(root / "good" / f"{name}.mp4", near, mouth)
        made_videos.write(root / "wild" / f"{name}.mp4", made_videos.opening(50 + i), mouth)
        made_videos.write(root / "faceless" / f"{name}.mp4", near, mouth, lost=range(0, 30, 2))
    return root


@pytest.fixture(scope="module")
def measured(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    generated = {name: folders / name for name in ("good", "wild", "faceless")}
    report = evaluate.evaluate(generated, folders / "real", output, made_videos.networks())
    return report, generated, output


def means(report, key):
    return {s["key"]: s["means"][key] for s in report["systems"]}


def test_evaluation_orders_systems_by_their_lips(measured):
    found = {key: means(measured[0], key) for key in ("lmd", "av_confidence", "lse_d", "opening_correlation")}
    assert found["lmd"]["ground truth"] == 0 < found["lmd"]["good"] < found["lmd"]["wild"]
    assert found["opening_correlation"]["good"] > 0.9 > 0.5 > found["opening_correlation"]["wild"]
    confidence, distance = found["av_confidence"], found["lse_d"]
    assert (
        confidence["ground truth"] > confidence["good"] > max(confidence["wild"], confidence["wrong sound"])
    )
    assert distance["ground truth"] < distance["good"] < min(distance["wild"], distance["wrong sound"])


def test_still_face_neither_moves_nor_speaks(measured):
    found = {key: means(measured[0], key)["still face"] for key in ("jitter", "opening_correlation", "l1")}
    assert found["jitter"] == 0 == found["opening_correlation"] and found["l1"] > 0
    assert means(measured[0], "fid_64")["still face"] > means(measured[0], "fid_64")["ground truth"] == 0


def test_losing_the_face_wins_nothing(measured):
    for key, way in (("lmd", 1), ("akd", 1), ("opening_correlation", -1), ("av_confidence", -1)):
        assert way * means(measured[0], key)["faceless"] > way * means(measured[0], key)["good"]
    assert means(measured[0], "faces")["faceless"] == pytest.approx(0.5, abs=0.04)


def test_report_is_json_with_all_its_measures(measured):
    report = json.loads(json.dumps(measured[0], allow_nan=False))
    keys = {m["key"] for m in report["measures"]}
    assert all(set(s["means"]) >= keys - {"frechet_vgg16"} for s in report["systems"])
    # Half of the faceless frames in turn: no three in a row have a face.
    assert {(f["system"], f["reason"][:13]) for f in report["failed"]} == {("faceless", "has no jitter")}
    assert [s["kind"] for s in report["systems"]] == ["truth", *["baseline"] * 2, *["generated"] * 3]
    assert report["systems"][0]["per_video"].keys() == set(NAMES)


def test_second_run_looks_at_nothing_again(measured, folders):
    report, generated, output = measured
    networks = made_videos.networks()
    assert evaluate.evaluate(generated, folders / "real", output, networks) == report
    assert networks.landmarker.looked == 0


def test_changed_video_is_measured_again(folders, tmp_path):
    made_videos.write(tmp_path / "made" / "a.mp4", made_videos.opening(0))
    run = lambda: evaluate.evaluate(
        {"made": tmp_path / "made"}, folders / "real", tmp_path / "out", made_videos.networks()
    )
    before = run()
    made_videos.write(tmp_path / "made" / "a.mp4", made_videos.opening(77))
    assert means(before, "lmd")["made"] < 1e-4 < 1e-3 < means(run(), "lmd")["made"]


def test_broken_video_is_told_and_left_out_of_all_means(folders, tmp_path):
    made_videos.write(tmp_path / "made" / "a.mp4", made_videos.opening(0))
    (tmp_path / "made" / "b.mp4").write_bytes(b"no video")
    options = evaluate.EvaluationOptions(baselines=False)
    report = evaluate.evaluate(
        {"made": tmp_path / "made"}, folders / "real", tmp_path / "out", made_videos.networks(), options
    )
    assert [(f["system"], f["video"]) for f in report["failed"]] == [("made", "b")]
    assert [s["videos"] for s in report["systems"]] == [1, 1]


def test_video_without_any_face_stays_in_the_means_and_wins_nothing(folders, tmp_path):
    for i, name in enumerate(("a", "b")):
        mouth, lost = made_videos.opening(5), range(30) if name == "b" else ()
        made_videos.write(tmp_path / "honest" / f"{name}.mp4", mouth, made_videos.opening(i))
        made_videos.write(tmp_path / "lost" / f"{name}.mp4", mouth, made_videos.opening(i), lost=lost)
    generated = {name: tmp_path / name for name in ("honest", "lost")}
    report = evaluate.evaluate(generated, folders / "real", tmp_path / "out", made_videos.networks())
    assert [s["videos"] for s in report["systems"]] == [2] * 5
    _, still, _, honest, lost = (s["per_video"]["b"] for s in report["systems"])
    assert lost["faces"] == lost["opening_correlation"] == lost["opening_spread"] == 0
    # Lips are looked for where the real video's are; nothing changes there, as in a still face.
    assert lost["av_confidence"] == pytest.approx(still["av_confidence"], abs=0.02)
    assert lost["lmd"] > 10 * max(honest["lmd"], still["lmd"])
    assert means(report, "jitter")["lost"] is None is not means(report, "jitter")["honest"]
    assert [(f["system"], f["video"], f["reason"][:23]) for f in report["failed"]] == [
        ("lost", "b", "has no identity, jitter")
    ]


def test_video_that_was_cut_off_is_told(folders, tmp_path):
    for name, count in (("a", 30), ("b", 20)):
        made_videos.write(tmp_path / "cut" / f"{name}.mp4", made_videos.opening("ab".index(name))[:count])
    report = evaluate.evaluate(
        {"cut": tmp_path / "cut"}, folders / "real", tmp_path / "out", made_videos.networks()
    )
    assert [f["reason"].split("b.mp4 ")[1] for f in report["failed"]] == [
        "has 20 frames, the real video 30; make 80% of them at least"
    ]
    assert [s["videos"] for s in report["systems"]] == [1] * 4


def test_system_that_fails_everywhere_leaves_the_others_their_figures(folders, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"no video")
    generated = {"bad": tmp_path / "bad", "good": folders / "good"}
    report = evaluate.evaluate(generated, folders / "real", tmp_path / "out", made_videos.networks())
    assert {s["key"]: s["videos"] for s in report["systems"]} == {
        "ground truth": 3, "still face": 3, "wrong sound": 3, "bad": 0, "good": 3
    }  # fmt: skip
    report_files.write(report, generated, folders / "real", tmp_path / "out", 1)
    assert (tmp_path / "out" / "report.html").read_text().count("data:video/mp4") == 1


def test_broken_real_video_takes_no_other_with_it(folders, tmp_path):
    for i, name in enumerate(NAMES):
        made_videos.write(tmp_path / "real" / f"{name}.mp4", made_videos.opening(i))
    (tmp_path / "real" / "b.mp4").write_bytes(b"no video")
    report = evaluate.evaluate({}, tmp_path / "real", tmp_path / "out", made_videos.networks())
    assert [(f["system"], f["video"]) for f in report["failed"]] == [("ground truth", "b")]
    assert [s["videos"] for s in report["systems"]] == [2, 2, 2]


def test_wrong_audio_is_that_of_a_video_with_audio(folders, tmp_path):
    for name in NAMES:
        frames = video_files.from_file(folders / "real" / f"{name}.mp4", name).frames
        made_videos.write(tmp_path / "real" / f"{name}.mp4", made_videos.opening(NAMES.index(name)))
        if name == "b":  # the one whose audio would be next for "a"
            with video_io.VideoWriter(tmp_path / "real" / "b.mp4", size=made_videos.SIZE) as writer:
                writer.write(np.stack(list(frames())))
    report = evaluate.evaluate({}, tmp_path / "real", tmp_path / "out", made_videos.networks())
    assert not report["failed"] and [s["videos"] for s in report["systems"]] == [3, 3, 3]
    truth, _, wrong = report["systems"]
    assert truth["per_video"]["b"]["lse_d"] is None is not wrong["per_video"]["b"]["lse_d"]
    # The silent video counts for none of them: means are of the same videos.
    found = [wrong["per_video"][name]["lse_d"] for name in ("a", "inner/c")]
    assert wrong["means"]["lse_d"] == pytest.approx(np.mean(found))
    assert wrong["means"]["lse_d"] > truth["means"]["lse_d"]


def test_run_survives_a_torn_store_and_a_video_that_vanishes(folders, tmp_path):
    for name in ("a", "b"):
        made_videos.write(tmp_path / "made" / f"{name}.mp4", made_videos.opening(0))
    run = lambda show: evaluate.evaluate(
        {"made": tmp_path / "made"}, folders / "real", tmp_path / "out", made_videos.networks(), show=show
    )
    before = run(lambda *_: None)
    for system in ("ground_truth", "made"):
        torn = tmp_path / "out" / "videos" / system / "b.npz"
        torn.write_bytes(torn.read_bytes()[:3000])
    assert run(lambda *_: None) == before
    failed = run(lambda *_: (tmp_path / "made" / "b.mp4").unlink(missing_ok=True))["failed"]
    assert [(f["video"], f["reason"].split("; ")[1]) for f in failed] == [("b", "was it moved?")]


@pytest.mark.parametrize("name", ["ground_truth", "Still face", "", ".", "a/b"])
def test_systems_without_a_folder_of_their_own_are_refused(name):
    with pytest.raises(errors.UserError, match="cannot be called"):
        evaluate.check_names([name])
    with pytest.raises(errors.UserError, match="'a b' is another system"):
        evaluate.check_names(["a b", "a_b"])


def test_missing_video_is_told(folders, tmp_path):
    for name in ("a", "b"):
        made_videos.write(tmp_path / "one" / f"{name}.mp4", made_videos.opening(0))
    made_videos.write(tmp_path / "two" / "a.mp4", made_videos.opening(0))
    names, missing = video_files.in_common(
        {name: video_files.find(tmp_path / name) for name in ("one", "two")},
        video_files.find(folders / "real"),
    )
    assert names == ["a", "b"] and missing == {"one": [], "two": ["b"]}


def test_folders_without_videos_in_common_are_refused(folders, tmp_path):
    made_videos.write(tmp_path / "made" / "z.mp4", made_videos.opening(0))
    with pytest.raises(errors.UserError, match="one name in both folders"):
        evaluate.evaluate({"made": tmp_path / "made"}, folders / "real", tmp_path, made_videos.networks())
    with pytest.raises(errors.UserError, match="no video is in"):
        video_files.find(_empty(tmp_path))
    with pytest.raises(errors.UserError, match="is a baseline"):
        evaluate.evaluate({"still face": tmp_path}, tmp_path, tmp_path, made_videos.networks())


def _empty(path):
    (path / "empty").mkdir()
    return path / "empty"


def test_unpaired_videos_have_no_image_differences(folders, tmp_path):
    options = evaluate.EvaluationOptions(baselines=False, paired=False)
    report = evaluate.evaluate(
        {"good": folders / "good"}, folders / "real", tmp_path, made_videos.networks(), options
    )
    assert not {"l1", "lmd", "akd", "fid_64"} & {m["key"] for m in report["measures"]}
    assert report["systems"][1]["means"]["av_offset"] == 0


def test_still_observation_is_that_of_the_still_video(folders):
    networks = made_videos.networks()
    one = video_files.from_file(folders / "real" / "a.mp4", "a")
    seen = observations.observe(one, networks)
    wanted = observations.observe(video_files.still_of(one), networks)
    found = observations.hold_still(seen, one, networks.sync_scorer)
    assert np.array_equal(found.points, wanted.points) and np.allclose(found.lip, wanted.lip, atol=0.01)
    assert np.array_equal(found.features["fid_64"], wanted.features["fid_64"])


def test_videos_of_two_sizes_are_compared_at_the_real_ones(folders, tmp_path):
    name = folders / "real" / "a.mp4"
    small = video_files.from_file(name, "a", size=(32, 32))
    found = scores.compare(
        video_files.from_file(name, "a", size=(64, 64)),
        video_files.from_file(name, "a"),
        made_videos.networks(),
    )
    assert found["l1"] == 0 and next(small.frames()).shape == (32, 32, 3)


def test_choice_of_videos_is_even():
    assert evaluate.choose("abcdefgh", 4) == ["a", "c", "e", "g"] and evaluate.choose("ab", 0) == ["a", "b"]


def test_best_system_is_bold_in_markdown(measured):
    lines = markdown.table(measured[0]).splitlines()
    cells = [cell.strip() for cell in next(x for x in lines if "LMD" in x).split("|")[1:-1]]
    assert lines[0].split("|")[5].strip() == "good" and len({len(line) for line in lines}) == 1
    assert [cell.startswith("**") for cell in cells] == [False] * 4 + [True] + [False] * 2
    assert "lip landmarks" in markdown.document(measured[0])


@pytest.fixture(scope="module")
def shown(measured, folders):
    report, generated, output = measured
    return report_assets.choose(report, generated, folders / "real", output, 2)


def test_page_holds_everything_and_fetches_nothing(measured, shown):
    text = html_report.page(measured[0], shown)
    assert (
        text.count("data:video/mp4;base64,")
        == 2
        == text.count("data:image/jpeg;base64,")
        == text.count("<svg")
    )
    assert "http" not in text and all(m["title"] in text for m in markdown.shown_measures(measured[0]))


def test_curve_has_gaps_where_no_face_is_seen(shown):
    drawn = html_report.curve(shown[0]).split("<path")
    assert len(shown[0].openings) == 4 == len(drawn) - 1
    assert drawn[4].count("M") > drawn[1].count("M") == 1


def test_rating_page_is_blind_and_holds_each_video_once(shown):
    text = user_study.rating_page(shown)
    assert text.count("data:video/mp4;base64,") == 8
    visible = text[: text.index('id="data"')]
    assert not any(name in text for name in ("wild", "faceless", "ground truth")) and "inner/c" not in visible
    assert all(question in text for question in user_study.QUESTIONS)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "no --real DIR"),
        (["--protocol", "speech"], "needs --clips DIR"),
        (["--protocol", "speech", "--clips", "a", "--real", "b"], "leave out --generated and --real"),
        (["--protocol", "strangers", "--voices", "a"], "needs --clips DIR"),
        (["--protocol", "cross", "--clips", "a", "--voices", "b"], "are for --protocol strangers"),
        (["--real", "nowhere"], "is no folder"),
        (["--generated", "a/x", "--generated", "b/x", "--real", "c"], "two systems are called 'x'"),
        (["--real", "c", "--fid", "nowhere.npz"], "nowhere.npz cannot be read"),
        (["--real", "c", "--videos", "0"], "must be a whole number above 0"),
    ],
)
def test_evaluate_refuses_in_one_line(words, said, capsys, tmp_path):
    assert main.main(["evaluate", "--output", str(tmp_path / "out"), *words]) == main.REFUSED
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_evaluate_command_writes_a_whole_report(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "make", lambda *files: made_videos.networks())
    words = ["--generated", f"good={folders / 'good'}", "--real", str(folders / "real"), "--shown", "1"]
    assert main.main(["evaluate", "--output", str(tmp_path), *words, "--videos", "2"]) == 0
    assert "opening r" in capsys.readouterr().out
    names = {"report.json", "report.md", "report.html", "rating.html", "videos"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert json.loads((tmp_path / "report.json").read_text())["systems"][3]["videos"] == 2


def test_evaluate_command_refuses_when_nothing_can_be_measured(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "make", lambda *files: made_videos.networks())
    videos = {"real/a": b"no video", "real/b": b"", "made/a": b"", "made/z": b"no video"}
    for name, content in videos.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.mp4").write_bytes(content)
    words = ["evaluate", "--real", str(tmp_path / "real"), "--output", str(tmp_path / "out")]
    made = ["--generated", str(tmp_path / "made")]
    assert main.main([*words, *made, "--quiet"]) == main.REFUSED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("avct: no video could be measured: the real videos: 2 cannot be read: 'a', 'b'; ")
    assert line.endswith("made: 2 cannot be read: 'a', 'z'") and not (tmp_path / "out").exists()
    assert main.main([*words, *made]) == main.REFUSED
    shown = capsys.readouterr()
    assert not shown.out and shown.err.splitlines()[:4] == [
        "avct: the real videos: 1 are empty (0 bytes): 'b'",
        "avct: made: 1 are empty (0 bytes): 'a'",
        "avct: made: 1 have no real video of their name: 'z'",
        "avct: the real videos: 1 were made by no system: 'b'",
    ]
    # The real ones and what needs no system are no answer to what was asked.
    words[2] = str(folders / "real")
    assert main.main([*words, *made, "--no-baselines"]) == main.REFUSED
    assert not (tmp_path / "out" / "report.html").exists()


def test_table_2_has_a_row_a_variant_and_truth_last(measured):
    rows = [row.split(" | ") for row in ablation.table(measured[0]).splitlines()]
    assert [row[0].strip() for row in rows] == ["", "good", "wild", "faceless", "ground truth"]
    assert [title.strip() for title in rows[0][1:]] == ["CPBD", "LMD", "AVOff", "AVConf"]


def test_progress_is_told_inside_long_videos(folders, tmp_path):
    told = []
    options = evaluate.EvaluationOptions(videos=1, baselines=False)
    show = lambda done, total, text: told.append((done, total, text))
    evaluate.evaluate({}, folders / "real", tmp_path, made_videos.networks(), options, show)
    assert told == [
        (0, 1, "ground truth: a"),
        (0, 1, "ground truth: a, frame 16"),
        (0, 1, "ground truth: a, frame 30"),
        (1, 1, ""),
    ]
