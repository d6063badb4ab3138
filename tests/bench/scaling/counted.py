"""The real engine, asked what the simulation is asked: caches of so many processes, a real Redis, STS as a double."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from random import Random
from typing import Any

import redis

from broker.credentials.cache import ENTRIES, CredentialCache
from broker.credentials.demand import Demand
from broker.credentials.sealing import KEY_BYTES, Sealer
from broker.credentials.store import CredentialStore
from broker.local import redis_server
from tests.bench.scaling.days import Load
from tests.bench.scaling.lives import COLD, MEMORY, MEMORY_RENEWS, REDIS, REDIS_RENEWS
from tests.bench.scaling.traffic import instants
from tests.doubles import Clock, IssuerDouble, open_cache

# When, whose scope, in which process.
Asked = tuple[int, int, int]


def trace(load: Load, processes: int, days: int, seed: int) -> list[Asked]:
    """The asks of all askers in the order of time. There may be thousands, not millions, of them."""
    random, asks = Random(seed), []
    number = 0
    for band in load.bands:
        for _ in range(round(band.count)):
            asks += [(at, number, random.randrange(processes)) for at in instants(band, days, 10**9, random)]
            number += 1
    return sorted(asks)


def count(
    asks: Iterable[Asked],
    demands: Callable[[int], Demand],
    processes: int,
    *,
    shared: bool,
    draw: Callable[[], float],
    entries: int = ENTRIES,
) -> list[str]:
    """What served each ask, of OUTCOMES."""
    with _engine(processes, shared=shared, draw=draw, entries=entries) as engine:
        return [engine.ask(demands(number), at, process) for at, number, process in asks]


class _Engine:
    def __init__(self, clock: Clock, issuer: IssuerDouble, renewed: list[str], caches: list[CredentialCache]) -> None:
        self._clock = clock
        self._began = clock()
        self._issuer = issuer
        self._renewed = renewed
        self._caches = caches

    def ask(self, demand: Demand, at: int, process: int) -> str:
        self._clock.tick(self._began + at - self._clock())
        self._issuer.lifetime = demand.scope.duration_seconds
        cache, calls, renewed = self._caches[process], len(self._issuer.calls), len(self._renewed)
        remembered = not cache.cold([demand], self._clock())
        cache.get(demand, self._clock())
        for thread in threading.enumerate():
            if thread.name == "broker-renewal":
                thread.join()
        if len(self._issuer.calls) == calls:
            return MEMORY if remembered else REDIS
        if len(self._renewed) == renewed:
            return COLD
        return MEMORY_RENEWS if remembered else REDIS_RENEWS


class _Patient:
    """One Redis as `broker.fleet.connection.Connection` reaches it, but without time-outs: nothing depends on haste."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def run(self, name: str, command: Callable[[redis.Redis], Any]) -> Any:
        return command(self._client)


@contextlib.contextmanager
def _engine(processes: int, *, shared: bool, draw: Callable[[], float], entries: int) -> Iterator[_Engine]:
    clock, store = Clock(), None
    issuer, renewed = IssuerDouble(clock), []
    with ExitStack() as stack:
        if shared:
            client = stack.enter_context(redis.Redis.from_url(stack.enter_context(redis_server()).url))
            store = CredentialStore(_Patient(client), Sealer([b"s" * KEY_BYTES]))
        caches = [
            open_cache(issuer, clock, store, draw=draw, entries=entries, count=renewed.append) for _ in range(processes)
        ]
        yield _Engine(clock, issuer, renewed, caches)
