"""Budgets and rates: fair shares, for the fleet where there is Redis, for each process where there is none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from broker.errors import RateLimited, UpstreamUnavailable
from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.limits import Budgets, Rates
from broker.local import RedisServer, redis_server
from broker.rates import Rate
from tests.doubles import Clock

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    sub: str | None = None
    key_id: str | None = None
    rate: Rate | None = None


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def connection(server) -> Iterator[Connection]:
    """A connection to it."""
    connection = Connection(topology.parse(server.url), time.monotonic)
    yield connection
    connection.close()


def charged(budgets: Budgets, caller: Caller, most: int = 150) -> int:
    """How many cold scopes a caller gets at once."""
    for count in range(most):
        try:
            budgets.charge(caller)
        except RateLimited:
            return count
    return most


def spent(budgets: Budgets, *, renewal: bool, most: int = 50) -> int:
    """How many calls are to be had at once."""
    for count in range(most):
        try:
            budgets.spend(renewal=renewal)
        except UpstreamUnavailable:
            return count
    return most


class TestShares:
    """One caller cannot spend what is everybody's."""

    @pytest.mark.parametrize("caller", [Caller("u1"), Caller("u1", "bff"), Caller(None, "bff"), Caller()])
    def test_burst(self, caller):
        """A hundred at once, and no more."""
        assert charged(Budgets(400, None), caller) == 100

    def test_principals_are_apart(self):
        """Another principal has a share of its own."""
        budgets = Budgets(400, None)
        assert charged(budgets, Caller("u1")) == 100
        assert charged(budgets, Caller("u10")) == 100

    def test_key_of_many(self):
        """A BFF's key has one share, for however many it acts."""
        budgets = Budgets(400, None)
        assert sum(charged(budgets, Caller(f"u{number}", "bff"), 1) for number in range(150)) == 100
        assert charged(budgets, Caller("u1", "other-bff"), 1) == 1

    def test_refused_for_one_share(self):
        """A principal that has spent its own share costs a BFF's key nothing by asking on; others have all of it."""
        budgets = Budgets(400, None)
        assert charged(budgets, Caller("u1")) == 100
        for _ in range(100):
            with pytest.raises(RateLimited, match="this principal"):
                budgets.charge(Caller("u1", "bff"))
        assert charged(budgets, Caller("u2", "bff")) == 100
        with pytest.raises(RateLimited, match="this API key"):
            budgets.charge(Caller("u3", "bff"))
        assert charged(budgets, Caller("u3")) == 100

    def test_key_alone(self):
        """A key that acts for nobody spends its own share, not that of callers without a name."""
        budgets = Budgets(400, None)
        assert charged(budgets, Caller(None, "bff")) == 100
        assert charged(budgets, Caller()) == 100

    def test_nobody(self):
        """The operator's own errands are not charged."""
        Budgets(400, None).charge(None)

    def test_message(self):
        """The refusal says whose share it is, what it is, and when to come again."""
        budgets = Budgets(400, None)
        charged(budgets, Caller("u1"))
        with pytest.raises(RateLimited, match=r"this principal .* at most 100 in 10 seconds") as caught:
            budgets.charge(Caller("u1"))
        assert (caught.value.status, caught.value.code) == (429, "rate_limited")
        assert caught.value.retry_after_seconds == 10


