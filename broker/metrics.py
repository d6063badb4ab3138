"""What operators watch: counts, durations and gauges, added up over the workers of a `serve`.

prometheus-client keeps them in files that the workers share, if PROMETHEUS_MULTIPROC_DIR named a folder before it was
first imported; `serve` sees to that. Elsewhere each process has its own. Label values are few: names of routes that
exist or have existed, names of vends, and closed lists.

What every grant counts is noted, and entered for many together by `settle`: writing into those files one by one took a
tenth of a grant's time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from broker.errors import CODES
from broker.policy.catalog import Catalog

NO_ROUTE = "-"  # no route can have this name
OTHER = "other"
_NOTED = 64  # that many grants are entered together by whoever brings the last
_NAMED = frozenset(code for codes in CODES.values() for code in codes)
_ANSWER_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LIFE_SECONDS = (60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 43_200)


class Metrics:
    """The metrics of one broker. `folder` is where workers share theirs; empty: they do not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        self._counted: deque[Counter] = deque()
        self._granted: deque[tuple[tuple[str, str], float]] = deque()
        self._lives: deque[tuple[str, float]] = deque()
        # Kept, since looking labels up costs as much as counting.
        self._single: dict[tuple[str, str], tuple[Counter, _Durations]] = {}
        atexit.register(_settle, weakref.ref(self))
        self._looked_at: dict[str, int] = {}  # a second's grants have the same few credentials: one tells enough
        self._grants = self._counter("grants", "Grants.", "route", "vend")
        self._refusals = self._counter("refusals", "Refusals; route - if none was found.", "route", "code")
        self._seconds = _Durations(
            "broker_answer_seconds", "From an ask to its grant or refusal, on routes that exist.", ["route", "vend"],
            buckets=_ANSWER_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._remaining = Histogram(
            "broker_credential_remaining_seconds", "Life left in the credential behind a grant, one a second.",
            ["route"],
            buckets=_LIFE_SECONDS, registry=self._registry,
        )  # fmt: skip
        found = self._counter("cache_hits", "Credentials lent, by where they were found.", "layer")
        sts_calls = self._counter("sts_calls", "Tries of STS.", "outcome")
        renewals = self._counter("renewals", "Renewals ahead of need: renewed, left to another process, failed.",
                                 "outcome")  # fmt: skip
        troubles = self._counter("redis_troubles", "Troubles with Redis, each counted once when it begins.", "kind")
        breakers = self._gauge("breakers_open", "Servers that a worker found not to answer, over all workers.",
                               "livesum", "dependency")  # fmt: skip
        self._lost = self._counter("log_lines_lost", "Log lines that stderr did not take.")
        self._waiters = self._gauge("flight_waiters", "Asks that wait for a credential now.", "livesum")
        self._clock_skew = self._gauge(
            "clock_skew_seconds", "By how much Tencent's clocks are ahead of the local one; 0 below 5 s.", "mostrecent"
        )
        self._generation = self._gauge(
            "policies_generation", "Changes of the policies that are served, from 1.", "mostrecent"
        )
        self._policy_problems = self._gauge(
            "policy_problems", "Mistakes in the policy folder that keep changes out; 0: all of it is served.",
            "mostrecent",
        )  # fmt: skip
        # Each once at the start, so that the first of a kind is a step from 0, which alerts can see.
        self._found = _children(found, "memory", "flight", "redis", "sts")
        self._sts_calls = _children(sts_calls, "issued", "refused", "throttled", "unavailable")
        self._renewals = _children(renewals, "renewed", "left", "failed")
        self._redis_troubles = _children(troubles, "down", "refuses", "foreign")
        self._breakers = _children(breakers, "redis", "sts")

    def granted(self, route: str, vend: str, seconds: float, now: int, remaining_seconds: float) -> None:
        """An ask was granted after so long, at an instant, with a credential that lives so much longer."""
        self._granted.append(((route, vend), seconds))
        if self._looked_at.get(route) != now:
            self._look_at(route, now, remaining_seconds)
        if len(self._granted) >= _NOTED:
            self.settle()

    def granted_many(self, route: str, vend: str, count: int, now: int, remaining_seconds: float) -> None:
        """So many asks of a batch were granted at an instant, with one credential."""
        self._grants.labels(route, vend).inc(count)
        if self._looked_at.get(route) != now:
            self._look_at(route, now, remaining_seconds)

    def refused(self, route: str | None, code: str, count: int = 1) -> None:
        """So many refusals; None: of no route that exists."""
        self._refusals.labels(route or NO_ROUTE, code if code in _NAMED else OTHER).inc(count)

    def answered(self, route: str, vend: str, seconds: float) -> None:
        """A batch, or an ask that was refused, took so long."""
        self._seconds.labels(route, vend).observe(seconds)

    def found(self, layer: str) -> None:
        """A credential was lent: out of memory, a flight, redis, sts."""
        self._counted.append(self._found[layer])

    def settle(self) -> None:
        """Enter what is noted: done for many grants at once, once a second, at the end, and for whoever looks."""
        for child, times in Counts(_taken(self._counted)).items():
            child.inc(times)
        granted = defaultdict(list)
        for labels, seconds in _taken(self._granted):
            granted[labels].append(seconds)
        for labels, durations in granted.items():
            grants, answers = self._children_of(labels)
            grants.inc(len(durations))
            answers.observe_many(durations)
        for route, remaining_seconds in _taken(self._lives):
            self._remaining.labels(route).observe(remaining_seconds)

    def waiting(self, more: int) -> None:
        """So many more asks wait for a credential."""
        self._waiters.inc(more)

    def sts_call(self, outcome: str) -> None:
        """One try of STS: issued, refused, throttled, unavailable."""
        self._sts_calls[outcome].inc()

    def sts_broken(self, opened: bool) -> None:
        """STS has stopped answering, or answers again."""
        self._breakers["sts"].inc(1 if opened else -1)

    def renewal(self, outcome: str) -> None:
        """One renewal: renewed, left, failed."""
        self._renewals[outcome].inc()

    def redis_trouble(self, kind: str) -> None:
        """A trouble with Redis has begun: down, refuses, foreign."""
        self._redis_troubles[kind].inc()

    def redis_broken(self, opened: bool) -> None:
        """A server of Redis has stopped answering, or answers again."""
        self._breakers["redis"].inc(1 if opened else -1)

    def lines_lost(self, count: int) -> None:
        """So many log lines could not be written."""
        self._lost.inc(count)

    def clock_skew(self, seconds: float) -> None:
        """The skew as just measured."""
        self._clock_skew.set(seconds)

    def policies(self, catalog: Catalog) -> None:
        """What is served, and what keeps changes from being."""
        self._generation.set(catalog.generation)
        self._policy_problems.set(len(catalog.problems))

    def _look_at(self, route: str, now: int, remaining_seconds: float) -> None:
        self._looked_at[route] = now
        self._lives.append((route, remaining_seconds))

    def _children_of(self, labels: tuple[str, str]) -> tuple[Counter, _Durations]:
        """The counter and the durations of a vend of a route."""
        kept = self._single.get(labels)
        if kept is None:
            made = self._grants.labels(*labels), self._seconds.labels(*labels)
            kept = self._single.setdefault(labels, made)
        return kept

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._of_all_workers())

    def figures(self) -> dict[str, dict[str, float]]:
        """Counts and gauges with one label or none, as they stand: by name without `broker_`, then by label value."""
        told: dict[str, dict[str, float]] = {}
        for metric in self._of_all_workers().collect():
            for sample in metric.samples if metric.type in ("counter", "gauge") else ():
                if len(sample.labels) < 2 and not sample.name.endswith("_created"):
                    label = next(iter(sample.labels.values()), "")
                    told.setdefault(metric.name.removeprefix("broker_"), {})[label] = sample.value
        return told

    def _of_all_workers(self) -> CollectorRegistry:
        self.settle()
        if not self._folder:
            return self._registry
        registry = CollectorRegistry()
        registry.register(_Workers(Path(self._folder)))
        return registry

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"broker_{name}", help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, over_workers: Any, *labels: str) -> Gauge:
        return Gauge(f"broker_{name}", help_text, labels, registry=self._registry, multiprocess_mode=over_workers)


