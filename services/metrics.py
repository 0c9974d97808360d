"""Prometheus metrics of one process: requests by route, their time, jobs by state. One registry per app."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fo1_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "fo1_http_request_seconds",
            "Time to the first byte of the answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.jobs = Gauge("fo1_jobs", "Jobs by state.", ["state"], registry=self.registry)
        self.key_failures = Counter("fo1_key_failures", "Wrong keys presented.", registry=self.registry)
        self.connections = Gauge("fo1_connections", "Connections open.", registry=self.registry)
        self.streams = Gauge("fo1_event_streams", "Streams of events open.", registry=self.registry)
        self.datasets = Gauge("fo1_datasets", "Datasets registered.", registry=self.registry)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class RequestMetrics:
    """Counts and times every request by the route it matched, never by its raw path."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(scope["method"], route, message["status"]).inc()
                seconds = time.perf_counter() - started_s
                self._metrics.seconds.labels(scope["method"], route).observe(seconds)
            await send(message)

        await self._app(scope, receive, send_counted)
