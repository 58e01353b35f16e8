"""Planned frames: the same whatever the pieces of audio, a reply's every sample, nothing of a dropped one."""

import tracemalloc

import numpy as np
import pytest

from avct_jax import demo, errors
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import mesh_features, pcm, streaming_features
from avct_jax.inference import mesh_inference
from avct_jax.live import demeanour, ears
from avct_jax.live import frame_planner as session_module
from avct_jax.live.reply import Reply
from scripts import train_hama_windows
from tests.live import live_parts


@pytest.fixture(scope="module")
def voice():
    """1.6 s at 24 kHz."""
    with demo.sentence() as path:
        wav = soundtrack.listen(path, sample_rate=24000).samples
    return np.round(wav[7200:45600] * 32767).astype(np.int16)


@pytest.fixture
def no_pitch(monkeypatch):
    """Speed: WORLD takes most of the time of these tests."""
    monkeypatch.setattr(streaming_features, "pitch", lambda audio: np.zeros(4))


def spoken(session, most=10**6):
    """Take what can be planned."""
    taken = []
    while len(taken) < most and (session.planned or session.plan_speech()):
        taken.append(session.take())
    return taken


def at_once(voice, rate=24000, **options):
    session = live_parts.new_session(true=True)
    session.push(voice, rate, **options)
    session.flush()
    return spoken(session)


