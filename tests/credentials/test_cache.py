"""Memory, the fleet, STS: who is asked when, and who waits for whom."""

from __future__ import annotations

import threading
import time

import pytest
from cachetools import TLRUCache
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.credentials.credential import Credential
from broker.credentials.failures import Failure
from broker.credentials.scope import Scope
from broker.credentials.store import LAPSING_MILLISECONDS
from broker.credentials.timekeeping import Timekeeper
from broker.errors import RateLimited, UpstreamError, UpstreamUnavailable
from tests.doubles import NOW, Clock, IssuerDouble, Threads, open_cache, some_demand, some_scope

MANY = 20
ROLE = "qcs::cam::uin/100000000001:roleName/uploader"


class Asker:
    """A cache, asked as vending asks it: at the clock's present second."""

    def __init__(self, cache, clock: Clock, store=None) -> None:
        self.cache = cache
        self.clock = clock
        self.store = store

    def __call__(self, scope: Scope | None = None, required: int = 960, **more) -> Credential:
        """The credential that an ask gets; it lives long enough."""
        demand = some_demand(scope, required, **more)
        credential, now = self.cache.get(demand, self.clock())
        assert credential.expires_at - now >= required
        return credential


@pytest.fixture
def ask(issuer, clock) -> Asker:
    """A cache without Redis."""
    return Asker(open_cache(issuer, clock), clock)


@pytest.fixture
def open_asker(issuer, clock, open_store, redis_url):
    """Caches of other processes, which share one Redis."""

    def make(url: str = redis_url, issuer: IssuerDouble = issuer, **more) -> Asker:
        store = open_store(url)
        return Asker(open_cache(issuer, clock, store, store._connection, **more), clock, store)

    return make


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


def until(reached) -> None:
    """Wait for something that another thread is about to do."""
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class TestMemory:
    """What one process remembers."""

    def test_hit(self, ask, issuer, scope):
        """A second ask of the same scope is answered from memory, with the very same credential."""
        first = ask(scope())
        assert ask(scope()) is first
        assert issuer.calls == [(scope(), NOW)]

    def test_other_scope(self, ask, issuer, scope):
        """Another document, duration or role is another credential."""
        scopes = [scope("u1"), scope("u10"), scope(duration_seconds=3600), scope(role_arn="r"), scope(external_id="x")]
        assert len({ask(one).secret_id for one in scopes}) == 5
        assert [one for one, _ in issuer.calls] == scopes

    @pytest.mark.parametrize(("age", "number"), [(840, 1), (841, 2)])
    def test_margin(self, ask, clock, age, number):
        """A credential is used while exactly the required life is left, and replaced a second later."""
        ask()
        clock.tick(age)
        assert ask().secret_id == f"AKID{number}"

    def test_shorter_need(self, ask, issuer, clock):
        """An old credential still serves those who need little."""
        ask(ahead=False)
        clock.tick(1700)
        assert ask(required=100, ahead=False).secret_id == "AKID1"
        assert ask(required=101, ahead=False).secret_id == "AKID2"
        assert len(issuer.calls) == 2

    @pytest.mark.parametrize(("age", "calls"), [(1799, 1), (1800, 2), (9999, 2)])
    def test_expired(self, ask, issuer, clock, age, calls):
        """A dead credential is never handed out, even to those who need one second."""
        ask(required=1, ahead=False)
        clock.tick(age)
        assert ask(required=1, ahead=False).expires_at > NOW + age
        assert len(issuer.calls) == calls

    def test_bounded(self, issuer, clock, scope):
        """Memory holds so many entries and drops others, which costs a call and nothing else."""
        small = Asker(open_cache(issuer, clock, entries=2), clock)
        for name in ("a", "b", "c"):
            small(scope(name))
        assert len(issuer.calls) == 3
        for name in ("a", "b", "c"):
            assert small(scope(name))
        assert 4 <= len(issuer.calls) <= 6

    def test_longer_life_wins(self, ask, issuer, clock):
        """A credential never takes the place of one that lives longer."""
        ask(required=100, ahead=False)
        issuer.script = [200]
        clock.tick(841)
        with pytest.raises(UpstreamUnavailable):
            ask(ahead=False)
        assert ask(required=959, ahead=False).secret_id == "AKID1"


