"""Memory, then the store, then STS; one flight per scope.

A flight is a look-up in progress that others share: its leader asks, and gives its credential or its failure to all who
came meanwhile. Look-up and joining happen under one lock; nothing is asked of the network while it is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from cachetools import TLRUCache, TTLCache

from broker.credentials.credential import Credential
from broker.credentials.lifetimes import FRESH_SECONDS, fresh, usable
from broker.credentials.scope import Scope
from broker.errors import UpstreamUnavailable

ENTRIES = 10_000
WAIT_SECONDS = 10


class Store(Protocol):
    """Where the fleet keeps credentials; it answers None rather than fail."""

    def get(self, fingerprint: str) -> Credential | None:
        """The credential kept under a fingerprint."""

    def put(self, fingerprint: str, credential: Credential, now: int) -> None:
        """Keep a credential until it expires."""


class Issuer(Protocol):
    """Who makes credentials."""

    def fingerprint(self, scope: Scope) -> str:
        """What a scope's credential is kept under."""

    def issue(self, scope: Scope, now: int) -> Credential:
        """A new credential. Raises UpstreamError."""


class CredentialCache:
    """Credentials by scope. `clock` says Unix seconds and only drops dead entries; asks bring their own `now`."""

    def __init__(self, issuer: Issuer, store: Store | None, clock: Callable[[], int], entries: int = ENTRIES) -> None:
        self._issuer = issuer
        self._store = store
        self._memory: TLRUCache[Scope, Credential] = TLRUCache(
            entries, ttu=lambda scope, credential, now: credential.expires_at, timer=clock
        )
        # What STS gave and was too short, for as long as asking again would give the same; even if it is dead already.
        self._short: TTLCache[Scope, Credential] = TTLCache(entries, FRESH_SECONDS, timer=clock)
        self._flights: dict[Scope, Future[Credential]] = {}
        self._lock = threading.Lock()

    def get(self, scope: Scope, required_seconds: int, now: int) -> Credential:
        """A credential of this scope with at least `required_seconds` left.

        Raises UpstreamError if STS refuses, UpstreamUnavailable if it does not serve or if even a new credential is too
        short (`lifetime_unavailable`).
        """
        while True:
            with self._lock:
                credential = self._remembered(scope)
                if credential is not None and usable(credential.expires_at, required_seconds, now):
                    return credential
                latest = self._short.get(scope)
                if latest is not None and fresh(latest.issued_at, now):
                    raise _too_short(latest, required_seconds, now)
                flight = self._flights.get(scope)
                leads = flight is None
                if flight is None:
                    flight = self._flights[scope] = Future()
            if leads:
                self._lead(flight, scope, required_seconds, now)
            credential = self._landed(flight)
            if usable(credential.expires_at, required_seconds, now):
                return credential
            if leads:
                raise _too_short(credential, required_seconds, now)
            # A flight whose leader needed less may bring too little for us: look again.

    def _remembered(self, scope: Scope) -> Credential | None:
        try:
            return self._memory[scope]  # `get` would look, and ask the clock, twice
        except KeyError:
            return None

    def _lead(self, flight: Future[Credential], scope: Scope, required_seconds: int, now: int) -> None:
        try:
            credential = self._obtain(scope, required_seconds, now)
        except BaseException as error:
            with self._lock:
                del self._flights[scope]
            flight.set_exception(error)
        else:
            with self._lock:
                del self._flights[scope]
                self._memory[scope] = credential
                if not usable(credential.expires_at, required_seconds, now):
                    self._short[scope] = credential
            flight.set_result(credential)

    def _obtain(self, scope: Scope, required_seconds: int, now: int) -> Credential:
        if self._store is None:
            return self._issuer.issue(scope, now)
        fingerprint = self._issuer.fingerprint(scope)
        kept = self._store.get(fingerprint)
        if kept is not None and (usable(kept.expires_at, required_seconds, now) or fresh(kept.issued_at, now)):
            return kept
        credential = self._issuer.issue(scope, now)
        self._store.put(fingerprint, credential, now)
        return credential

    def _landed(self, flight: Future[Credential]) -> Credential:
        try:
            return flight.result(timeout=WAIT_SECONDS)
        except TimeoutError:
            raise UpstreamUnavailable("sts_unavailable", f"no credential within {WAIT_SECONDS} s") from None


def _too_short(credential: Credential, required_seconds: int, now: int) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        "lifetime_unavailable",
        f"needs a credential for {required_seconds} s, STS gave one with {credential.expires_at - now} s left",
        retry_after_seconds=FRESH_SECONDS,
    )
