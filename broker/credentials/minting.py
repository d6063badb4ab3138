"""Mint: from a credential that is missing to one that the whole fleet has, with one call of STS.

    look            Redis knows it, or knows why there is none
    claim           one process holds the lease, the others wait for what it publishes, or for the lease to lapse
    permit          nothing is known against asking this source now; who asks has calls left, and so has the fleet
    issue           STS, in at most three tries
    publish, fail   for everybody who waits; the lease is given back

Without Redis, or while it fails, every process is a fleet of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from cachetools import TLRUCache

from broker.credentials.credential import Credential
from broker.credentials.failures import PASSING_SECONDS, PERMANENT_SECONDS, Failure, failure_of
from broker.credentials.lifetimes import fresh, usable
from broker.credentials.scope import Scope
from broker.credentials.store import CredentialStore, Shared
from broker.errors import UpstreamError, UpstreamUnavailable
from broker.fleet.breaker import Breaker
from broker.fleet.connection import Unavailable
from broker.limits import Budgets, Payer

WAIT_SECONDS = 10.0  # for a credential, all in all
_SHORTEST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.025, 0.1
_REMEMBERED = 10_000
_CLOCKS_DIFFER_SECONDS = 5
# An STS that did not answer so long ago is asked as if nothing had been; while it hangs there is news more often.
_TROUBLE_SECONDS = 30.0
_NOTHING = Shared(None, None)


class Issuer(Protocol):
    """Who makes credentials: `broker.credentials.issuing.Issuer`."""

    def source_fingerprint(self, scope: Scope) -> str:
        """What failures of the source itself are kept under, in the role that the scope assumes or in none."""

    def fingerprint(self, scope: Scope) -> str:
        """What a scope's credential is kept under."""

    def issue(self, scope: Scope, permit: Callable[[], None]) -> Credential:
        """A new credential. Raises UpstreamError, and whatever `permit` raises."""


class _NotAsked(Exception):
    """STS was not asked, for a reason that says nothing about the scope."""

    def __init__(self, reason: UpstreamError) -> None:
        super().__init__(reason)
        self.reason = reason


