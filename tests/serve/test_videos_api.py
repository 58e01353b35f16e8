"""Videos by requests."""

import asyncio
import io
import json
import pathlib
import re

import httpx2
import numpy as np
import pytest
from scipy.io import wavfile
from starlette import testclient

import avct_jax
from avct_jax import errors
from avct_jax.data.media import container
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import speaker
from avct_jax.marks import installation
from avct_jax.serve import app, settings, upload
from tests import portraits
from tests.serve import serve_parts


def over(client, answer):
    """The state of a video that was asked for, when it is over."""
    address = f"/v1/videos/{answer.json()['id']}"
    return serve_parts.wait_until(
        lambda: found if (found := client.get(address).json())["state"] not in ("queued", "running") else None
    )


def test_a_video_is_made_and_fetched(client):
    how = {"size": "256", "seed": "7", "still": "true", "label": "true", "transcript": "Hello."}
    answer = serve_parts.post_video(client, **how)
    assert answer.status_code == 202 and answer.json()["state"] in ("queued", "running")
    assert answer.json()["consent"] == serve_parts.CONSENT
    done = over(client, answer)
    assert (done["state"], done["frames_done"], done["frames"], done["seconds"]) == ("done", 4, 4, 0.16)
    assert done["expires"] > done["created"] and done["notes"] == ["heard audio.wav"]
    video = client.get(done["content"])
    assert video.headers["content-type"] == "video/mp4"
    told = json.loads(video.content)
    wanted = {"size": 256, "seed": 7, "still": True, "label": True, "transcript": "Hello."}
    wanted["consent"] = serve_parts.CONSENT  # and so it comes into the video's credentials
    assert {name: told[name] for name in wanted} == wanted


@pytest.mark.parametrize("client", [{"certificate": "c.pem", "key": "k.pem"}], indirect=True)
def test_videos_are_signed_by_the_servers_key_and_nobody_is_told_where_it_is(client):
    done = over(client, serve_parts.post_video(client))
    told = json.loads(client.get(done["content"]).content)
    assert (told["certificate"], told["key"]) == ("c.pem", "k.pem") and "timestamp" not in told
    assert "k.pem" not in json.dumps(done)
    assert "k.pem" not in (pathlib.Path(told["output"]).parent / "request.json").read_text()


def test_a_part_of_a_video_is_fetched(client):
    address = over(client, serve_parts.post_video(client))["content"]
    whole, part = client.get(address).content, client.get(address, headers={"range": "bytes=3-9"})
    assert part.status_code == 206 and part.content == whole[3:10]
    head = client.head(address)
    assert head.status_code == 200 and head.headers["content-length"] == str(len(whole)) and not head.content


def test_a_face_is_directed(client):
    told = {"head_motion": 0.5, "blink": 2.0, "mouth": 1.5, "face": 2}
    answer = serve_parts.post_video(client, **{name: str(value) for name, value in told.items()})
    video = json.loads(client.get(over(client, answer)["content"]).content)
    assert {name: video[name] for name in told} == told


