"""The process that asks STS for everybody is gone, or stands still: the others wait for its lease, not for ever."""

from __future__ import annotations

import os
import signal
import time

import redis

from broker.emulator.faults import Fault
from broker.local import RedisServer
from tests.chaos.fleet import Ask, eventually, sts_calls

# The waiter comes so much later than the leader, and has as much left when the lease lapses.
LATER_MILLISECONDS = 2_000


def leases(server: RedisServer) -> list[int]:
    """What is left of each lease, in milliseconds."""
    with redis.Redis.from_url(server.url) as client:
        return [client.pttl(name) for name in client.keys("broker:{*}:lease")]


def sets(server: RedisServer) -> int:
    """How often somebody has tried to take a lease."""
    with redis.Redis.from_url(server.url) as client:
        return client.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"]


def test_leaders_gone(own_cloud, own_redis, start):
    """A leader that is killed, and one that stands still: who waits is served when the lease lapses, by one call more.

    The stopped one wakes up to an answer that came too late: nobody gets to see its credential.
    """
    killed, stopped, waiting = (start(own_cloud, own_redis) for _ in range(3))
    own_cloud.order_fault(Fault("sts", 2, delay_seconds=4))
    first = [Ask(killed, "killed"), Ask(stopped, "stopped")]
    eventually(lambda: sts_calls(own_cloud) == 2)
    began = time.monotonic()
    os.kill(killed.worker, signal.SIGKILL)
    os.kill(stopped.worker, signal.SIGSTOP)

    eventually(lambda: max(leases(own_redis)) < 10_000 - LATER_MILLISECONDS)
    seen = sets(own_redis)
    second = [Ask(waiting, "killed"), Ask(waiting, "stopped")]
    eventually(lambda: sets(own_redis) > seen + 4)
    assert len(leases(own_redis)) == 2
    assert first[0].result().status == 0
    answers = [ask.result() for ask in second]
    assert [answer.status for answer in answers] == [200, 200]
    assert 8 < answers[0].began + answers[0].seconds - began < 12
    assert sts_calls(own_cloud) == 4
    assert leases(own_redis) == []

    os.kill(stopped.worker, signal.SIGCONT)
    assert first[1].result().status in (200, 503)
    kept = [eventually(lambda: (answer := killed.ask("killed")).status and answer), stopped.ask("stopped")]
    assert [answer.secret_id for answer in kept] == [answer.secret_id for answer in answers]
    assert sts_calls(own_cloud) == 4
