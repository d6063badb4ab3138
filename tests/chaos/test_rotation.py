"""New cache keys, one broker after the other: nobody's credential is lost on the way."""

from __future__ import annotations

from tests.chaos.fleet import CACHE_KEYS, sts_calls

FIRST, SECOND = CACHE_KEYS


def test_rotation(own_cloud, own_redis, start):
    """As long as a key is there that opens it, a credential is shared: [1], [1, 2], [2, 1], [2] ask STS once.

    What was sealed by a key that is gone is made anew, and the log says so; brokers without a common key serve
    all the same.
    """
    stages = [FIRST, f"{FIRST},{SECOND}", f"{SECOND},{FIRST}", SECOND]
    before, added, moved, removed = (start(own_cloud, own_redis, BROKER_CACHE_KEYS=keys) for keys in stages)
    old = before.ask("old")
    assert [broker.ask("old").secret_id for broker in (added, moved)] == [old.secret_id] * 2
    new = moved.ask("new")
    # In the middle of the rotation each side opens what the other seals.
    assert [broker.ask("new").secret_id for broker in (added, removed)] == [new.secret_id] * 2
    middle = added.ask("middle")
    assert moved.ask("middle").secret_id == middle.secret_id
    assert sts_calls(own_cloud) == 3
    assert [broker.told("no key of BROKER_CACHE_KEYS") for broker in (before, added, moved, removed)] == [[]] * 4

    again = removed.ask("old")
    assert (again.status, sts_calls(own_cloud)) == (200, 4)
    assert again.secret_id != old.secret_id
    assert before.ask("new").status == 200
    assert [len(broker.told("no key of BROKER_CACHE_KEYS")) for broker in (before, removed)] == [1, 1]
