"""The visible badge."""

import numpy as np
import pytest

from avct_jax.marks import badge


@pytest.mark.parametrize("size", [(256, 256), (720, 1280)])
@pytest.mark.parametrize("level", [0, 255])
def test_a_badge_is_seen_in_its_corner_on_any_picture(size, level):
    frames = np.full((2, *size, 3), level, np.uint8)
    shown = badge.draw(frames)
    changed = np.argwhere((shown != frames).any((0, 3)))
    top, left = changed.min(0)
    bottom, right = changed.max(0)
    height = max(badge.LEAST, round(badge.HEIGHT * min(size)))
    assert right < size[1] and right > 0.95 * size[1] and left > 0.8 * size[1] and top > 0
    if level:  # of the black, and the white letters on it
        assert abs(bottom - top + 1 - height) <= 2
        inside = shown[0, top : bottom + 1, left : right + 1, 0]
        assert inside.min() < 60 and inside.max() > 200
    else:
        assert shown.max() > 200
    np.testing.assert_array_equal(frames, level)
