"""A stream that shows the whole picture."""

import cv2
import numpy as np
import pytest
import skimage.data

import avct_jax
from avct_jax import weights_file
from avct_jax.animator import factory
from avct_jax.live import portrait as live_portrait
from avct_jax.live import stream
from tests import portraits
from tests.live import live_parts


@pytest.fixture(scope="module")
def animator():
    return factory.make(weights_file.System(live_parts.TINY, live_parts.variables()))


def _green(variables, drawn, controls):
    """As mesh_inference.draw_fields, nothing moved."""
    count = len(controls.speech)
    along = np.linspace(-1, 1, 64, dtype=np.float32)
    rest = np.stack(np.meshgrid(along, along), -1)
    return np.full((count, 256, 256, 3), (0, 255, 0), np.uint8), np.stack([rest] * count)


def test_the_head_is_put_into_its_picture(animator, monkeypatch):
    asked = []
    monkeypatch.setattr(live_portrait, "_program", lambda config, **told: asked.append(told) or _green)
    picture = np.pad(skimage.data.astronaut(), ((0, 1), (0, 100), (0, 0)), constant_values=90)
    read = live_portrait.read_whole(animator, picture, 256)
    planner = live_parts.new_session()
    planner.plan_idle(3)
    controls = [plan.controls for plan in planner.planned]
    frames = live_portrait.Drawer(animator, read, 4)(controls)
    assert asked == [{"with_fields": True}] and frames.shape == (3, 512, 612, 3)
    green = (frames == (0, 255, 0)).all(-1).all(0)
    assert green[60:150, 200:260].all(), "the head"
    same = (frames == picture[:512]).all(-1).all(0)
    put = read.picture.inset
    outside = np.ones((512, 612), bool)
    outside[put.rows, put.columns] = False
    assert same[outside].all() and outside.mean() > 0.8
    inside = same[put.rows, put.columns]  # the square reaches the picture's upper edge
    assert inside[-1].all() and inside[:, [0, -1]].all(), "no seam"


def test_framing_says_how_an_image_is_read(animator):
    assert stream._read("full") is live_portrait.read_whole
    assert stream._read("head") is live_portrait.read
    with pytest.raises(avct_jax.UserError, match="the framing is 'wide'; choose of head, full"):
        avct_jax.Stream(skimage.data.astronaut(), animator=animator, framing="wide")


def test_a_large_picture_is_scaled_and_a_place_in_it_too(animator):
    picture = portraits.two_faces()
    height, width = picture.shape[:2]
    large = cv2.resize(picture, None, fx=3, fy=3)
    assert large.shape[0] * large.shape[1] > live_portrait.MOST_PIXELS
    for place, number in (((0.71, 0.45), 2), ((0.2, 0.47), 1)):
        at = (3 * width * place[0], 3 * height * place[1])
        read = live_portrait.read_whole(animator, large, 256, at)
        shown = read.picture.pixels.shape
        assert 0.98 < shown[0] * shown[1] / live_portrait.MOST_PIXELS <= 1
        assert read.notes[0] == f"the picture is scaled to {shown[1]}x{shown[0]} px, so that it keeps pace"
        assert any(f"number {number}" in note for note in read.notes)
