"""Connections, and processes of the broker on the test's clock, with what they log and count."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from broker.credentials.cache import CredentialCache
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore
from broker.fleet import topology
from broker.fleet.connection import TIMEOUT_SECONDS, Client, Connection, Unavailable
from tests.doubles import Clock, IssuerDouble, Threads, open_cache, some_demand, some_scope
from tests.fleet.servers import Cluster, Server, Trio, cluster, sentinel_trio, server, until

SECRET = "S3cretOfTheFleet"
KEY = b"k" * 32
# Shorter than any time-out: nothing was waited for.
AT_ONCE_SECONDS = 0.14


def timeouts(count: int) -> float:
    """The seconds of so many time-outs, and what two busy cores may add to them."""
    return count * TIMEOUT_SECONDS + 0.35


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still: the breakers' pauses pass when it is told to."""
    return Clock()


@dataclass
class Asker:
    """One connection, the commands that have gone out on it, and the troubles that it has counted."""

    url: str
    clock: Clock
    calls: int = 0
    counted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = Connection(topology.parse(self.url), self.clock.monotonic, self.counted.append)

    def ask(self, command: Callable[[Client], Any] = lambda client: client.get("key"), name: str = "key") -> Any:
        """The answer, or None if Redis is unavailable."""

        def counting(client: Client) -> Any:
            self.calls += 1
            return command(client)

        try:
            return self.connection.run(name, counting)
        except Unavailable:
            return None

    def seconds(self, command: Callable[[Client], Any] = lambda client: client.get("key")) -> float:
        """How long it takes to learn that Redis is unavailable."""
        began = time.perf_counter()
        assert self.ask(command) is None
        return time.perf_counter() - began


@pytest.fixture
def connect(clock: Clock) -> Iterator[Callable[[str], Asker]]:
    """Connections by URL, closed again."""
    with contextlib.ExitStack() as stack:

        def make(url: str) -> Asker:
            asker = Asker(url, clock)
            stack.callback(asker.connection.close)
            return asker

        yield make


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What has been logged about Redis."""
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "broker.redis"]


@pytest.fixture(scope="session")
def trio_of_everybody() -> Iterator[Trio]:
    """Sentinels in no hurry."""
    with sentinel_trio(down_after_milliseconds=60_000) as trio:
        yield trio


@pytest.fixture
def steady_trio(trio_of_everybody: Trio) -> Trio:
    """An empty trio that replaces nothing that hangs for a moment; to be left as it is found."""
    trio_of_everybody.master.ask("FLUSHALL")
    return trio_of_everybody


@pytest.fixture(scope="session")
def cluster_of_everybody() -> Iterator[Cluster]:
    """A cluster in no hurry."""
    with cluster(node_timeout_milliseconds=60_000) as formed:
        yield formed


@pytest.fixture
def steady_cluster(cluster_of_everybody: Cluster) -> Cluster:
    """An empty cluster that replaces nothing that hangs for a moment; to be left as it is found."""
    for master in cluster_of_everybody.masters:
        master.ask("FLUSHALL")
    return cluster_of_everybody


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of the test's own, to be killed and stopped."""
    with server() as started:
        yield started


@dataclass
class Process:
    """One process of the broker, as far as the fleet goes."""

    connection: Connection
    store: CredentialStore
    cache: CredentialCache
    clock: Clock
    counted: list[str]
    slowest: float = 0.0

    def get(self, scope: Scope) -> Credential:
        """The credential that an ask gets; `slowest` keeps how many seconds it took at most."""
        began = time.perf_counter()
        credential = self.cache.get(some_demand(scope, ahead=False), self.clock()).credential
        self.slowest = max(self.slowest, time.perf_counter() - began)
        return credential


class Fleet:
    """Processes on one Redis, with one issuer and one clock. `waits` counts a permit when one waits for another."""

    def __init__(self, url: str, clock: Clock, stack: contextlib.ExitStack) -> None:
        self.url = url
        self.clock = clock
        self.issuer = IssuerDouble(clock)
        self.waits = threading.Semaphore(0)
        self._pause = threading.Event()
        self._stack = stack

    def process(self) -> Process:
        """Another process, which knows nothing yet."""
        counted: list[str] = []
        connection = Connection(topology.parse(self.url), self.clock.monotonic, counted.append)
        self._stack.callback(connection.close)
        store = CredentialStore(connection, Sealer([KEY]))
        cache = open_cache(self.issuer, self.clock, store, connection, wait=self._wait)
        return Process(connection, store, cache, self.clock, counted)

    def calls(self, scope: Scope) -> int:
        """How often STS was asked for a scope."""
        return [asked for asked, _ in self.issuer.calls].count(scope)

    def shares(self, scope: Scope, *processes: Process) -> bool:
        """Whether processes that ask for a cold scope, one after the other, get one credential by one call."""
        before = self.calls(scope)
        return len({process.get(scope) for process in processes}) == 1 == self.calls(scope) - before

    def begin(self, process: Process, scope: Scope) -> Threads:
        """An ask that has the lease and waits for STS, which answers when the issuer's gate is set."""
        self.issuer.gate.clear()
        asks = Threads(1, lambda n: process.get(scope))
        until(lambda: self.calls(scope), "STS is being asked")
        return asks

    def lease(self, scope: Scope) -> str:
        """The key of a scope's lease; all its keys are in one slot."""
        return f"broker:{{{self.issuer.fingerprint(scope)}}}:lease"

    @property
    def source(self) -> str:
        """The key that every call of STS without a role looks at."""
        return f"broker:{{{self.issuer.source_fingerprint(some_scope())}}}:failure"

    def _wait(self, seconds: float) -> None:
        self.waits.release()
        self._pause.wait(min(seconds, 0.01))


@pytest.fixture
def fleet_on(clock: Clock) -> Iterator[Callable[[str], Fleet]]:
    """Fleets by URL, whose connections are closed again."""
    with contextlib.ExitStack() as stack:
        yield lambda url: Fleet(url, clock, stack)
