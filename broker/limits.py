"""Budgets: who may spend how many STS calls, counted for the whole fleet in Redis, or in memory while Redis is down.

STS allows an account so many calls a second, and the fleet shares them: a quarter is kept for renewals, so that new
scopes cannot starve the ones in use, and no caller may spend more than its share of the rest.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from broker.errors import RateLimited, UpstreamUnavailable
from broker.fleet.connection import Client, Connection, Unavailable

_PREFIX = "broker:budget"
# Cold scopes: 10 a second in the long run, 100 at once.
CALLER = RateLimitItemPerSecond(100, 10, namespace="caller")
KEPT_FOR_RENEWALS = 4  # one part of so many


class Payer(Protocol):
    """Who asks: `sub` names one caller, `key_id` the API key that acts, for itself or for others."""

    @property
    def sub(self) -> str | None:
        """The subject; None for an API key alone and for anonymous callers."""

    @property
    def key_id(self) -> str | None:
        """The API key; None for bearers of a JWT and for anonymous callers."""


class _SharedStorage(RedisStorage):
    """The library's storage on the connection that we have."""

    STORAGE_SCHEME = None  # type: ignore[assignment]  # registered under no URL
    base_exceptions = ()  # none are wrapped: the connection knows them

    def __init__(self, client: Client) -> None:
        self.key_prefix = _PREFIX
        self.storage = client
        self.initialize_storage("")


class Budgets:
    """What may be spent on STS. `per_second` is for the fleet; without a connection it is for this process alone."""

    def __init__(self, per_second: int, connection: Connection | None) -> None:
        self._calls = RateLimitItemPerSecond(per_second, namespace="calls")
        cold = max(per_second - -(-per_second // KEPT_FOR_RENEWALS), 1)
        self._cold_calls = RateLimitItemPerSecond(cold, namespace="cold")
        self._connection = connection
        # Made when it is needed: the library's memory starts a thread, which a fork would lose.
        self._memory: SlidingWindowCounterRateLimiter | None = None

    def charge(self, payer: Payer | None) -> None:
        """Take one cold scope from the shares of who asks. Raises RateLimited."""
        if payer is None:
            return
        shares = []
        if payer.key_id is not None:
            shares.append(("API key", payer.key_id))
        if payer.sub is not None or payer.key_id is None:
            # Redis need not know the names of people.
            shares.append(("principal", hashlib.sha256((payer.sub or "").encode()).hexdigest()[:32]))
        for kind, name in shares:
            if not self._take(CALLER, kind, name):
                message = f"this {kind} has asked for too many new credentials: at most 100 in 10 seconds"
                raise RateLimited(message, retry_after_seconds=10)

    def spend(self, *, renewal: bool) -> None:
        """Take one call from the fleet's budget. Raises UpstreamUnavailable."""
        if (renewal or self._take(self._cold_calls)) and self._take(self._calls):
            return
        raise UpstreamUnavailable("sts_unavailable", "the fleet's budget of STS calls is spent for this second")

    def _take(self, item: RateLimitItem, *names: str) -> bool:
        if self._connection is not None:
            name = f"{_PREFIX}:{{{item.key_for(*names)}}}"
            try:
                # Each node of a cluster has a client of its own.
                return self._connection.run(
                    name, lambda client: SlidingWindowCounterRateLimiter(_SharedStorage(client)).hit(item, *names)
                )
            except Unavailable:
                pass  # counted by every process for itself meanwhile
        if self._memory is None:
            self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        return self._memory.hit(item, *names)
