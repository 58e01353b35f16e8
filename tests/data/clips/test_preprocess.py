"""Videos into a folder of clips by one call, without the command line."""

import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.clips import clip_folder, make_clips, manifest, preprocess
from avct_jax.data.media import video_io


@pytest.fixture
def videos(tmp_path):
    """A second of a face, and a second of coffee."""
    shown = {"face": skimage.data.astronaut()[:300, 70:370], "none": skimage.data.coffee()[:300, :300]}
    (tmp_path / "in").mkdir()
    for name, image in shown.items():
        with video_io.VideoWriter(tmp_path / f"in/{name}.mp4", size=(300, 300)) as writer:
            for _ in range(25):
                writer.write(image)
    return tmp_path / "in"


def test_a_call_makes_clips_and_says_what_came_out(videos, tmp_path):
    states, lines = [], []
    people = {videos / "face.mp4": "ann", videos / "none.mp4": "bob", videos / "gone.mp4": "cay"}
    how = {"audio": False, "processes": 1, "show": states.append, "note": lines.append}
    made = preprocess.preprocess([videos], tmp_path / "out", people=people, speaker="ann", **how)
    (entry,) = made.clips
    assert (entry.name, entry.person, entry.frames, entry.audio) == ("face", "ann", 25, False)
    assert [refusal.kind for refusal in made.refused] == ["no face"] and made.speaker == "ann"
    assert (states[-1].videos, states[-1].total, states[-1].clips, states[-1].refused) == (2, 2, 1, 1)
    assert "gone.mp4" in lines[0] and (made.counts["videos"], made.counts["clips"]) == (2, 1)
    again = manifest.read(tmp_path / "out")
    assert [e.name for e in again.clips] == ["face"] and (tmp_path / "out/mean_face.npy").exists()


def test_options_are_seconds_here_and_frames_there(videos, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(clip_folder, "make", lambda *given, **_: asked.append(given) or [])
    how = {"shortest": 1.0, "longest": 4.0, "smallest_face": 99, "audio": False, "person": "ann"}
    made = preprocess.preprocess([videos / "face.mp4"], tmp_path / "out", **how)
    ((_, jobs, options),) = asked
    assert options == make_clips.ClipOptions(25, 100, 99, False) and made.clips == ()
    assert [(job.name, job.person) for job in jobs] == [("face", "ann")]


def test_a_call_that_is_interrupted_leaves_a_folder_with_its_manifest(videos, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_folder, "make", stop)
    with pytest.raises(KeyboardInterrupt):
        preprocess.preprocess([videos], tmp_path / "out", audio=False)
    assert manifest.read(tmp_path / "out").clips == ()


@pytest.mark.parametrize(
    "how, said",
    [
        ({"videos": []}, "no VIDEO and no --people"),
        ({"videos": [], "people": {}}, "{} has no row; name videos in it"),
        ({"longest": 0.5}, "--longest 0.5 s is below --shortest 0.96 s"),
    ],
)
def test_what_cannot_be_is_refused_before_the_folder_is_made(videos, tmp_path, how, said):
    with pytest.raises(errors.UserError, match=said):
        preprocess.preprocess(output=tmp_path / "out", **{"videos": [videos], "audio": False, **how})
    assert not (tmp_path / "out").exists()
