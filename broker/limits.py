"""Limits: who may spend how many STS calls (budgets), and have how many requests signed (rates).

STS allows an account so many calls a second, and the fleet shares them: a quarter is kept for renewals and a quarter
for new scopes, so that neither can starve the other, and no caller may spend more than its share of new scopes. How it
is counted, for the fleet or for a process, is in `quotas`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from broker.errors import RateLimited, UpstreamUnavailable
from broker.fleet.connection import Connection
from broker.quotas import Quota, Quotas
from broker.rates import Rate

# Cold scopes: 10 a second in the long run, 100 at once.
CALLER = Rate(100, 10)
_KEPT = 4  # one part of so many, for either kind of call


class Payer(Protocol):
    """Who asks: `sub` names one caller, `key_id` the API key that acts, for itself or for others."""

    @property
    def sub(self) -> str | None:
        """The subject; None for an API key alone and for anonymous callers."""

    @property
    def key_id(self) -> str | None:
        """The API key; None for bearers of a JWT and for anonymous callers."""


class Rated(Payer, Protocol):
    """Who asks for something signed."""

    @property
    def rate(self) -> Rate | None:
        """What the API key may have signed; None if there is no limit, or no key."""


def for_one_kind(per_second: int) -> int:
    """How many of so many STS calls a second may be for new scopes, or for renewals; the others are kept for these."""
    return max(per_second - -(-per_second // _KEPT), 1)


class Budgets:
    """What may be spent on STS. `per_second` is for the fleet; without a connection it is for this process alone."""

    def __init__(
        self, per_second: int, connection: Connection | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls = Quota("calls", Rate(per_second, 1))
        share = Rate(for_one_kind(per_second), 1)
        self._cold_calls, self._renewals = Quota("cold", share), Quota("renewals", share)
        self._quotas = Quotas("broker:budget", connection, monotonic)

    def charge(self, payer: Payer | None) -> None:
        """Take one cold scope from the share of everybody who asks, or from none. Raises RateLimited."""
        if payer is None:
            return
        shares = {}
        if payer.key_id is not None:
            shares["API key"] = Quota(f"caller/API key/{payer.key_id}", CALLER)
        if payer.sub is not None or payer.key_id is None:
            shares["principal"] = Quota(f"caller/principal/{_hashed(payer.sub or '')}", CALLER)
        if not self._quotas.take(1, *shares.values()):
            kind = min(shares, key=lambda kind: self._quotas.read(shares[kind]).room(CALLER))
            message = f"this {kind} has asked for too many new credentials: at most 100 in 10 seconds"
            raise RateLimited(message, retry_after_seconds=10)

    def spend(self, *, renewal: bool) -> None:
        """Take one call from the fleet's budget. Raises UpstreamUnavailable."""
        kind = self._renewals if renewal else self._cold_calls
        if not self._quotas.take(1, kind, self._calls):
            raise UpstreamUnavailable("sts_unavailable", "the fleet's budget of STS calls is spent for this second")


class Rates:
    """What may be signed: by a route's rate for each principal, by an API key's for all that it asks for."""

    def __init__(self, connection: Connection | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quotas = Quotas("broker:rate", connection, monotonic)

    def take(self, units: int, payer: Rated, route: str, rate: Rate | None) -> None:
        """Take so many signed requests on a route that has this rate, or none. Raises RateLimited."""
        rated = _rated(payer.key_id, payer.sub, payer.rate, route, rate)
        for whose, quota in rated.items():
            if units > quota.rate.units:
                message = f"the rate of {whose} is {quota.rate}: a call that needs {units} can never be served"
                raise RateLimited(message, retry_after_seconds=quota.rate.seconds)
        if units and not self._quotas.take(units, *rated.values()):
            raise self._refusal(units, rated)

    def _refusal(self, units: int, rated: Mapping[str, Quota]) -> RateLimited:
        """When all of it will be to be had, which only who is refused need know."""
        waits = []
        for whose, quota in rated.items():
            reading = self._quotas.read(quota)
            left = max(reading.room(quota.rate), 0)
            message = f"the rate of {whose} is {quota.rate}: this call needs {units}, and {left} are left"
            waits.append((reading.wait_seconds(quota.rate, units), message))
        seconds, message = max(waits)
        return RateLimited(message, retry_after_seconds=seconds)


@lru_cache(maxsize=1024)
def _rated(
    key_id: str | None, sub: str | None, key_rate: Rate | None, route: str, rate: Rate | None
) -> Mapping[str, Quota]:
    """Whose rates a call takes from; remembered, since the same callers come again and again."""
    rated = {}
    if rate is not None:
        # Callers without key and `sub` are one principal: what else tells them apart is their own word.
        who = _hashed(f"{key_id or ''}/{sub or ''}")
        rated["this principal on this route"] = Quota(f"principal/{route}/{who}", rate)
    if key_rate is not None:
        rated["this API key"] = Quota(f"key/{key_id}", key_rate)
    return rated


def _hashed(name: str) -> str:
    """A name for Redis, which need not know the names of people."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
