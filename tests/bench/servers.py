"""The broker under Granian and under gunicorn's threads: rates, computing and waiting, few callers and many."""

from __future__ import annotations

import contextlib
import statistics
from typing import NamedTuple

from tests.bench import contenders, loader, processes
from tests.bench.contenders import Server
from tests.bench.figures import Figure, percentile

ROUNDS, SECONDS = 5, 1.5
THREADS, CALLERS = (8, 32, 128), (8, 256)
_WARM_SECONDS = 0.5


class _Turn(NamedTuple):
    rate: float
    cpu_seconds: float
    p50: float
    p99: float


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Medians of rounds in which all servers have their turn, on one core; one worker each."""
    with processes.one_core_each() as (core, _), contextlib.ExitStack() as stack:
        place = stack.enter_context(contenders.place())
        servers: dict[str, Server] = {}
        for threads in THREADS:
            ours = contenders.broker(place.environ, "--threads", str(threads))
            servers[f"Granian, {threads} threads"] = stack.enter_context(ours)
            other = contenders.gunicorn("wsgi:app", place.environ, threads)
            servers[f"gunicorn gthread, {threads} threads"] = stack.enter_context(other)
        for server in servers.values():
            processes.pin(server.pid, core)
            loader.rate(server.port, place.request(), 8, _WARM_SECONDS)
        turns: dict[tuple[str, int], list[_Turn]] = {(name, callers): [] for callers in CALLERS for name in servers}
        for _ in range(rounds):
            for (name, callers), taken in turns.items():
                taken.append(_turn(servers[name], place.request(), callers))
    return [figure for (name, callers), taken in turns.items() for figure in _figures(name, callers, taken)]


def _turn(server: Server, request: bytes, callers: int) -> _Turn:
    before = processes.cpu_seconds(server.pid)
    load = loader.load(server.port, request, callers, SECONDS)
    used = (processes.cpu_seconds(server.pid) - before) / len(load.seconds)
    return _Turn(load.per_second, used, percentile(load.seconds, 50), percentile(load.seconds, 99))


def _figures(name: str, callers: int, turns: list[_Turn]) -> list[Figure]:
    rate, used, p50, p99 = (statistics.median(column) for column in zip(*turns, strict=True))
    what = f"{name}, {callers} callers"
    return [
        Figure(what, "requests/s", rate),
        Figure(f"{what}: CPU of a request", "µs", used * 1e6, curve="CPU"),
        Figure(f"{what}: p50", "ms", p50 * 1000),
        Figure(f"{what}: p99", "ms", p99 * 1000),
    ]
