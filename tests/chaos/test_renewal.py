"""Credentials are renewed while they still serve: nobody waits, and the fleet asks once."""

from __future__ import annotations

import time

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from tests.chaos.fleet import load, sts_calls
from tests.chaos.timelapse import Timelapse
from tests.conftest import ACCOUNT, BUCKET

# A second of waiting is five of the credential's; one of 80 s is renewed after ten, and too old for an ask after 19.
SPEED, LIFE_SECONDS, STS_SECONDS = 5, 80, 1.0
WATCHED_SECONDS = 4.5


def test_steady_asks(own_redis, start, tmp_path):
    """Under steady asks nobody waits for STS after the first, and each renewal is one call of the whole fleet.

    A scope that nobody asks for any more costs no call.
    """
    lapse = Timelapse(tmp_path, SPEED)
    buckets = {BUCKET: "ap-guangzhou"}
    with Emulator(ACCOUNT, clock=lapse.clock, buckets=buckets, lifetime=lambda asked: LIFE_SECONDS) as emulator:
        brokers = [start(emulator, own_redis, **lapse.options) for _ in range(2)]
        for number in range(8):
            assert brokers[number % 2].ask("idle", "brief/url").status == 200
        assert brokers[0].ask("busy", "brief/url").status == 200
        assert sts_calls(emulator) == 2
        emulator.order_fault(Fault("sts", 1_000, delay_seconds=STS_SECONDS))
        clients = [lambda number, broker=broker: broker.ask("busy", "brief/url") for broker in brokers * 2]
        with load(*clients) as under:
            time.sleep(WATCHED_SECONDS)  # what happens meanwhile is what is shown
        calls = sts_calls(emulator) - 1
    assert under.statuses == {200}
    assert max(under.slow(0)) < STS_SECONDS / 2
    seen = {answer.secret_id for answer in under.answers}
    assert 2 <= len(seen) <= calls <= len(seen) + 1  # the last one may be on its way