def _settle(reference: weakref.ref[Metrics]) -> None:
    metrics = reference()
    if metrics is not None:
        metrics.settle()


def _taken(noted: deque[Any]) -> Iterable[Any]:
    """What is noted, each by one of those who take."""
    with contextlib.suppress(IndexError):
        while True:
            yield noted.popleft()


class _Durations(Histogram):
    """A histogram into which many values are entered at once, at the price of one in each bucket."""

    def observe_many(self, values: Sequence[float]) -> None:
        """As `observe` for each of them."""
        self._sum.inc(sum(values))
        for bucket, count in Counts(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[bucket].inc(count)


def _children(metric: Any, *values: str) -> dict[str, Any]:
    return {value: metric.labels(value) for value in values}


class _Workers(Collector):
    """The metrics of all workers. A file of a worker that is just starting is still empty, and passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # What a worker that was killed had open or waiting is no more; what it counted has happened.
        for path in self._folder.glob("gauge_live*.db"):
            if not _lives(int(path.stem.rpartition("_")[2])):
                path.unlink(missing_ok=True)
        files = []
        for path in self._folder.glob("*.db"):
            with contextlib.suppress(FileNotFoundError):  # another worker may do the same just now
                if path.stat().st_size:
                    files.append(str(path))
        return MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-any-return,no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
