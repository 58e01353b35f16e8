"""`/v1/videos`: a portrait and a recording in, a video when it is ready."""

import pathlib
from typing import Annotated, Any, Literal

import fastapi
import pydantic
from fastapi import responses

from avct_jax import errors
from avct_jax.animator import inputs, options
from avct_jax.serve import direction, safe_decode, upload
from avct_jax.serve.settings import Limits
from avct_jax.serve.videos.video_jobs import QueuedVideo, VideoJobs

router = fastapi.APIRouter(prefix="/v1/videos", tags=["videos"])
NO_VIDEO = "there is no such video; it may have been kept for as long as this server keeps them"


class VideoState(pydantic.BaseModel):
    """How far a video is."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    queue_position: int | None = pydantic.Field(description="jobs before it, while it waits")
    frames_done: int
    frames: int = pydantic.Field(description="in all; 0 while that is not known")
    seconds: float = pydantic.Field(description="length of the finished video")
    notes: list[str]
    error: str | None
    consent: str
    created: float = pydantic.Field(description="seconds since 1970")
    expires: float | None = pydantic.Field(description="when the finished video is removed")
    content: str | None = pydantic.Field(description="address of the finished video")


def _jobs(request: fastapi.Request) -> VideoJobs:
    return request.app.state.jobs


Jobs = Annotated[VideoJobs, fastapi.Depends(_jobs)]


def _job(name: str, jobs: Jobs) -> QueuedVideo:
    if (job := jobs.get(name)) is None:
        raise fastapi.HTTPException(404, NO_VIDEO)
    return job


Job = Annotated[QueuedVideo, fastapi.Depends(_job)]


@router.post("", status_code=202)
async def create_video(
    request: fastapi.Request,
    jobs: Jobs,
    image: Annotated[fastapi.UploadFile, fastapi.File(description="a portrait")],
    consent: Annotated[str, upload.CONSENT],
    how: direction.Form,
    cues: direction.Cues,
    audio: Annotated[
        fastapi.UploadFile | None, fastapi.File(description="a recording, or a video's audio")
    ] = None,
    text: Annotated[
        str | None, fastapi.Form(description="instead of audio: what is said, in English")
    ] = None,
    transcript: Annotated[
        str | None, fastapi.Form(description="what the audio says, in English: lips follow it better")
    ] = None,
    all_faces: Annotated[bool, fastapi.Form(description="of a full picture: they say the same")] = False,
) -> VideoState:
    """Queue a video; 429 where too many wait."""
    upload.check_consent(consent)
    jobs.check_room()
    inputs.check_size(how.size)
    if all_faces and (how.framing == "head" or how.face is not None):
        raise errors.UserError("all_faces needs framing full, and no face that is picked")
    if (audio is None) == (not text) or (text and transcript):
        raise errors.UserError("give a recording as `audio`, or what is to be said as `text`")
    folder, limits, voice = jobs.new_folder(), request.app.state.settings.limits, request.app.state.voice
    with upload.removed_on_failure(folder):
        heard = folder / "audio.wav"
        files: dict[str, Any] = {
            "image": str(await upload.portrait(image, folder, limits, keep=True)),
            "original": str(folder / upload.ORIGINAL),
            "audio": str(heard),
        }
        if audio is not None:
            await _decode_audio(folder, audio, heard, limits)
            files["original_audio"] = str(folder / upload.SOUND)
        else:
            files["phonemes"] = await voice.write(text, heard)
        told = files | how.options() | {"transcript": transcript or None, "consent": consent}
        told |= {"direction": cues} | ({"face": options.ALL} if all_faces else {})
        job = jobs.submit(folder, told, consent)
    return _state(job, jobs)


async def _decode_audio(
    folder: pathlib.Path, audio: fastapi.UploadFile, heard: pathlib.Path, limits: Limits
) -> None:
    """Write a recording under a name of our own, which the video's credentials tell of, and decode it."""
    given = folder / upload.SOUND
    await upload.save(audio, given, limits.audio, "audio")
    decoded = await safe_decode.audio(given, heard, limits)
    if not decoded.seconds:
        raise errors.UserError("the audio is empty; give a recording with speech in it")


@router.get("/{name}")
async def get_video(job: Job, jobs: Jobs) -> VideoState:
    """How far a video is."""
    return _state(job, jobs)


@router.head("/{name}/content", include_in_schema=False)
@router.get("/{name}/content", response_class=responses.FileResponse)
async def get_content(job: Job) -> responses.FileResponse:
    """The finished video (mp4); 409 while it is not ready."""
    if job.state != "done":
        raise fastapi.HTTPException(409, job.error or f"the video is not ready, it is {job.state}")
    return responses.FileResponse(job.video, media_type="video/mp4", filename="talk.mp4")


@router.delete("/{name}", status_code=204)
async def delete_video(job: Job, jobs: Jobs) -> None:
    """Stop and remove a video, and all that was given for it."""
    await jobs.delete(job)


def _state(job: QueuedVideo, jobs: VideoJobs) -> VideoState:
    done, total = job.progress
    ready = job.state == "done"
    return VideoState(
        id=job.id,
        state=job.state,
        queue_position=jobs.place(job),
        frames_done=done,
        frames=total,
        seconds=job.seconds,
        notes=job.notes,
        error=job.error,
        consent=job.consent,
        created=job.created,
        expires=None if job.finished is None else job.finished + jobs.keep_seconds,
        content=f"/v1/videos/{job.id}/content" if ready else None,
    )
