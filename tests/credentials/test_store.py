"""The store against a real server: what is kept, what is believed, and what happens without it."""

from __future__ import annotations

import json
import logging

import pytest

from broker.credentials.credential import Credential
from broker.credentials.failures import Failure
from broker.credentials.scope import Outline
from broker.credentials.store import LAPSING_MILLISECONDS, CredentialStore
from broker.fleet.connection import Unavailable
from tests.credentials.conftest import KEY
from tests.doubles import NOW

FINGERPRINT, OTHER = "a" * 64, "b" * 64
NAME, OTHER_NAME = f"broker:{{{FINGERPRINT}}}:credential", f"broker:{{{OTHER}}}:credential"
LEASE, FAILED = f"broker:{{{FINGERPRINT}}}:lease", f"broker:{{{FINGERPRINT}}}:failure"
OUTLINE = Outline(("name/cos:PutObject",), "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/u1/*", "f" * 16)
FAILURE = Failure("sts_refused", "STS refused: X, RequestId r", permanent=True, until=NOW + 60)


@pytest.fixture
def store(open_store, redis_url) -> CredentialStore:
    """A store on the shared server."""
    return open_store(redis_url)


@pytest.fixture
def lines(caplog):
    """What the store has logged."""
    caplog.set_level(logging.DEBUG, logger="broker.redis")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "broker.redis"]


def keep(store: CredentialStore, credential: Credential, fingerprint: str = FINGERPRINT) -> None:
    """Publish without a lease, as one does who could not get one."""
    store.publish(fingerprint, None, credential, OUTLINE, NOW)


def kept(store: CredentialStore, fingerprint: str = FINGERPRINT) -> Credential | None:
    """The credential that the store shows."""
    return store.look(fingerprint).credential


class TestKeeping:
    """What is kept."""

    def test_round_trip(self, store, credential):
        """A credential comes back whole: three secrets, both instants, the request id."""
        keep(store, credential())
        found = kept(store)
        assert found == credential()
        assert (found.secret_key, found.session_token, found.issued_at) == ("SECRETKEPT0", "TOKENKEPT0", NOW)
        assert found.fingerprint == FINGERPRINT
        assert kept(store, OTHER) is None

    def test_all_characters(self, store):
        """Secrets are text of any kind."""
        odd = Credential("é/=+", '"\\', "目\u2028" * 1000, NOW, NOW + 5, "r")
        keep(store, odd)
        assert kept(store) == odd

    @pytest.mark.parametrize(("lifetime", "ttl"), [(1800, 1800), (1, 1)])
    def test_time_to_live(self, store, raw_redis, credential, lifetime, ttl):
        """An entry leaves Redis when its credential dies, at the latest."""
        keep(store, credential(lifetime))
        assert ttl * 1000 - 1000 <= raw_redis.pttl(NAME) <= ttl * 1000

    @pytest.mark.parametrize("lifetime", [0, -1])
    def test_dead_already(self, store, raw_redis, credential, lifetime):
        """A dead credential is not kept; its lease is given back."""
        assert store.claim(FINGERPRINT, "t").leased
        store.publish(FINGERPRINT, "t", credential(lifetime), OUTLINE, NOW)
        assert raw_redis.keys() == []

    def test_newer_replaces_older(self, store, credential):
        """The last one put is kept."""
        keep(store, credential(number=1))
        keep(store, credential(number=2))
        assert kept(store) == credential(number=2)

    def test_nothing_in_the_clear(self, store, raw_redis, credential):
        """Neither names nor values in Redis hold a secret, an id or what the scope is about."""
        keep(store, credential())
        store.fail(OTHER, None, FAILURE)
        content = b"".join(name + raw_redis.get(name) for name in raw_redis.scan_iter())
        assert content
        for text in (b"AKIDKEPT", b"SECRETKEPT", b"TOKENKEPT", b"request-kept", b"cos:", b"u1", b"STS", KEY):
            assert text not in content

    def test_failure(self, store, raw_redis):
        """A failure comes back whole, for its time, and goes when there is a credential."""
        store.fail(FINGERPRINT, None, FAILURE)
        assert store.look(FINGERPRINT).failure == store.failure(FINGERPRINT) == FAILURE
        assert 59_000 <= raw_redis.pttl(FAILED) <= 60_000
        store.fail(OTHER, None, Failure("sts_unavailable", "x", permanent=False, until=NOW + 2))
        assert 1_000 <= raw_redis.pttl(f"broker:{{{OTHER}}}:failure") <= 2_000

    def test_failure_is_over(self, store, credential):
        """A published credential takes the place of the failure before."""
        store.fail(FINGERPRINT, None, FAILURE)
        keep(store, credential())
        assert store.look(FINGERPRINT).failure is None

    def test_operators_view(self, store, credential):
        """Everything that is kept can be listed, and says what it is about."""
        for number in range(3):
            keep(store, credential(number=number), str(number) * 64)
        found = sorted(store.listed(), key=lambda one: one.fingerprint)
        assert [one.fingerprint for one in found] == [str(number) * 64 for number in range(3)]
        assert [one.opened for one in found] == [(credential(number=number), OUTLINE) for number in range(3)]

    def test_unknown_key(self, store, open_store, redis_url, credential):
        """What no key opens is listed all the same, and can be dropped by its fingerprint."""
        keep(open_store(redis_url, b"o" * 32), credential())
        assert [(one.fingerprint, one.opened) for one in store.listed()] == [(FINGERPRINT, None)]
        assert store.forget([FINGERPRINT]) == 1

    def test_many(self, store, credential):
        """However many are kept: all are listed, and all can be dropped."""
        fingerprints = {f"{number:064x}" for number in range(1_203)}
        for fingerprint in fingerprints:
            keep(store, credential(), fingerprint)
        assert {one.fingerprint for one in store.listed()} == fingerprints
        assert store.forget([*fingerprints, OTHER]) == 1_203
        assert list(store.listed()) == []


