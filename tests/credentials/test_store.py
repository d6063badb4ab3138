"""The store against a real server: what is kept, what is believed, and what happens without it."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time

import pytest
import redis

from broker.credentials.credential import Credential
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore, connect

NOW = 1_700_000_000
KEY = b"k" * 32
FINGERPRINT, OTHER = "a" * 64, "b" * 64
NAME, OTHER_NAME = f"broker:{{{FINGERPRINT}}}:credential", f"broker:{{{OTHER}}}:credential"


@pytest.fixture
def open_store():
    """Stores on a URL, closed again."""
    clients = []

    def make(url: str, *keys: bytes) -> CredentialStore:
        clients.append(connect(url))
        return CredentialStore(clients[-1], Sealer(keys or [KEY]))

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def store(open_store, redis_url) -> CredentialStore:
    """A store on the shared server."""
    return open_store(redis_url)


@pytest.fixture
def lines(caplog):
    """What the store has logged."""
    caplog.set_level(logging.DEBUG, logger="broker.redis")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "broker.redis"]


class TestKeeping:
    """What is kept."""

    def test_round_trip(self, store, credential):
        """A credential comes back whole: three secrets, both instants, the request id."""
        store.put(FINGERPRINT, credential(), NOW)
        found = store.get(FINGERPRINT)
        assert found == credential()
        assert (found.secret_key, found.session_token, found.issued_at) == ("SECRETKEPT0", "TOKENKEPT0", NOW)
        assert store.get(OTHER) is None

    def test_all_characters(self, store):
        """Secrets are text of any kind."""
        odd = Credential("é/=+", '"\\', "目\u2028" * 1000, NOW, NOW + 5, "r")
        store.put(FINGERPRINT, odd, NOW)
        assert store.get(FINGERPRINT) == odd

    @pytest.mark.parametrize(("lifetime", "ttl"), [(1800, 1800), (1, 1)])
    def test_time_to_live(self, store, raw_redis, credential, lifetime, ttl):
        """An entry leaves Redis when its credential dies, at the latest."""
        store.put(FINGERPRINT, credential(lifetime), NOW)
        assert ttl - 1 <= raw_redis.ttl(NAME) <= ttl

    @pytest.mark.parametrize("lifetime", [0, -1])
    def test_dead_already(self, store, raw_redis, credential, lifetime):
        """A dead credential is not kept, and nothing without a time to live ever is."""
        store.put(FINGERPRINT, credential(lifetime), NOW)
        assert raw_redis.keys() == []
        store.put(FINGERPRINT, credential(1), NOW)
        assert raw_redis.keys() == [NAME.encode()]

    def test_newer_replaces_older(self, store, credential):
        """The last one put is kept."""
        store.put(FINGERPRINT, credential(number=1), NOW)
        store.put(FINGERPRINT, credential(number=2), NOW)
        assert store.get(FINGERPRINT) == credential(number=2)

    def test_nothing_in_the_clear(self, store, raw_redis, credential):
        """Neither names nor values in Redis hold a secret or an id."""
        store.put(FINGERPRINT, credential(), NOW)
        kept = b"".join(name + raw_redis.get(name) for name in raw_redis.scan_iter())
        assert kept
        for text in (b"AKIDKEPT", b"SECRETKEPT", b"TOKENKEPT", b"request-kept", b"secret_key", KEY):
            assert text not in kept

    def test_time_to_live_is_not_believed(self, store, raw_redis, credential):
        """The expiry is the sealed one, however long somebody lets the entry stay."""
        store.put(FINGERPRINT, credential(5), NOW)
        raw_redis.persist(NAME)
        assert store.get(FINGERPRINT).expires_at == NOW + 5


class TestTampering:
    """What Redis says is believed only as far as the seal goes."""

    def test_swapped_entries(self, store, raw_redis, credential):
        """An entry under another scope's name is a miss for that scope."""
        store.put(FINGERPRINT, credential(number=1), NOW)
        store.put(OTHER, credential(number=2), NOW)
        one, other = raw_redis.get(NAME), raw_redis.get(OTHER_NAME)
        raw_redis.set(NAME, other)
        raw_redis.set(OTHER_NAME, one)
        assert (store.get(FINGERPRINT), store.get(OTHER)) == (None, None)
        raw_redis.set(NAME, one)
        assert store.get(FINGERPRINT) == credential(number=1)

    @pytest.mark.parametrize(
        "value", [b"", b"{}", b"\x01", b"\x01" * 21, b"\x01" * 400, bytes(range(256)), b"\xff" * 37]
    )
    def test_foreign_value(self, store, raw_redis, credential, value):
        """Anything else under our name is a miss, and is replaced."""
        raw_redis.set(NAME, value)
        assert store.get(FINGERPRINT) is None
        store.put(FINGERPRINT, credential(), NOW)
        assert store.get(FINGERPRINT) == credential()

    def test_other_type(self, store, raw_redis, credential, lines):
        """A list, set or hash under our name is a miss, no outage, and is replaced."""
        raw_redis.rpush(NAME, "a")
        raw_redis.hset(OTHER_NAME, "a", "b")
        assert (store.get(FINGERPRINT), store.get(OTHER)) == (None, None)
        assert store.serving
        assert lines() == []
        store.put(FINGERPRINT, credential(), NOW)
        assert store.get(FINGERPRINT) == credential()

    def test_other_key(self, open_store, redis_url, credential):
        """An entry of another key is a miss; with both keys it opens."""
        open_store(redis_url, b"o" * 32).put(FINGERPRINT, credential(), NOW)
        assert open_store(redis_url, KEY).get(FINGERPRINT) is None
        assert open_store(redis_url, KEY, b"o" * 32).get(FINGERPRINT) == credential()


