"""Two workers beside one on two cores, the load counted out.

There are as many cores as workers, so the load takes some of what the second worker would have. What counts is
therefore the workers' own computing for one request: if it does not grow, two cores hold twice as much. The figure is
2 × (CPU of one worker a request) / (CPU of two a request); what it cannot see is waiting without computing, which the
busy cores beside it rule out. One worker runs on a core of its own, two on one each; the load is on both.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from typing import NamedTuple

from tests.bench import contenders, loader, processes
from tests.bench.contenders import Server
from tests.bench.figures import Figure

ROUNDS, SECONDS, CALLERS = 7, 2.0, 32
_WARM_SECONDS = 0.5


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Medians of rounds, in which one broker and the other have their turn."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    with contenders.place() as place, contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(contenders.broker(place.environ, "--workers", str(n))) for n in (1, 2))
        processes.await_workers(two.port, 2)
        _place(one, cores[0])
        _place(two, *cores)
        request = place.request()
        for server in (one, two):
            loader.rate(server.port, request, CALLERS, _WARM_SECONDS)
        pairs = [(_turn(one, request), _turn(two, request)) for _ in range(rounds)]
    ratios = [2 * alone.cpu_seconds / together.cpu_seconds for alone, together in pairs]
    return [
        *(
            Figure(f"{name}: CPU of a request", "µs", statistics.median(turn.cpu_seconds for turn in turns) * 1e6)
            for name, turns in zip(("one worker", "two workers"), zip(*pairs, strict=True), strict=True)
        ),
        Figure("one worker: its core that is busy", "%", 100 * statistics.median(turn.busy for turn, _ in pairs)),
        Figure("two workers: their cores that are busy", "%", 50 * statistics.median(turn.busy for _, turn in pairs)),
        Figure("two workers / one, the load counted out", "times", statistics.median(ratios), at_least=1.7),
        Figure(
            "two workers / one beside the load, which takes its part of their cores",
            "times",
            statistics.median(together.rate / alone.rate for alone, together in pairs),
        ),
    ]


class _Turn(NamedTuple):
    rate: float
    cpu_seconds: float  # for one request
    busy: float  # cores


def _turn(server: Server, request: bytes) -> _Turn:
    before = processes.cpu_seconds(server.pid)
    load = loader.load(server.port, request, CALLERS, SECONDS)
    used = processes.cpu_seconds(server.pid) - before
    return _Turn(load.per_second, used / len(load.seconds), used / SECONDS)


def _place(server: Server, *cores: int) -> None:
    """Each worker on a core of its own. Their parent and what else it starts are smaller."""
    workers = sorted(processes.family(server.pid)[1:], key=processes.resident_bytes)[-len(cores) :]
    for worker, core in zip(workers, cores, strict=True):
        processes.pin(worker, core)