def test_any_pieces_give_the_same_frames_and_the_exact_sound(voice):
    whole = at_once(voice)
    resampler = pcm.Resampler()
    expected = np.append(resampler.push(voice, 24000), resampler.finish())
    assert len(whole) == -(-len(expected) // 640)
    np.testing.assert_array_equal(np.concatenate([p.audio for p in whole])[: len(expected)], expected)
    rng, session, found = np.random.default_rng(0), live_parts.new_session(true=True), []
    done = 0
    while done < len(voice):
        piece = voice[done : done + rng.integers(1, 4000)]
        forms = (piece, piece.astype("<i2").tobytes(), (piece / 32768).astype(np.float32))
        session.push(forms[rng.integers(3)], 24000)
        done += len(piece)
        found += spoken(session, rng.integers(8))
    session.flush()
    found += spoken(session)
    for name in whole[0].controls._fields:
        rows = [np.stack([getattr(p.controls, name) for p in plans]) for plans in (whole, found)]
        np.testing.assert_array_equal(*rows, err_msg=name)
    np.testing.assert_array_equal(*[np.stack([p.audio for p in plans]) for plans in (whole, found)])
    assert np.ptp([p.controls.speech for p in whole], axis=0).max() > 0.1


def test_16_khz_is_handed_on_as_it_is_and_a_rate_may_change(voice):
    session = live_parts.new_session()
    session.push(voice[:1000], 16000)
    session.push(voice[1000:2500], 48000)
    session.push(voice[2500:4000], 16000)
    session.flush()
    sound = np.concatenate([p.audio for p in spoken(session)])
    np.testing.assert_array_equal(sound[:1000], voice[:1000])
    np.testing.assert_array_equal(sound[1500:3000], voice[2500:4000])
    assert not sound[3000:].any()


def test_speech_ends_once_a_reply_on_its_last_frame(no_pitch, voice):
    session = live_parts.new_session()
    for count in (1, 640, 641, 6400, 0):
        session.push(voice[:count], 16000)
        assert session.flush() and not session.flush()
    ends = [p.end_of_speech for p in spoken(session)]
    assert ends == [i in (0, 1, 3, 13, 14) for i in range(15)]
    assert not session.speaking and spoken(session) == []


def test_sound_is_waited_for_and_no_longer_than_said(no_pitch):
    session = live_parts.new_session()
    needed = 640 * (session.chunk + ears.AHEAD + 2)
    session.push(np.zeros(needed - 1, np.int16), 16000)
    assert not session.plan_speech()
    session.push(np.zeros(1, np.int16), 16000)
    assert len(spoken(session)) == session.chunk


def test_mouth_shuts_in_three_frames_and_the_head_goes_on(voice):
    whole = [p.controls for p in at_once(voice)]
    session = live_parts.new_session(true=True)
    session.push(voice, 24000)
    before = [p.controls for p in spoken(session, 15)]
    while session.plan_speech():
        pass
    session.interrupt()
    session.plan_idle(25)
    after = [session.take().controls for _ in range(25)]
    opening = np.asarray(mesh_inference.opening(live_parts.variables()))
    shown = np.abs([c.speech @ opening for c in (before[-1], *after)])
    assert shown[0] > 0.02 and shown[1] < shown[0] and not shown[3:].any()
    turns = lambda rows: np.stack([np.append(c.rotation, c.shift) for c in rows])
    usual = np.abs(np.diff(turns(whole), axis=0)).max()
    assert np.abs(np.diff(turns(before + after), axis=0)).max() < 1.2 * usual


def test_mouth_comes_to_rest_after_a_reply_and_enters_the_next_gently(no_pitch, voice):
    session = live_parts.new_session()
    session.push(voice[:6400], 16000)
    session.flush()
    plans = spoken(session)
    session.plan_idle(6)
    session.push(voice[:6400], 16000)
    session.flush()
    plans += spoken(session)
    width = np.array([p.controls.speech[0] for p in plans])
    np.testing.assert_allclose(width[:4], [0.25, 0.5, 0.75, 1])
    assert (np.diff(width[9:15]) < 0).all() and width[14:16].tolist() == [0, 0]
    np.testing.assert_allclose(width[16:19], [0.25, 0.5, 0.75])


def test_idle_frames_live_and_do_not_fill_the_memory():
    session = live_parts.new_session()
    show = lambda count: [session.plan_idle(2) or (session.take(), session.take()) for _ in range(count)]
    controls = [p.controls for pair in show(200) for p in pair]
    assert np.std([c.rotation for c in controls], axis=0).max() > 0.005
    assert sum(c.blink[0] == 1 for c in controls) >= 3 and not any(c.speech.any() for c in controls)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        show(250)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 300_000


def test_mouth_eases_to_another_scale(no_pitch):
    session = live_parts.new_session()
    session.push(np.tile(np.int16([3000, -3000]), 32000), 16000)  # no pause
    before = [plan.controls.speech[0] for plan in spoken(session, 40)]
    assert before[-1] == 1
    session.adjust(session.scales.adjusted(mouth=0.5))
    assert session.scales == (1.0, 1.0, 0.5)
    after = np.array([plan.controls.speech[0] for plan in spoken(session, 40)])
    assert 0.5 < after[4] < 0.95 and after[12] < 0.55 and after[-1] == 0.5
    assert np.abs(np.diff([before[-1], *after])).max() < 0.3


def test_long_reply_is_forgotten_as_it_is_said(no_pitch):
    session = live_parts.new_session()
    for _ in range(12):
        session.push(np.zeros(16000, np.int16), 16000)
        spoken(session)
    reply = session._replies[0]
    assert sum(map(len, reply._pieces)) < 32000 and len(reply.heard.rows) < 80


def test_phonemes_that_are_told_are_heard_by_the_mouth(voice):
    told = at_once(voice, phonemes=[("AA1", 0.2, 0.5), ("m", 0.5, 0.6)])
    whole = at_once(voice)
    differ = [np.abs(a.controls.speech - b.controls.speech).max() for a, b in zip(told, whole, strict=True)]
    radius = live_parts.TINY.speech_motion.window_radius
    near = slice(5 - radius, 15 + radius)
    assert max(differ[near]) > 0.01 and differ[0] >= 0
    np.testing.assert_allclose(differ[15 + radius + 1 :], 0, atol=0.02)


def test_voice_is_remembered_from_reply_to_reply(voice):
    session = live_parts.new_session(true=True)
    for _ in range(2):
        session.push(voice, 24000)
        session.flush()
    plans = spoken(session)
    first, second = (
        np.stack([p.controls.speech for p in plans[i : i + 30]]) for i in (5, len(plans) // 2 + 5)
    )
    assert np.abs(first - second).max() > 0
    assert session._heard.stream.estimates.weight > 100


@pytest.mark.parametrize("ahead", [5, 8])
def test_hamas_network_hears_the_last_second_of_a_reply(monkeypatch, voice, ahead):
    heard = []
    hear = lambda wav: heard.append(np.asarray(wav)) or np.zeros((2 * len(wav) // 640 + 1, 56), np.float32)
    monkeypatch.setattr(ears, "_hama", lambda: hear)
    told = ears.choose("hama", live_parts.TINY, {}, 2, ahead)
    moves = live_parts.OpenMouth(live_parts.TINY, live_parts.variables(), told.chunk)
    session = session_module.FramePlanner(told, moves, demeanour.settings(1, stretches=live_parts.bank()))
    session.push(voice[:32000], 16000)
    session.flush()
    sound = np.concatenate([p.audio for p in spoken(session)]) / 32768
    window = (told.back + told.chunk + ahead + 2) * 640
    assert {len(wav) for wav in heard} == {window} and len(heard) == -(-len(sound) // 640 // told.chunk)
    expected = np.pad(sound, (told.back * 640, window))
    for i, wav in enumerate(heard):
        piece = expected[i * told.chunk * 640 :][:window]
        scale = np.abs(wav).max() / np.abs(piece).max()
        np.testing.assert_allclose(wav, scale * piece, atol=1e-4)
        assert np.abs(wav).max() <= 1 + 1e-5


def test_hamas_answers_are_those_of_their_frames(voice):
    """In the middle of a reply a window gives nearly what the whole recording gives."""
    told, reply = ears.choose("hama", live_parts.TINY, {}, 2), Reply(40)
    wav = voice[:32000] / np.abs(voice).max()
    reply.push(wav.astype(np.float32), 16000)
    reply.end()
    assert reply.receive(50)
    found = told.begin(reply, 25, 25 + 2 + told.ahead)()
    whole = mesh_features.posteriors(wav, 50)[25 - 5 : 25 + 2 + 5]
    assert found.shape == whole.shape == (12, 2, 56)
    agree = (found.argmax(-1) == whole.argmax(-1)).mean()
    moved = (found.argmax(-1)[1:] == whole.argmax(-1)[:-1]).mean()
    assert agree > 0.85 and agree > moved + 0.1


def test_hamas_network_was_trained_on_what_a_stream_gives_it(monkeypatch, voice):
    """Windows of scripts/train_hama_windows.py are those of HamaEars, from the first chunk to the last."""
    heard = []
    hear = lambda wav: heard.append(np.asarray(wav)) or np.zeros((2 * len(wav) // 640 + 1, 56), np.float32)
    monkeypatch.setattr(ears, "_hama", lambda: hear)
    told = ears.choose("hama", live_parts.TINY, {}, 2)
    fading = voice[:32000] * np.linspace(1, 0.1, 32000)  # the peak leaves the window
    pieces = np.clip(np.round(fading / np.abs(fading).max() * 20000), -32768, 32767).astype(np.int16)
    reply = Reply(told.back)
    reply.push(pieces, 16000)
    reply.end()
    frames = len(pieces) // 640
    zeros = lambda *shape: np.zeros((frames, *shape), np.float32)
    one = train_hama_windows.Recording(pieces / np.float32(32768), zeros(4, 41), zeros(2, 56))
    reach = train_hama_windows.Reach(live_parts.TINY.speech_motion.window_radius, told.back, told.ahead)
    for begin in range(0, frames, 2):
        assert reply.receive(begin + 2 + told.ahead)
        told.begin(reply, begin, begin + 2 + told.ahead)
        np.testing.assert_allclose(heard[-1], train_hama_windows.cut(one, begin, reach)[0], atol=1e-6)


def test_checkpoint_without_phoneme_network_is_refused():
    parts = {name: part for name, part in live_parts.variables().items() if name != "phoneme_net"}
    with pytest.raises(errors.UserError, match="no phoneme network"):
        ears.choose("network", live_parts.TINY, parts, 2)
    with pytest.raises(errors.UserError, match="recogniser is 'whisper'"):
        ears.choose("whisper", live_parts.TINY, parts, 2)
