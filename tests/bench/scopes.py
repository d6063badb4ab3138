"""What more scopes change: the time of a hit in memory and in Redis, and the room that they take in both."""

from __future__ import annotations

import contextlib
import hashlib
import random
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
_ASKED, _HITS, _FILLS, _BATCH, _ROUNDS = 300, 20_000, 3, 2_000, 3


class World(NamedTuple):
    """A store in an empty Redis, and asks of many users."""

    store: CredentialStore
    client: redis.Redis  # beside the store
    sealer: Sealer
    demands: list[Demand]


@contextlib.contextmanager
def world(users: int) -> Iterator[World]:
    """One with demands of so many users."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(redis_server())
        connection = stack.enter_context(contextlib.closing(Connection(topology.parse(server.url), time.monotonic)))
        client = stack.enter_context(redis.Redis.from_url(server.url))
        route = samples.pictures(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        sealer = Sealer([b"b" * KEY_BYTES])
        demands = [samples.demand(route, number) for number in range(users)]
        yield World(CredentialStore(connection, sealer), client, sealer, demands)


def measure() -> list[Figure]:
    """Medians of rounds."""
    with world(IN_MEMORY) as full:
        in_memory = _memory_hits(full)
    with world(_ASKED) as empty:
        return [*in_memory, *_room_in_memory(), *_redis(empty)]


def _memory_hits(world: World) -> list[Figure]:
    figures = []
    for count in _powers(IN_MEMORY):
        cache, now, demands = samples.open_cache(), samples.clock(), world.demands[:count]
        for demand in demands:
            cache.get(demand, now)
        asked = random.Random(count).choices(demands, k=_HITS)

        def hits() -> None:
            for demand in asked:  # noqa: B023  called at once
                cache.get(demand, now)  # noqa: B023

        taken = statistics.median(_seconds(hits) / _HITS for _ in range(_ROUNDS))
        figures.append(
            Figure(f"a hit in memory, one of {count:,} scopes", "µs", taken * 1e6, curve="in memory", at=count)
        )
    return figures


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


def _redis(world: World) -> list[Figure]:
    """Hits among ever more sealed credentials, and their room."""
    filled, now, before, kept = samples.open_cache(world.store), samples.clock(), _used_bytes(world.client), 0
    figures = []
    for count in _powers(IN_REDIS):
        for demand in world.demands[kept:count]:
            filled.get(demand, now)
        _fill(world, max(kept, _ASKED), count)
        kept = count
        asked = [random.Random(count).choice(world.demands[:count]) for _ in range(_ASKED)]
        # A memory of its own each time, which is empty.
        taken = [_seconds(lambda: samples.open_cache(world.store).get(demand, now)) for demand in asked]  # noqa: B023
        what = f"a hit in Redis, one of {count:,} scopes"
        figures.append(Figure(what, "µs", statistics.median(taken) * 1e6, curve="in Redis", at=count))
    if (size := world.client.dbsize()) != IN_REDIS:
        raise RuntimeError(f"expected {IN_REDIS} scopes in Redis, got {size}")
    used = _used_bytes(world.client) - before
    return [
        *figures,
        Figure(f"one of {IN_REDIS:,} scopes in Redis", "bytes", used / IN_REDIS),
        Figure(f"{IN_REDIS:,} scopes in Redis", "MB", used / 1e6),
    ]


def _fill(world: World, first: int, end: int) -> None:
    outline, credential = world.demands[0].scope.outline(), samples.credential(samples.clock())
    for start in range(first, end, _BATCH):
        pipeline = world.client.pipeline(transaction=False)
        for number in range(start, min(start + _BATCH, end)):
            fingerprint = hashlib.sha256(str(number).encode()).hexdigest()
            sealed = world.sealer.seal(_serialise(credential, outline), _context("credential", fingerprint))
            pipeline.set(_name(fingerprint, "credential"), sealed, px=samples.LIFE_SECONDS * 1000)
        pipeline.execute()


def _powers(end: int) -> Iterator[int]:
    count = 1
    while count <= end:
        yield count
        count *= 10


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _used_bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