class Mint:
    """Obtains credentials for one process. `clock` tells Tencent's time, `monotonic` durations; `wait` sleeps.

    `found` is told where each credential that was asked for came from, `redis` or `sts`; `broken` is told True when
    STS stops answering, and False when it answers again.
    """

    def __init__(
        self,
        issuer: Issuer,
        store: CredentialStore | None,
        budgets: Budgets,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        wait: Callable[[float], object],
        *,
        found: Callable[[str], object] = lambda layer: None,
        broken: Callable[[bool], object] = lambda opened: None,
    ) -> None:
        self._issuer = issuer
        self._store = store
        self._budgets = budgets
        self._clock = clock
        self._monotonic = monotonic
        self._wait = wait
        self._found = found
        self._lock = threading.Lock()
        self._failures: TLRUCache[str, tuple[Failure, float]] = TLRUCache(
            _REMEMBERED, ttu=lambda name, kept, now: kept[1], timer=monotonic
        )
        # A source that does not answer is tried once in so long: threads are for those who can be served.
        self._breaker = Breaker(PASSING_SECONDS, PASSING_SECONDS, _TROUBLE_SECONDS, broken)

    @property
    def troubled(self) -> bool:
        """Whether STS did not answer just now, so that nobody should count on it."""
        return self._breaker.lasts(self._monotonic())

    def look(self, scope: Scope) -> Credential | None:
        """The credential that the fleet has. Raises UpstreamError for a failure that is still remembered."""
        fingerprint = self._issuer.fingerprint(scope)
        self._check(self._remembered(fingerprint))
        shared = self._look(fingerprint)
        if shared.credential is None:
            self._check(shared.failure)
        return shared.credential

    def obtain(self, scope: Scope, required_seconds: int, payer: Payer | None, deadline: float) -> Credential:
        """A credential with `required_seconds` left, or one that STS has just made too short.

        The lease is waited for until `deadline` (of the monotonic clock). Raises RateLimited or UpstreamError.
        """

        def serves(credential: Credential) -> bool:
            now = self._clock()
            return usable(credential.expires_at, required_seconds, now) or fresh(credential.issued_at, now)

        self._check(self._remembered(self._issuer.source_fingerprint(scope)))
        fingerprint, token = self._issuer.fingerprint(scope), secrets.token_hex(16)
        began = self._monotonic()
        while True:
            try:
                shared = self._claim(fingerprint, token, serves)
            except Unavailable:
                return self._issue(scope, fingerprint, None, payer, renewal=False)
            if shared.credential is not None:
                self._found("redis")
                return shared.credential
            if shared.leased:
                return self._issue(scope, fingerprint, token, payer, renewal=False)
            now = self._monotonic()
            if now >= deadline:
                raise UpstreamUnavailable("sts_unavailable", f"no credential within {WAIT_SECONDS:.0f} s")
            self._wait(min(max((now - began) / 8, _SHORTEST_POLL_SECONDS), _LONGEST_POLL_SECONDS))

    def renew(self, scope: Scope, serves: Callable[[Credential], bool]) -> Credential | None:
        """A credential that `serves` as the next one; None if another process is about to make it.

        Raises UpstreamError.
        """
        fingerprint, token = self._issuer.fingerprint(scope), secrets.token_hex(16)
        shared = self._look(fingerprint)
        if shared.credential is not None and serves(shared.credential):
            return shared.credential
        self._check(self._remembered(fingerprint))
        self._check(shared.failure)
        self._check(self._remembered(self._issuer.source_fingerprint(scope)))
        try:
            shared = self._claim(fingerprint, token, serves)
        except Unavailable:
            return self._issue(scope, fingerprint, None, None, renewal=True)
        if shared.credential is not None or not shared.leased:
            return shared.credential
        return self._issue(scope, fingerprint, token, None, renewal=True)

    def _look(self, fingerprint: str) -> Shared:
        if self._store is None:
            return _NOTHING
        try:
            return self._store.look(fingerprint)
        except Unavailable:
            return _NOTHING

    def _claim(self, fingerprint: str, token: str, serves: Callable[[Credential], bool]) -> Shared:
        # What comes back holds a credential only if it serves, and the lease only if it does not.
        if self._store is None:
            raise Unavailable
        shared = self._store.claim(fingerprint, token)
        credential = shared.credential if shared.credential is not None and serves(shared.credential) else None
        settled = credential is not None or self._lasts(shared.failure)
        if shared.leased and settled:
            self._tell(lambda store: store.release(fingerprint, token))
        if credential is None:
            self._check(shared.failure)
        return Shared(credential, None, shared.leased and not settled)

    def _issue(
        self, scope: Scope, fingerprint: str, token: str | None, payer: Payer | None, *, renewal: bool
    ) -> Credential:
        source = self._issuer.source_fingerprint(scope)
        try:
            with self._telling(fingerprint, token, source):
                credential = self._issuer.issue(scope, self._permit(payer, source, renewal=renewal))
        except _NotAsked as error:
            raise error.reason from None
        self._tell(lambda store: store.publish(fingerprint, token, credential, scope.outline(), self._clock()))
        if not renewal:
            self._found("sts")
        return credential

    @contextlib.contextmanager
    def _telling(self, fingerprint: str, token: str | None, source: str) -> Iterator[None]:
        # Whatever ends a flight without a credential, the lease is given back; what STS said is told to everybody.
        try:
            yield
        except UpstreamError as error:
            failure = failure_of(error, self._clock())
            self._remember(fingerprint if error.about == "scope" else source, failure)
            if error.about == "scope" or failure.permanent:
                self._breaker.succeeded()
            else:
                self._breaker.failed(self._monotonic())
            if error.about == "source":
                self._tell(lambda store: store.fail(source, None, failure))
                self._tell(lambda store: store.release(fingerprint, token))
            else:
                # Others may well reach STS where we do not; but who waits for this scope has waited long enough.
                self._tell(lambda store: store.fail(fingerprint, token, failure))
            raise
        except BaseException:
            self._tell(lambda store: store.release(fingerprint, token))
            raise
        else:
            self._breaker.succeeded()

    def _permit(self, payer: Payer | None, source: str, *, renewal: bool) -> Callable[[], None]:
        admitted = False  # and charged: the tries of one call are one

        def check() -> None:
            nonlocal admitted
            self._check(self._remembered(source))
            if self._store is not None:
                with contextlib.suppress(Unavailable):
                    self._check(self._store.failure(source))
            if not admitted and self._breaker.waits(self._monotonic()):
                raise not_answering()
            if not admitted:
                self._budgets.charge(payer)
            self._budgets.spend(renewal=renewal)
            admitted = admitted or self._breaker.admits(self._monotonic())
            if not admitted:
                raise not_answering()

        def permit() -> None:
            try:
                check()
            except UpstreamError as reason:
                if admitted:  # the first try has failed, and there is no second to find out more
                    self._breaker.failed(self._monotonic())
                raise _NotAsked(reason) from None

        return permit

    def _tell(self, tell: Callable[[CredentialStore], None]) -> None:
        if self._store is not None:
            with contextlib.suppress(Unavailable):
                tell(self._store)

    def _check(self, failure: Failure | None) -> None:
        if failure is not None and self._lasts(failure):
            raise failure.error(self._clock())

    def _lasts(self, failure: Failure | None) -> bool:
        # Redis keeps a failure no longer than this; what somebody brings back later is no news.
        return failure is not None and -_CLOCKS_DIFFER_SECONDS < failure.until - self._clock() <= PERMANENT_SECONDS

    def _remembered(self, name: str) -> Failure | None:
        with self._lock:
            kept = self._failures.get(name)
        return kept[0] if kept is not None else None

    def _remember(self, name: str, failure: Failure) -> None:
        with self._lock:
            self._failures[name] = failure, self._monotonic() + failure.seconds


def not_answering() -> UpstreamUnavailable:
    """What to tell those whom a call would keep waiting that may never be answered."""
    return UpstreamUnavailable("sts_unavailable", "STS did not answer just now; one call is finding out", 2)
