"""Videos measured and reported on by one call, without the command line."""

import json

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.evaluation import protocols, reports, strangers, video_features
from avct_jax.workers import shard
from tests import made_videos

FILES = {"report.json", "report.md", "report.html", "rating.html", "videos"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two real videos, and a system's."""
    root = tmp_path_factory.mktemp("videos")
    for i, name in enumerate("ab"):
        mouth = made_videos.opening(i)
        made_videos.write(root / "real" / f"{name}.mp4", mouth)
        made_videos.write(root / "good" / f"{name}.mp4", np.clip(mouth + 0.05, 0, 1), mouth)
    return root


@pytest.fixture(scope="module")
def known():
    return made_videos.networks()


def test_videos_are_measured_and_reported_on(folders, known, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.mp4").write_bytes((folders / "good/a.mp4").read_bytes())
    (tmp_path / "made/z.mp4").write_bytes(b"")
    steps, lines = [], []
    given = {"ours": tmp_path / "made"}, folders / "real", tmp_path / "out"
    options = {"networks": known, "shown": 1, "show": lambda *step: steps.append(step), "note": lines.append}
    made = reports.of_videos(*given, baselines=False, **options)
    assert set(made.means) == {"ground truth", "ours"} and 0 < made.means["ours"]["lmd"] < 1
    assert {path.name for path in made.folder.iterdir()} == FILES and steps[-1][0] == steps[-1][1] > 0
    assert json.loads((made.folder / "report.json").read_text()) == json.loads(json.dumps(made.report))
    assert not made.failed and any("1 have no real video of their name: 'z'" in line for line in lines)


def test_what_was_left_out_is_said(folders, known, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.mp4").write_bytes((folders / "good/a.mp4").read_bytes())
    (tmp_path / "made/b.mp4").write_bytes(b"no video")
    given = {"ours": tmp_path / "made"}, folders / "real", tmp_path / "out"
    made = reports.of_videos(*given, networks=known, baselines=False, shown=1)
    assert [(failure.system, failure.video) for failure in made.failed] == [("ours", "b")]
    assert made.failed[0].reason


def test_protocol_is_made_then_measured_under_the_checkpoints_name(folders, known, tmp_path, monkeypatch):
    asked = {}

    def make(name, clips, place, **how):
        asked.update(how, name=name, clips=clips, place=place)
        return protocols.VideoFolders(
            folders / "good", folders / "real", "as it is made", True, {"c": "no face"}
        )

    monkeypatch.setattr(protocols, "make", make)
    how = {"clips": "clips", "checkpoint": "mine.safetensors", "videos": 2, "networks": known, "shown": 1}
    made = reports.of_protocol("speech", tmp_path, **how)
    assert asked["place"] == tmp_path / "generated" and (asked["videos"], asked["clips"]) == (2, "clips")
    assert {"mine", "still face"} <= set(made.means) and made.failed == (("mine", "c", "no face"),)
    assert made.report["protocol"] == {"name": "speech", "about": "as it is made"}


def test_strangers_are_set_beside_other_people(folders, known, tmp_path, monkeypatch):
    found = protocols.VideoFolders(folders / "good", folders / "real", "of strangers", False, {}, ("a",))
    monkeypatch.setattr(strangers, "make", lambda place, **given: found)
    made = reports.of_protocol("strangers", tmp_path, clips="any", networks=known, shown=1)
    assert set(made.means) == {"ground truth", "embedded"} and made.report["matched"] is False
    alone = reports.of_protocol("strangers", tmp_path, portraits="a", voices="b", networks=known, shown=1)
    assert set(alone.means) == {"embedded"}


def test_nothing_measured_is_refused_and_leaves_nothing(folders, known, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/a.mp4").write_bytes(b"no video")
    given = {"ours": tmp_path / "made"}, folders / "real", tmp_path / "out"
    with pytest.raises(errors.UserError, match="no video could be measured: ours: 1 cannot be read: 'a'"):
        reports.of_videos(*given, networks=known, baselines=False)
    assert not (tmp_path / "out/report.json").exists()


@pytest.mark.parametrize(
    "protocol, given, said",
    [
        ("speech", {}, "--protocol needs --clips DIR"),
        ("strangers", {"voices": "a"}, "--protocol needs --clips DIR"),
        ("cross", {"clips": "a", "voices": "b"}, "are for --protocol strangers"),
        ("cross", {"clips": "out/generated"}, "is an input or holds one"),
    ],
)
def test_protocols_sources_are_checked_before_networks_are_read(protocol, given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports.scorers, "make", lambda: pytest.fail("networks were read"))
    (tmp_path / "out/generated").mkdir(parents=True)
    with pytest.raises(errors.UserError, match=said):
        reports.of_protocol(protocol, "out", **given)


def test_report_is_not_written_over_the_real_videos(folders, known, tmp_path):
    (tmp_path / "out/videos").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="is an input or holds one that would be lost"):
        reports.of_videos({"x": folders / "good"}, tmp_path / "out/videos", tmp_path / "out", networks=known)


def test_folders_without_a_systems_name_are_refused(tmp_path):
    with pytest.raises(errors.UserError, match="must name its folders by system"):
        reports.of_videos.__wrapped__(str(tmp_path), tmp_path, tmp_path / "report")


def plain(report):
    """What a report says, without the texts that say when."""
    return json.loads(json.dumps(report))


@pytest.fixture
def observed(monkeypatch):
    """Videos that are looked at, by name."""
    looked, observe = [], video_features.observe

    def note(video, *given, **named):
        looked.append(video.name)
        return observe(video, *given, **named)

    monkeypatch.setattr(video_features, "observe", note)
    return looked


def test_shards_fill_what_the_whole_reports_on(folders, known, observed, tmp_path):
    given = {"good": folders / "good"}, folders / "real"
    whole = reports.of_videos(*given, tmp_path / "one", networks=known, shown=1)
    del observed[:]
    for number in (2, 1, 3):
        part = shard.Shard(number, 3)
        made = reports.of_videos(*given, tmp_path / "two", networks=known, part=part)
        assert made.means.keys() == whole.means.keys() or number == 3
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"videos"} and len(observed) == 4
    del observed[:]
    merged = reports.of_videos(*given, tmp_path / "two", networks=known, shown=1)
    assert not observed and plain(merged.report) == plain(whole.report)
    assert {path.name for path in merged.folder.iterdir()} == FILES


def test_shards_of_a_protocol_make_and_measure_their_own_videos(folders, known, tmp_path, monkeypatch):
    names, made = ("a", "b"), []

    def make(protocol, clips, place, *, part, **_):
        own = part.of(names)
        made.append(own)
        about = protocols.VideoFolders(folders / "good", folders / "real", "about", True, {}, tuple(own))
        return about

    monkeypatch.setattr(protocols, "make", make)
    how = {"clips": "clips", "networks": known, "shown": 1, "baselines": False}
    whole = reports.of_protocol("speech", tmp_path / "one", **how)
    for number in (1, 2):
        part = reports.of_protocol("speech", tmp_path / "two", part=shard.Shard(number, 2), **how)
        (system,) = [system for system in part.report["systems"] if system["key"] == "embedded"]
        assert list(system["per_video"]) == [names[number - 1]]
    assert made == [["a", "b"], ["a"], ["b"]]
    merged = reports.of_protocol("speech", tmp_path / "two", **how)
    assert plain(merged.report) == plain(whole.report)
