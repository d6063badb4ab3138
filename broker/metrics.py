"""What operators watch: counts and gauges, added up over the workers of a `serve`.

prometheus-client keeps them in files that the workers share, if PROMETHEUS_MULTIPROC_DIR named a folder before it was
first imported; `serve` sees to that. Elsewhere each process has its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from broker.policy.catalog import Catalog


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
        self._generation = Gauge(
            "broker_policies_generation", "Changes of the policies that are served, from 1.",
            multiprocess_mode="mostrecent", registry=registry,
        )  # fmt: skip
        self._policy_problems = Gauge(
            "broker_policy_problems", "Mistakes in the policy folder that keep changes out; 0: all of it is served.",
            multiprocess_mode="mostrecent", registry=registry,
        )  # fmt: skip

        # So that the first of a kind is a step from 0, which alerts can see.
        for counter, kinds in (
            (self._sts_calls, ("issued", "refused", "throttled", "unavailable")),
            (self._renewals, ("renewed", "left", "failed")),
            (self._redis_troubles, ("down", "refuses", "foreign")),
        ):
            for kind in kinds:
                counter.labels(kind)

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

    def policies(self, catalog: Catalog) -> None:
        """What is served, and what keeps changes from being."""
        self._generation.set(catalog.generation)
        self._policy_problems.set(len(catalog.problems))

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        registry = self._registry
        if self._folder:
            registry = CollectorRegistry()
            registry.register(_Workers(Path(self._folder)))
        return generate_latest(registry)


class _Workers(Collector):
    """The metrics of all workers. A file of a worker that is just starting is still empty, and passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._folder.glob("*.db") if path.stat().st_size]
        return MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-any-return,no-untyped-call]
