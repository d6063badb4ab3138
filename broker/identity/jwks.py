"""KeySet: the issuer's public keys, kept current without ever making two callers pay for one fetch.

    age 0 ..... half-life ......... lifetime .................... 24 h
    serve       serve, and fetch    wait for the fetch; if it     not loaded
                in the background   fails, serve the last good

No timers: only an ask starts a fetch, in a daemon thread of the asking process. No lock either: a fetch in progress is
a flight that others find in a dict, so nothing can be held over I/O or across a fork. PyJWKClient holds its lock over
the fetch and forgets good keys on a failure; this is why it is not used.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.errors import UpstreamUnavailable
from broker.identity.key_sources import Fetch, KeySourceError
from broker.identity.public_keys import KeySetError, VerifyingKey, parse_key_set

_log = logging.getLogger("broker.identity")


@dataclass(frozen=True, slots=True)
class _Loaded:
    keys: tuple[VerifyingKey, ...]
    fetched_at: float

    def named(self, kid: str | None) -> tuple[VerifyingKey, ...]:
        return self.keys if kid is None else tuple(key for key in self.keys if key.kid == kid)


@dataclass(slots=True)
class _Flight:
    started_at: float
    landed: threading.Event = field(default_factory=threading.Event)


class KeySet:
    """The keys that `fetch` brings, as `fetch` last brought them well.

    `clock` gives seconds of which only differences matter. `wait_seconds` bounds how long one ask waits for a fetch.
    """

    def __init__(
        self,
        fetch: Fetch,
        clock: Callable[[], float],
        *,
        lifetime_seconds: float = 300,
        keep_seconds: float = 24 * 3600,
        retry_seconds: float = 30,
        first_retry_seconds: float = 1,
        wait_seconds: float = 3,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lifetime_seconds = lifetime_seconds
        self._keep_seconds = keep_seconds
        self._retry_seconds = retry_seconds
        self._first_retry_seconds = first_retry_seconds
        self._wait_seconds = wait_seconds
        self._loaded: _Loaded | None = None
        self._last_try_failed = False
        # By process: a flight that was in the air during a fork lands in the parent only.
        self._flights: dict[int, _Flight] = {}
        self._tried_at: dict[int, float] = {}

    @property
    def loaded(self) -> bool:
        """Whether a good set was ever read; for readiness."""
        return self._loaded is not None

    def ensure_loading(self) -> None:
        """Starts the first load if none succeeded yet, and does not wait for it."""
        if self._loaded is None:
            self._fly(self._first_retry_seconds)

    def keys(self, kid: str | None) -> tuple[VerifyingKey, ...]:
        """The keys named `kid`, or all keys if it is None; none if even a new fetch does not know the name.

        Raises UpstreamUnavailable while there is no set that is young enough to trust.
        """
        loaded = self._current()
        found = loaded.named(kid)
        if found:
            return found
        self._wait(self._fly(self._retry_seconds))
        return (self._loaded or loaded).named(kid)

    def _current(self) -> _Loaded:
        loaded = self._loaded
        if loaded is None or self._age(loaded) >= self._keep_seconds:
            self._wait(self._fly(self._first_retry_seconds))
        elif self._age(loaded) >= self._lifetime_seconds / 2:
            # While the source is known to fail, nobody waits for the next failure.
            must_wait = self._age(loaded) >= self._lifetime_seconds and not self._last_try_failed
            flight = self._fly(self._retry_seconds)
            if must_wait:
                self._wait(flight)
        loaded = self._loaded
        if loaded is None or self._age(loaded) >= self._keep_seconds:
            raise UpstreamUnavailable("identity_unavailable", "the keys that verify bearer tokens are not loaded")
        return loaded

    def _age(self, loaded: _Loaded) -> float:
        # abs: after a clock that stepped back, a set counts as old rather than as fresh for as long.
        return abs(self._clock() - loaded.fetched_at)

    def _fly(self, gap_seconds: float) -> _Flight | None:
        """The fetch in progress, or a new one if the last began at least `gap_seconds` ago, or None."""
        now, process = self._clock(), os.getpid()
        flight = self._flights.get(process)
        if flight is not None:
            if abs(now - flight.started_at) < self._retry_seconds:
                return flight
            # Name resolution knows no time-out: a fetch that hangs there must not be the last one.
            self._flights.pop(process, None)
        if not self._due(process, now, gap_seconds):
            return None
        new = _Flight(now)
        flight = self._flights.setdefault(process, new)
        if flight is new:
            if not self._due(process, now, gap_seconds):  # another flight took off and landed since the check above
                self._land(new)
                return None
            self._tried_at[process] = now
            threading.Thread(target=self._load, args=(new,), name="key-set", daemon=True).start()
        return flight

    def _due(self, process: int, now: float, gap_seconds: float) -> bool:
        tried_at = self._tried_at.get(process)
        return tried_at is None or abs(now - tried_at) >= gap_seconds

    def _wait(self, flight: _Flight | None) -> None:
        """Waits until the flight lands, or is `wait_seconds` old: later askers wait for what is left of that."""
        if flight is not None:
            flight.landed.wait(max(0.0, self._wait_seconds - (self._clock() - flight.started_at)))

    def _load(self, flight: _Flight) -> None:
        try:
            self._loaded = _Loaded(parse_key_set(self._fetch()), self._clock())
            self._last_try_failed = False
        except (KeySourceError, KeySetError) as error:
            self._failed(str(error))
        except Exception as error:  # a thread has no caller to tell; the type names the bug, the text might quote keys
            self._failed(f"unexpected {type(error).__name__}")
        finally:
            self._land(flight)

    def _failed(self, reason: str) -> None:
        self._last_try_failed = True
        consequence = "no keys are loaded" if self._loaded is None else "the last good ones stay"
        _log.warning("the key set was not refreshed and %s: %s", consequence, reason)

    def _land(self, flight: _Flight) -> None:
        process = os.getpid()
        if self._flights.get(process) is flight:
            del self._flights[process]
        flight.landed.set()
