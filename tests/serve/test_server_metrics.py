"""Figures for Prometheus."""

import re

from tests.serve import serve_parts
from tests.serve.test_stream_socket import ENDED, take


def figures(client):
    """Names, labels and values."""
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    rows = re.findall(r"(?m)^([a-z_]+(?:\{.*\})?) (\S+)$", found.text)
    return {name: float(value) for name, value in rows}


def test_what_is_done_is_counted(tmp_path):
    with serve_parts.new_client(tmp_path) as client:
        before = figures(client)
        assert (
            before["avct_streams_open"]
            == before["avct_frames_sent_total"]
            == before["avct_videos_waiting"]
            == 0
        )
        for transcript in ("", "refuse"):
            name = serve_parts.post_video(client, transcript=transcript).json()["id"]
            state = lambda name=name: client.get(f"/v1/videos/{name}").json()["state"]
            serve_parts.wait_until(lambda state=state: state() in ("done", "failed"))
        with serve_parts.connect(client) as socket:
            serve_parts.start(socket)
            socket.send_bytes(serve_parts.samples(0.4).tobytes())
            socket.send_text('{"type": "flush"}')
            take(socket, ENDED)
            during = figures(client)
        assert during['avct_videos_total{state="done"}'] == during['avct_videos_total{state="failed"}'] == 1
        assert during["avct_video_seconds_total"] == 0.16
        assert during["avct_streams_open"] == 1 and during["avct_frames_sent_total"] >= 10
        assert 0 < during['avct_first_frame_seconds{quantile="p50",stream="0"}'] < 60
        serve_parts.wait_until(lambda: figures(client)["avct_streams_open"] == 0)
        after = figures(client)
        assert (
            after["avct_streams_total"] == 1
            and after["avct_frames_sent_total"] >= during["avct_frames_sent_total"]
        )
        assert after["process_resident_memory_bytes"] > 0
