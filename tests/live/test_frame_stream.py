"""Frames as asked, and by the clock: in order, with their audio, and never of what was dropped."""

import asyncio
import threading

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.direction import eased, expressions, gaze
from avct_jax.data.speech import streaming_features
from avct_jax.live import async_stream, demeanour, frame_planner, frame_stream
from tests.live import live_parts

SECOND = np.arange(1, 16001, dtype=np.int16)


@pytest.fixture(autouse=True)
def _no_pitch(monkeypatch):
    """Speed: WORLD takes most of the time of these tests."""
    monkeypatch.setattr(streaming_features, "pitch", lambda audio: np.zeros(4))


@pytest.fixture
def stream():
    with frame_stream.FrameStream(live_parts.new_session(), live_parts.draw) as made:
        yield made


def paced(draw=live_parts.draw, clock=None):
    clock = clock or live_parts.FakeClock()
    return frame_stream.FrameStream(live_parts.new_session(), draw, paced=True, clock=clock)


def take(stream, count):
    return [stream.next_frame() for _ in range(count)]


def sound(frames):
    return np.concatenate([f.audio for f in frames if f.audio is not None] or [np.zeros(0, np.int16)])


def test_frames_are_marked_by_their_numbers_whatever_was_dropped():
    seen = []

    def mark(frames, *, first):
        seen.append(first)
        return np.full_like(frames, first)

    with frame_stream.FrameStream(live_parts.new_session(), live_parts.draw, mark=mark) as stream:
        stream.push_audio(SECOND, 16000)
        frames = [next(iter(stream)) for _ in range(5)]
        stream.interrupt()
        frames += list(stream.idle(3))
    assert seen == [frame.index for frame in frames] and seen[:5] == [0, 1, 2, 3, 4]
    assert all((frame.image == frame.index).all() for frame in frames)


def test_frames_come_as_far_as_the_sound_goes(stream):
    assert list(stream) == []
    stream.push_audio(SECOND, 16000)
    first = list(stream)
    assert 15 <= len(first) < 25 and not any(f.end_of_speech for f in first)
    stream.push_audio(SECOND[:1], 16000, last_chunk=True)
    rest = list(stream)
    frames = first + rest
    assert [f.index for f in frames] == list(range(26)) and frames[-1].end_of_speech
    assert all(f.speaking and f.pts == pytest.approx(f.index / 25) for f in frames)
    np.testing.assert_array_equal(sound(frames)[:16001], np.append(SECOND, 1))


def test_idle_frames_are_given_as_asked(stream):
    frames = list(stream.idle(5))
    assert [(f.index, f.audio, f.speaking, f.end_of_speech) for f in frames] == [
        (i, None, False, False) for i in range(5)
    ]
    stream.push_audio(SECOND, 16000)
    with pytest.raises(errors.UserError, match="a reply is being said"):
        next(stream.idle(1))


def test_frames_speak_the_words_of_other_protocols(stream):
    stream.push_audio(SECOND, 16000)
    frame = next(iter(stream))
    assert frame.frame_index == frame.index == 0 and frame.has_image
    np.testing.assert_array_equal(frame.bgr_image, frame.image[..., ::-1])
    chunk = frame.audio_chunk
    assert chunk.bytes == frame.audio.astype("<i2").tobytes() and chunk.sample_rate == 16000
    assert chunk.duration == 0.04 and chunk.array is frame.audio
    stream.interrupt()
    assert next(stream.idle(1)).audio_chunk is None


def test_interruption_between_two_frames_drops_the_drawn_one(stream):
    stream.push_audio(SECOND, 16000)
    shown = []
    for frame in stream:
        shown.append(frame)
        if len(shown) == 3:  # in the middle of a chunk
            stream.interrupt()
    assert len(shown) == 3 and stream.flush() is False
    after = list(stream.idle(4))
    assert [f.index for f in after] == [3, 4, 5, 6]
    assert [f.image[0, 0, 0] > 0 for f in after] == [True, True, False, False]


@pytest.mark.parametrize(
    ("given", "rate", "message"),
    [
        (np.zeros((100, 2), np.int16), 16000, "one channel"),
        (np.array([0.0, np.nan], np.float32), 16000, "no numbers"),
        (np.zeros(10, np.int32), 16000, "int32"),
        (np.full(10, 3000.0), 16000, "divide it"),
        (b"abc", 16000, "two bytes"),
        ("hello", 16000, "audio of str"),
        (SECOND, 0, "sample rate is 0"),
        (SECOND, "24k", "sample rate is '24k'"),
        (SECOND, 16000.5, "sample rate is 16000.5"),
    ],
)
def test_bad_sound_is_refused_in_one_line_and_changes_nothing(stream, given, rate, message):
    with pytest.raises(errors.UserError, match=message) as caught:
        stream.push_audio(given, rate)
    assert "\n" not in str(caught.value)
    assert list(stream) == [] and stream.flush() is False


