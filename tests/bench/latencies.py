"""How long an answer takes at a load that all can bear: the same requests at a fixed rate to each server in turn.

A request counts from when it was due, however long the ones before it take.
"""

from __future__ import annotations

import contextlib

from tests.bench import contenders, loader, processes
from tests.bench.contenders import Cloud, Place, Server
from tests.bench.figures import Figure, percentile

ROUNDS, SECONDS, PER_SECOND, CONNECTIONS = 5, 5, 100, 64
STS_SECONDS = 0.05
_PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Percentiles over all rounds."""
    with processes.one_core_each() as (core, _), contextlib.ExitStack() as stack:
        place, cloud = stack.enter_context(contenders.place()), stack.enter_context(contenders.cloud(STS_SECONDS))
        ours = stack.enter_context(contenders.broker(place.environ))
        servers = {
            "warm /url": ours,
            "bare route": stack.enter_context(contenders.bare(place.answer(f"http://127.0.0.1:{ours.port}"))),
            "by hand, credentials in a dict": _by_hand(stack, place, place.cloud, cached=True),
            f"by hand, an STS call of {STS_SECONDS * 1000:.0f} ms each": _by_hand(stack, place, cloud, cached=False),
        }
        for server in servers.values():
            processes.pin(server.pid, core)
            _take(place, server, 1)
        taken: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                taken[name] += _take(place, server, SECONDS)
    what = f"{PER_SECOND} requests/s"
    return [
        Figure(f"{what}, {name}: p{percent}", "ms", percentile(seconds, percent) * 1000, curve=name, at=percent)
        for name, seconds in taken.items()
        for percent in _PERCENTS
    ]


def _take(place: Place, server: Server, seconds: int) -> list[float]:
    """Seconds of each answer."""
    with loader.connected(server.port, CONNECTIONS) as connections:
        answers = loader.steady(connections, [place.request()], PER_SECOND, seconds)
    if any(answer.status != 200 for answer in answers):
        raise RuntimeError("expected grants")
    return [answer.seconds for answer in answers]


def _by_hand(stack: contextlib.ExitStack, place: Place, cloud: Cloud, *, cached: bool) -> Server:
    return stack.enter_context(contenders.by_hand(place, cloud, cached=cached, granian=True))
