"""Quotas: never more than the rate says, all of a call or nothing of it, and a true word on when to come again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.local import RedisServer, redis_server
from broker.quotas import IN_MEMORY, Quota, Quotas, Reading
from broker.rates import Rate
from tests.doubles import Clock, Threads

SCRIPTED = {f"cmdstat_{name}" for name in ("get", "set", "pttl", "exists", "incrby", "rename", "time")}
A, B = Quota("a", Rate(60, 3600)), Quota("b", Rate(100, 3600))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis of these tests' own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def connection(server: RedisServer) -> Iterator[Connection]:
    """A connection to it, and nothing in it."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    connection = Connection(topology.parse(server.url), time.monotonic)
    yield connection
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def quotas(request: pytest.FixtureRequest) -> Quotas:
    """Counts of either kind."""
    connection = request.getfixturevalue("connection") if request.param == "redis" else None
    return Quotas("broker:test", connection, time.monotonic)


def in_memory(clock: Clock) -> Quotas:
    """Counts of one process, by the test's clock."""
    return Quotas("broker:test", None, clock.monotonic)


class TestTaking:
    """All that is asked for, or nothing."""

    def test_whole(self, quotas):
        """Units are to be had up to the rate; a call that wants one too many takes nothing."""
        assert quotas.take(58, A)
        assert not quotas.take(3, A)
        assert quotas.read(A).room(A.rate) == 2
        assert quotas.take(2, A)
        assert not quotas.take(1, A)

    def test_names_and_rates(self, quotas):
        """Each name has its own, and a rate that changed counts anew."""
        assert quotas.take(60, A)
        assert quotas.take(60, Quota("aa", A.rate))
        assert quotas.take(61, Quota("a", Rate(61, 3600)))

    @pytest.mark.parametrize("pair", [(A, B), (B, A)])
    def test_two(self, quotas, pair):
        """Of two quotas neither is spent when the other refuses, whichever comes first."""
        assert quotas.take(50, *pair)
        assert not quotas.take(20, *pair)
        assert [quotas.read(quota).room(quota.rate) for quota in (A, B)] == [10, 50]
        assert quotas.take(10, *pair)
        assert quotas.take(40, B)
        assert [quotas.read(quota).room(quota.rate) for quota in (A, B)] == [0, 0]

    def test_threads(self, quotas):
        """Threads that take at once do not take more, and not less."""
        taken = Threads(8, lambda number: sum(quotas.take(3, A) for _ in range(10))).join()
        assert sum(taken) == 20


class TestRedis:
    """What is counted for the fleet."""

    def test_one_round_trip(self, connection, server):
        """To take is one command, two quotas are two; nothing is asked besides, and both keys are on one node."""
        quotas = Quotas("broker:test", connection, time.monotonic)
        with redis.Redis.from_url(server.url) as client:
            quotas.take(1, A)

            for asked, round_trips in (((A,), 1), ((A, B), 2)):
                client.config_resetstat()
                quotas.take(1, *asked)
                # What the script does inside is counted, too.
                stats = client.info("commandstats").keys() - SCRIPTED - {"cmdstat_config|resetstat", "cmdstat_info"}
                assert stats == {"cmdstat_evalsha"}
                assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == round_trips
            assert sorted(client.keys()) == [b"broker:test:{a/60/3600}", b"broker:test:{b/100/3600}"]
            assert [name for name in client.scan_iter() if not 0 < client.ttl(name) <= 7200] == []

    def test_restarted(self, connection, server):
        """A server that has lost its scripts is told them again."""
        quotas = Quotas("broker:test", connection, time.monotonic)
        assert quotas.take(59, A)
        with redis.Redis.from_url(server.url) as client:
            client.script_flush()
        assert quotas.take(1, A)
        assert not quotas.take(1, A)

    def test_down(self):
        """Without Redis every process counts for itself: from nothing, and not without bound."""
        with redis_server() as server:
            connection = Connection(topology.parse(server.url), time.monotonic)
            quotas = Quotas("broker:test", connection, time.monotonic)
            assert quotas.take(59, A)
            server.process.kill()
            server.process.wait()
            assert not quotas.take(61, A)
            assert quotas.take(60, A, B)
            assert not quotas.take(1, A)
            assert [quotas.read(quota).room(quota.rate) for quota in (A, B)] == [0, 40]
            connection.close()

    def test_given_back_late(self, connection):
        """Units that come back when their window has passed are given to it, not to the one that follows."""
        quotas, quota = Quotas("broker:test", connection, time.monotonic), Quota("a", Rate(10, 1))
        assert quotas.take(100, B)

        class Meanwhile:
            """A way to Redis that others overtake before it comes to the second quota."""

            def run(self, name, command):
                if B.key in name:
                    assert eventually(lambda: quotas.take(3, quota))
                return connection.run(name, command)

        assert not Quotas("broker:test", Meanwhile(), time.monotonic).take(8, quota, B)
        reading = quotas.read(quota)
        assert (reading.previous, reading.current) in ((0, 3), (3, 0))  # the latter on a machine that stood still

    def test_window_passes(self, connection):
        """What was taken in a window that has passed is to be had again, when it was said to be."""
        quotas, quota = Quotas("broker:test", connection, time.monotonic), Quota("a", Rate(5, 1))
        assert quotas.take(5, quota)
        assert not quotas.take(4, quota)
        assert quotas.read(quota).wait_seconds(quota.rate, 4) in (1, 2)
        assert eventually(lambda: quotas.take(4, quota))


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true soon."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


