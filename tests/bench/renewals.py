"""What renewals cost those who ask meanwhile: a steady load on credentials that STS gives short, in hurried time.

Every second has its renewals, so asks are told apart more finely: by buckets of a tenth of a second. With the renewals
go those in which a call of STS was under way and the one after, when the other worker takes over what came of it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from broker import local
from tests.bench import loader, processes, samples
from tests.bench.figures import Figure, percentile
from tests.bench.hurried import STS_SECONDS, WORKERS, Hurry
from tests.bench.loader import Answer

# No common divisor of scopes and connections: each of these asks for each of those.
SPEED, SCOPES, PER_SECOND, CONNECTIONS = 20, 40, 400, 33
ROUNDS, ROUND_SECONDS = 5, 12
_BUCKETS_PER_SECOND = 10


def measure() -> list[Figure]:
    """The figures of one run; ratios are medians of its rounds."""
    with tempfile.TemporaryDirectory() as text, local.redis_server() as redis:
        folder, port, sts_port = Path(text), local.free_port(), local.free_port()
        metrics, calls, hurry = folder / "metrics", folder / "calls", Hurry(time.monotonic(), SPEED)
        metrics.mkdir()
        cloud, broker = f"http://127.0.0.1:{sts_port}", f"http://127.0.0.1:{port}"
        environ, identities = processes.environment(cloud, redis.url, folder, samples.write_policies(folder))
        environ |= {
            "BENCH_CLOCK": hurry.text(),
            "BENCH_CALLS": str(calls),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        hurried = "tests.bench.hurried"
        with (
            processes.started(hurried, "emulator", str(sts_port), environ=environ, ready=f"{cloud}/_emulator/stats"),
            processes.started(hurried, "broker", str(port), environ=environ, ready=f"{broker}/readyz"),
        ):
            processes.await_workers(port, WORKERS)
            tokens = [identities.token(f"user-{number}", int(hurry.clock())) for number in range(SCOPES)]
            requests = [loader.post(f"/v1/{samples.ROUTE}/url", token, samples.ASK) for token in tokens]
            with loader.connected(port, CONNECTIONS) as connections:
                for request in requests:
                    loader.burst(connections, request)  # every worker has every credential
                cold = len(_instants(calls))
                answers = loader.steady(connections, requests, PER_SECOND, ROUNDS * ROUND_SECONDS)
                called = _instants(calls)[cold:]
        return [*_counts(answers, called, metrics), *_latencies(answers, called)]


def _counts(answers: list[Answer], called: list[float], metrics: Path) -> list[Figure]:
    minutes = ROUNDS * ROUND_SECONDS * SPEED // 60
    what = f"{minutes} minutes, {SPEED} times as fast: {PER_SECOND} asks/s real, {SCOPES} scopes, {WORKERS} workers"
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(metrics))  # type: ignore[no-untyped-call]

    def renewals(outcome: str) -> float:
        return registry.get_sample_value("broker_renewals_total", {"outcome": outcome}) or 0

    return [
        Figure(what, "asks", len(answers)),
        Figure("errors among them", "asks", sum(answer.status != 200 for answer in answers), at_most=0),
        Figure("calls of STS after the first of each scope", "calls", len(called)),
        Figure("renewals in all workers, by a call or from Redis", "renewals", renewals("renewed")),
        Figure("renewals that failed", "renewals", renewals("failed"), at_most=0),
    ]


def _latencies(answers: list[Answer], called: list[float]) -> list[Figure]:
    rounds = [_told_apart(part, called) for part in _rounds(answers)]
    pairs = [(percentile(beside, 99), percentile(elsewhere, 99)) for beside, elsewhere in rounds]
    beside, elsewhere = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    asks = sum(len(one) for one, _ in rounds)
    return [
        Figure("asks beside renewals", "%", 100 * asks / len(answers)),
        Figure("p99 beside renewals", "ms", beside),
        Figure("p99 elsewhere", "ms", elsewhere),
        Figure("p99 beside / elsewhere", "times", statistics.median(one / other for one, other in pairs), at_most=1.5),
        Figure("slowest ask / time of STS", "times", max(answer.seconds for answer in answers) / STS_SECONDS),
    ]


def _rounds(answers: list[Answer]) -> Iterator[list[Answer]]:
    asks = PER_SECOND * ROUND_SECONDS
    ordered = sorted(answers)
    for start in range(0, len(ordered), asks):
        yield ordered[start : start + asks]


def _told_apart(answers: Iterable[Answer], called: list[float]) -> tuple[list[float], list[float]]:
    """Seconds of the asks beside renewals, and of the others."""
    near = {bucket for ended in called for bucket in range(_bucket(ended - STS_SECONDS), _bucket(ended) + 2)}
    beside: list[float] = []
    elsewhere: list[float] = []
    for answer in answers:
        (beside if _bucket(answer.due_at) in near else elsewhere).append(answer.seconds)
    return beside, elsewhere


def _instants(calls: Path) -> list[float]:
    return [float(line) for line in calls.read_text().splitlines()]


def _bucket(instant: float) -> int:
    return int(instant * _BUCKETS_PER_SECOND)
