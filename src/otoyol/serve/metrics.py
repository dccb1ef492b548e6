"""What Prometheus may read: a registry of the service's own, without labels that a client can choose."""

from __future__ import annotations

from collections.abc import Callable

from otoyol.errors import MissingExtraError

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ModuleNotFoundError as error:
    raise MissingExtraError("prometheus_client", "serve") from error

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts of requests by status, how long they took, batches and what is inside."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._requests = Counter("otoyol_requests", "Requests for a prediction, by status.", ["code"], registry=own)
        self._seconds = Histogram(
            "otoyol_request_seconds", "From a request's headers to its answer.", buckets=SECONDS, registry=own
        )
        self._engine_seconds = Histogram(
            "otoyol_engine_seconds", "One run of the engine.", buckets=SECONDS, registry=own
        )
        self._sizes = Histogram("otoyol_batch_images", "Images in one run of the engine.", buckets=SIZES, registry=own)
        self._inside = Gauge("otoyol_requests_inside", "Requests that are read, decoded, waiting or run.", registry=own)
        self._waiting = Gauge("otoyol_queue_images", "Decoded images that wait for the engine.", registry=own)

    def watch(self, inside: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Where the two gauges read their values."""
        self._inside.set_function(inside)
        self._waiting.set_function(waiting)

    def answered(self, status: int, seconds: float) -> None:
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def ran_batch(self, images: int, seconds: float) -> None:
        self._sizes.observe(images)
        self._engine_seconds.observe(seconds)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)