class TestOutage:
    """Redis being down is a slower day."""

    def test_killed(self, open_store, own_redis, credential, lines):
        """A server that dies costs a moment, not an error, and one line however often it is asked."""
        store = open_store(own_redis.url)
        store.put(FINGERPRINT, credential(), NOW)
        assert store.get(FINGERPRINT) == credential()
        own_redis.process.kill()
        own_redis.process.wait()
        began = time.monotonic()
        for _ in range(5):
            assert store.get(FINGERPRINT) is None
            store.put(FINGERPRINT, credential(), NOW)
        assert time.monotonic() - began < 3  # the library alone would take over four
        assert not store.serving
        assert not store.ping()
        assert len(lines()) == 1

    def test_stopped_and_continued(self, open_store, own_redis, credential, lines):
        """A server that hangs costs its time-out; when it answers again, so does the store, with one line each."""
        store = open_store(own_redis.url)
        store.put(FINGERPRINT, credential(), NOW)
        own_redis.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert store.get(FINGERPRINT) is None
        assert time.monotonic() - began < 3  # the library alone would take over four
        assert not store.serving
        own_redis.process.send_signal(signal.SIGCONT)
        assert store.ping()
        assert store.get(FINGERPRINT) == credential()
        assert store.serving
        assert ["does not answer" in line for line in lines()] == [True, False]
        own_redis.process.send_signal(signal.SIGSTOP)
        assert store.get(FINGERPRINT) is None
        own_redis.process.send_signal(signal.SIGCONT)
        assert len(lines()) == 3

    def test_many_at_once(self, open_store, own_redis, lines):
        """Twenty threads that meet one outage log one line."""
        store = open_store(own_redis.url)
        own_redis.process.kill()
        own_redis.process.wait()
        barrier = threading.Barrier(20)

        def ask():
            barrier.wait(10)
            found.append(store.get(FINGERPRINT))

        found: list[Credential | None] = []
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == [None] * 20
        assert len(lines()) == 1

    @pytest.mark.parametrize(
        "url", ["redis://127.0.0.1:1", "unix:///nowhere/redis.sock", "redis://:hunter2@127.0.0.1:1/0"]
    )
    def test_nobody_listens(self, open_store, credential, lines, url):
        """The first command finds out; the log holds no URL and no password."""
        store = open_store(url)
        began = time.monotonic()
        assert store.get(FINGERPRINT) is None
        store.put(FINGERPRINT, credential(), NOW)
        assert time.monotonic() - began < 3  # the library alone would take over four
        assert not store.serving
        assert len(lines()) == 1
        assert "hunter2" not in lines()[0]
        assert "127.0.0.1" not in lines()[0]

    @pytest.mark.parametrize("user", ["", ":wrong-password@"])
    def test_password(self, open_store, own_redis, credential, lines, user):
        """A missing or wrong password is an outage that is logged without it; the right one serves."""
        with redis.Redis.from_url(own_redis.url) as client:
            client.config_set("requirepass", "right-password")
        refused = open_store(own_redis.url.replace("unix://", f"unix://{user}"))
        assert refused.get(FINGERPRINT) is None
        assert not refused.serving
        assert "password" not in "".join(lines())
        served = open_store(own_redis.url.replace("unix://", "unix://:right-password@"))
        served.put(FINGERPRINT, credential(), NOW)
        assert served.get(FINGERPRINT) == credential()

    def test_no_permission(self, open_store, own_redis, credential):
        """A user that may not read or write is no error either."""
        with redis.Redis.from_url(own_redis.url) as client:
            client.execute_command("ACL", "SETUSER", "default", "-get", "-set")
        store = open_store(own_redis.url)
        assert store.get(FINGERPRINT) is None
        store.put(FINGERPRINT, credential(), NOW)

    def test_full(self, open_store, own_redis, credential):
        """A server without memory keeps nothing, and nobody fails."""
        with redis.Redis.from_url(own_redis.url) as client:
            client.config_set("maxmemory", "1")
        store = open_store(own_redis.url)
        store.put(FINGERPRINT, credential(), NOW)
        assert store.get(FINGERPRINT) is None


def test_no_secret_in_representations(store, credential):
    """Neither the store nor a credential shows a secret."""
    shown = repr(store) + repr(credential()) + repr(credential().signer) + json.dumps(str(credential()))
    for text in ("SECRETKEPT", "TOKENKEPT", "kkkk"):
        assert text not in shown
