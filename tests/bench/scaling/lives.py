"""The life of one scope in a fleet: what each ask of it costs, by the product's own arithmetic on lifetimes.

The steps are those of `broker/credentials/cache.py` without threads: memory, Redis, STS; a renewal by the first ask
past its moment, wherever that was served from. STS answers at once and always. `counted` holds the two against each
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from broker.credentials.lifetimes import SPREAD, renewal_at, usable
from tests.bench.scaling.traffic import HOUR_SECONDS, HOURS

# What served an ask: memory or Redis, and whether it started a renewal that called STS; or STS, for which it waited.
MEMORY, MEMORY_RENEWS, REDIS, REDIS_RENEWS, COLD = OUTCOMES = (
    "memory",
    "memory, renews",
    "redis",
    "redis, renews",
    "cold",
)
FROM_MEMORY, FROM_REDIS = (MEMORY, MEMORY_RENEWS), (REDIS, REDIS_RENEWS)
RENEWALS = (MEMORY_RENEWS, REDIS_RENEWS)
CALLS = (*RENEWALS, COLD)


class Terms(NamedTuple):
    """What the scope's credentials are made for; `broker.credentials.demand.Demand` in numbers."""

    life_seconds: int
    required_seconds: int
    need_seconds: int
    ahead: bool


class Fleet(NamedTuple):
    """Processes, with a Redis between them or not; for each hour of the day, how long memory keeps an idle scope."""

    processes: int
    shared: bool
    idle_seconds: tuple[float, ...] = (float("inf"),) * HOURS


class _Kept:
    __slots__ = ("asked_at", "expires_at", "renewal_at")

    def __init__(self, expires_at: int, renewal_at: int, asked_at: int) -> None:
        self.expires_at = expires_at
        self.renewal_at = renewal_at
        self.asked_at = asked_at


class Life:
    """One scope. `draw` gives the spread of a renewal's moment; `calls` are the seconds at which STS was called."""

    def __init__(self, terms: Terms, fleet: Fleet, draw: Callable[[], float]) -> None:
        self._terms = terms
        self._fleet = fleet
        self._draw = draw
        self._memories: dict[int, _Kept] = {}
        self.calls: list[int] = []

    def ask(self, process: int, now: int) -> str:
        """One of OUTCOMES. Asks come in the order of time."""
        kept = self._remembered(process, now)
        if kept is not None and usable(kept.expires_at, self._terms.required_seconds, now):
            kept.asked_at = now
            return MEMORY_RENEWS if self._renews(process, kept, now) else MEMORY
        latest = self._in_redis()
        if latest is not None and usable(latest, self._terms.required_seconds, now):
            kept = self._keep(process, latest, now)
            return REDIS_RENEWS if self._renews(process, kept, now) else REDIS
        self._call(process, now)
        return COLD

    def _remembered(self, process: int, now: int) -> _Kept | None:
        kept = self._memories.get(process)
        if kept is None or now >= kept.expires_at:
            return None
        idle = now - kept.asked_at
        return kept if idle <= self._fleet.idle_seconds[now // HOUR_SECONDS % HOURS] else None

    def _in_redis(self) -> int | None:
        """When the newest credential that the fleet knows dies."""
        return self.calls[-1] + self._terms.life_seconds if self._fleet.shared and self.calls else None

    def _renews(self, process: int, kept: _Kept, now: int) -> bool:
        """Whether a renewal is due and takes a call of STS."""
        if not self._terms.ahead or now < kept.renewal_at:
            return False
        latest = self._in_redis()
        if latest is not None and latest > kept.expires_at and now < self._due(latest, SPREAD):
            self._keep(process, latest, now)
            return False
        self._call(process, now)
        return True

    def _call(self, process: int, now: int) -> None:
        self.calls.append(now)
        self._keep(process, now + self._terms.life_seconds, now)

    def _keep(self, process: int, expires_at: int, now: int) -> _Kept:
        kept = self._memories[process] = _Kept(expires_at, self._due(expires_at, self._draw()), now)
        return kept

    def _due(self, expires_at: int, spread: float) -> int:
        return renewal_at(expires_at - self._terms.life_seconds, expires_at, self._terms.need_seconds, spread)
