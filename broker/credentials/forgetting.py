"""Forgetting: how a process hears that an operator has dropped credentials, at one look into Redis a second.

The look is an ask's: no thread waits for news. What was dropped on purpose is gone from a process within two seconds,
or before the next ask if it comes later; Redis being down, or having lost everything, is no such news.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from broker.credentials.store import CredentialStore
from broker.fleet.connection import Unavailable

_HEARING_SECONDS, _DEAF_SECONDS = 1.0, 2.0


class Forgetting:
    """What one process has heard. Instants are of the monotonic clock."""

    def __init__(self, store: CredentialStore | None, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._epoch: bytes | None = None
        self._heard_at = monotonic() if store is not None else math.inf
        self._asking = False

    def due(self, now: float) -> bool:
        """Whether it is time to `hear`."""
        return now - self._heard_at >= _HEARING_SECONDS

    def hear(self, now: float, *, empty: bool) -> bool:
        """Whether what the process remembers is worth no more; `empty`: it remembers nothing."""
        if empty or self._store is None:
            self._heard_at = max(self._heard_at, now)
            return False
        if self._asking and now - self._heard_at < _DEAF_SECONDS:
            return False  # another ask is about to tell
        self._asking = True
        try:
            epoch = self._store.epoch()
        except Unavailable:
            epoch = None
        finally:
            self._asking = False
        dropped = epoch is not None and epoch != self._epoch
        if dropped:
            self._epoch = epoch
        self._heard_at = max(self._heard_at, now)
        return dropped
