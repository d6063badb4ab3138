"""What operators watch: counts and gauges, added up over the workers of a `serve`.

prometheus-client keeps them in files that the workers share, if PROMETHEUS_MULTIPROC_DIR named a folder before it was
first imported; `serve` sees to that. Elsewhere each process has its own.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


class Metrics:
    """The metrics of one broker. `folder` is where workers share theirs; empty: they do not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._registry = registry = CollectorRegistry()
        self._sts_calls = Counter("broker_sts_calls", "Tries of STS, by outcome.", ["outcome"], registry=registry)
        self._renewals = Counter(
            "broker_renewals", "Renewals ahead of need: renewed, left to another process, failed.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._redis_troubles = Counter(
            "broker_redis_troubles", "Troubles with Redis, each counted once when it begins.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self._clock_skew = Gauge(
            "broker_clock_skew_seconds", "By how much Tencent's clocks are ahead of the local one; 0 below 5 s.",
            multiprocess_mode="mostrecent", registry=registry,
        )  # fmt: skip

    def sts_call(self, outcome: str) -> None:
        """One try of STS: issued, refused, throttled, unavailable."""
        self._sts_calls.labels(outcome).inc()

    def renewal(self, outcome: str) -> None:
        """One renewal: renewed, left, failed."""
        self._renewals.labels(outcome).inc()

    def redis_trouble(self, kind: str) -> None:
        """A trouble with Redis has begun: down, refuses, foreign."""
        self._redis_troubles.labels(kind).inc()

    def clock_skew(self, seconds: float) -> None:
        """The skew as just measured."""
        self._clock_skew.set(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        registry = self._registry
        if self._folder:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
