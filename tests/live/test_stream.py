"""The stream of a portrait with the true drawer, and what it refuses."""

import numpy as np
import pytest
import skimage.data

import avct_jax
from avct_jax import errors, weights_file
from avct_jax.animator import factory
from avct_jax.live import portrait as live_portrait
from avct_jax.live import stream
from avct_jax.marks import badge, watermark
from tests import portraits
from tests.live import live_parts
from tests.marks import marked_film


@pytest.fixture(scope="module")
def animator():
    return factory.make(weights_file.System(live_parts.TINY, live_parts.variables()))


@pytest.mark.parametrize("given, line", [(4, "choose from 5 to 12"), (13, "choose from 5 to 12")])
def test_a_lookahead_out_of_range_is_told(animator, given, line):
    with pytest.raises(avct_jax.UserError, match=line):
        avct_jax.Stream(skimage.data.astronaut(), animator=animator, lookahead=given)


def test_portrait_speaks_and_compiles_nothing_meanwhile(animator):
    with avct_jax.Stream(skimage.data.astronaut(), animator=animator, paced=False, seed=1) as stream:
        assert stream.size == (256, 256) and sum(stream.latency.algorithmic.values()) <= 0.45
        planner = stream._planner
        parts = [planner._ears._hear.func, planner._mouth._predict.func, stream._draw._draw.func]
        compiled = [part._cache_size() for part in parts]
        assert min(compiled) > 0, "compiled before the first sound"
        (rest,) = stream.idle(1)
        rng = np.random.default_rng(0)
        stream.push_audio(rng.normal(0, 0.1, 7200).astype(np.float32), 24000, last_chunk=True)
        frames = list(stream)
        with avct_jax.Stream(skimage.data.astronaut()[:, ::-1], animator=animator, paced=False) as other:
            assert len(list(other.idle(1))) == 1
        assert [part._cache_size() for part in parts] == compiled, "nor does another stream of the animator"
    assert len(frames) == 8 and frames[-1].end_of_speech
    assert rest.image.shape == (256, 256, 3) and rest.image.dtype == np.uint8
    moved = np.abs(frames[5].image.astype(int) - rest.image).mean()
    assert 0.5 < moved < 40, "the same face, moved"
    assert "by design 80 chunk, 80 features, 200 mouth" in repr(stream.latency)
    with pytest.raises(errors.UserError, match="the stream is closed"), stream:
        pass
    assert stream.latency.first_frame.p50 > 0 and stream.latency.frame.p95 > 0


def test_streams_are_marked_unless_they_are_not_to_be():
    frames = marked_film.frames(3, (64, 64))
    assert stream._marks(False, False) is None
    plain = watermark.usual()(frames, first=7)
    np.testing.assert_array_equal(stream._marks(True, False)(frames, first=7), plain)
    np.testing.assert_array_equal(stream._marks(False, True)(frames, first=7), badge.draw(frames))
    both = stream._marks(True, True)(frames, first=7)
    np.testing.assert_array_equal(both, watermark.usual()(badge.draw(frames), first=7))


def test_checkpoint_of_learned_keypoints_is_refused(tiny_checkpoint):
    with pytest.raises(errors.UserError, match="mesh family") as caught:
        avct_jax.Stream(skimage.data.astronaut(), checkpoint=tiny_checkpoint)
    assert "\n" not in str(caught.value)


def test_one_source_of_networks_is_enough(animator):
    with pytest.raises(errors.UserError, match="leave one of them out"):
        avct_jax.Stream(skimage.data.astronaut(), checkpoint="no.safetensors", animator=animator)


def test_a_face_of_several_is_picked(animator):
    with pytest.raises(errors.UserError, match="face 3 is not in the image, which has 2 faces"):
        avct_jax.Stream(portraits.two_faces(), animator=animator, face=3)
    read = [live_portrait.read(animator, portraits.two_faces(), 256, face) for face in (None, 1, 2)]
    assert read[0].seed == read[2].seed != read[1].seed, "the image decides"
    assert read[1].notes[0] == "2 faces in the image: animating number 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, "size 100 px"),
        ({"chunk": 0}, "the chunk is 0"),
        ({"chunk": 40}, "the chunk is 40"),
        ({"queue": 3}, "the queue is 3"),
        ({"seed": -1}, "the seed is -1"),
        ({"face": 0}, "the face is 0"),
        ({"mouth": 2.5}, "mouth is 2.5"),
        ({"still": True, "head_motion": 2.0}, "still is given and a head_motion of 2"),
    ],
)
def test_options_are_refused_before_the_work(options, message):
    with pytest.raises(errors.UserError, match=message):
        avct_jax.Stream(np.zeros((10, 10, 3), np.uint8), **options)


def test_expression_and_gaze_are_drawn_once_they_are_told(animator):
    with avct_jax.Stream(
        skimage.data.astronaut(), animator=animator, paced=False, seed=1, still=True, blink=0.0
    ) as stream:
        (rest,) = stream.idle(1)
        stream.adjust(expression="smile=1", gaze=(20, 0))
        *_, smiling = stream.idle(30)
        changed = np.abs(smiling.image.astype(int) - rest.image).max(-1)
    assert (changed > 30).sum() > 100, "lips and eyes"
    assert np.quantile(changed[:60], 0.99) < 12, "not the hair"
