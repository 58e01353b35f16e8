"""`/metrics`: what a server does, as Prometheus reads it."""

from collections.abc import Iterator
from typing import Any

import prometheus_client
from prometheus_client import core, registry

from avct_jax.serve.streams.sessions import LiveSessions
from avct_jax.serve.videos.video_jobs import QueuedVideo, VideoJobs

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
QUANTILES = ("p50", "p95", "p99")


class ServerMetrics:
    """Counts what happens, and looks at what is, when asked."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        self._videos = prometheus_client.Counter(
            "avct_videos", "Videos that are over", ["state"], registry=self.registry
        )
        self._drawing = prometheus_client.Counter(
            "avct_video_seconds", "Seconds of finished videos", registry=self.registry
        )

    def watch(self, jobs: VideoJobs, sessions: LiveSessions, peers: Any) -> None:
        """Look at these from now on."""
        self.registry.register(_Live(jobs, sessions, peers))

    def saw(self, job: QueuedVideo) -> None:
        """Count a video that is over."""
        self._videos.labels(job.state).inc()
        self._drawing.inc(job.seconds)

    def text(self) -> bytes:
        """All of it."""
        return prometheus_client.generate_latest(self.registry)


class _Live(registry.Collector):
    def __init__(self, jobs: VideoJobs, sessions: LiveSessions, peers: Any):
        self._jobs, self._sessions, self._peers = jobs, sessions, peers

    def collect(self) -> Iterator[core.Metric]:
        """Read the present values."""
        gauge, counter = core.GaugeMetricFamily, core.CounterMetricFamily
        yield gauge("avct_videos_waiting", "Videos in the queue", self._jobs.waiting)
        yield gauge("avct_streams_open", "Live streams", self._sessions.count)
        yield gauge("avct_streams_opening", "Live streams that are being opened", self._sessions.opening)
        yield gauge("avct_peers", "Watchers by WebRTC", self._peers.count)
        yield gauge("avct_ready", "Whether streams are compiled", float(self._sessions.ready))
        yield counter("avct_streams", "Live streams opened", self._sessions.opened)
        yield counter("avct_frames_sent", "Frames handed over", self._sessions.total("sent"))
        yield counter("avct_frames_dropped", "Images that slow readers lost", self._sessions.total("dropped"))
        yield counter("avct_frames_repeated", "Images shown again", self._sessions.total("repeated"))
        for name, about in (("first_frame", "To a reply's first frame"), ("lateness", "Of frames")):
            family = gauge(f"avct_{name}_seconds", about, labels=["stream", "quantile"])
            for number, session in enumerate(self._sessions):
                row = getattr(session.stream.latency, name)
                for quantile in QUANTILES:
                    family.add_metric([str(number), quantile], getattr(row, quantile))
            yield family