class TestLease:
    """The right to be the one process that asks STS."""

    def test_one_holder(self, store, raw_redis):
        """Who comes first has it, for ten seconds; the others do not."""
        assert [store.claim(FINGERPRINT, token).leased for token in ("a", "b", "a")] == [True, False, False]
        assert 9_000 <= raw_redis.pttl(LEASE) <= 10_000
        assert store.claim(OTHER, "b").leased

    def test_given_back(self, store, raw_redis):
        """Only the holder gives it back."""
        store.claim(FINGERPRINT, "a")
        store.release(FINGERPRINT, "b")
        store.release(FINGERPRINT, None)
        assert raw_redis.get(LEASE) == b"a"
        store.release(FINGERPRINT, "a")
        assert store.claim(FINGERPRINT, "b").leased

    def test_published(self, store, raw_redis, credential):
        """Publishing gives it back, and who claims next sees what was published."""
        store.claim(FINGERPRINT, "a")
        store.publish(FINGERPRINT, "a", credential(), OUTLINE, NOW)
        claimed = store.claim(FINGERPRINT, "b")
        assert (claimed.leased, claimed.credential) == (True, credential())
        store.fail(FINGERPRINT, "b", FAILURE)
        assert raw_redis.exists(LEASE) == 0

    @pytest.mark.parametrize("other", [None, "b"])
    def test_lost(self, store, raw_redis, credential, other):
        """Who has lost the lease publishes nothing, and does not take it from the next holder."""
        store.claim(FINGERPRINT, "a")
        raw_redis.delete(LEASE)
        if other is not None:
            store.claim(FINGERPRINT, other)
        store.publish(FINGERPRINT, "a", credential(), OUTLINE, NOW)
        store.fail(FINGERPRINT, "a", FAILURE)
        assert (kept(store), store.failure(FINGERPRINT)) == (None, None)
        assert raw_redis.get(LEASE) == (other and other.encode())

    @pytest.mark.parametrize("milliseconds", [None, 60_000])
    def test_that_does_not_lapse(self, store, raw_redis, lines, milliseconds):
        """What stays longer than a lease may is none, and is dropped."""
        raw_redis.set(LEASE, "x", px=milliseconds)
        assert not store.claim(FINGERPRINT, "a").leased
        assert store.claim(FINGERPRINT, "a").leased
        assert [line for line in lines() if "lease" in line] == lines()
        assert len(lines()) == 1

    @pytest.mark.parametrize(("more", "free"), [(-200, True), (800, False)])
    def test_about_to_lapse(self, store, raw_redis, more, free):
        """A holder that has had its time is given up for lost, before those who wait have none left."""
        raw_redis.set(LEASE, "a", px=LAPSING_MILLISECONDS + more)
        assert not store.claim(FINGERPRINT, "b").leased
        assert store.claim(FINGERPRINT, "b").leased is free

    def test_one_slot(self, store, raw_redis, credential):
        """All keys of a scope are in one slot of a cluster."""
        from redis.crc import key_slot

        store.claim(FINGERPRINT, "a")
        store.fail(FINGERPRINT, None, FAILURE)
        raw_redis.set(NAME, "x")
        names = raw_redis.keys("*")
        assert (len(names), len({key_slot(name) for name in names})) == (3, 1)


