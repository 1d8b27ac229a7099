"""What is counted? Requests and time by route, streams that are open; never a user, never a conversation."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["KIND", "Meters"]

KIND = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)


class Meters:
    """The figures of one gateway, in Prometheus' form."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "multiturn_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "multiturn_request_seconds",
            "Time to the end of the answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.open = 0
        """Requests being answered."""
        gauge = Gauge("multiturn_requests_open", "Requests being answered.", registry=self._registry)
        gauge.set_function(lambda: self.open)
        self.left = Counter(
            "multiturn_clients_left", "Clients that left before the end.", registry=self._registry
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One more request has ended."""
        known = self._known.get((route, method, status))
        if known is None:
            counter = self._requests.labels(route, method, str(status))
            known = self._known[route, method, status] = (counter, self._seconds.labels(route))
        known[0].inc()
        known[1].observe(seconds)

    def text(self) -> bytes:
        """Everything, to be read by Prometheus."""
        return generate_latest(self._registry)
