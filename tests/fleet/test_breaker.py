"""When calls go through: always, until one fails; then one probe at a time."""

from __future__ import annotations

import pytest

from broker.fleet.breaker import Breaker
from tests.doubles import Threads

PAUSE, PROBE = 5.0, 3.0


@pytest.fixture
def breaker() -> Breaker:
    """A breaker that nothing has failed on yet."""
    return Breaker(PAUSE, PROBE)


def admitted(breaker: Breaker, now: float, threads: int = 16) -> int:
    """How many of so many calls at once go through."""
    return Threads(threads, lambda n: breaker.admits(now)).join().count(True)


def test_nothing_failed(breaker: Breaker) -> None:
    """As long as nothing fails, every call goes through."""
    assert breaker.closed
    assert not breaker.waits(0)
    assert admitted(breaker, 0) == 16
    breaker.succeeded()
    assert breaker.closed
    assert admitted(breaker, 0) == 16


@pytest.mark.parametrize(("after", "waits"), [(0, True), (PAUSE - 0.001, True), (PAUSE, False), (PAUSE + 100, False)])
def test_pause(breaker: Breaker, after: float, waits: bool) -> None:
    """After a failure no call goes through until the pause is over, to the instant."""
    breaker.failed(10)
    assert not breaker.closed
    assert breaker.waits(10 + after) == waits
    assert breaker.admits(10 + after) == (not waits)


def test_one_probe(breaker: Breaker) -> None:
    """However many come after the pause: one call finds out."""
    breaker.failed(10)
    assert admitted(breaker, 10 + PAUSE) == 1
    assert breaker.waits(10 + PAUSE)
    assert not breaker.closed


@pytest.mark.parametrize(("after", "probes"), [(PROBE - 0.001, 0), (PROBE, 1)])
def test_lost_probe(breaker: Breaker, after: float, probes: int) -> None:
    """A probe that says nothing counts as lost after its time, and another one goes."""
    breaker.failed(10)
    assert breaker.admits(10 + PAUSE)
    assert admitted(breaker, 10 + PAUSE + after) == probes


def test_asking_is_no_probe(breaker: Breaker) -> None:
    """To ask whether it waits takes no probe from anybody."""
    breaker.failed(10)
    assert not breaker.waits(10 + PAUSE)
    assert not breaker.waits(10 + PAUSE)
    assert breaker.admits(10 + PAUSE)


@pytest.mark.parametrize(("after", "probes"), [(PAUSE - 0.001, 0), (PAUSE, 1)])
def test_failed_probe(breaker: Breaker, after: float, probes: int) -> None:
    """A failed probe begins another pause, counted from its end."""
    breaker.failed(10)
    assert breaker.admits(20)
    breaker.failed(21)
    assert admitted(breaker, 21 + after) == probes


def test_answered_probe(breaker: Breaker) -> None:
    """One answer lets all calls through again, at once."""
    breaker.failed(10)
    assert breaker.admits(10 + PAUSE)
    breaker.succeeded()
    assert breaker.closed
    assert not breaker.waits(10 + PAUSE)
    assert admitted(breaker, 10 + PAUSE) == 16


def test_failures_of_calls_in_progress(breaker: Breaker) -> None:
    """Calls that had gone through before fail later: the pause counts from the last of them."""
    Threads(8, lambda n: breaker.failed(10 + n / 10)).join()
    breaker.failed(12)
    assert admitted(breaker, 12 + PAUSE - 0.001) == 0
    assert admitted(breaker, 12 + PAUSE) == 1


def test_told():
    """Opening and closing are told once each, however often a call fails or succeeds in between."""
    told: list[bool] = []
    breaker = Breaker(5.0, 1.0, tell=told.append)
    breaker.succeeded()
    breaker.failed(1.0)
    breaker.failed(2.0)
    assert told == [True]
    breaker.succeeded()
    breaker.succeeded()
    assert told == [True, False]
