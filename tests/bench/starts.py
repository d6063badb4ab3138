"""A process that starts: how soon it is ready, what its first ask costs, and the memory of its worker."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import redis

from tests.bench import contenders, loader, policies, processes
from tests.bench.contenders import Place, Server
from tests.bench.figures import Figure

ROUNDS, POLICIES, SCOPES = 7, 100, 10_000
_MB = 1e6
_CALLERS = 8
# What a client of Redis says when it connects, and we to look.
_TALK = ("hello", "client", "info")


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Medians of starts, beside a Redis that holds what is asked first."""
    with tempfile.TemporaryDirectory() as folder:
        many = policies.write(Path(folder), POLICIES)
        with contenders.place(many) as place:
            with contenders.broker(place.environ) as server:
                place.answer(f"http://127.0.0.1:{server.port}")
            before = place.cloud.calls()
            starts = [_start(place) for _ in range(rounds)]
            calls = place.cloud.calls() - before
        with contenders.place() as place:
            grown = _filled(place)
    ready, first, computed, second, commands, resident = (
        statistics.median(column) for column in zip(*starts, strict=True)
    )
    return [
        Figure(f"`serve` to ready, {POLICIES} policies", "s", ready, at_most=1),
        Figure("first ask of a new process, its scope in Redis", "round trips", commands, at_most=1),
        Figure("the same, calls of STS", "calls", calls, at_most=0),
        Figure("the same", "ms", first * 1000, at_most=3),
        Figure("the same, CPU of the server", "ms", computed * 1000),
        Figure("the second ask", "ms", second * 1000),
        Figure(f"resident memory of a worker at rest, {POLICIES} policies", "MB", resident / _MB, at_most=80),
        Figure(f"resident memory of a worker that has {SCOPES:,} scopes", "MB", grown / _MB, at_most=120),
    ]


class _Start(NamedTuple):
    ready_seconds: float
    first_seconds: float
    first_cpu_seconds: float
    second_seconds: float
    commands: int
    resident_bytes: int


def _start(place: Place) -> _Start:
    begun = time.perf_counter()
    with (
        contenders.broker(place.environ) as server,
        redis.Redis.from_url(place.environ["BROKER_REDIS_URL"]) as client,
        loader.connected(server.port, 1) as connection,
    ):
        ready = time.perf_counter() - begun
        resident = _worker_bytes(server)
        before = _commands(client)
        computed = processes.cpu_seconds(server.pid)
        [first] = loader.burst(connection, place.request())
        computed = processes.cpu_seconds(server.pid) - computed
        commands = _commands(client) - before
        [second] = loader.burst(connection, place.request())
    return _Start(ready, first, computed, second, commands, resident)


def _filled(place: Place) -> int:
    """The memory of a worker that has vended for so many users."""
    with contenders.broker({**place.environ, "BROKER_STS_BUDGET": "100000"}) as server:
        with loader.connected(server.port, _CALLERS) as connections:
            for number in range(0, SCOPES, _CALLERS):
                loader.burst(connections, *(place.request(f"user-{number + at}") for at in range(_CALLERS)))
        return _worker_bytes(server)


def _worker_bytes(server: Server) -> int:
    """Of the one worker, which was started last: its parent only watches."""
    return processes.resident_bytes(max(processes.family(server.pid)))


def _commands(client: redis.Redis) -> int:
    stats = client.info("commandstats")
    return sum(one["calls"] for name, one in stats.items() if not name.removeprefix("cmdstat_").startswith(_TALK))