class TestEpoch:
    """What was forgotten on purpose."""

    def test_forgotten(self, store, credential, raw_redis):
        """Credential, failure and lease are gone, and the epoch is another one."""
        keep(store, credential())
        store.fail(FINGERPRINT, None, FAILURE)
        store.claim(FINGERPRINT, "a")
        keep(store, credential(), OTHER)
        assert store.epoch() is None
        assert store.forget([FINGERPRINT]) == 1
        first = store.epoch()
        assert first is not None
        assert sorted(raw_redis.keys()) == sorted([OTHER_NAME.encode(), b"broker:epoch"])
        assert store.forget([FINGERPRINT]) == 0
        assert store.epoch() not in (None, first)

    def test_not_kept(self, open_store, own_redis, credential):
        """Where Redis would not keep the news, nothing is dropped: half of it would look like all."""
        store = open_store(own_redis.url)
        keep(store, credential())
        store._connection.run("", lambda client: client.config_set("maxmemory", "1"))
        with pytest.raises(Unavailable, match="refuses"):
            store.forget([FINGERPRINT])
        assert kept(store) == credential()

    def test_foreign(self, store, raw_redis):
        """Something else under its name says nothing."""
        raw_redis.rpush("broker:epoch", "x")
        assert store.epoch() is None


class TestTampering:
    """What Redis says is believed only as far as the seal goes."""

    def test_time_to_live_is_not_believed(self, store, raw_redis, credential):
        """The expiry is the sealed one, however long somebody lets the entry stay."""
        keep(store, credential(5))
        raw_redis.persist(NAME)
        assert kept(store).expires_at == NOW + 5

    def test_swapped_entries(self, store, raw_redis, credential):
        """An entry under another scope's name is a miss for that scope."""
        keep(store, credential(number=1))
        keep(store, credential(number=2), OTHER)
        one, other = raw_redis.get(NAME), raw_redis.get(OTHER_NAME)
        raw_redis.set(NAME, other)
        raw_redis.set(OTHER_NAME, one)
        assert (kept(store), kept(store, OTHER)) == (None, None)
        raw_redis.set(NAME, one)
        assert kept(store) == credential(number=1)

    def test_swapped_kinds(self, store, raw_redis, credential):
        """A failure is no credential, and the other way round."""
        keep(store, credential())
        raw_redis.rename(NAME, FAILED)
        assert store.look(FINGERPRINT).failure is None
        store.fail(FINGERPRINT, None, FAILURE)
        raw_redis.rename(FAILED, NAME)
        assert kept(store) is None

    def test_replayed(self, store, raw_redis, credential):
        """An older entry brought back is what it was: a credential of the same scope, with its own expiry."""
        keep(store, credential(500, number=1))
        old = raw_redis.get(NAME)
        keep(store, credential(1800, number=2))
        raw_redis.set(NAME, old)
        assert kept(store) == credential(500, number=1)

    @pytest.mark.parametrize(
        "value", [b"", b"{}", b"\x01", b"\x01" * 21, b"\x01" * 400, bytes(range(256)), b"\xff" * 37]
    )
    def test_foreign_value(self, store, raw_redis, credential, lines, value):
        """Anything else under our name is a miss, is told once, and is replaced."""
        raw_redis.set(NAME, value)
        raw_redis.set(OTHER_NAME, value)
        assert (kept(store), kept(store, OTHER), kept(store)) == (None, None, None)
        assert lines() == ["Redis holds a credential that no key of BROKER_CACHE_KEYS opens: passed over"]
        keep(store, credential())
        assert kept(store) == credential()

    def test_other_type(self, store, raw_redis, credential, lines):
        """A list, set or hash under our name is a miss, no outage, and is replaced."""
        raw_redis.rpush(NAME, "a")
        raw_redis.hset(OTHER_NAME, "a", "b")
        assert (kept(store), kept(store, OTHER)) == (None, None)
        assert store.serving
        assert lines() == []
        keep(store, credential())
        assert kept(store) == credential()

    def test_other_key(self, open_store, redis_url, credential):
        """An entry of another key is a miss; with both keys it opens."""
        keep(open_store(redis_url, b"o" * 32), credential())
        assert kept(open_store(redis_url, KEY)) is None
        assert kept(open_store(redis_url, KEY, b"o" * 32)) == credential()

    def test_rotation(self, open_store, redis_url, credential):
        """Add the second key everywhere, move it first, remove the old one: nothing is lost on the way."""
        old, new = b"o" * 32, b"n" * 32
        keep(open_store(redis_url, old), credential(number=1))
        assert kept(open_store(redis_url, old, new)) == credential(number=1)
        assert kept(open_store(redis_url, new, old)) == credential(number=1)
        keep(open_store(redis_url, new, old), credential(number=2))
        assert kept(open_store(redis_url, old, new)) == credential(number=2)
        assert kept(open_store(redis_url, new)) == credential(number=2)