class TestWindows:
    """Time passes, in memory by the test's clock."""

    def test_fading(self):
        """The window before counts by the share that is still covered."""
        clock, quota = Clock(), Quota("a", Rate(60, 60))
        quotas = in_memory(clock)
        assert quotas.take(60, quota)
        clock.tick(60)
        assert not quotas.take(1, quota)
        clock.tick(1)
        assert not quotas.take(2, quota)
        assert quotas.take(1, quota)
        clock.tick(29)
        assert quotas.read(quota) == Reading(60, 30, 1, 90)
        assert not quotas.take(30, quota)
        assert quotas.take(29, quota)

    def test_idle(self):
        """After two windows without an ask everything is to be had at once."""
        clock, quota = Clock(), Quota("a", Rate(60, 60))
        quotas = in_memory(clock)
        quotas.take(60, quota)
        clock.tick(119)
        assert not quotas.take(60, quota)
        clock.tick(1)
        assert quotas.take(60, quota)

    def test_many_names(self):
        """Memory holds so many names, and forgets the one that was not asked for longest."""
        quotas = in_memory(Clock())
        quotas.take(60, A)
        quotas.take(60, Quota("old", A.rate))
        for number in range(IN_MEMORY - 1):
            quotas.take(1, Quota(str(number), A.rate))
            if not number % 1000:
                assert not quotas.take(1, A)
        assert not quotas.take(1, A)
        assert quotas.take(1, Quota("old", A.rate))


ASKS = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 12)), max_size=60)  # (seconds later, units)


@given(ASKS, st.integers(1, 10), st.integers(1, 20))
@settings(max_examples=400, deadline=None)
def test_never_more(asks, most, seconds):
    """Whoever asks however: no window holds more than the rate, and no stretch as long more than twice that.

    What was refused is to be had after the time that was said, and not a second sooner.
    """
    clock, quota = Clock(), Quota("a", Rate(most, seconds))
    quotas = in_memory(clock)
    granted: list[tuple[float, int]] = []
    for later, units in asks:
        clock.tick(later)
        if units > most:
            assert not quotas.take(units, quota)
            continue
        if not quotas.take(units, quota):
            wait = quotas.read(quota).wait_seconds(quota.rate, units)
            clock.tick(wait - 1)
            assert wait == 1 or not quotas.take(units, quota)
            clock.tick(1)
            assert quotas.take(units, quota)
        granted.append((clock.elapsed, units))
        reading = quotas.read(quota)
        begun = clock.elapsed + reading.current_seconds - 2 * seconds
        assert begun <= clock.elapsed < begun + seconds
        assert sum(units for when, units in granted if when >= begun) == reading.current <= most
        assert reading.room(quota.rate) >= 0
    for at, _ in granted:
        assert sum(units for when, units in granted if at <= when < at + seconds) <= 2 * most


def test_late_and_early():
    """What comes late in one window and early in the next is more than the rate, and less than twice: an estimate."""
    clock, quota = Clock(), Quota("a", Rate(60, 60))
    quotas = in_memory(clock)
    quotas.take(1, quota)
    clock.tick(59)
    granted = 0
    for _ in range(60):
        granted += sum(quotas.take(1, quota) for _ in range(60))
        clock.tick(1)
    assert 60 < granted < 120


@pytest.mark.parametrize(
    ("reading", "units", "wait"),
    [
        (Reading(0, 0, 60, 120), 1, 61), (Reading(0, 0, 60, 120), 60, 120), (Reading(0, 0, 30, 90), 31, 31),
        (Reading(60, 60, 0, 120), 1, 1), (Reading(60, 60, 0, 120), 2, 2), (Reading(60, 30, 30, 90), 30, 30),
        (Reading(0, 0, 0, 0), 60, 1), (Reading(0, 0, 59, 61), 1, 1),
    ],
)  # fmt: skip
def test_wait(reading, units, wait):
    """How long what is held takes to fade until there is room for a call."""
    assert reading.wait_seconds(Rate(60, 60), units) == wait