def test_a_text_is_spoken_and_its_phonemes_are_told(client):
    answer = serve_parts.post_video(client, audio=None, text="One. Two.")
    video = json.loads(client.get(over(client, answer)["content"]).content)
    rate, spoken = wavfile.read(io.BytesIO(pathlib.Path(video["audio"]).read_bytes()))
    assert (
        rate == 16000
        and spoken[:6400].tolist() == [100] * 6400
        and spoken[6400:12800].tolist() == [200] * 6400
    )
    assert [symbols.SYMBOLS[label] for label in video["phonemes"]] == ["AA"] * len(video["phonemes"])
    assert len(video["phonemes"]) == -(-len(spoken) // 640)


@pytest.mark.parametrize("client", [{"speaks": speaker.HibariSpeaker}], indirect=True)
def test_without_a_voice_texts_are_refused_with_the_remedy(client, monkeypatch):
    def missing():
        raise errors.UserError(speaker.MISSING)

    monkeypatch.setattr(speaker, "check_installed", missing)
    assert client.get("/healthz").json()["speaks"] is False
    answer = serve_parts.post_video(client, audio=None, text="One.")
    assert answer.status_code == 422 and "pip install 'avct-jax[speak]'" in answer.json()["detail"]


def test_files_have_names_of_the_servers(client):
    told = json.loads(client.get(over(client, serve_parts.post_video(client))["content"]).content)
    folder = pathlib.Path(told["output"]).parent
    assert re.fullmatch(r"[\w-]{22}", folder.name) and pathlib.Path(told["image"]) == folder / "image.png"
    assert {path.name for path in folder.iterdir()} == {
        "image.png", "original", "audio.wav", "original_audio", "video.mp4", "request.json",
    }  # fmt: skip
    assert told["original"] == str(folder / "original")
    assert pathlib.Path(told["original_audio"]).read_bytes() == serve_parts.wav()  # as it was sent


def test_a_video_is_deleted_with_all_that_was_given(client):
    done = over(client, serve_parts.post_video(client))
    folder = pathlib.Path(json.loads(client.get(done["content"]).content)["output"]).parent
    assert folder.exists() and client.delete(f"/v1/videos/{done['id']}").status_code == 204
    assert not folder.exists()
    for again in (client.get, client.delete):
        answer = again(f"/v1/videos/{done['id']}")
        assert answer.status_code == 404 and "no such video" in answer.json()["detail"]


@pytest.mark.parametrize(
    "changed, status, line",
    [
        ({"consent": None}, 422, "say in `consent` who"),
        ({"consent": ""}, 422, "say in `consent` who"),
        ({"mark": "false"}, 422, "there is no field 'mark'; the fields here are all_faces, audio, blink, "),
        ({"consent": "  "}, 422, "say in `consent` who"),
        ({"consent": "x" * 1001}, 422, "1001 characters"),
        ({"image": None}, 422, "image: Field required"),
        ({"image": b""}, 422, "the image is empty"),
        ({"image": b"text"}, 422, "the image: the file is not an image"),
        ({"audio": b"text"}, 422, "the audio: "),
        ({"audio": serve_parts.wav(0.0)}, 422, "the audio"),
        ({"size": "100"}, 422, "size 100 px must be even and from 256"),
        ({"size": "large"}, 422, "size: Input should be a valid integer"),
        ({"seed": "-1"}, 422, "seed: "),
        ({"mouth": "2.5"}, 422, "mouth: Input should be less than or equal to 2"),
        ({"head_motion": "nan"}, 422, "head_motion: "),
        ({"face": "0"}, 422, "face: "),
        ({"direction": "[{}"}, 422, "direction is no JSON"),
        ({"direction": '"/etc/passwd"'}, 422, "cue 1 is '/etc/passwd'; it must have"),
        ({"direction": '[{"time": 0, "what": "smlie"}]'}, 422, "cue 1: what is 'smlie'; choose of"),
        ({"direction": "[" * 100_001}, 422, "direction has 100001 characters"),
        ({"audio": None}, 422, "give a recording as `audio`, or what is to be said as `text`"),
        ({"text": "Hello."}, 422, "give a recording as `audio`, or what is to be said as `text`"),
        ({"audio": None, "text": "Hi.", "transcript": "Hi."}, 422, "give a recording as `audio`, or"),
        ({"audio": None, "text": "x" * 5001}, 422, "5001 characters; 5000 are the most"),
        ({"audio": None, "text": "..."}, 422, "holds no word"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(client, changed, status, line):
    answer = serve_parts.post_video(client, **changed)
    assert answer.status_code == status and line in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"] and "/tmp" not in answer.text


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(image=100)}], indirect=True)
def test_a_file_that_is_too_large_beside_small_ones_is_refused(client):
    answer = serve_parts.post_video(client)
    assert answer.status_code == 413 and "the image has more than 100 bytes" in answer.json()["detail"]


def test_what_is_refused_leaves_nothing(client, tmp_path):
    done = over(client, serve_parts.post_video(client))
    folder = pathlib.Path(json.loads(client.get(done["content"]).content)["output"]).parent.parent
    serve_parts.post_video(client, audio=b"text")
    assert [path.name for path in folder.iterdir()] == [done["id"]]


def test_cues_are_taken_as_json(client):
    cues = [{"time": 0.5, "what": "smile", "value": 0.4}, {"time": 1, "what": "blink_once"}]
    made = over(client, serve_parts.post_video(client, direction=json.dumps(cues)))
    assert json.loads(client.get(made["content"]).content)["direction"] == cues
    plain = over(client, serve_parts.post_video(client))
    assert json.loads(client.get(plain["content"]).content)["direction"] is None


def test_a_drawing_that_fails_is_told(client):
    answer = serve_parts.post_video(client, transcript="refuse")
    failed = over(client, answer)
    assert (failed["state"], failed["error"]) == ("failed", "no face was found in image.png")
    content = client.get(f"/v1/videos/{failed['id']}/content")
    assert content.status_code == 409 and content.json()["detail"] == failed["error"]


def test_whole_pictures_are_asked_for(client):
    made = lambda **told: json.loads(
        client.get(over(client, serve_parts.post_video(client, **told))["content"]).content
    )
    video = made(framing="full", all_faces="true")
    assert (video["framing"], video["face"]) == ("full", "all")
    video = made(framing="full", face="2")
    assert (video["framing"], video["face"]) == ("full", 2)
    assert made()["framing"] == "head"
    assert serve_parts.post_video(client, framing="wide").status_code == 422
    assert "needs framing full" in serve_parts.post_video(client, all_faces="true").text


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(queued=1)}], indirect=True)
def test_a_full_queue_says_when_to_come_again(client):
    running = serve_parts.post_video(client, transcript="last").json()
    state = lambda: client.get(f"/v1/videos/{running['id']}").json()
    serve_parts.wait_until(lambda: state()["state"] == "running")
    waiting = serve_parts.post_video(client).json()
    assert waiting["queue_position"] == 1
    refused = serve_parts.post_video(client)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    assert client.get(f"/v1/videos/{waiting['id']}/content").status_code == 409
    client.delete(f"/v1/videos/{running['id']}")
    assert over(client, testclient.httpx.Response(200, json=waiting))["state"] == "done"


