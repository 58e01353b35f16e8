"""The avatar of a LiveKit agent: every sample once with its image, segments end once, cleared ones never."""

import asyncio
import pathlib
import types as standard_types

import numpy as np
import pytest
import skimage.data

pytest.importorskip("livekit.agents", reason="needs the extra livekit: make test-agents")

from livekit import rtc
from livekit.agents import AgentSession, types, utils
from livekit.agents.voice import avatar

from avct_jax import weights_file
from avct_jax.agents import livekit_avatar
from avct_jax.animator import factory
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import pcm
from avct_jax.live import async_stream
from tests.agents import agent_parts
from tests.live import live_parts

VOICES = pathlib.Path(__file__).parent.parent / "voices"
pytestmark = pytest.mark.usefixtures("no_pitch")


def audio(samples, rate=16000, channels=1, words=()):
    told = {types.USERDATA_TIMED_TRANSCRIPT: list(words)}
    return rtc.AudioFrame(samples.tobytes(), rate, channels, len(samples) // channels, userdata=told)


def pieces(samples, count=3000, **options):
    return [audio(samples[i : i + count], **options) for i in range(0, len(samples), count)]


async def collect(generator, ends, most=10**6):
    """Take what comes until so many segments have ended."""
    found = []
    async for item in generator:
        found.append(item)
        ends -= isinstance(item, avatar.AudioSegmentEnd)
        if not ends or len(found) >= most:
            return found


def of(found, kind):
    return [item for item in found if isinstance(item, kind)]


def heard(found):
    return agent_parts.joined([bytes(item.data) for item in of(found, rtc.AudioFrame)])


def talk(pushed, ends, stream=None):
    """Push all at once, and take until so many segments have ended."""

    async def run():
        made = stream or agent_parts.KeepingStream()
        generator = livekit_avatar.Generator(made)
        for item in pushed:
            await generator.push_audio(item)
        found = await collect(generator, ends)
        found += await collect(generator, 0, 20)
        await made.shutdown()
        return found

    return asyncio.run(run())


def test_every_sample_comes_once_with_its_image_and_then_the_end():
    stream = agent_parts.KeepingStream()
    found = talk([*pieces(agent_parts.ramp(20001)), avatar.AudioSegmentEnd()], 1, stream)
    sound = heard(found)
    np.testing.assert_array_equal(sound[:20001], agent_parts.ramp(20001))
    assert len(sound) == 32 * 640 and not sound[20001:].any()
    images = [bytes(item.data) for item in of(found, rtc.VideoFrame)]
    assert images == [f.image.tobytes() for f in stream.frames][: len(images)]
    before = {f.audio.tobytes(): f.image.tobytes() for f in stream.frames if f.speaking}
    kinds = [type(item) for item in found]
    for i, item in enumerate(found):
        if isinstance(item, rtc.AudioFrame):
            assert bytes(found[i - 1].data) == before[bytes(item.data)]
            assert (item.sample_rate, item.num_channels, item.samples_per_channel) == (16000, 1, 640)
    end = kinds.index(avatar.AudioSegmentEnd)
    assert kinds.count(avatar.AudioSegmentEnd) == 1 and kinds[end - 1] is rtc.AudioFrame
    assert set(kinds[end + 1 :]) == {rtc.VideoFrame}, "idle images go on"


def test_24_khz_stereo_becomes_16_khz_mono():
    left = np.round(9000 * np.sin(np.arange(24000) / 20)).astype(np.int16)
    stereo = np.stack([left, left // 2], 1).reshape(-1)
    found = talk([*pieces(stereo, 960, rate=24000, channels=2), avatar.AudioSegmentEnd()], 1)
    resampler = pcm.Resampler()
    mono = np.round((left.astype(float) + left // 2) / 2).astype(np.int16)
    expected = np.append(resampler.push(mono, 24000), resampler.finish())
    np.testing.assert_array_equal(heard(found)[: len(expected)], expected)


def test_segments_without_audio_end_once_too():
    end = avatar.AudioSegmentEnd
    found = talk(
        [end(), *pieces(agent_parts.ramp(700)), end(), audio(np.zeros(0, np.int16)), end(), end()], 4
    )
    kinds = [type(item) for item in found if not isinstance(item, rtc.VideoFrame)]
    assert kinds == [end, rtc.AudioFrame, rtc.AudioFrame, end, end, end]


@pytest.mark.parametrize("ended", [False, True])
def test_cleared_segment_is_not_heard_and_does_not_end(ended):
    async def run():
        stream = agent_parts.KeepingStream()
        generator = livekit_avatar.Generator(stream)
        for item in pieces(np.full(16000 * 4, 1, np.int16)):
            await generator.push_audio(item)
        if ended:
            await generator.push_audio(avatar.AudioSegmentEnd())
        first = await collect(generator, 1, 60)
        generator.clear_buffer()
        if not ended:
            await generator.push_audio(avatar.AudioSegmentEnd())  # the end of what was cleared, late
        second = await collect(generator, 1, 20)
        for item in [*pieces(np.full(9600, 2, np.int16)), avatar.AudioSegmentEnd()]:
            await generator.push_audio(item)
        third = await collect(generator, 1)
        await generator.push_audio(avatar.AudioSegmentEnd())
        fourth = await collect(generator, 1)
        await stream.shutdown()
        return first, second, third, fourth, stream

    first, second, third, fourth, stream = asyncio.run(run())
    assert set(heard(first)) == {1} and not of(first, avatar.AudioSegmentEnd)
    assert {type(item) for item in second} == {rtc.VideoFrame}
    np.testing.assert_array_equal(heard(third), np.full(9600, 2))
    assert len(of(third, avatar.AudioSegmentEnd)) == len(of(fourth, avatar.AudioSegmentEnd)) == 1
    assert not of(fourth, rtc.AudioFrame) and stream.ended


def test_clearing_between_an_image_and_its_audio_drops_both_audio_and_end():
    async def run():
        stream = agent_parts.KeepingStream()
        generator = livekit_avatar.Generator(stream)
        await generator.push_audio(audio(agent_parts.ramp(300)))
        await generator.push_audio(avatar.AudioSegmentEnd())
        found = []
        async for item in generator:
            found.append(item)
            if stream.frames[-1].speaking and len(found) == len(stream.frames):
                generator.clear_buffer()
            if len(found) == 30:
                break
        await stream.shutdown()
        return found

    assert {type(item) for item in asyncio.run(run())} == {rtc.VideoFrame}


def test_audio_on_its_way_is_cleared_too():
    async def run():
        stream = agent_parts.KeepingStream()
        generator = livekit_avatar.Generator(stream)
        late = asyncio.create_task(generator.push_audio(audio(agent_parts.ramp(9000))))
        await asyncio.sleep(0)
        generator.clear_buffer()
        await late
        speaking = stream.stream._planner.speaking
        await stream.shutdown()
        return speaking

    assert asyncio.run(run()) is False


def test_words_with_times_become_phonemes():
    words = [
        types.TimedString("boat ", 0.3, 0.6),
        types.TimedString("a whole sentence", 0.6),
        types.TimedString("call", 0.7),
    ]
    stream = agent_parts.KeepingStream()
    given = [audio(agent_parts.ramp(9000), words=words), avatar.AudioSegmentEnd()]
    given += [audio(agent_parts.ramp(9000), words=["boat"]), avatar.AudioSegmentEnd()]
    talk(given, 2, stream)
    assert [row.symbol for row in stream.pushed[0]] == ["B", "OW", "T"]
    assert [row.start for row in stream.pushed[0]] == pytest.approx([0.3, 0.4, 0.5])
    assert stream.pushed[1][0][:2] == ("K", 0.7)
    assert stream.pushed[2] == stream.pushed[3] == []


def test_fault_of_the_drawer_is_the_readers():
    with pytest.raises(RuntimeError, match="no memory"):
        talk([audio(agent_parts.ramp(900))], 1, agent_parts.KeepingStream(agent_parts.broken))


class FakeRoom(rtc.EventEmitter):
    """A room to publish in.

    Attributes:
      published: names of tracks.
    """

    def __init__(self):
        """Be connected."""
        super().__init__()
        self.published, self.name, self.remote_participants = [], "room", {}
        self.local_participant = standard_types.SimpleNamespace(
            identity="agent", publish_track=self.publish, track_publications={}
        )

    def isconnected(self):
        """It is."""
        return True

    async def publish(self, track, options):
        """Take a track that everybody hears."""
        self.published.append(track.name)

        async def heard():
            pass

        return standard_types.SimpleNamespace(wait_for_subscription=heard)


async def start(stream, monkeypatch):
    async def joined(**_):
        pass

    for name in ("wait_for_participant", "wait_for_track_publication"):
        monkeypatch.setattr(utils, name, joined)
    session, room = AgentSession(), FakeRoom()
    face = livekit_avatar.AvatarSession(stream=stream)
    await face.start(session, room)
    assert face.avatar_identity == "agent" and face.provider == "avct"
    return session, room, face


def new_stream():
    draw = lambda controls: np.zeros((len(controls), 16, 16, 3), np.uint8)
    stream = agent_parts.KeepingStream(draw)
    stream.stream.size = (16, 16)
    return stream


def test_session_plays_segments_and_tells_how_they_ended(monkeypatch):
    async def run():
        stream = new_stream()
        session, room, face = await start(stream, monkeypatch)
        output, told = session.output.audio, []
        output.on("playback_started", lambda event: told.append("started"))
        output.on(
            "playback_finished", lambda event: told.append((event.interrupted, event.playback_position))
        )
        for item in pieces(agent_parts.ramp(9600)):
            await output.capture_frame(item)
        output.flush()
        await output.wait_for_playout()
        for item in pieces(agent_parts.ramp(16000 * 20), 16000):
            await output.capture_frame(item)
        output.flush()
        while told.count("started") < 2:
            await asyncio.sleep(0.01)
        output.clear_buffer()
        await output.wait_for_playout()
        for item in pieces(agent_parts.ramp(640)):
            await output.capture_frame(item)
        output.flush()
        await output.wait_for_playout()
        await face.aclose()
        await face.aclose()
        running = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
        assert not {name for name in running if name.startswith("AvatarRunner")}
        return stream, room, told

    stream, room, told = asyncio.run(run())
    assert stream.ended and room.published == ["avatar_audio", "avatar_video"]
    (_, first, _, second, _, third) = told
    assert told[::2] == ["started"] * 3
    assert first == (False, pytest.approx(0.6)) and third == (False, pytest.approx(0.04))
    assert second[0] is True and 0 < second[1] < 20


def test_true_stream_says_a_voice():
    voice = soundtrack.listen(str(VOICES / "flite.flac"), sample_rate=24000).samples[: 24000 * 2]
    samples = np.round(voice * 32767).astype(np.int16)
    animator = factory.make(weights_file.System(live_parts.TINY, live_parts.variables()))

    async def run():
        stream = await async_stream.AsyncStream.create(skimage.data.astronaut(), animator=animator, seed=1)
        assert stream.size == (256, 256)
        generator = livekit_avatar.Generator(stream)
        for item in [*pieces(samples, 480, rate=24000), avatar.AudioSegmentEnd()]:
            await generator.push_audio(item)
        found = await collect(generator, 1)
        await stream.shutdown()
        return found

    found = asyncio.run(run())
    resampler = pcm.Resampler()
    expected = np.append(resampler.push(samples, 24000), resampler.finish())
    np.testing.assert_array_equal(heard(found)[: len(expected)], expected)
    assert {(item.width, item.height) for item in of(found, rtc.VideoFrame)} == {(256, 256)}


def test_example_talks_through_the_face(monkeypatch):
    from scripts.examples import livekit_avatar as example

    calls = []
    asked = lambda name, **_: lambda *args, **kwargs: calls.append((name, args, kwargs)) or asyncio.sleep(0)
    fake = lambda *names: standard_types.SimpleNamespace(**{name: asked(name) for name in names})
    session = fake("start", "generate_reply")
    monkeypatch.setattr(example.agents, "AgentSession", lambda **models: session)
    monkeypatch.setattr(example.livekit_avatar.AvatarSession, "start", asked("face"))
    asyncio.run(example.talk(standard_types.SimpleNamespace(room="room")))
    assert [name for name, *_ in calls] == ["face", "start", "generate_reply"]
    assert calls[0][1][1:] == (session,) and calls[0][2] == {"room": "room"}
