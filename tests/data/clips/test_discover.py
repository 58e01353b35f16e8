"""Which videos are meant, and what their clips are called."""

import os
import pathlib

import pytest

from avct_jax import errors
from avct_jax.data.clips import av_sync_filter, clip, discover, manifest


def record(name, source):
    return {name: manifest.Record(name, source, 0, {}, (), ())}


def names(*paths, records=None):
    found = discover.name_videos([pathlib.Path(p) for p in paths], records or {})
    return [found[pathlib.Path(p)] for p in paths]


def test_names_are_stems_where_these_differ():
    assert names("/a/bbaf2n.mp4", "/b/x__00.mp4", "/b/x__01.mov") == ["bbaf2n", "x__00", "x__01"]
    assert names("/a/-rf dir:?.mp4", "/a/.hidden.mp4") == ["_rf_dir_", "_hidden"]


def test_videos_of_one_stem_get_their_folders_names():
    assert names("/a/x.mp4", "/b/x.mp4", "/b/y.mp4") == ["a_x", "b_x", "y"]
    assert names("/a/c/x.mp4", "/b/c/x.mp4") == ["a_c_x", "b_c_x"]
    assert names("/a/X.mp4", "/b/x.mp4") == ["a_X", "b_x"]  # some disks do not tell them apart
    assert len(set(names("/a/x.mp4", "/a/x.mov", "/a/x.mkv"))) == 3


def test_name_never_is_that_of_another_videos_clip():
    """x.mp4 may become x_01 and x_02."""
    assert names("/a/x.mp4", "/a/x_01.mp4") == ["x", "x_01-v2"]
    assert names("/a/x_01.mp4", "/a/x.mp4") == ["x_01", "x-v2"]


def test_finished_videos_keep_their_names():
    known = record("x", "/a/x.mp4")
    assert names("/a/x.mp4", "/b/x.mp4", records=known) == ["x", "b_x"]
    known |= record("x-v2", "/b/x.mp4")
    assert names("/b/x.mp4", records=known) == ["x-v2"]


def test_names_do_not_depend_on_what_is_finished():
    """Or a run that goes on, or another shard, would name what is left otherwise."""
    paths = ["/a/x.mp4", "/b/x.mp4", "/b/y.mov", "/b/y.mp4", "/b/z.mp4"]
    whole = names(*paths)
    assert whole == ["a_x", "b_x", "__b_y", "__b_y-v2", "z"]
    for finished in range(1, 2 ** len(paths)):
        known = {}
        for number, (path, name) in enumerate(zip(paths, whole, strict=True)):
            known |= record(name, path) if finished >> number & 1 else {}
        assert names(*paths, records=known) == whole