def test_the_openapi_document_names_the_fields(client):
    found = client.get("/openapi.json").json()
    form = found["components"]["schemas"]["Body_create_video_v1_videos_post"]
    assert set(form["required"]) == {"image", "consent"}
    how = {"size", "seed", "still", "head_motion", "blink", "mouth", "face", "framing", "all_faces"}
    assert how | {"audio", "text", "transcript"} <= set(form["properties"])


def test_the_true_worker_draws_a_video(tmp_path):
    """Frames of the video that is fetched are those that `Animator.frames` gives."""
    import PIL.Image

    image, _ = portraits.astronaut(256)
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "png")

    async def fetch():
        application = app.create_app(settings.ServerSettings(), warm=False)
        inner = application.inner
        transport = httpx2.ASGITransport(application)
        async with (
            inner.router.lifespan_context(inner),
            httpx2.AsyncClient(transport=transport, base_url=serve_parts.HOME) as client,
        ):
            files = {"image": file.getvalue(), "audio": serve_parts.wav(0.4)}
            answer = await client.post(
                "/v1/videos", files=files, data={"consent": "a test", "size": "256", "seed": "1"}
            )
            while (found := (await client.get(f"/v1/videos/{answer.json()['id']}")).json())["state"] in (
                "queued",
                "running",
            ):
                await asyncio.sleep(0.1)
            assert found["state"] == "done", found
            return (await client.get(found["content"])).content

    (tmp_path / "video.mp4").write_bytes(asyncio.run(fetch()))
    seen = container.probe(tmp_path / "video.mp4")
    assert (
        seen.size == (256, 256)
        and seen.frame_rate == 25
        and seen.has_audio
        and abs(seen.duration - 0.4) < 0.05
    )
    from avct_jax.data.media import video_io

    drawn = np.concatenate(list(avct_jax.load().frames(image, serve_parts.samples(0.4), size=256, seed=1)))
    fetched = np.stack(list(video_io.read_frames(tmp_path / "video.mp4", frame_rate=None)))
    assert len(fetched) == len(drawn) == 10
    assert np.abs(fetched.astype(int) - drawn).mean() < 4  # what encoding costs


def test_folders_are_not_named_to_clients(monkeypatch, tmp_path):
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    line = f"{tmp_path}/config/signing.pem is made: see {tmp_path}/jobs/x/image.png"
    assert upload.without_folder(line, tmp_path / "jobs" / "x") == "signing.pem is made: see image.png"
