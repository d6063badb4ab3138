"""The local clock is set wrong, and right again: what is handed out works, and costs few calls of STS."""

from __future__ import annotations

from tests.chaos.fleet import People, Served, eventually, put, sts_calls
from tests.chaos.timelapse import Timelapse

HOUR = 3_600
WORKERS = 2


def answers(broker: Served, count: int = 12) -> set[tuple[int, int]]:
    """(status of the ask, status of what it permits) of several asks for three scopes, over all workers."""
    asked = [broker.ask(f"u{number % 3}") for number in range(count)]
    return {(answer.status, put(answer) if answer.status == 200 else 0) for answer in asked}


def test_steps_by_an_hour(own_cloud, own_redis, start, tmp_path):
    """Forwards and backwards: each grant works, against a cloud whose clock is right, and few calls are made."""
    lapse = Timelapse(tmp_path)
    broker = start(own_cloud, own_redis, workers=WORKERS, **lapse.options)
    assert answers(broker) == {(200, 200)}
    for step in (HOUR, 0, -HOUR, 0, HOUR, -HOUR):
        calls = sts_calls(own_cloud)
        lapse.step(step)
        assert answers(broker) == {(200, 200)}
        assert sts_calls(own_cloud) - calls <= 3 + WORKERS


def test_small_steps(own_cloud, own_redis, start, tmp_path):
    """A step that makes no credential too old is noticed within seconds all the same."""
    lapse = Timelapse(tmp_path)
    broker = start(own_cloud, own_redis, workers=WORKERS, **lapse.options)
    assert answers(broker) == {(200, 200)}
    for step in (300, 0, -300):
        lapse.step(step)
        eventually(lambda: answers(broker) == {(200, 200)}, 3)
        assert answers(broker) == {(200, 200)}
    assert sts_calls(own_cloud) <= 3 + WORKERS


def test_started_with_a_wrong_clock(own_cloud, own_redis, start, tmp_path):
    """A broker that is started on a machine whose clock is off serves what the fleet has, within seconds."""
    assert start(own_cloud, own_redis).ask("u0").status == 200
    lapse = Timelapse(tmp_path)
    lapse.step(-HOUR)
    broker = start(own_cloud, own_redis, **lapse.options)
    eventually(lambda: (answer := broker.ask("u0")).status == 200 and put(answer) == 200, 3)


def test_tokens(own_cloud, own_redis, start, tmp_path, identities):
    """Callers whose tokens seemed to be over are let in again once the clock is right."""
    lapse = Timelapse(tmp_path)
    broker = start(own_cloud, own_redis, **lapse.options)
    broker.await_ready()
    people = People(identities, seconds=600)
    assert people.ask(broker.port, "u1").status == 200
    lapse.step(HOUR)
    people.ask(broker.port, "u1")
    lapse.step(0)
    eventually(lambda: people.ask(broker.port, "u1").status == 200, 3)
