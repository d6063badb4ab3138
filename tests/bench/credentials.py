"""What the cache costs: the time of a hit in memory and in Redis, and the room that scopes take in both."""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import redis

from broker.credentials.demand import Demand
from broker.credentials.sealing import KEY_BYTES, Sealer
from broker.credentials.store import CredentialStore, _context, _name, _serialise
from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.local import redis_server
from tests.bench import samples
from tests.bench.figures import Figure

IN_MEMORY, IN_REDIS = 10_000, 1_000_000
_ROUNDS, _HITS, _SCOPES, _FILLS, _BATCH = 9, 50_000, 300, 3, 2_000


def measure() -> list[Figure]:
    """Medians of rounds."""
    with _world() as world:
        figures = [*_memory_hits(world), *_redis_hits(world), *_room_in_memory()]
    with _world() as world:  # an empty server
        return [*figures, *_room_in_redis(world)]


class _World(NamedTuple):
    store: CredentialStore
    client: redis.Redis  # beside the store
    sealer: Sealer
    demands: list[Demand]


@contextlib.contextmanager
def _world() -> Iterator[_World]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(redis_server())
        connection = stack.enter_context(contextlib.closing(Connection(topology.parse(server.url), time.monotonic)))
        client = stack.enter_context(redis.Redis.from_url(server.url))
        route = samples.pictures(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        sealer = Sealer([b"b" * KEY_BYTES])
        demands = [samples.demand(route, number) for number in range(_SCOPES)]
        yield _World(CredentialStore(connection, sealer), client, sealer, demands)


def _memory_hits(world: _World) -> list[Figure]:
    cache, demand, now = samples.open_cache(world.store), world.demands[0], samples.clock()
    cache.get(demand, now)

    def hits() -> None:
        for _ in range(_HITS):
            cache.get(demand, now)

    taken = [_microseconds(hits) / _HITS for _ in range(_ROUNDS)]
    return [Figure("a hit in memory, Redis heard once a second", "µs", statistics.median(taken), at_most=3)]


def _redis_hits(world: _World) -> list[Figure]:
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


def _room_in_memory() -> list[Figure]:
    # Each time a new process: what one has freed, the next would fill.
    command = [sys.executable, "-m", "tests.bench.filled", str(IN_MEMORY)]
    outputs = [subprocess.run(command, check=True, capture_output=True, timeout=60).stdout for _ in range(_FILLS)]
    grown = [[int(number) / 1e6 for number in output.split()] for output in outputs]
    filled, signed = (statistics.median(column) for column in zip(*grown, strict=True))
    return [
        Figure(f"{IN_MEMORY:,} scopes in memory", "MB", filled, at_most=40),
        Figure(f"{IN_MEMORY:,} scopes in memory, a URL signed with each", "MB", signed, at_most=40),
    ]


def _room_in_redis(world: _World) -> list[Figure]:
    """The room of so many sealed credentials as the store writes them, sent in batches."""
    now, outline = samples.clock(), world.demands[0].scope.outline()
    credential = samples.credential(now)
    before = _used_bytes(world.client)
    for start in range(0, IN_REDIS, _BATCH):
        pipeline = world.client.pipeline(transaction=False)
        for number in range(start, min(start + _BATCH, IN_REDIS)):
            fingerprint = hashlib.sha256(str(number).encode()).hexdigest()
            sealed = world.sealer.seal(_serialise(credential, outline), _context("credential", fingerprint))
            pipeline.set(_name(fingerprint, "credential"), sealed, px=samples.LIFE_SECONDS * 1000)
        pipeline.execute()
    kept, used = world.client.dbsize(), _used_bytes(world.client) - before
    if kept != IN_REDIS:
        raise RuntimeError(f"expected {IN_REDIS} scopes in Redis, got {kept}")
    return [
        Figure(f"one of {IN_REDIS:,} scopes in Redis", "bytes", used / kept),
        Figure(f"{IN_REDIS:,} scopes in Redis", "MB", used / 1e6),
    ]


def _microseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e6


def _commands(client: redis.Redis) -> int:
    """How many commands the server has had, these questions apart."""
    return sum(stats["calls"] for name, stats in client.info("commandstats").items() if name != "cmdstat_info")


def _used_bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
