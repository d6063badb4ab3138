"""SIGTERM while something is asked of STS: it is finished, told to the fleet, and the process ends."""

from __future__ import annotations

import signal

import redis

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.local import RedisServer
from tests.chaos.fleet import Ask, eventually, sts_calls
from tests.chaos.timelapse import Timelapse
from tests.conftest import ACCOUNT, BUCKET

DRAIN_SECONDS = 10


def kept(server: RedisServer) -> tuple[list[bytes], int]:
    """What Redis holds: sealed credentials, and how many leases."""
    with redis.Redis.from_url(server.url) as client:
        sealed = [client.get(name) for name in client.keys("broker:{*}:credential")]
        return sealed, len(client.keys("broker:{*}:lease"))


def test_cold_ask(own_cloud, own_redis, start):
    """A cold ask is answered, whoever waits for it in the same process too; the fleet has the credential."""
    broker = start(own_cloud, own_redis)
    own_cloud.order_fault(Fault("sts", 1, delay_seconds=1))
    asks = [Ask(broker, "u1") for _ in range(3)]
    eventually(lambda: sts_calls(own_cloud) == 1)
    assert kept(own_redis) == ([], 1)
    broker.process.send_signal(signal.SIGTERM)
    assert broker.process.wait(DRAIN_SECONDS) == 0
    assert [ask.result().status for ask in asks] == [200] * 3
    sealed, leases = kept(own_redis)
    assert (len(sealed), leases) == (1, 0)
    assert sts_calls(own_cloud) == 1


def test_renewal(own_redis, start, tmp_path):
    """A renewal in the background is finished, so that nobody has to wait for its lease to lapse."""
    lapse = Timelapse(tmp_path, speed=5)
    buckets = {BUCKET: "ap-guangzhou"}
    with Emulator(ACCOUNT, clock=lapse.clock, buckets=buckets, lifetime=lambda asked: 80) as emulator:
        broker = start(emulator, own_redis, **lapse.options)
        assert broker.ask("u1", "brief/url").status == 200
        before, _ = kept(own_redis)
        emulator.order_fault(Fault("sts", 1, delay_seconds=1))
        # An eighth of its life is over soon; 61 s of it are all that an ask needs.
        eventually(lambda: broker.ask("u1", "brief/url") and sts_calls(emulator) == 2)
        assert kept(own_redis) == (before, 1)
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(DRAIN_SECONDS) == 0
        after, leases = kept(own_redis)
        assert (len(after), leases, sts_calls(emulator)) == (1, 0, 2)
        assert after != before
