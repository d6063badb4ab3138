"""A rate holds for the fleet: several processes count together, and go on counting when Redis is gone."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.fleet import Served, together

RATED = "rated/url"  # 60 in an hour
ASKS, THREADS = 200, 20


@pytest.fixture
def brokers(emulator, start, own_redis) -> list[Served]:
    """Four workers that share a Redis."""
    brokers = [start(emulator, own_redis, workers=2) for _ in range(2)]
    for broker in brokers:
        broker.await_ready()
    return brokers


def asked(brokers: list[Served], count: int, sub: str = "u1") -> Counter[int]:
    """How often which status came, of so many asks by all of the brokers."""
    statuses: list[int] = []

    def ask(number: int):
        for _ in range(count // THREADS):
            answer = brokers[number % len(brokers)].ask(sub, RATED)
            assert answer.status == 200 or (answer.code == "rate_limited" and int(answer.headers["retry-after"]) > 3000)
            statuses.append(answer.status)
        return answer

    together(THREADS, ask)
    return Counter(statuses)


def test_four_processes(brokers, own_redis):
    """Of 200 asks by four processes as many are granted as the rate says; who else asks has a rate of their own."""
    assert asked(brokers, ASKS) == {200: 60, 429: 140}
    assert asked(brokers, 60, "u10") == {200: 60}


def test_redis_down(brokers, own_redis):
    """Without Redis each process counts for itself: no more than the rate from each, and from none without end."""
    assert asked(brokers, 100) == {200: 60, 429: 40}
    own_redis.process.kill()
    own_redis.process.wait()
    after = asked(brokers, 600)
    assert set(after) == {200, 429}
    assert 60 <= after[200] <= 4 * 60
