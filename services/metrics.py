"""Prometheus metrics of one process: its requests, loops and predictions, and the queues of the database.

One registry for each application.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREDICTION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_QUEUES_FRESH_S = 1.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queues_at_s = 0.0
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
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
        self.loop_ages = self._gauge(
            "fo1_loop_age_seconds", "Time since a step of a background loop last succeeded.", "loop"
        )
        self.queue_sizes = self._gauge("fo1_queue_size", "What waits in a queue.", "queue")
        self.queue_ages = self._gauge("fo1_queue_age_seconds", "Age of the oldest in a queue.", "queue")
        self.review_items = self._gauge("fo1_review_items", "Items of reviews by state.", "state")
        self.down = Gauge("fo1_down", "Failures around the service at the moment.", registry=self.registry)
        self.predictions = Counter(
            "fo1_predictions", "Live predictions.", ["outcome"], registry=self.registry
        )
        self.prediction_seconds = Histogram(
            "fo1_prediction_seconds",
            "Time of a live prediction.",
            buckets=_PREDICTION_BUCKETS,
            registry=self.registry,
        )

    def _gauge(self, name: str, documentation: str, label: str) -> Gauge:
        return Gauge(name, documentation, [label], registry=self.registry)

    def watch_loop(self, name: str, age_s: Callable[[], float]) -> None:
        """Report the age of a background loop."""
        self.loop_ages.labels(name).set_function(age_s)

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Count and time a live prediction during a `with` block."""
        started_s, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "answered"
        finally:
            self.predictions.labels(outcome).inc()
            self.prediction_seconds.observe(time.perf_counter() - started_s)

    def need_queues(self) -> bool:
        """Return whether the figures of the queues are older than a second; they count as new from now on."""
        present_s = time.monotonic()
        if present_s - self._queues_at_s < _QUEUES_FRESH_S:
            return False
        self._queues_at_s = present_s
        return True

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
