"""How well images and audio fit when `/whep` is watched by aiortc: both ends in one process, no browser.

  python -m scripts.benchmarks.webrtc_sync --clicks 60 --json sync.json     one minute
  python -m scripts.benchmarks.webrtc_sync --true                           a true face, two cores or more

Frames carry their number as pixels, every 20th a click (counter_stream.py). They are compared as they arrive,
decoded, and by RTP timestamps, which the sender's reports tie to one clock: by those players line them up.
"""

import argparse
import asyncio
import time
from typing import Any

import aiortc
import httpx2
import numpy as np
from aiortc import mediastreams, rtp

from avct_jax.serve.settings import ServerSettings
from scripts.benchmarks import browser_sync, counter_stream, sync_report

CLOCKS = {"audio": 48_000, "video": 90_000}  # ticks a second
LOUD = 8000  # of int16: so loud is only a click
NTP = 1 << 32  # parts of a second in its time stamps


class Reports:
    """RTP timestamps of both kinds, tied to the sender's clock by its reports."""

    def __init__(self, peer: aiortc.RTCPeerConnection):
        """Listen to a connection's reports and packets."""
        self.ties: dict[str, list[tuple[int, float]]] = {"audio": [], "video": []}
        self.first: dict[str, int] = {}
        for transceiver in peer.getTransceivers():
            self._tap(transceiver.receiver, transceiver.kind)

    def _tap(self, receiver: Any, kind: str) -> None:
        take_report, take_packet = receiver._handle_rtcp_packet, receiver._handle_rtp_packet

        async def tap_report(packet: Any) -> None:
            if isinstance(packet, rtp.RtcpSrPacket):
                info = packet.sender_info
                self.ties[kind].append((info.rtp_timestamp, info.ntp_timestamp / NTP))
            await take_report(packet)

        async def tap_packet(packet: Any, arrival_time_ms: int) -> None:
            self.first.setdefault(kind, packet.timestamp)
            await take_packet(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtcp_packet, receiver._handle_rtp_packet = tap_report, tap_packet

    def time(self, kind: str, pts: float) -> float:
        """The sender's time of a timestamp that counts from the first packet's, by all reports together."""
        since = [
            ntp - ((stamp - self.first[kind] + (1 << 31)) % NTP - (1 << 31)) / CLOCKS[kind]
            for stamp, ntp in self.ties[kind]
        ]
        return pts / CLOCKS[kind] + float(np.median(since))


async def watch(address: str, clicks: int) -> list[dict[str, Any]]:
    """Watch a stream; a row for each way to compare."""
    peer = aiortc.RTCPeerConnection()
    receivers = [peer.addTransceiver(kind, direction="recvonly").receiver for kind in ("video", "audio")]
    reports = Reports(peer)
    async with httpx2.AsyncClient(base_url=address, timeout=300) as client:
        portrait = browser_sync.portrait()
        files = {"image": (portrait["name"], portrait["buffer"])}
        opened = (await client.post("/v1/sessions", files=files, data={"consent": "public domain"})).json()
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"content-type": "application/sdp"}
        answer = await client.post(
            f"/whep/{opened['id']}", content=peer.localDescription.sdp, headers=headers
        )
        await peer.setRemoteDescription(aiortc.RTCSessionDescription(answer.text, "answer"))
        heard: list[tuple[float, float]] = []
        seeing = asyncio.create_task(see(receivers[0].track))
        wanted = clicks + round(sync_report.SETTLED / browser_sync.CLICK) + 2
        await asyncio.wait_for(hear(receivers[1].track, heard, wanted), 2 * wanted * browser_sync.CLICK + 20)
        seen = await stop(seeing, peer)
        await client.delete(f"/v1/sessions/{opened['id']}")
    arrived = sync_report.offsets([(n, at) for n, at, _ in seen], [at for at, _ in heard])
    stamped = sync_report.offsets(
        [(n, reports.time("video", pts)) for n, _, pts in seen],
        [reports.time("audio", pts) for _, pts in heard],
    )
    rows = (("as they arrive", arrived), ("by RTP timestamps and reports", stamped))
    return [sync_report.summary(f"aiortc, {name}", row) for name, row in rows]


async def see(track: Any) -> list[tuple[int, float, float]]:
    """Numbers of frames, when they arrived, and their timestamps, until there are no more."""
    seen: list[tuple[int, float, float]] = []
    while True:
        try:
            frame = await track.recv()
        except mediastreams.MediaStreamError:
            return seen
        seen.append((counter_stream.read(frame.to_ndarray(format="rgb24")), time.monotonic(), frame.pts))


async def hear(track: Any, heard: list[tuple[float, float]], clicks: int) -> None:
    """Note when clicks arrive, and their timestamps."""
    last = -1.0
    while len(heard) < clicks:
        frame = await track.recv()
        samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        seconds = frame.pts / CLOCKS["audio"]
        if len(loud) and seconds - last > browser_sync.CLICK / 2:
            last = seconds
            heard.append((time.monotonic() + loud[0] / frame.sample_rate, frame.pts + float(loud[0])))


async def stop(seeing: asyncio.Task, peer: aiortc.RTCPeerConnection) -> list[tuple[int, float, float]]:
    """Hang up; what was seen."""
    await peer.close()
    return await asyncio.wait_for(seeing, 10)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--true", action="store_true", help="a true face")
    parser.add_argument("--json", help="file for the figures")
    chosen = parser.parse_args()
    opens = browser_sync.open_true if chosen.true else browser_sync.open_counter
    with counter_stream.serving(ServerSettings(port=0), opens) as address:
        rows = asyncio.run(watch(address, chosen.clicks))
    sync_report.tell(rows, chosen.json)


if __name__ == "__main__":
    main()
