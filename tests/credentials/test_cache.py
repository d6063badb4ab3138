"""Memory, store, STS: who is asked when, and who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.credentials.cache import CredentialCache
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore, connect
from broker.errors import UpstreamError, UpstreamUnavailable

NOW = 1_700_000_000
MANY = 20


class Threads:
    """Threads that start together and keep what each of them got."""

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        self.results: list[Any] = [None] * count
        self._barrier = threading.Barrier(count)
        self._work = work
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, n: int) -> None:
        self._barrier.wait(10)
        try:
            self.results[n] = self._work(n)
        except Exception as error:
            self.results[n] = error

    def join(self) -> list[Any]:
        """All results, once all are there."""
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        return self.results


class StoreDouble:
    """A dict that keeps what it was asked."""

    def __init__(self) -> None:
        self.kept: dict[str, Credential] = {}
        self.asked: list[str] = []

    def get(self, fingerprint: str) -> Credential | None:
        """The kept credential."""
        self.asked.append(fingerprint)
        return self.kept.get(fingerprint)

    def put(self, fingerprint: str, credential: Credential, now: int) -> None:
        """Keep one."""
        self.kept[fingerprint] = credential


@pytest.fixture
def watched(scope) -> tuple[Scope, threading.Semaphore]:
    """A scope, and a permit for each thread that has looked it up.

    Look-up and joining happen under one lock, so a thread that has begun to look takes part in the flight under way.
    """
    looked_up, threads = threading.Semaphore(0), set()

    class WatchedScope(Scope):
        def __hash__(self) -> int:
            if threading.get_ident() not in threads:
                threads.add(threading.get_ident())
                looked_up.release()
            return super().__hash__()

    return WatchedScope(scope().document, 1800), looked_up


@pytest.fixture
def store() -> StoreDouble:
    """An empty store."""
    return StoreDouble()


@pytest.fixture
def cache(issuer, clock) -> CredentialCache:
    """A cache without a store."""
    return CredentialCache(issuer, None, clock)


@pytest.fixture
def stored(issuer, clock, store) -> CredentialCache:
    """A cache with a store."""
    return CredentialCache(issuer, store, clock)


class TestMemory:
    """What one process remembers."""

    def test_hit(self, cache, issuer, scope):
        """A second ask of the same scope is answered from memory, with the very same credential."""
        first = cache.get(scope(), 960, NOW)
        assert cache.get(scope(), 960, NOW) is first
        assert issuer.calls == [(scope(), NOW)]

    def test_other_scope(self, cache, issuer, scope):
        """Another document, duration or role is another credential."""
        scopes = [scope("u1"), scope("u10"), scope(duration_seconds=3600), scope(role_arn="r"), scope(external_id="x")]
        assert len({cache.get(one, 960, NOW).secret_id for one in scopes}) == 5
        assert [one for one, _ in issuer.calls] == scopes

    @pytest.mark.parametrize(("age", "calls"), [(840, 1), (841, 2)])
    def test_margin(self, cache, issuer, clock, scope, age, calls):
        """A credential is used while exactly the required life is left, and replaced a second later."""
        cache.get(scope(), 960, NOW)
        clock.tick(age)
        given = cache.get(scope(), 960, NOW + age)
        assert len(issuer.calls) == calls
        assert given.expires_at - (NOW + age) >= 960

    def test_shorter_need(self, cache, issuer, clock, scope):
        """An old credential still serves those who need little."""
        cache.get(scope(), 960, NOW)
        clock.tick(1700)
        cache.get(scope(), 100, NOW + 1700)
        assert len(issuer.calls) == 1
        cache.get(scope(), 101, NOW + 1700)
        assert len(issuer.calls) == 2

    @pytest.mark.parametrize(("age", "calls"), [(1799, 1), (1800, 2), (9999, 2)])
    def test_expired(self, cache, issuer, clock, scope, age, calls):
        """A dead credential is never handed out, even to those who need one second."""
        cache.get(scope(), 1, NOW)
        clock.tick(age)
        assert cache.get(scope(), 1, NOW + age).expires_at > NOW + age
        assert len(issuer.calls) == calls

    def test_bounded(self, issuer, clock, scope):
        """Memory holds so many entries and drops others, which costs a call and nothing else."""
        small = CredentialCache(issuer, None, clock, entries=2)
        for name in ("a", "b", "c"):
            small.get(scope(name), 960, NOW)
        assert len(issuer.calls) == 3
        for name in ("a", "b", "c"):
            assert small.get(scope(name), 960, NOW)
        assert 4 <= len(issuer.calls) <= 6


class TestTooShort:
    """STS gives less than is needed."""

    @pytest.mark.parametrize("lifetime", [959, 500, 60, 10, 1, 0, -5, -3600])
    def test_once_a_minute(self, cache, issuer, clock, scope, lifetime):
        """The ask fails with lifetime_unavailable, and STS is not asked again for that scope for a minute."""
        issuer.lifetime = lifetime
        for age in (0, 1, 15, 59):
            clock.now = NOW + age
            with pytest.raises(UpstreamUnavailable) as caught:
                cache.get(scope(), 960, NOW + age)
            assert (caught.value.code, caught.value.status) == ("lifetime_unavailable", 503)
            assert 1 <= caught.value.retry_after_seconds <= 60
        assert len(issuer.calls) == 1
        clock.now = NOW + 60
        with pytest.raises(UpstreamUnavailable):
            cache.get(scope(), 960, NOW + 60)
        assert len(issuer.calls) == 2

    def test_just_enough(self, cache, issuer, scope):
        """Exactly the required life will do."""
        issuer.lifetime = 960
        assert cache.get(scope(), 960, NOW).expires_at == NOW + 960

    def test_recovers(self, cache, issuer, clock, scope):
        """After the minute, a longer credential serves again."""
        issuer.script = [100]
        with pytest.raises(UpstreamUnavailable):
            cache.get(scope(), 960, NOW)
        clock.tick(60)
        assert cache.get(scope(), 960, NOW + 60).secret_id == "AKID2"

    def test_others_are_served(self, cache, issuer, scope):
        """Who needs less gets the short credential, and other scopes are not held up."""
        issuer.script = [500]
        with pytest.raises(UpstreamUnavailable):
            cache.get(scope(), 960, NOW)
        assert cache.get(scope(), 500, NOW).secret_id == "AKID1"
        assert cache.get(scope("u2"), 960, NOW).secret_id == "AKID2"

    @pytest.mark.parametrize("lifetime", [500, 0, -5])
    def test_many_at_once(self, cache, issuer, scope, lifetime):
        """Twenty threads that meet a short credential cost one call."""
        issuer.lifetime = lifetime
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: cache.get(scope(), 960, NOW))
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        assert {error.code for error in threads.join()} == {"lifetime_unavailable"}
        assert len(issuer.calls) == 1


class TestFlights:
    """One call for all who ask at once."""

    def test_cold_scope(self, cache, issuer, scope):
        """Twenty threads, one cold scope: one call, one credential."""
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: cache.get(scope(), 960, NOW))
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        results = threads.join()
        assert len(issuer.calls) == 1
        assert {id(one) for one in results} == {id(results[0])}

    def test_failure_is_shared(self, cache, issuer, watched):
        """A failing leader: one call, all twenty get the failure, and the next ask asks again."""
        issuer.script = [UpstreamError("sts_refused", "STS refused: X")]
        issuer.gate.clear()
        scope, looked_up = watched
        threads = Threads(MANY, lambda n: cache.get(scope, 960, NOW))
        for _ in range(MANY):
            assert looked_up.acquire(timeout=10)
        issuer.gate.set()
        results = threads.join()
        assert {(type(error), error.code) for error in results} == {(UpstreamError, "sts_refused")}
        assert len(issuer.calls) == 1
        assert cache.get(scope, 960, NOW).secret_id == "AKID2"

    @pytest.mark.parametrize("failure", [UpstreamUnavailable("sts_unavailable", "down"), RuntimeError("a bug")])
    def test_failure_is_not_kept(self, cache, issuer, scope, failure):
        """A failure of any kind ends its flight: the next ask is a new one."""
        issuer.script = [failure]
        with pytest.raises(type(failure)):
            cache.get(scope(), 960, NOW)
        assert cache.get(scope(), 960, NOW).secret_id == "AKID2"

    def test_scopes_do_not_wait_for_each_other(self, cache, issuer, scope):
        """While STS hangs for one scope, others are asked for and served."""
        issuer.held = scope("slow")
        issuer.gate.clear()
        slow = Threads(2, lambda n: cache.get(scope("slow"), 960, NOW))
        assert issuer.arrived.acquire(timeout=10)
        others = Threads(MANY, lambda n: cache.get(scope(f"u{n}"), 960, NOW)).join()
        assert len({one.secret_id for one in others}) == MANY
        assert cache.get(scope("u1"), 960, NOW) in others
        issuer.gate.set()
        first, second = slow.join()
        assert first is second
        assert len(issuer.calls) == MANY + 1

    def test_hits_do_not_wait(self, cache, issuer, clock, scope):
        """While one ask waits for a new credential, those who need less are served the old one."""
        old = cache.get(scope(), 960, NOW)
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(1000)
        issuer.gate.clear()
        renewing = Threads(1, lambda n: cache.get(scope(), 960, NOW + 1000))
        assert issuer.arrived.acquire(timeout=10)
        assert cache.get(scope(), 300, NOW + 1000) is old
        issuer.gate.set()
        assert renewing.join()[0].secret_id == "AKID2"

    def test_waiter_that_needs_more(self, cache, issuer, scope):
        """What is enough for the leader may be too little for a waiter: it is told so, and never handed less."""
        issuer.lifetime = 500
        issuer.gate.clear()
        leader = Threads(1, lambda n: cache.get(scope(), 300, NOW))
        assert issuer.arrived.acquire(timeout=10)
        waiter = Threads(1, lambda n: cache.get(scope(), 960, NOW))
        issuer.gate.set()
        assert leader.join()[0].expires_at == NOW + 500
        assert waiter.join()[0].code == "lifetime_unavailable"
        assert len(issuer.calls) <= 2

    def test_waiter_that_needs_more_gets_more(self, stored, store, issuer, scope, credential):
        """A leader content with an old entry of the store does not bind a waiter that needs a new one."""
        store.kept[issuer.fingerprint(scope())] = credential(500, issued=-1300)
        assert stored.get(scope(), 300, NOW).secret_id == "AKIDKEPT0"
        assert stored.get(scope(), 960, NOW).secret_id == "AKID1"


class TestStore:
    """What the fleet shares."""

    def test_before_sts(self, stored, store, issuer, scope, credential):
        """An entry of the store is used before STS is asked, and then remembered."""
        store.kept[issuer.fingerprint(scope())] = credential()
        assert stored.get(scope(), 960, NOW) == credential()
        assert stored.get(scope(), 960, NOW) == credential()
        assert (issuer.calls, store.asked) == ([], [issuer.fingerprint(scope())])

    def test_kept_for_others(self, stored, store, issuer, clock, scope):
        """What STS gave to one process serves the next."""
        given = stored.get(scope(), 960, NOW)
        assert store.kept == {issuer.fingerprint(scope()): given}
        assert CredentialCache(issuer, store, clock).get(scope(), 960, NOW) is given
        assert len(issuer.calls) == 1

    @pytest.mark.parametrize(("lifetime", "calls"), [(960, 0), (959, 1), (0, 1), (-5, 1)])
    def test_margin(self, stored, store, issuer, scope, credential, lifetime, calls):
        """The store's entry must live as long as required, like any other."""
        store.kept[issuer.fingerprint(scope())] = credential(lifetime, issued=lifetime - 1800)
        assert stored.get(scope(), 960, NOW).expires_at >= NOW + 960
        assert len(issuer.calls) == calls

    def test_short_for_the_fleet(self, stored, store, issuer, scope, credential):
        """A short credential that another process has just got spares this one the call."""
        store.kept[issuer.fingerprint(scope())] = credential(500, issued=-5)
        with pytest.raises(UpstreamUnavailable) as caught:
            stored.get(scope(), 960, NOW)
        assert caught.value.code == "lifetime_unavailable"
        assert issuer.calls == []

    def test_one_look(self, stored, store, issuer, scope):
        """Twenty threads look into the store once."""
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: stored.get(scope(), 960, NOW))
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        threads.join()
        assert (len(store.asked), len(issuer.calls)) == (1, 1)

    def test_real_server(self, issuer, clock, scope, redis_url):
        """Two processes' caches over one real server make one call; another key sees nothing."""
        clients = [connect(redis_url) for _ in range(3)]
        keys = [b"k" * 32, b"k" * 32, b"x" * 32]
        one, two, stranger = (
            CredentialCache(issuer, CredentialStore(client, Sealer([key])), clock)
            for client, key in zip(clients, keys, strict=True)
        )
        assert one.get(scope(), 960, NOW) == two.get(scope(), 960, NOW)
        assert len(issuer.calls) == 1
        assert stranger.get(scope(), 960, NOW).secret_id == "AKID2"
        for client in clients:
            client.close()

    def test_dead_server(self, issuer, clock, scope, own_redis):
        """Without Redis every process makes one call for itself, and memory goes on serving."""
        client = connect(own_redis.url)
        cache = CredentialCache(issuer, CredentialStore(client, Sealer([b"k" * 32])), clock)
        own_redis.process.kill()
        own_redis.process.wait()
        results = Threads(MANY, lambda n: cache.get(scope(), 960, NOW)).join()
        assert {one.secret_id for one in results} == {"AKID1"}
        assert cache.get(scope(), 960, NOW).secret_id == "AKID1"
        assert len(issuer.calls) == 1
        client.close()