def test_scales_are_adjusted_while_it_runs(stream):
    stream.adjust(blink=0.0, mouth=2.0)
    stream.adjust(head_motion=0.5)
    assert stream.scales == (0.5, 0.0, 2.0)
    with pytest.raises(errors.UserError, match=r"mouth is 3\.0; it must be a number from 0 to 2, 1 is usual"):
        stream.adjust(head_motion=1.0, mouth=3.0)
    assert stream.scales == (0.5, 0.0, 2.0)
    assert not any(frame.image[0, 0, 2] for frame in stream.idle(300)), "no blink"
    stream.close()
    with pytest.raises(errors.UserError, match="closed"):
        stream.adjust(mouth=1.0)


def test_expression_and_gaze_ease_to_what_is_told_and_go_again():
    told = []
    face = eased.LiveFace(gaze.OwnEyes(0.0, np.array([0.1, 0.1])), np.zeros(3))
    settings = demeanour.settings(5, blink=0.0, head_motion=0.0, stretches=live_parts.bank())
    parts = live_parts.DeafEars(), live_parts.OpenMouth(live_parts.TINY, live_parts.variables(), 2)
    planner = frame_planner.FramePlanner(*parts, settings, face=face)

    def draw(controls):
        told.extend(controls)
        return live_parts.draw(controls)

    ready = []
    stream = frame_stream.FrameStream(planner, draw, ready_direction=lambda: ready.append(True))
    list(stream.idle(2))
    assert all(row.expression is None for row in told) and not ready
    with pytest.raises(errors.UserError, match="'smlie' is not known"):
        stream.adjust(expression={"smlie": 1})
    stream.adjust(expression={"smile": 0.5}, gaze=(20, 0), mouth=1.5)
    list(stream.idle(30))
    smiles = [np.abs(row.expression.offset[61]).max() for row in told[2:]]
    assert ready and 0 < smiles[0] < 0.3 * smiles[-1] and np.diff(smiles).min() >= -1e-7
    wanted = expressions.shown({"smile": np.full(1, 0.5)}, 1).offset()[0]
    np.testing.assert_allclose(told[-1].expression.offset, wanted, atol=1e-5)
    np.testing.assert_allclose(told[-1].gaze, [12 / 90 * np.sin(np.radians(20)), 0], atol=1e-4)
    stream.adjust(gaze="free")
    list(stream.idle(40))
    assert np.abs(told[-1].expression.offset).max() > 0.02 and abs(told[-1].gaze[0]) < 0.04
    stream.adjust(expression={})
    list(stream.idle(40))
    assert np.abs(told[-1].expression.offset).max() == 0 and stream.scales.mouth == 1.5


def test_closed_stream_takes_and_gives_nothing(stream):
    stream.push_audio(SECOND, 16000)
    stream.close()
    assert list(stream) == []
    for call in (lambda: stream.push_audio(SECOND, 16000), stream.flush, stream.interrupt):
        with pytest.raises(errors.UserError, match="closed"):
            call()


def test_paced_frames_come_on_time_and_go_on_while_nobody_speaks():
    clock = live_parts.FakeClock()
    with paced(clock=clock) as stream:
        times = [(clock.time, stream.next_frame().index)[0] for _ in range(3)]
        seen = [(stream.next_frame(), clock.time) for _ in range(20)]
        assert len(times) == 3
        due = [seen[0][1] + 0.04 * i for i in range(20)]
        np.testing.assert_allclose([t for _, t in seen], due, atol=1e-6)
        assert [f.index for f, _ in seen] == list(range(3, 23)) and not any(f.speaking for f, _ in seen)
        stream.push_audio(SECOND, 16000, last_chunk=True)
        frames = take(stream, 40)
    spoken = [f for f in frames if f.speaking]
    np.testing.assert_array_equal(sound(frames), SECOND)
    assert [f.end_of_speech for f in frames].count(True) == 1 and spoken[-1].end_of_speech
    assert spoken[0].index - 23 <= 4, "no more than two chunks of idle frames are drawn ahead"
    assert stream.latency.repeated == 0 and stream.latency.lateness.p99 < 1e-6


def test_slow_drawing_repeats_images_but_not_sound():
    clock = live_parts.FakeClock()

    def slow(controls):
        clock.take(0.25)
        return live_parts.draw(controls)

    with paced(slow, clock) as stream:
        stream.push_audio(SECOND, 16000, last_chunk=True)
        frames = take(stream, 40)
        clock.stop()
        np.testing.assert_array_equal(sound(frames), SECOND)
        assert [f.index for f in frames] == list(range(40))
        assert stream.latency.repeated > 10
        assert len({f.image.tobytes() for f in frames}) > 3, "the image goes on"


