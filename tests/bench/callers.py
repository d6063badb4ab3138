"""What more callers change: STS calls when all ask for the same new scope at once, and rates when it is warm."""

from __future__ import annotations

import contextlib
import time

from tests.bench import contenders, loader, processes
from tests.bench.contenders import Cloud, Place, Server
from tests.bench.figures import Figure, percentile

CALLERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SECONDS, STS_SECONDS = 1.5, 0.1
_SHORT_SECONDS = 0.5
_OURS = "the broker"


def measure() -> list[Figure]:
    """One herd for each number of callers, and the load of as many."""
    with processes.one_core_each() as (core, _), contextlib.ExitStack() as stack:
        place, cloud = stack.enter_context(contenders.place()), stack.enter_context(contenders.cloud())
        ours = stack.enter_context(contenders.broker(place.environ))
        hand = stack.enter_context(contenders.by_hand(place, cloud, cached=True, granian=True))
        for server in (ours, hand):
            processes.pin(server.pid, core)
            loader.rate(server.port, place.request(), 8, _SHORT_SECONDS)
        for one in (place.cloud, cloud):
            one.slow(STS_SECONDS)
        return [
            *_herds(place, ours, place.cloud, _OURS),
            *_herds(place, hand, cloud, "by hand, credentials in a dict"),
            *_loads(place, ours),
        ]


def _herds(place: Place, server: Server, cloud: Cloud, name: str) -> list[Figure]:
    figures = []
    for callers in CALLERS:
        before = cloud.calls()
        with loader.connected(server.port, callers) as connections:
            loader.burst(connections, place.request(f"herd-{callers}"))
        what = f"{callers} at once ask for a new scope, {name}"
        most = 1 if name == _OURS else None
        figures.append(
            Figure(what, "STS calls", cloud.calls() - before, at_most=most, curve=f"STS calls: {name}", at=callers)
        )
    return figures


def _loads(place: Place, server: Server) -> list[Figure]:
    figures = []
    for callers in CALLERS:
        before, begun = processes.cpu_seconds(server.pid), time.perf_counter()
        load = loader.load(server.port, place.request(), callers, SECONDS)
        used, passed = processes.cpu_seconds(server.pid) - before, time.perf_counter() - begun
        figures += [
            Figure(f"warm /url, {callers} callers", "requests/s", load.per_second, curve="rate", at=callers),
            Figure("the same", "µs of CPU", used / len(load.seconds) * 1e6, curve="CPU", at=callers),
            Figure("the core that is busy", "%", used / passed * 100, curve="busy", at=callers),
            Figure("p50", "ms", percentile(load.seconds, 50) * 1000, curve="p50", at=callers),
            Figure("p99", "ms", percentile(load.seconds, 99) * 1000, curve="p99", at=callers),
        ]
    return figures