class TestTooShort:
    """STS gives less than is needed."""

    @pytest.mark.parametrize("lifetime", [959, 500, 60, 10, 1, 0, -5, -3600])
    def test_once_a_minute(self, ask, issuer, clock, lifetime):
        """The ask fails with lifetime_unavailable, and STS is not asked again for that scope for a minute."""
        issuer.lifetime = lifetime
        for pause in (0, 1, 14, 44):
            clock.tick(pause)
            with pytest.raises(UpstreamUnavailable) as caught:
                ask()
            assert (caught.value.code, caught.value.status) == ("lifetime_unavailable", 503)
            assert 1 <= caught.value.retry_after_seconds <= 60
        assert len(issuer.calls) == 1
        clock.tick(1)
        with pytest.raises(UpstreamUnavailable):
            ask()
        assert len(issuer.calls) == 2

    def test_just_enough(self, ask, issuer):
        """Exactly the required life will do."""
        issuer.lifetime = 960
        assert ask().expires_at == NOW + 960

    def test_recovers(self, ask, issuer, clock):
        """After the minute, a longer credential serves again."""
        issuer.script = [100]
        with pytest.raises(UpstreamUnavailable):
            ask()
        clock.tick(60)
        assert ask().secret_id == "AKID2"

    def test_others_are_served(self, ask, issuer, scope):
        """Who needs less gets the short credential, and other scopes are not held up."""
        issuer.script = [500]
        with pytest.raises(UpstreamUnavailable):
            ask(scope())
        assert ask(scope(), 500).secret_id == "AKID1"
        assert ask(scope("u2")).secret_id == "AKID2"

    @pytest.mark.parametrize("lifetime", [500, 0, -5])
    def test_many_at_once(self, ask, issuer, lifetime):
        """Twenty threads that meet a short credential cost one call."""
        issuer.lifetime = lifetime
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        assert {error.code for error in threads.join()} == {"lifetime_unavailable"}
        assert len(issuer.calls) == 1

    def test_for_the_fleet(self, open_asker, issuer):
        """A short credential that another process has just got spares this one the call."""
        issuer.lifetime = 500
        for ask in (open_asker(), open_asker()):
            with pytest.raises(UpstreamUnavailable) as caught:
                ask()
            assert caught.value.code == "lifetime_unavailable"
        assert len(issuer.calls) == 1


