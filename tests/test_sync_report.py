"""Numbers seen and clicks heard, paired."""

import numpy as np

from scripts.benchmarks import counter_stream, sync_report


def test_offsets_are_to_the_image_that_clicks():
    seen = [(number, 10 + number / 25) for number in range(400)]
    heard = [10 + number / 25 + 0.03 for number in range(0, 400, counter_stream.EVERY)]
    found = sync_report.offsets(seen, heard)
    assert len(found) == 13  # those of the first five seconds are left out
    np.testing.assert_allclose(found, 0.03, atol=1e-9)


def test_summary_is_of_distances_in_ms():
    found = sync_report.summary("way", [-0.05, 0.01, 0.01, 0.01])
    assert (found["mean"], found["least"], found["most"], found["max"]) == (-5.0, -50.0, 10.0, 50.0)
    assert found["p95"] == 44.0 and found["fits"]


def test_a_number_burnt_into_an_image_is_read():
    image = np.full((64, 64, 3), 90, np.uint8)
    assert counter_stream.read(counter_stream.burn(image, 40_961)) == 40_961


def test_a_click_begins_its_frame_and_no_other():
    assert counter_stream.click(None, 7) is None
    clicked = counter_stream.click(np.zeros(640, np.int16), 40)
    assert np.flatnonzero(np.abs(clicked) > 20_000)[0] == 1 and not clicked[80:].any()
