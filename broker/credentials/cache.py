"""Memory, then the fleet, then STS; one flight per scope; renewal ahead of need.

A flight is a search in progress that others share: its leader looks into Redis, and if there is nothing, a thread of
its own asks STS, so that nobody waits longer than `WAIT_SECONDS` whatever hangs. Look-up and joining happen under one
lock; nothing is asked of the network while it is held. Who comes while STS is known not to answer does not wait: a
server has so many threads, and they are for those who can be served.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from cachetools import TLRUCache, TTLCache

from broker.credentials.credential import Credential
from broker.credentials.demand import Demand
from broker.credentials.forgetting import Forgetting
from broker.credentials.lifetimes import FRESH_SECONDS, SPREAD, renewal_at, usable
from broker.credentials.minting import WAIT_SECONDS, Mint, not_answering
from broker.credentials.renewals import Renewals
from broker.credentials.scope import Scope
from broker.credentials.store import CredentialStore
from broker.errors import RateLimited, UpstreamError, UpstreamUnavailable
from broker.limits import Payer

ENTRIES = 10_000
_AFTER_FAILURE_SECONDS, _AFTER_ANOTHER_SECONDS = 2.0, 1.0


class Entry:
    """A credential in memory, and when it is due. `paused_until` is of the monotonic clock."""

    __slots__ = ("credential", "dies_at", "paused_until", "renewal_at")

    def __init__(self, credential: Credential, renewal_at: int, dies_at: float) -> None:
        self.credential = credential
        self.renewal_at = renewal_at
        self.dies_at = dies_at
        self.paused_until = 0.0


class Flight(Future["Credential | None"]):
    """A search that ends in a credential, in a failure, or in None: look again for yourself."""

    def __init__(self, began: float, epoch: int) -> None:
        super().__init__()
        self.began = began
        self.epoch = epoch
        self.asks_sts = False


class Lent(NamedTuple):
    """A credential, and the instant at which it was seen to live long enough."""

    credential: Credential
    now: int


class CredentialCache:
    """Credentials by scope. `clock` tells Tencent's time in Unix seconds, `monotonic` durations.

    `count` is told the outcome of each renewal; `found` whence an ask had its credential if STS was not asked for it
    (`memory`, `flight`, `redis`; of others the mint tells); `waiting` gets 1 and -1 around each wait for a flight.
    """

    def __init__(
        self,
        mint: Mint,
        store: CredentialStore | None,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        *,
        entries: int = ENTRIES,
        draw: Callable[[], float] = lambda: random.uniform(-SPREAD, SPREAD),  # noqa: S311  no secret
        count: Callable[[str], None] = lambda outcome: None,
        found: Callable[[str], object] = lambda layer: None,
        waiting: Callable[[int], object] = lambda more: None,
    ) -> None:
        self._mint = mint
        self._clock = clock
        self._monotonic = monotonic
        self._draw = draw
        self._count = count
        self._found = found
        self._waiting = waiting
        # By the monotonic clock, so that no step of the other empties it.
        self._memory: TLRUCache[Scope, Entry] = TLRUCache(
            entries, ttu=lambda scope, entry, now: entry.dies_at, timer=monotonic
        )
        # What STS gave and was too short, for as long as asking again would give the same; even if it is dead already.
        self._short: TTLCache[Scope, Credential] = TTLCache(entries, FRESH_SECONDS, timer=monotonic)
        self._flights: dict[Scope, Flight] = {}
        self._lock = threading.Lock()
        self._renewals = Renewals()
        self._forgetting = Forgetting(store, monotonic)
        self._epochs = 0  # how often memory was dropped: what was looked for before does not come into it

    def get(self, demand: Demand, now: int, payer: Payer | None = None) -> Lent:
        """A credential that lives as long as demanded, counted from the instant beside it: `now`, or later.

        Raises RateLimited if `payer` has had its share of new credentials, UpstreamError if STS refuses,
        UpstreamUnavailable if it does not serve or if even a new credential is too short (`lifetime_unavailable`).
        """
        scope, required_seconds = demand.scope, demand.required_seconds
        monotonic = self._monotonic()
        if self._forgetting.due(monotonic):
            with self._lock:  # to count them is to drop those that have died
                empty = not self._memory
            if self._forgetting.hear(monotonic, empty=empty):
                self._forget()
        deadline = monotonic + WAIT_SECONDS
        while True:
            found = self._find(scope, required_seconds, now, monotonic)
            if isinstance(found, Entry):
                self._renew_ahead(demand, found, now, monotonic)
                self._found("memory")
                return Lent(found.credential, now)
            flight, leads = found
            if leads:
                flight = self._lead(flight, demand, payer, deadline)
            elif flight.asks_sts and self._mint.troubled:
                raise not_answering()
            credential = self._landed(flight, scope, deadline, leads=leads)
            now, monotonic = self._clock(), self._monotonic()
            if credential is not None and usable(credential.expires_at, required_seconds, now):
                with self._lock:
                    kept = self._remembered(scope)
                if kept is not None:  # what came from Redis may be due: this process may never be asked again in time
                    self._renew_ahead(demand, kept, now, monotonic)
                if not leads:
                    self._found("flight")
                return Lent(credential, now)
            if credential is not None and leads:
                raise _too_short(credential, required_seconds, now)
            # A flight whose leader needed less may bring too little for us: look again.

    def cold(self, demands: Iterable[Demand], now: int) -> list[Demand]:
        """Those of the demands for which nothing that lives long enough is in memory."""
        with self._lock:
            entries = [(demand, self._remembered(demand.scope)) for demand in demands]
        return [
            demand
            for demand, entry in entries
            if entry is None or not usable(entry.credential.expires_at, demand.required_seconds, now)
        ]

    def kept(self) -> list[tuple[Scope, Credential, int]]:
        """All that is in memory: (scope, credential, the instant from which an ask has it renewed)."""
        with self._lock:
            return [(scope, entry.credential, entry.renewal_at) for scope, entry in self._memory.items()]

    def shared(self, demand: Demand, now: int) -> bool:
        """Whether the fleet has something that lives long enough, or knows that there is nothing to be had."""
        try:
            found = self._mint.look(demand.scope)
        except UpstreamError:
            return True
        return found is not None and usable(found.expires_at, demand.required_seconds, now)

    def _find(self, scope: Scope, required_seconds: int, now: int, monotonic: float) -> Entry | tuple[Flight, bool]:
        """What is remembered and lives long enough; else the flight to wait for, and whether it is ours to lead."""
        with self._lock:
            entry = self._remembered(scope)
            if entry is not None and usable(entry.credential.expires_at, required_seconds, now):
                return entry
            latest = self._short.get(scope)
            if latest is not None and not usable(latest.expires_at, required_seconds, now):
                raise _too_short(latest, required_seconds, now)
            flight = self._flights.get(scope)
            if flight is not None:
                return flight, False
            flight = self._flights[scope] = Flight(monotonic, self._epochs)
            return flight, True

    def _renew_ahead(self, demand: Demand, entry: Entry, now: int, monotonic: float) -> None:
        if now >= entry.renewal_at and demand.ahead and monotonic >= entry.paused_until:
            self._renewals.request(demand.scope, partial(self._renew, demand))

    def _remembered(self, scope: Scope) -> Entry | None:
        try:
            return self._memory[scope]  # `get` would look, and ask the clock, twice
        except KeyError:
            return None

    def _forget(self) -> None:
        with self._lock:
            # What was not dropped is in Redis still, one round trip away.
            self._memory.clear()
            self._epochs += 1

    def _lead(self, flight: Flight, demand: Demand, payer: Payer | None, deadline: float) -> Flight:
        # Redis answers at once or not at all; what STS does is waited for like everybody else does.
        try:
            found = self._mint.look(demand.scope)
        except BaseException as error:
            self._land(flight, demand, error)
            return flight
        now = self._clock()
        if found is not None:
            if usable(found.expires_at, demand.required_seconds, now):
                self._found("redis")
                self._land(flight, demand, found)
                return flight
            with self._lock:  # too old for this ask, but not for every other
                self._keep(demand, found, flight.epoch, now)
        flight = self._ask_sts(flight, demand.scope)
        search = threading.Thread(target=self._search, args=(flight, demand, payer, deadline), name="broker-flight")
        search.daemon = True  # its ask waits for it; once that is gone, nobody does
        try:
            search.start()
        except RuntimeError:
            self._land(flight, demand, UpstreamUnavailable("sts_unavailable", "this process has no thread left"))
        return flight

    def _ask_sts(self, flight: Flight, scope: Scope) -> Flight:
        if not self._mint.troubled:
            flight.asks_sts = True
            return flight
        # Who has joined to see what Redis has does not wait for an STS that may not answer: another flight goes there.
        with self._lock:
            onward = self._flights[scope] = Flight(flight.began, flight.epoch)
            onward.asks_sts = True
        flight.set_result(None)
        return onward

    def _search(self, flight: Flight, demand: Demand, payer: Payer | None, deadline: float) -> None:
        outcome: Credential | BaseException
        try:
            outcome = self._mint.obtain(demand.scope, demand.required_seconds, payer, deadline)
        except BaseException as error:
            outcome = error
        self._land(flight, demand, outcome)

    def _land(self, flight: Flight, demand: Demand, outcome: Credential | BaseException | None) -> None:
        try:
            with self._lock:
                if self._flights.get(demand.scope) is flight:
                    del self._flights[demand.scope]
                if isinstance(outcome, Credential):
                    now = self._clock()
                    self._keep(demand, outcome, flight.epoch, now)
                    if not usable(outcome.expires_at, demand.required_seconds, now):
                        self._short[demand.scope] = outcome
        finally:  # whatever happens here: others wait for it
            if isinstance(outcome, BaseException):
                flight.set_exception(outcome)
            else:
                flight.set_result(outcome)

    def _keep(self, demand: Demand, credential: Credential, epoch: int, now: int) -> None:
        entry = self._remembered(demand.scope)
        if epoch != self._epochs or (entry is not None and entry.credential.expires_at >= credential.expires_at):
            return
        due = renewal_at(credential.issued_at, credential.expires_at, demand.need_seconds, self._draw())
        self._memory[demand.scope] = Entry(credential, due, self._monotonic() + credential.expires_at - now)

    def _landed(self, flight: Flight, scope: Scope, deadline: float, *, leads: bool) -> Credential | None:
        if flight.done():
            return self._outcome(flight, scope, deadline, leads=leads)
        self._waiting(1)
        try:
            return self._outcome(flight, scope, deadline, leads=leads)
        finally:
            self._waiting(-1)

    def _outcome(self, flight: Flight, scope: Scope, deadline: float, *, leads: bool) -> Credential | None:
        try:
            return flight.result(timeout=max(deadline - self._monotonic(), 0))
        except RateLimited:
            if leads:
                raise
            return None  # it was the leader's share; ours may not be spent
        except TimeoutError:
            with self._lock:  # it hangs: the next ask shall not wait for it
                if self._flights.get(scope) is flight and self._monotonic() - flight.began >= WAIT_SECONDS:
                    del self._flights[scope]
            raise UpstreamUnavailable("sts_unavailable", f"no credential within {WAIT_SECONDS:.0f} s") from None

    def _renew(self, demand: Demand) -> None:
        with self._lock:
            entry = self._remembered(demand.scope)
            if entry is None or demand.scope in self._flights:
                return
            flight = self._flights[demand.scope] = Flight(self._monotonic(), self._epochs)
            flight.asks_sts = True

        def serves(credential: Credential) -> bool:
            due = renewal_at(credential.issued_at, credential.expires_at, demand.need_seconds, SPREAD)
            return credential.expires_at > entry.credential.expires_at and self._clock() < due

        # Who joined meanwhile looks again if nothing comes of it, and is told by what the mint remembers.
        landed, outcome, pause = None, "failed", _AFTER_FAILURE_SECONDS
        try:
            landed = self._mint.renew(demand.scope, serves)
            outcome, pause = ("renewed", 0.0) if landed is not None else ("left", _AFTER_ANOTHER_SECONDS)
        except UpstreamError:
            pass
        finally:
            entry.paused_until = self._monotonic() + pause
            self._count(outcome)
            self._land(flight, demand, landed)


def _too_short(credential: Credential, required_seconds: int, now: int) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        "lifetime_unavailable",
        f"needs a credential for {required_seconds} s, STS gave one with {credential.expires_at - now} s left",
        retry_after_seconds=FRESH_SECONDS,
    )