class TestFlights:
    """One call for all who ask at once."""

    def test_cold_scope(self, ask, issuer):
        """Twenty threads, one cold scope: one call, one credential."""
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        results = threads.join()
        assert len(issuer.calls) == 1
        assert {id(one) for one in results} == {id(results[0])}

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_bug_on_landing(self, issuer, clock):
        """Whatever goes wrong when a credential is put by: those who wait for it have it, at once."""

        def draw() -> float:
            raise ValueError("a bug")

        ask = Asker(open_cache(issuer, clock, draw=draw), clock)
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        assert {type(one) for one in threads.join(5)} == {Credential}
        for thread in threading.enumerate():
            if thread.name == "broker-flight":
                thread.join(5)

    def test_failure_is_shared(self, ask, issuer, watched):
        """A failing leader: one call, all twenty get the failure at once."""
        issuer.script = [UpstreamError("sts_refused", "STS refused: X")]
        issuer.gate.clear()
        scope, looked_up = watched
        threads = Threads(MANY, lambda n: ask(scope))
        for _ in range(MANY):
            assert looked_up.acquire(timeout=10)
        issuer.gate.set()
        results = threads.join()
        assert {(type(error), error.code) for error in results} == {(UpstreamError, "sts_refused")}
        assert len(issuer.calls) == 1

    @pytest.mark.parametrize(
        ("error", "seconds"),
        [(UpstreamError("sts_refused", "STS refused: X"), 60), (UpstreamUnavailable("sts_unavailable", "down"), 2)],
    )
    @pytest.mark.parametrize("about", ["scope", "source", "network"])
    def test_failure_is_remembered(self, ask, issuer, clock, error, seconds, about):
        """STS is not asked again while a failure is remembered: for this scope, or for any if it is the source's."""
        error.about = about
        issuer.script = [error]
        for pause in (0, seconds - 1):
            clock.tick(pause)
            with pytest.raises(type(error)) as caught:
                ask()
            assert (caught.value.code, caught.value.detail) == (error.code, error.detail)
        if about != "scope":
            with pytest.raises(type(error)):
                ask(some_scope("u2"))
        else:
            assert ask(some_scope("u2"))
        asked = len(issuer.calls)
        clock.tick(1)
        assert ask().secret_id == f"AKID{asked + 1}"

    def test_source_that_hangs(self, ask, issuer, clock):
        """A source that did not answer is tried by one flight; nobody else waits for it, and hits are served."""
        warm = ask(some_scope("warm"))
        assert issuer.arrived.acquire(timeout=10)
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down", about="network")]
        with pytest.raises(UpstreamUnavailable):
            ask(some_scope("a"))
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(2)
        issuer.gate.clear()
        trying = Threads(1, lambda n: ask(some_scope("b")))
        assert issuer.arrived.acquire(timeout=10)
        for name in ("b", "c", "d"):
            with pytest.raises(UpstreamUnavailable, match="finding out"):
                ask(some_scope(name))
        assert ask(some_scope("warm")) is warm
        issuer.gate.set()
        assert trying.join()[0].secret_id == "AKID3"
        assert ask(some_scope("c")).secret_id == "AKID4"

    def test_hung_try(self, ask, issuer, clock):
        """A try that hangs does not keep others from finding out, one every two seconds, that STS answers again."""
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down", about="network")]
        with pytest.raises(UpstreamUnavailable):
            ask(some_scope("a"))
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(2)
        issuer.held = some_scope("hung")
        issuer.gate.clear()
        hanging = Threads(1, lambda n: ask(some_scope("hung")))
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(1)
        with pytest.raises(UpstreamUnavailable, match="finding out"):
            ask(some_scope("b"))
        clock.tick(1)
        assert ask(some_scope("b")).secret_id == "AKID3"
        assert ask(some_scope("c")).secret_id == "AKID4"
        issuer.gate.set()
        hanging.join()

    def test_no_second_try(self, clock):
        """A first try that failed counts as trouble, also if the second is not permitted."""

        class Retrying(IssuerDouble):
            def issue(self, scope, permit):
                permit()
                mint._remember(self.source_fingerprint(scope), Failure("sts_unavailable", "told", False, NOW + 2))
                permit()

        ask = Asker(open_cache(Retrying(clock), clock), clock)
        mint = ask.cache._mint
        assert not mint.troubled
        with pytest.raises(UpstreamUnavailable, match="told"):
            ask()
        assert mint.troubled

    def test_old_trouble(self, ask, issuer, clock):
        """What STS did half a minute ago keeps nobody from asking, however many come at once."""
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down", about="network")]
        with pytest.raises(UpstreamUnavailable):
            ask(some_scope("a"))
        clock.tick(30)
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: ask(some_scope(f"s{n % 4}")))
        for _ in range(4):
            assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        assert len({one.secret_id for one in threads.join()}) == 4

    def test_bug_is_not_kept(self, ask, issuer):
        """A failure that STS has nothing to do with ends its flight: the next ask is a new one."""
        issuer.script = [RuntimeError("a bug")]
        with pytest.raises(RuntimeError):
            ask()
        assert ask().secret_id == "AKID2"

    def test_scopes_do_not_wait_for_each_other(self, ask, issuer, scope):
        """While STS hangs for one scope, others are asked for and served."""
        issuer.held = scope("slow")
        issuer.gate.clear()
        slow = Threads(2, lambda n: ask(scope("slow")))
        assert issuer.arrived.acquire(timeout=10)
        others = Threads(MANY, lambda n: ask(scope(f"u{n}"))).join()
        assert len({one.secret_id for one in others}) == MANY
        assert ask(scope("u1")) in others
        issuer.gate.set()
        first, second = slow.join()
        assert first is second
        assert len(issuer.calls) == MANY + 1

    def test_hits_do_not_wait(self, ask, issuer, clock):
        """While one ask waits for a new credential, those who need less are served the old one."""
        old = ask(ahead=False)
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(1000)
        issuer.gate.clear()
        renewing = Threads(1, lambda n: ask(ahead=False))
        assert issuer.arrived.acquire(timeout=10)
        assert ask(required=300, ahead=False) is old
        issuer.gate.set()
        assert renewing.join()[0].secret_id == "AKID2"

    def test_waiter_that_needs_more(self, ask, issuer):
        """What is enough for the leader may be too little for a waiter: it is told so, and never handed less."""
        issuer.lifetime = 500
        issuer.gate.clear()
        leader = Threads(1, lambda n: ask(required=300))
        assert issuer.arrived.acquire(timeout=10)
        waiter = Threads(1, lambda n: ask())
        issuer.gate.set()
        assert leader.join()[0].expires_at == NOW + 500
        assert waiter.join()[0].code == "lifetime_unavailable"
        assert len(issuer.calls) <= 2

    def test_leader_that_hangs(self, issuer, clock):
        """Nobody waits longer than ten seconds, whatever hangs, and the next ask does not wait for it."""
        ask = Asker(open_cache(issuer, clock), clock)
        issuer.gate.clear()
        asked = clock.monotonic()
        hanging = Threads(1, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        # What the waiting ask's clock says when it looks next, without ten seconds of ours.
        flight = ask.cache._flights[some_scope()]
        clock.tick(10)
        with pytest.raises(UpstreamUnavailable) as caught:
            ask.cache._landed(flight, some_scope(), asked + 10, leads=False)
        assert caught.value.code == "sts_unavailable"
        issuer.held = some_scope("somebody else")
        assert ask().secret_id == "AKID2"
        issuer.gate.set()
        hanging.join()

    def test_share_of_the_leader(self, issuer, clock):
        """A leader whose share is spent does not fail those who wait with it."""
        ask = Asker(open_cache(issuer, clock), clock)

        class Caller:
            def __init__(self, sub: str) -> None:
                self.sub, self.key_id = sub, None

        for number in range(100):
            ask.cache.get(some_demand(some_scope(f"s{number}")), NOW, Caller("greedy"))
        outcomes = Threads(
            MANY, lambda n: ask.cache.get(some_demand(some_scope("cold")), NOW, Caller("greedy" if n % 2 else "modest"))
        ).join()
        assert all(isinstance(one, tuple) for one in outcomes[::2])
        assert {type(one) for one in outcomes[1::2]} <= {RateLimited, type(outcomes[0])}
        with pytest.raises(RateLimited):
            ask.cache.get(some_demand(some_scope("colder")), NOW, Caller("greedy"))
        assert len(issuer.calls) == 101


class TestRenewal:
    """Nobody waits for a renewal."""

    @pytest.mark.parametrize(("age", "calls"), [(899, 1), (900, 2)])
    def test_when(self, ask, issuer, clock, age, calls):
        """The first ask past half the life starts the renewal, is served the old credential, and does not wait."""
        first = ask(required=360, need=360)
        issuer.gate.clear()
        clock.tick(age)
        assert ask(required=360, need=360) is first
        issuer.gate.set()
        until(lambda: len(issuer.calls) == calls and not ask.cache._flights)
        clock.tick(1)
        assert ask(required=360, need=1).secret_id == f"AKID{calls}"

    def test_not_ahead(self, ask, issuer, clock):
        """A scope that is not worth it is not renewed ahead."""
        ask(required=360, need=360, ahead=False)
        clock.tick(1400)
        assert ask(required=360, need=360, ahead=False).secret_id == "AKID1"
        assert (len(issuer.calls), ask.cache._renewals._threads) == (1, 0)

    def test_idle(self, ask, issuer, clock):
        """What nobody asks for costs nothing."""
        for number in range(5):
            ask(some_scope(f"u{number}"))
        clock.tick(100_000)
        assert (len(issuer.calls), ask.cache._renewals._threads) == (5, 0)

    def test_one_at_a_time(self, ask, issuer, clock):
        """However many ask meanwhile: one renewal."""
        ask(required=360, need=360)
        clock.tick(1000)
        issuer.gate.clear()
        assert {one.secret_id for one in Threads(MANY, lambda n: ask(required=360, need=360)).join()} == {"AKID1"}
        issuer.gate.set()
        until(lambda: not ask.cache._flights and ask(required=360, need=360).secret_id == "AKID2")
        assert len(issuer.calls) == 2

    def test_bounded(self, issuer, clock):
        """Few renewals run side by side; the others follow."""
        ask = Asker(open_cache(issuer, clock), clock)
        scopes = [some_scope(f"u{number}") for number in range(MANY)]
        for one in scopes:
            ask(one, 360, need=360)
            assert issuer.arrived.acquire(timeout=10)
        clock.tick(1000)
        issuer.gate.clear()
        for one in scopes:
            ask(one, 360, need=360)
        for _ in range(8):
            assert issuer.arrived.acquire(timeout=10)
        assert not issuer.arrived.acquire(blocking=False)
        assert ask.cache._renewals._threads == 8
        issuer.gate.set()
        until(lambda: ask.cache._renewals._threads == 0)
        assert {ask(one, 360, need=360).secret_id for one in scopes} == {f"AKID{MANY + n + 1}" for n in range(MANY)}

    def test_failure(self, ask, issuer, clock):
        """While renewal fails the old credential serves, and STS is asked once in two seconds."""
        ask(required=360, need=360)
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down")] * 3
        for second in range(6):
            clock.tick(900 if second == 0 else 1)
            assert ask(required=360, need=360).secret_id == "AKID1"
            until(lambda: ask.cache._renewals._threads == 0)
        assert [when - NOW for _, when in issuer.calls] == [0, 900, 902, 904]
        clock.tick(1)
        ask(required=360, need=360)
        until(lambda: ask(required=360, need=360).secret_id == "AKID5")

    def test_to_the_second(self, ask, issuer, clock):
        """While STS is down everything valid is served, to the last second allowed."""
        ask(required=360, need=360)
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down")] * 1000
        clock.tick(1440)
        assert ask(required=360, need=360).secret_id == "AKID1"
        until(lambda: ask.cache._renewals._threads == 0)
        clock.tick(1)
        with pytest.raises(UpstreamUnavailable):
            ask(required=360, need=360)
        assert ask(required=359, need=360).secret_id == "AKID1"

    def test_joined_by_a_cold_ask(self, ask, issuer, clock):
        """An ask that needs the new credential waits for the renewal under way, and makes no call of its own."""
        ask(required=360, need=360)
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(1000)
        issuer.gate.clear()
        ask(required=360, need=360)
        assert issuer.arrived.acquire(timeout=10)
        cold = Threads(1, lambda n: ask(required=960, need=360))
        issuer.gate.set()
        assert cold.join()[0].secret_id == "AKID2"
        assert len(issuer.calls) == 2

    def test_not_beside_a_cold_ask(self, ask, issuer, clock):
        """While an ask gets a new credential anyway, there is nothing to renew."""
        ask(required=360, need=360)
        assert issuer.arrived.acquire(timeout=10)
        clock.tick(1000)
        issuer.gate.clear()
        cold = Threads(1, lambda n: ask(required=960, need=360))
        assert issuer.arrived.acquire(timeout=10)
        for _ in range(5):
            assert ask(required=360, need=360).secret_id == "AKID1"
            until(lambda: ask.cache._renewals._threads == 0)
        issuer.gate.set()
        assert cold.join()[0].secret_id == "AKID2"
        assert len(issuer.calls) == 2

    def test_spread(self, issuer, clock):
        """Each process draws its own moment."""
        dues = set()
        for draw in (-0.1, -0.05, 0.0, 0.05, 0.1):
            cache = open_cache(issuer, clock, draw=lambda draw=draw: draw)
            cache.get(some_demand(None, 360, 360), NOW)
            dues.add(cache._memory[some_scope()].renewal_at - NOW)
        assert dues == {810, 855, 900, 945, 990}

    @pytest.mark.parametrize("life", [400, 500, 600])
    def test_nobody_waits(self, issuer, clock, life):
        """With an ask per eighth of the life, no ask after the first waits, however short STS makes it (promise 4)."""
        ask = Asker(open_cache(issuer, clock), clock)
        issuer.lifetime = life
        ask(required=180, need=180)
        for _ in range(100):
            clock.tick(life / 8)
            entry = ask.cache._memory[some_scope()]
            assert entry.credential.expires_at - clock() >= 180
            ask(required=180, need=180)
            until(lambda: ask.cache._renewals._threads == 0)
        assert len(issuer.calls) <= 34


class TestFleet:
    """What processes share."""

    def test_before_sts(self, open_asker, issuer):
        """What one process got serves the next."""
        first, second = open_asker(), open_asker()
        assert first() == second()
        assert len(issuer.calls) == 1

    def test_one_round_trip(self, open_asker, raw_redis, clock):
        """A hit in Redis is one command, also for a process that has been idle."""
        open_asker()()
        reader = open_asker()
        reader.store.ping()  # connects
        clock.tick(100)
        before = raw_redis.info("stats")["total_commands_processed"]
        reader()
        assert raw_redis.info("stats")["total_commands_processed"] - before == 2  # INFO itself is one

    @pytest.mark.parametrize(("age", "number"), [(840, 1), (841, 2)])
    def test_margin(self, open_asker, clock, age, number):
        """The fleet's credential must live as long as required, like any other."""
        open_asker()()
        clock.tick(age)
        assert open_asker()().secret_id == f"AKID{number}"

    def test_too_old_for_one(self, open_asker, clock, issuer):
        """What is too old for one ask is remembered for those who need less."""
        open_asker()()
        clock.tick(1000)
        issuer.script = [UpstreamUnavailable("sts_unavailable", "down")]
        ask = open_asker()
        with pytest.raises(UpstreamUnavailable):
            ask()
        assert ask(required=800).secret_id == "AKID1"

    def test_cold_scope(self, open_asker, issuer):
        """Processes that ask for a cold scope at once make one call, and get one credential."""
        processes = [open_asker() for _ in range(4)]
        issuer.gate.clear()
        threads = Threads(MANY, lambda n: processes[n % 4]())
        assert issuer.arrived.acquire(timeout=10)
        assert not issuer.arrived.acquire(timeout=0.2)
        issuer.gate.set()
        assert {one.secret_id for one in threads.join()} == {"AKID1"}
        assert len(issuer.calls) == 1

    @pytest.mark.parametrize(
        ("error", "seconds"),
        [(UpstreamError("sts_refused", "STS refused: X"), 60), (UpstreamUnavailable("sts_unavailable", "down"), 2)],
    )
    def test_failure(self, open_asker, issuer, clock, error, seconds):
        """A failure is told to every process, and remembered for as long as it is worth."""
        issuer.script = [error]
        processes = [open_asker() for _ in range(3)]
        for pause in (0, seconds - 1):
            clock.tick(pause)
            for ask in processes:
                with pytest.raises(type(error)) as caught:
                    ask()
                assert (caught.value.code, caught.value.detail) == (error.code, error.detail)
        assert len(issuer.calls) == 1

    @pytest.mark.parametrize(
        "error",
        [
            UpstreamError("sts_refused", "STS refused: AuthFailure.X", about="source"),
            UpstreamUnavailable("sts_unavailable", "throttled", about="source"),
        ],
    )
    def test_failure_of_the_source(self, open_asker, issuer, error):
        """What is wrong with the key, or with STS, is not asked about again for any scope; hits are served."""
        first, second = open_asker(), open_asker()
        warm = first(some_scope("warm"))
        issuer.script = [error]
        with pytest.raises(UpstreamError):
            first(some_scope("a"))
        for name in ("a", "b", "c"):
            with pytest.raises(type(error)):
                first(some_scope(name))
            with pytest.raises(type(error)):
                second(some_scope(name))
        assert len(issuer.calls) == 2
        assert second(some_scope("warm")) == warm == first(some_scope("warm"))

    @pytest.mark.parametrize(("refused", "other"), [(ROLE, None), (None, ROLE), (ROLE, f"{ROLE}-2")])
    def test_failure_in_one_role(self, open_asker, issuer, refused, other):
        """A key that may not assume a role, or nothing without one, is asked for others as if nothing had been."""
        first, second = open_asker(), open_asker()
        issuer.script = [UpstreamError("sts_refused", "STS refused: UnauthorizedOperation", about="source")]
        with pytest.raises(UpstreamError):
            first(some_scope("a")._replace(role_arn=refused))
        for number, ask in enumerate((first, second)):
            with pytest.raises(UpstreamError, match="UnauthorizedOperation"):
                ask(some_scope(f"b{number}")._replace(role_arn=refused))
            assert ask(some_scope(f"c{number}")._replace(role_arn=other))
        assert len(issuer.calls) == 3

    def test_blind_process(self, open_asker, issuer):
        """A process that does not reach STS fails alone: others are told of the scope it failed for, no more."""
        blind, seeing = open_asker(), open_asker()
        issuer.script = [UpstreamUnavailable("sts_unavailable", "no route", about="network")]
        with pytest.raises(UpstreamUnavailable):
            blind(some_scope("a"))
        with pytest.raises(UpstreamUnavailable, match="no route"):
            blind(some_scope("b"))
        with pytest.raises(UpstreamUnavailable, match="no route"):
            seeing(some_scope("a"))
        assert seeing(some_scope("b")).secret_id == "AKID2"
        assert blind(some_scope("b")).secret_id == "AKID2"

    def test_not_charged_for_nothing(self, open_asker, issuer, clock):
        """Asks that STS is not troubled with cost a caller nothing of its share."""

        class Caller:
            sub, key_id = "patient", None

        issuer.script = [UpstreamUnavailable("sts_unavailable", "throttled", about="source")]
        first, second = open_asker(), open_asker()
        with pytest.raises(UpstreamUnavailable):
            first(some_scope("a"))
        for number in range(150):
            with pytest.raises(UpstreamUnavailable):
                second.cache.get(some_demand(some_scope(f"s{number}")), clock(), Caller())
        clock.tick(10)
        store, source = second.store, issuer.source_fingerprint(some_scope())
        store._connection.run("", lambda client: client.delete(f"broker:{{{source}}}:failure"))
        assert second.cache.get(some_demand(some_scope("s0")), clock(), Caller()).credential.secret_id == "AKID2"

    def test_failing_leader_elsewhere(self, open_asker, issuer):
        """Who waits in another process is told what the leader was told, and makes no call."""
        first, second = open_asker(), open_asker()
        issuer.script = [UpstreamError("sts_refused", "STS refused: X")]
        issuer.gate.clear()
        leading = Threads(1, lambda n: first())
        assert issuer.arrived.acquire(timeout=10)
        waiting = Threads(MANY, lambda n: second())
        issuer.gate.set()
        assert {error.code for error in leading.join() + waiting.join()} == {"sts_refused"}
        assert len(issuer.calls) == 1

    def test_leader_that_died(self, open_asker, issuer, raw_redis):
        """A lease that nobody gives back lapses while there is time for a call, and who waits competes for it."""
        fingerprint = issuer.fingerprint(some_scope())
        raw_redis.set(f"broker:{{{fingerprint}}}:lease", "the dead", px=LAPSING_MILLISECONDS + 300)
        asked = time.monotonic()
        processes = [open_asker() for _ in range(3)]
        assert {one.secret_id for one in Threads(6, lambda n: processes[n % 3]()).join()} == {"AKID1"}
        assert time.monotonic() - asked >= 0.25
        assert raw_redis.exists(f"broker:{{{fingerprint}}}:lease") == 0
        assert len(issuer.calls) == 1

    @pytest.mark.parametrize("kind", ["string", "list"])
    def test_lease_that_does_not_lapse(self, open_asker, raw_redis, issuer, kind):
        """Something else under the lease's name holds nobody up for long."""
        name = f"broker:{{{issuer.fingerprint(some_scope())}}}:lease"
        raw_redis.set(name, "x") if kind == "string" else raw_redis.rpush(name, "x")
        assert open_asker()().secret_id == "AKID1"

    def test_lease_is_given_back(self, open_asker, issuer, raw_redis):
        """Whatever the outcome, no lease stays behind."""
        ask = open_asker(per_second=4)
        issuer.script = [1800, UpstreamError("sts_refused", "X"), RuntimeError("a bug")]
        ask(some_scope("a"))
        for name, error in (("b", UpstreamError), ("c", RuntimeError), ("d", UpstreamUnavailable)):
            with pytest.raises(error):
                ask(some_scope(name))  # the last exceeds the budget of three cold calls
        assert raw_redis.keys("*:lease") == []

    def test_published_meanwhile(self, open_asker, raw_redis, issuer, clock):
        """Who comes to claim and finds what another has just published takes that, and leaves no lease behind."""
        open_asker()()
        late = open_asker()
        assert late.cache._mint.obtain(some_scope(), 960, None, clock.monotonic() + 10).secret_id == "AKID1"
        assert raw_redis.keys("*:lease") == []
        assert len(issuer.calls) == 1

    def test_renewed_once(self, open_asker, issuer, clock):
        """One process renews, the others take over what it got."""
        processes = [open_asker() for _ in range(3)]
        for ask in processes:
            ask(required=360, need=360)
        clock.tick(950)
        issuer.gate.clear()
        assert {ask(required=360, need=360).secret_id for ask in processes} == {"AKID1"}
        assert issuer.arrived.acquire(timeout=10)  # the first ask's
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.set()
        for ask in processes:
            until(lambda ask=ask: ask.cache._renewals._threads == 0)
        clock.tick(1)
        for ask in processes:
            ask(required=360, need=360)
            until(lambda ask=ask: ask.cache._renewals._threads == 0)
        assert {ask(required=360, need=360).secret_id for ask in processes} == {"AKID2"}
        assert len(issuer.calls) == 2

    def test_nobody_waits(self, open_asker, issuer, clock):
        """An ask per eighth of the life is enough for all of a fleet, whichever process it comes to (promise 4)."""
        processes = [open_asker() for _ in range(20)]
        processes[0](required=360, need=360)
        for number in range(1, 60):
            clock.tick(1800 / 8)
            assert issuer.expiries[-1] - clock() >= 360
            ask = processes[number % len(processes)]
            ask(required=360, need=360)
            until(lambda ask=ask: ask.cache._renewals._threads == 0)
        assert len(issuer.calls) <= 60 / 4 + 1

    def test_left_to_another(self, open_asker, clock, issuer, raw_redis):
        """While another process holds the lease, asks do not press: one look a second."""
        ask = open_asker()
        ask(required=360, need=360)
        raw_redis.set(f"broker:{{{issuer.fingerprint(some_scope())}}}:lease", "another", px=10_000)
        clock.tick(1000)
        commands = []
        for _ in range(3):
            before = raw_redis.info("stats")["total_commands_processed"]
            for _ in range(50):
                assert ask(required=360, need=360).secret_id == "AKID1"
                until(lambda: ask.cache._renewals._threads == 0)
            commands.append(raw_redis.info("stats")["total_commands_processed"] - before)
            clock.tick(0.99)
        # INFO, the look, and three for the claim; once more when the second is over, with the epoch.
        assert commands[0] <= 6
        assert commands[1] == 1
        assert commands[2] <= 6
        assert len(issuer.calls) == 1

    def test_budget(self, open_asker, issuer, clock):
        """The fleet's calls are bounded: a quarter is kept for renewals, and what is cached costs nothing."""
        first, second = open_asker(per_second=8), open_asker(per_second=8)
        warm = [some_scope(f"warm{n}") for n in range(2)]
        for one in warm:
            first(one, 360, need=360)
        for number in range(4):
            (first, second)[number % 2](some_scope(f"cold{number}"))
        for ask in (first, second):
            with pytest.raises(UpstreamUnavailable, match="budget") as caught:
                ask(some_scope("cold4"))
            assert caught.value.retry_after_seconds >= 1
        clock.tick(1000)
        for one in warm:
            assert first(one, 360, need=360)
            until(lambda: first.cache._renewals._threads == 0)
        assert len(issuer.calls) == 8

    def test_redis_dies(self, open_asker, issuer, own_redis):
        """Without Redis every process makes one call for itself, and memory goes on serving."""
        processes = [open_asker(own_redis.url) for _ in range(2)]
        processes[0](some_scope("warm"))
        own_redis.process.kill()
        own_redis.process.wait()
        results = Threads(MANY, lambda n: processes[n % 2]()).join()
        assert {one.secret_id for one in results} == {"AKID2", "AKID3"}
        assert processes[0](some_scope("warm")).secret_id == "AKID1"
        assert len(issuer.calls) == 3


class TestForgetting:
    """What an operator drops is gone."""

    def test_forgotten(self, open_asker, issuer, clock, open_store, redis_url):
        """Gone from Redis at once, and from the memory of every process within two seconds; others stay."""
        processes = [open_asker() for _ in range(2)]
        for ask in processes:
            ask(some_scope("gone"))
            ask(some_scope("kept"))
        assert open_store(redis_url).forget([issuer.fingerprint(some_scope("gone"))]) == 1
        clock.tick(1)
        assert {ask(some_scope("gone")).secret_id for ask in processes} == {"AKID3"}
        assert {ask(some_scope("kept")).secret_id for ask in processes} == {"AKID2"}
        assert len(issuer.calls) == 3

    def test_asks_do_not_pay(self, open_asker, clock, raw_redis):
        """Hearing of it costs one command a second, whatever is asked."""
        ask = open_asker()
        ask()
        clock.tick(1)
        before = raw_redis.info("stats")["total_commands_processed"]
        for _ in range(100):
            ask()
        assert raw_redis.info("stats")["total_commands_processed"] - before == 2

    def test_restarted_empty(self, open_asker, issuer, clock, raw_redis):
        """A Redis that has lost everything has not forgotten on purpose: memory goes on serving."""
        ask = open_asker()
        ask()
        ask.store.forget([])
        clock.tick(1)
        ask()
        raw_redis.flushall()
        clock.tick(5)
        ask()
        assert len(issuer.calls) == 1

    def test_heard_of_in_flight(self, open_asker, issuer, clock):
        """A flight that was under way when the process heard of it leaves nothing in memory."""
        ask = open_asker()
        ask(some_scope("other"))
        assert issuer.arrived.acquire(timeout=10)
        issuer.gate.clear()
        leading = Threads(1, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        ask.store.forget([issuer.fingerprint(some_scope())])
        clock.tick(1)
        assert ask(some_scope("other")).secret_id == "AKID1"
        issuer.gate.set()
        assert leading.join()[0].secret_id == "AKID2"
        assert ask().secret_id == "AKID3"

    def test_forgotten_in_flight(self, open_asker, issuer, clock, open_store, redis_url, raw_redis):
        """A leader that was about to publish what is forgotten meanwhile does not bring it back."""
        ask = open_asker()
        issuer.gate.clear()
        leading = Threads(1, lambda n: ask())
        assert issuer.arrived.acquire(timeout=10)
        open_store(redis_url).forget([issuer.fingerprint(some_scope())])
        issuer.gate.set()
        leading.join()
        assert raw_redis.keys("*:credential") == []
        clock.tick(2)
        assert ask().secret_id == "AKID2"


class TrueTime:
    """Tencent's clock, which nobody steps."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> int:
        """The current second."""
        return int(self.now)


class DatedIssuer(IssuerDouble):
    """An issuer whose answers tell a timekeeper what time it is."""

    def __init__(self, true: TrueTime, keeper: Timekeeper) -> None:
        super().__init__(true)
        self.keeper = keeper

    def issue(self, scope, permit) -> Credential:
        """The next credential; the answer is dated."""
        credential = super().issue(scope, permit)
        self.keeper.observe(self.clock(), 0)
        return credential


@pytest.mark.parametrize("seconds", [-86_400, -3600, -30, 30, 3600, 86_400])
def test_stepped_clock(clock, seconds):
    """A step of the local clock serves nothing dead and storms nobody: one call of STS, and all that lives is used."""
    true = TrueTime()
    keeper = Timekeeper(clock, clock.monotonic)
    issuer = DatedIssuer(true, keeper)
    cache = open_cache(issuer, clock, tells=keeper)
    scopes = [some_scope(f"u{number}") for number in range(100)]
    for scope in scopes:
        cache.get(some_demand(scope, 360, 360), keeper())
    clock.step(seconds)
    given = [cache.get(some_demand(scope, 360, 360), keeper()) for scope in scopes]
    assert len(issuer.calls) <= 101
    for credential, now in given:
        assert abs(now - NOW) <= 30
        assert credential.expires_at - NOW >= 360
    clock.tick(1800)
    true.now += 1800
    for scope in scopes[:5]:
        credential, _ = cache.get(some_demand(scope, 360, 360), keeper())
        assert credential.expires_at - true.now >= 360


@settings(derandomize=True, max_examples=80, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "ask", "ask", "step", "sleep", "down"]),
            st.integers(0, 2500),
            st.integers(1, 900),
            st.sampled_from([1800, 1799, 1000, 700, 400, 61, 1, 0, -5]),
            st.sampled_from(["u1", "u2"]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_expiry_truth(steps):
    """Promise 1: whatever clocks, ages, lifetimes and asks meet, no answer outlives its credential.

    `true` is Tencent's clock; the local one is stepped, or sleeps, and is corrected by each answer of STS.
    """
    clock, true = Clock(), TrueTime()
    keeper = Timekeeper(clock, clock.monotonic)
    issuer = DatedIssuer(true, keeper)
    cache = open_cache(issuer, clock, tells=keeper)
    for what, pause, seconds, lifetime, name in steps:
        issuer.lifetime = lifetime
        if what == "step":
            clock.step(1250 - pause)
        elif what == "sleep":
            clock.step(pause)
            true.now += pause
        elif what == "down":
            issuer.script = [UpstreamUnavailable("sts_unavailable", "down")]
        else:
            clock.tick(pause)
            true.now += pause
        try:
            credential, now = cache.get(some_demand(some_scope(name), seconds + 60, 960), keeper())
        except UpstreamUnavailable:
            continue
        finally:
            until(lambda: cache._renewals._threads == 0)
        assert now + seconds + 60 <= credential.expires_at
        # Without skew a signature ends a minute before; steps below five seconds are not noticed.
        assert true.now + seconds <= issuer.expiries[int(credential.secret_id[4:]) - 1]


def test_counting_is_locked(issuer, clock, open_store, redis_url):
    """Looking whether there is anything in memory drops what has died there: nobody else may be at it meanwhile."""
    store = open_store(redis_url)
    cache = open_cache(issuer, clock, store, store._connection)
    found = []

    class Watched(TLRUCache):
        def __len__(self) -> int:
            found.append(cache._lock.locked())
            return super().__len__()

    cache._memory = Watched(9, ttu=lambda scope, entry, now: entry.dies_at, timer=clock.monotonic)
    Asker(cache, clock)()
    clock.tick(2)
    Asker(cache, clock)()
    assert found
    assert all(found)