def test_who_waits_for_late_frames_does_not_poll():
    class Counted(live_parts.FakeClock):
        waits = 0

        def wait(self, condition, seconds):
            self.waits += seconds is not None
            super().wait(condition, seconds)

    clock = Counted()

    def slow(controls):
        clock.take(0.25)
        return live_parts.draw(controls)

    with paced(slow, clock) as stream:
        take(stream, 60)
        clock.stop()
    assert clock.waits <= 120, "twice a frame at most"


def test_no_image_is_drawn_that_would_come_too_late():
    """A chunk of 80 ms takes 100: a fifth of the images is missing, and no more."""
    clock = live_parts.FakeClock()

    def slow(controls):
        clock.take(0.1)
        return live_parts.draw(controls)

    with paced(slow, clock) as stream:
        stream.push_audio(np.tile(SECOND, 3), 16000, last_chunk=True)
        take(stream, 70)
        clock.stop()
        assert 0.1 < stream.latency.repeated / 70 < 0.35


def test_slow_drawing_delays_no_frame_while_nobody_speaks():
    clock = live_parts.FakeClock()

    def slow(controls):
        clock.take(0.3)
        return live_parts.draw(controls)

    with paced(slow, clock) as stream:
        stream.next_frame()
        began = clock.time
        frames = take(stream, 50)
        clock.stop()
    assert clock.time - began == pytest.approx(50 * 0.04, abs=0.35)
    assert len({f.image.tobytes() for f in frames}) > 3, "the image goes on"


def test_who_asks_late_is_waited_for():
    clock = live_parts.FakeClock()
    with paced(clock=clock) as stream:
        stream.push_audio(SECOND, 16000, last_chunk=True)
        take(stream, 10)
        clock.time += 5
        assert [f.index for f in take(stream, 5)] == list(range(10, 15))
        assert stream.latency.repeated == 0


def test_who_asks_a_little_late_catches_up():
    """Else audio would stay behind for good."""
    clock = live_parts.FakeClock()
    with paced(clock=clock) as stream:
        stream.push_audio(np.tile(SECOND, 2), 16000, last_chunk=True)
        seen = [(stream.next_frame(), clock.time) for _ in range(10)]
        clock.time += 0.3
        after = [(stream.next_frame(), clock.time) for _ in range(20)]
    assert [f.index for f, _ in seen + after] == list(range(30))
    np.testing.assert_allclose([t for _, t in after[10:]], seen[0][1] + 0.04 * np.arange(20, 30), atol=1e-6)
    late = [t - seen[0][1] - 0.04 * f.index for f, t in after]
    assert late[0] > 0.25 and late[0] > late[1] > late[2] > 0.15


def test_queue_is_bounded_and_sound_is_not_dropped():
    with paced() as stream:
        stream.push_audio(np.tile(SECOND, 4), 16000, last_chunk=True)
        take(stream, 1)
        sizes = set()
        for _ in range(30):
            stream.next_frame()
            with stream._changed:
                sizes.add(len(stream._planner.planned))
        assert max(sizes) <= 12
        frames = take(stream, 90)
    assert [f.end_of_speech for f in frames].count(True) == 1


def test_paced_interruption_is_heard_at_once():
    with paced() as stream:
        for reply in range(1, 20):
            stream.push_audio(np.full(16000, reply, np.int16), 16000)
            frames = take(stream, 4 + reply)
            assert set(sound(frames)) <= {reply}
            stream.interrupt()
            after = take(stream, 4)
            assert all(f.audio is None and not f.end_of_speech for f in after)
            assert not after[2].image[0, 0, 0], "shut"


def test_fault_of_the_drawer_is_the_callers():
    def broken(controls):
        raise RuntimeError("no memory")

    stream = paced(broken)
    with stream, pytest.raises(RuntimeError, match="no memory"):
        stream.next_frame()


def test_close_wakes_who_waits():
    hold = threading.Event()
    stream = paced(lambda controls: hold.wait(5) and live_parts.draw(controls))
    got = []
    reader = threading.Thread(target=lambda: got.extend(stream))
    reader.start()
    stream._closed = True
    hold.set()
    stream.close()
    reader.join(5)
    assert not reader.is_alive() and got == []


def test_async_stream_has_the_methods_of_an_avatar_runtime():
    async def talk():
        found = []
        async with async_stream.AsyncStream(paced()) as stream:
            await stream.push_audio(SECOND.tobytes(), 16000)
            await stream.flush()
            async for frame in stream.run():
                found.append(frame)
                if frame.end_of_speech:
                    break
            stream.interrupt()
            await stream.adjust(head_motion=0.0)
            assert stream.stream.scales.head_motion == 0
            async for frame in stream.run():
                found.append(frame)
                if len(found) > 45:
                    await stream.shutdown()
        return found

    found = asyncio.run(talk())
    np.testing.assert_array_equal(sound(found), SECOND)
    assert [f.index for f in found] == list(range(len(found))) and len(found) == 46
