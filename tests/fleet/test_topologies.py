"""Two processes and one Redis, in every topology: what the one has learned, the other need not ask STS for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.errors import RateLimited, Subject, UpstreamError
from broker.fleet.connection import TIMEOUT_SECONDS
from broker.limits import Budgets
from tests.doubles import Threads, some_scope
from tests.fleet.conftest import AT_ONCE_SECONDS, Asker, Fleet, Process, timeouts
from tests.fleet.servers import HOST, Cluster, Server, Trio, Tunnel, server, tls_in_front_of

Connect = Callable[[str], Asker]
FleetOn = Callable[[str], Fleet]
Lines = Callable[[], list[str]]

SCOPES = [some_scope(f"u{number}") for number in range(24)]


@dataclass
class Redis:
    """One topology: how it is reached, and the servers that hold its keys."""

    url: str
    holders: list[Server]


@pytest.fixture(scope="session")
def tcp() -> Iterator[Redis]:
    """One server on a port."""
    with server() as started:
        yield Redis(started.url, [started])


@pytest.fixture(scope="session")
def tunnel(tcp: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
    """TLS in front of that server."""
    with tls_in_front_of(tcp.holders[0], tmp_path_factory.mktemp("tls")) as tunnel:
        yield tunnel


@pytest.fixture(scope="session")
def tls(tcp: Redis, tunnel: Tunnel) -> Redis:
    """The server through TLS, with the certificate that it has."""
    return Redis(f"{tunnel.url}?ssl_ca_certs={tunnel.certificate}", tcp.holders)


@pytest.fixture(scope="session")
def unix() -> Iterator[Redis]:
    """One server on a Unix socket."""
    with server(tcp=False) as started:
        yield Redis(started.url, [started])


@pytest.fixture
def sentinel(steady_trio: Trio) -> Redis:
    """A master that Sentinels know."""
    return Redis(steady_trio.url, [steady_trio.master])


@pytest.fixture
def clustered(steady_cluster: Cluster) -> Redis:
    """A cluster of three masters."""
    return Redis(steady_cluster.url, steady_cluster.masters)


@pytest.fixture(params=("tcp", "tls", "unix", "sentinel", "clustered"))
def redis_of_any_topology(request: pytest.FixtureRequest) -> Redis:
    """Every topology in turn, with nothing in it."""
    found: Redis = request.getfixturevalue(request.param)
    for holder in found.holders:
        holder.ask("FLUSHALL")
    return found


@pytest.fixture
def fleet(redis_of_any_topology: Redis, fleet_on: FleetOn) -> Fleet:
    """A fleet on it."""
    return fleet_on(redis_of_any_topology.url)


@pytest.fixture
def pair(fleet: Fleet, lines: Lines) -> Iterator[tuple[Process, Process]]:
    """Two processes, to which nothing happens that is worth telling."""
    first, second = fleet.process(), fleet.process()
    yield first, second
    assert first.connection.serving
    assert second.connection.serving
    assert (lines(), first.counted, second.counted) == ([], [], [])


Pair = tuple[Process, Process]


class TestSharing:
    """What two processes share."""

    def test_cold_scopes(self, fleet: Fleet, pair: Pair, redis_of_any_topology: Redis) -> None:
        """One call for each scope, and every server that holds keys has some."""
        first, second = pair
        credentials = [first.get(scope) for scope in SCOPES]
        assert [second.get(scope) for scope in SCOPES] == credentials
        assert [scope for scope, _ in fleet.issuer.calls] == SCOPES
        assert all(holder.ask("DBSIZE") for holder in redis_of_any_topology.holders)

    def test_cold_scope_at_once(self, fleet: Fleet, pair: Pair) -> None:
        """Eight asks in each of two processes at the same time make one call between them."""
        asks = Threads(16, lambda n: pair[n % 2].get(SCOPES[0]))
        assert len(set(map(repr, asks.join()))) == 1
        assert fleet.calls(SCOPES[0]) == 1

    def test_lease(self, fleet: Fleet, pair: Pair) -> None:
        """While one process asks STS the other one waits, and gets what comes of it."""
        fleet.issuer.gate.clear()
        asks = Threads(2, lambda n: pair[n].get(SCOPES[0]))
        assert fleet.issuer.arrived.acquire(timeout=10)
        assert fleet.waits.acquire(timeout=10)
        fleet.issuer.gate.set()
        assert len(set(map(repr, asks.join()))) == 1
        assert fleet.calls(SCOPES[0]) == 1

    def test_lapsed_lease(self, fleet: Fleet, pair: Pair) -> None:
        """The lease of a process that has died is competed for when it lapses: one call by those who waited."""
        fingerprint = fleet.issuer.fingerprint(SCOPES[0])
        dead = fleet.process()
        assert dead.store.claim(fingerprint, "token").leased
        asks = Threads(8, lambda n: pair[n % 2].get(SCOPES[0]))
        for _ in range(20):
            assert fleet.waits.acquire(timeout=10)
        assert fleet.issuer.calls == []
        lease = fleet.lease(SCOPES[0])
        assert dead.connection.run(lease, lambda client: client.pexpire(lease, 1))
        assert len(set(map(repr, asks.join()))) == 1
        assert fleet.calls(SCOPES[0]) == 1

    @pytest.mark.parametrize("about", ["scope", "source"])
    def test_failure(self, fleet: Fleet, pair: Pair, about: Subject) -> None:
        """What STS refuses to one process it is not asked by the other; a refused source is asked for nothing."""
        fleet.issuer.script = [UpstreamError("sts_refused", "STS refused: no", about=about)]
        for process in pair:
            with pytest.raises(UpstreamError, match="STS refused: no"):
                process.get(SCOPES[0])
        assert fleet.calls(SCOPES[0]) == 1
        if about == "source":
            with pytest.raises(UpstreamError, match="STS refused: no"):
                pair[1].get(SCOPES[1])
        else:
            assert pair[1].get(SCOPES[1])
        assert fleet.calls(SCOPES[1]) == (about == "scope")

    def test_budget(self, pair: Pair) -> None:
        """Every caller has one share of new scopes, whichever process is asked and wherever the share is counted."""
        budgets = [Budgets(10_000, process.connection) for process in pair]
        for caller in (Caller(f"somebody{number}") for number in range(6)):
            for number in range(100):
                budgets[number % 2].charge(caller)
            for budget in budgets:
                with pytest.raises(RateLimited):
                    budget.charge(caller)

    def test_budget_of_the_fleet(self, pair: Pair) -> None:
        """The calls of one second are counted for all processes."""
        budgets = [Budgets(40, process.connection) for process in pair]
        began = time.monotonic()
        spent = sum(spends(budgets[number % 2]) for number in range(60))
        # 30 of 40 are for cold scopes; a machine that takes longer than a second gets the next ones too.
        assert 30 <= spent <= 30 * (1 + int(time.monotonic() - began))

    def test_listed(self, fleet: Fleet, pair: Pair) -> None:
        """All credentials are seen from anywhere, wherever they are kept."""
        first, second = pair
        credentials = {first.get(scope) for scope in SCOPES}
        found = list(second.store.listed())
        assert {one.opened[0] for one in found} == credentials
        assert {one.fingerprint for one in found} == {fleet.issuer.fingerprint(scope) for scope in SCOPES}
        assert {one.opened[1] for one in found} == {scope.outline() for scope in SCOPES}

    def test_forgotten(self, fleet: Fleet, pair: Pair) -> None:
        """What is forgotten is gone from every process within two seconds, and asked for anew once; the rest stays."""
        first, second = pair
        before = [first.get(scope) for scope in SCOPES]
        assert [second.get(scope) for scope in SCOPES] == before
        operator = fleet.process()
        forgotten, kept = SCOPES[:12], SCOPES[12:]
        assert operator.store.forget(map(fleet.issuer.fingerprint, [*forgotten, some_scope("nobody")])) == 12
        assert {one.opened[0] for one in operator.store.listed()} == set(before[12:])
        fleet.clock.tick(2)
        after = [first.get(scope) for scope in forgotten]
        assert [second.get(scope) for scope in forgotten] == after
        assert set(after).isdisjoint(before)
        assert [second.get(scope) for scope in kept] == [first.get(scope) for scope in kept] == before[12:]
        assert [fleet.calls(scope) for scope in SCOPES] == [2] * 12 + [1] * 12

    def test_epoch(self, pair: Pair) -> None:
        """The epoch is the same for everybody, and another one when somebody has forgotten something."""
        first, second = pair
        epochs = [first.store.epoch()]
        for _ in range(2):
            second.store.forget([])
            epochs.append(first.store.epoch())
            assert second.store.epoch() == epochs[-1]
        assert epochs[0] is None
        assert len(set(epochs)) == 3


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    sub: str
    key_id: None = None


def spends(budgets: Budgets) -> bool:
    """Whether there is a call left for a cold scope."""
    try:
        budgets.spend(renewal=False)
    except UpstreamError:
        return False
    return True


class TestTls:
    """What is behind TLS is reached through TLS, or not at all."""

    def test_sealed(self, tls: Redis, tunnel: Tunnel, connect: Connect) -> None:
        """Every connection begins with a handshake."""
        tunnel.greetings.clear()
        assert connect(tls.url).ask(lambda client: client.ping())
        assert connect(tls.url.replace(HOST, "localhost")).ask(lambda client: client.ping())
        assert tunnel.greetings == [HANDSHAKE] * 2

    def test_certificate_that_nobody_vouches_for(self, tunnel: Tunnel, connect: Connect, lines: Lines) -> None:
        """Without the certificate the server is not believed: nothing is asked of it, least of all in plain text."""
        tunnel.greetings.clear()
        asker = connect(tunnel.url)
        assert asker.ask() is None
        assert asker.ask() is None
        assert tunnel.greetings == [HANDSHAKE]
        assert lines() == ["Redis does not answer (ConnectionError): serving without it"]
        assert not asker.connection.serving

    def test_certificate_of_another(self, tunnel: Tunnel, connect: Connect, tmp_path: Path, tcp: Redis) -> None:
        """A certificate for another name is not believed."""
        with tls_in_front_of(tcp.holders[0], tmp_path, "redis.test") as other:
            assert connect(f"{other.url}?ssl_ca_certs={other.certificate}").ask() is None
            assert other.greetings == [HANDSHAKE]

    def test_plain_server(self, tcp: Redis, tls: Redis, connect: Connect) -> None:
        """A server without TLS is not spoken to."""
        before = tcp.holders[0].info("commandstats")
        [port] = [holder.port for holder in tcp.holders]
        assert connect(f"rediss://{HOST}:{port}").ask(lambda client: client.set("key", "value")) is None
        assert "cmdstat_set" not in tcp.holders[0].info("commandstats").keys() - before.keys()

    def test_plain_client(self, tunnel: Tunnel, connect: Connect) -> None:
        """A server with TLS is not reached without."""
        assert connect(tunnel.url.replace("rediss", "redis")).ask() is None

    def test_no_such_file(self, tunnel: Tunnel, connect: Connect) -> None:
        """A certificate that is not there lets nobody in, and breaks nothing."""
        assert connect(f"{tunnel.url}?ssl_ca_certs=/nowhere.pem").ask() is None

    def test_handshake_that_hangs(self, connect: Connect) -> None:
        """Somebody who does not answer the handshake costs one time-out."""
        with socket.create_server((HOST, 0)) as silent:
            asker = connect(f"rediss://{HOST}:{silent.getsockname()[1]}")
            assert TIMEOUT_SECONDS <= asker.seconds() < timeouts(1)
            assert asker.seconds() < AT_ONCE_SECONDS


HANDSHAKE = b"\x16"