def test_folders_and_patterns_stand_for_their_videos(tmp_path):
    for name in ("a.mp4", "sub/b.MOV", "sub/note.txt", ".part/c.mp4", "d.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = discover.find_videos([tmp_path, tmp_path / "a.mp4", tmp_path / "d.dat"])
    assert [path.name for path in found] == ["a.mp4", "b.MOV", "d.dat"]
    assert [path.name for path in discover.find_videos([f"{tmp_path}/**/*.MOV"])] == ["b.MOV"]
    (tmp_path / "link.mp4").symlink_to(tmp_path / "d.dat")
    assert [path.name for path in discover.find_videos([tmp_path])] == ["a.mp4", "link.mp4", "b.MOV"]
    found = discover.find_videos([tmp_path], output=tmp_path / "sub")  # its videos are clips
    assert [path.name for path in found] == ["a.mp4", "link.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.UserError, match=r"no video is in the folder .*empty"):
        discover.find_videos([tmp_path / "empty"])


def test_each_video_shows_somebody_else_unless_told(tmp_path):
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    assert [job.person for job in discover.make_jobs(paths, {})] == ["a", "b"]
    assert [job.person for job in discover.make_jobs(paths, {}, person="p")] == ["p", "p"]
    with pytest.raises(errors.UserError, match=r"no row for 1 of 2 videos: 'b\.mp4'; add rows: files are"):
        discover.make_jobs(paths, {}, people={paths[0]: "q"})
    (tmp_path / "link").symlink_to(tmp_path)
    there = {tmp_path / "link/a.mp4": "q", tmp_path / "sub/../b.mp4": "r"}
    (tmp_path / "sub").mkdir()
    assert [job.person for job in discover.make_jobs(paths, {}, people=there)] == ["q", "r"]


def test_rows_of_people_are_found_beside_the_csv_in_the_videos_folder_and_by_name(tmp_path):
    for name in ("videos/a.mp4", "videos/sub/b.mp4", "videos/sub/c.mp4", "videos/c.mp4", "lists/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("video")
    csv, folder = tmp_path / "lists/people.csv", tmp_path / "videos"

    def seen(*rows):
        csv.write_text("file,person\n" + "\n".join(rows))
        videos = discover.find_videos([folder])
        people = discover.read_people(csv, [folder], videos)
        jobs = discover.make_jobs(videos, {}, people=people)
        return [job.person for job in jobs], discover.unused_rows(videos, people, None)

    # By the folder of videos, by name alone, and one whose name two videos have by its folder.
    rows = ["a.mp4,ann", "b.mp4,bob", "sub/c.mp4,cy", "c.mp4,di", "d.mp4,ed"]
    assert seen(*rows) == (["ann", "di", "bob", "cy"], [])
    assert seen(*rows, "old/e.mp4,eve")[1] == [f"--people: 1 files are nowhere: 'e.mp4'; {discover.WHERE}"]
    with pytest.raises(errors.UserError, match=r"no row for 3 of 4 videos: 'c.mp4', 'b.mp4', 'c.mp4'; add"):
        seen("a.mp4,ann")
    for name in ("a.mp4", "sub/b.mp4"):
        (folder / name).write_text("")
    assert seen("c.mp4,di", "sub/c.mp4,cy")[0] == ["a", "di", "b", "cy"]  # empty ones are left out anyway


def test_words_of_no_video_are_counted(tmp_path):
    (line,) = discover.unused_rows([tmp_path / "a.mp4"], None, ["a", "b", "c", "d", "e"])
    assert line.startswith("--words: 4 clips are no videos here: 'b', 'c', 'd' and 1 more; ")


def test_words_are_given_to_the_video_of_their_name(tmp_path):
    (tmp_path / "words.csv").write_text("clip,start_s,end_s,word\na,0.0,0.5,sil\na,0.5,.75,bin\n")
    words = discover.read_words(tmp_path / "words.csv")
    jobs = discover.make_jobs([tmp_path / "a.mp4", tmp_path / "b.mp4"], {}, words=words)
    assert jobs[0].words == (("sil", 0.0, 0.5), ("bin", 0.5, 0.75)) and jobs[1].words is None
    (tmp_path / "words.csv").write_text("clip,start_s,end_s,word\na,zero,0.5,sil\n")
    with pytest.raises(errors.UserError, match=r"'zero' - '0\.5' are no seconds"):
        discover.read_words(tmp_path / "words.csv")


def test_names_are_text_that_any_disk_takes():
    strange = os.fsdecode(b"/a/l\xe9.mp4")
    (job,) = discover.make_jobs([pathlib.Path(strange)], {})
    assert job.name == job.person == "l\N{REPLACEMENT CHARACTER}" and job.source == strange
    (job,) = discover.make_jobs([pathlib.Path(strange)], {}, person=os.fsdecode(b"p\xff"))
    assert job.person == "p\N{REPLACEMENT CHARACTER}"
    for letter in ("n", "é", "\N{GRINNING FACE}"):
        (name,) = names(f"/a/{letter * (250 // len(letter.encode()))}.mp4")
        assert 50 <= len(name.encode()) <= 255 - len(".avct-0123456789ab_01.npz")


def test_folders_of_older_versions_may_hold_names_that_are_no_text():
    strange = os.fsdecode(b"l\xe9")
    assert clip.held_out(strange, "a", speaker="a") in (True, False) and av_sync_filter._fold(strange) >= 0
