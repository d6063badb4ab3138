"""What the cache costs: the time of a hit in memory and in Redis."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import redis

from broker.credentials.store import _name
from tests.bench import samples, scopes
from tests.bench.figures import Figure
from tests.bench.scopes import World

_ROUNDS, _HITS, _SCOPES = 9, 50_000, 300


def measure() -> list[Figure]:
    """Medians of rounds."""
    with scopes.world(_SCOPES) as world:
        return [*_memory_hits(world), *_redis_hits(world)]


def _memory_hits(world: World) -> list[Figure]:
    cache, demand, now = samples.open_cache(world.store), world.demands[0], samples.clock()
    cache.get(demand, now)

    def hits() -> None:
        for _ in range(_HITS):
            cache.get(demand, now)

    taken = [_microseconds(hits) / _HITS for _ in range(_ROUNDS)]
    return [Figure("a hit in memory, Redis heard once a second", "µs", statistics.median(taken), at_most=3)]


def _redis_hits(world: World) -> list[Figure]:
    now, filled = samples.clock(), samples.open_cache(world.store)
    names = []
    for demand in world.demands:
        filled.get(demand, now)
        fingerprint = samples.Issuer().fingerprint(demand.scope)
        names.append([_name(fingerprint, kind) for kind in ("credential", "failure")])
    hits, bare, commands = [], [], 0
    for _ in range(_ROUNDS):
        before = _commands(world.client)
        for demand in world.demands:
            cache = samples.open_cache(world.store)
            hits.append(_microseconds(lambda: cache.get(demand, now)))  # noqa: B023  called at once
        commands += _commands(world.client) - before
        bare += [_microseconds(lambda: world.client.mget(pair)) for pair in names]  # noqa: B023
    return [
        Figure("a hit in Redis", "round trips", commands / len(hits), at_most=1),
        Figure("a hit in Redis", "µs", statistics.median(hits)),
        Figure("the same MGET by redis-py alone", "µs", statistics.median(bare)),
    ]


def _microseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e6


def _commands(client: redis.Redis) -> int:
    """How many commands the server has had, these questions apart."""
    return sum(stats["calls"] for name, stats in client.info("commandstats").items() if name != "cmdstat_info")