class TestFleet:
    """The calls of all processes."""

    @pytest.mark.parametrize(("per_second", "most"), [(4, 3), (8, 6), (10, 7), (400, 300)])
    @pytest.mark.parametrize("renewal", [False, True])
    def test_quarter_for_each_kind(self, per_second, most, renewal):
        """New scopes may spend three quarters, renewals what is left; and the other way round."""
        budgets = Budgets(per_second, None)
        assert spent(budgets, renewal=renewal, most=per_second + 9) == most
        assert spent(budgets, renewal=not renewal, most=per_second + 9) == per_second - most

    @pytest.mark.parametrize("renewal", [False, True])
    def test_refused_for_all_calls(self, renewal):
        """Calls that the whole refuses cost their kind nothing of what it may have in the second that follows."""
        clock = Clock()
        budgets = Budgets(400, None, clock.monotonic)
        assert spent(budgets, renewal=not renewal, most=300) == 300
        assert spent(budgets, renewal=renewal, most=100) == 100
        assert sum(spent(budgets, renewal=renewal, most=1) for _ in range(200)) == 0
        clock.tick(1.5)
        # Half of the second before still counts: 200 of all calls, 50 of this kind.
        assert spent(budgets, renewal=renewal, most=400) == 200

    def test_shared(self, connection, server):
        """Processes that share Redis share the budget, and no name of a person is in it."""
        other = Connection(topology.parse(server.url), time.monotonic)
        one, two = Budgets(8, connection), Budgets(8, other)
        assert spent(one, renewal=False) + spent(two, renewal=False) == 6
        assert charged(one, Caller("alice"), 60) + charged(two, Caller("alice"), 60) == 100
        with redis.Redis.from_url(server.url) as client:
            names = client.keys("*")
            assert names
            assert [name for name in names if b"alice" in name] == []
            assert [name for name in names if not name.startswith(b"broker:budget:")] == []
            assert [name for name in names if client.ttl(name) < 0] == []
        other.close()

    def test_atomic(self, connection):
        """Threads that spend at once do not spend more."""
        budgets, taken = Budgets(40, connection), []
        threads = [threading.Thread(target=lambda: taken.append(spent(budgets, renewal=False))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sum(taken) == 30

    def test_without_redis(self, connection, server):
        """A dead Redis leaves every process a budget of its own, never none and never no bound."""
        budgets = Budgets(8, connection)
        server.process.kill()
        server.process.wait()
        assert spent(budgets, renewal=False) == 6
        assert charged(budgets, Caller("u1")) == 100


class TestRates:
    """What may be signed for whom."""

    HOURLY = Rate(3, 3600)

    def test_without(self, connection, server):
        """Without a rate nothing is counted, and where there is nothing to count Redis is not asked."""
        Rates(connection).take(10**6, Caller("u1", "bff"), "r", None)
        Rates(connection).take(0, Caller("u1", "bff"), "r", self.HOURLY)
        with redis.Redis.from_url(server.url) as client:
            assert client.keys() == []

    def test_nothing(self):
        """A call that signs nothing is never refused."""
        rates = Rates(None)
        rates.take(3, Caller("u1"), "r", self.HOURLY)
        rates.take(0, Caller("u1"), "r", self.HOURLY)
        with pytest.raises(RateLimited):
            rates.take(1, Caller("u1"), "r", self.HOURLY)

    @pytest.mark.parametrize(
        "other",
        [Caller("u10"), Caller("u1", "bff"), Caller(None, "u1"), Caller(None, "bff"), Caller(), Caller("/u1")],
    )
    def test_others(self, other):
        """Whoever has another name or comes by a key has a rate of their own."""
        rates = Rates(None)
        rates.take(3, Caller("u1"), "r", self.HOURLY)
        rates.take(3, other, "r", self.HOURLY)
        rates.take(3, Caller("u1"), "r2", self.HOURLY)

    def test_names(self, connection, server):
        """No name of a person is in Redis, and nothing is there for ever."""
        rates = Rates(connection)
        rates.take(1, Caller("alice", "bff", Rate(5, 60)), "r", self.HOURLY)
        rates.take(1, Caller("bob@example.com\udc80"), "r", self.HOURLY)
        with redis.Redis.from_url(server.url) as client:
            names = client.keys()
            assert len(names) == 3
            assert [name for name in names if b"alice" in name or b"bob" in name] == []
            assert [name for name in names if not name.startswith(b"broker:rate:{")] == []
            assert [name for name in names if not 0 < client.ttl(name) <= 7200] == []

    def test_longest_wait(self):
        """Of two rates that are spent the one that takes longer says when to come again."""
        rates = Rates(None)
        caller = Caller("u1", "bff", Rate(3, 60))
        rates.take(3, caller, "r", self.HOURLY)
        with pytest.raises(RateLimited, match="rate of this principal on this route is 3/hour") as caught:
            rates.take(1, caller, "r", self.HOURLY)
        assert caught.value.retry_after_seconds > 3500

    def test_shared(self, connection, server):
        """Processes that share Redis share a rate; when it is gone, each has one of its own."""
        other = Connection(topology.parse(server.url), time.monotonic)
        one, two = Rates(connection), Rates(other)
        one.take(2, Caller("u1"), "r", self.HOURLY)
        two.take(1, Caller("u1"), "r", self.HOURLY)
        for rates in (one, two):
            with pytest.raises(RateLimited) as caught:
                rates.take(1, Caller("u1"), "r", self.HOURLY)
            assert 3500 < caught.value.retry_after_seconds <= 3601
        server.process.kill()
        server.process.wait()
        for rates in (one, two):
            rates.take(3, Caller("u1"), "r", self.HOURLY)
            with pytest.raises(RateLimited):
                rates.take(1, Caller("u1"), "r", self.HOURLY)
        other.close()


def test_no_thread():
    """Nothing is started, neither before the first call nor by it, so that nothing is lost in a fork."""
    script = (
        "import threading; from broker.limits import Budgets; budgets = Budgets(400, None); "
        "budgets.spend(renewal=False); print(threading.active_count())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=True
    )
    assert ended.stdout == "1\n"