class TestTrouble:
    """Redis does not do what it should; how a connection bears it is shown in tests/fleet."""

    def test_every_method(self, open_store, credential):
        """Without a server every method says so, and `ping` and `serving` tell."""
        store = open_store("redis://127.0.0.1:1")
        for call in (
            lambda: store.look(FINGERPRINT),
            lambda: store.claim(FINGERPRINT, "a"),
            lambda: keep(store, credential()),
            lambda: store.fail(FINGERPRINT, "a", FAILURE),
            lambda: store.release(FINGERPRINT, "a"),
            lambda: store.failure(FINGERPRINT),
            lambda: store.epoch(),
            lambda: list(store.listed()),
            lambda: store.forget([FINGERPRINT]),
        ):
            with pytest.raises(Unavailable):
                call()
        assert (store.ping(), store.serving) == (False, False)

    def test_full(self, open_store, own_redis, credential):
        """A server without memory keeps nothing, gives back leases, and goes on answering."""
        store = open_store(own_redis.url)
        keep(store, credential(), OTHER)
        assert store.claim(FINGERPRINT, "a").leased
        store._connection.run("", lambda client: client.config_set("maxmemory", "1"))
        with pytest.raises(Unavailable):
            store.publish(FINGERPRINT, "a", credential(), OUTLINE, NOW)
        assert store._connection.run("", lambda client: client.exists(LEASE)) == 0
        with pytest.raises(Unavailable):
            store.claim(FINGERPRINT, "a")
        assert kept(store, OTHER) == credential()
        assert store.serving


def test_no_secret_in_representations(store, credential):
    """Neither the store nor a credential shows a secret."""
    shown = repr(store) + repr(credential()) + repr(credential().signer) + json.dumps(str(credential()))
    for text in ("SECRETKEPT", "TOKENKEPT", "kkkk"):
        assert text not in shown
