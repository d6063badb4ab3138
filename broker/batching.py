"""Many asks of one route at once: each gets its own grant or its own refusal, and each scope one credential."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from broker.credentials.cache import Lent
from broker.credentials.demand import Demand
from broker.credentials.scope import Scope
from broker.errors import BrokerError, RequestError
from broker.identity.principals import Principal
from broker.policy.asks import BATCHED, parse_named_ask, too_large
from broker.policy.routes import Order, Route
from broker.policy.templates import ProvenClaims
from broker.vending import Desk, Grant, grant

COLD_SCOPES = 100
# Cold scopes are asked for so many at a time: one after another they would take longer than an ask may.
_AT_ONCE = 16

Outcome = Grant | BrokerError


def vend_many(
    desk: Desk,
    route: Route,
    unverified_asks: Sequence[Any],
    claims: ProvenClaims,
    principal: Principal,
    now: int,
) -> list[Outcome]:
    """A grant or a refusal for each ask, in their order.

    Raises Refused (`batch_too_large`) or RateLimited for the whole, with nothing minted.
    """
    cache = desk.cache
    orders = [_order(route, unverified, claims, now) for unverified in unverified_asks]
    sound = [order for order in orders if isinstance(order, Order)]
    demands = _demands(sound)
    cold = cache.cold(demands.values(), now)
    if len(cold) > COLD_SCOPES:
        cold = [demand for demand in cold if not cache.shared(demand, now)]
    if len(cold) > COLD_SCOPES:
        raise too_large(f"at most {COLD_SCOPES} scopes that need new credentials, got {len(cold)}")
    desk.meter(sound, route, principal)
    lent = _lent(demands, cold, principal, desk, now)
    return [_granted(order, lent) for order in orders]


def _order(route: Route, unverified: Any, claims: ProvenClaims, now: int) -> Order | RequestError:
    try:
        return route.order(parse_named_ask(unverified, BATCHED), claims, now)
    except RequestError as refusal:
        return refusal


def _demands(orders: Sequence[Order]) -> dict[Scope, Demand]:
    """For each scope the demand of the ask that needs it longest."""
    demands: dict[Scope, Demand] = {}
    for order in orders:
        known = demands.get(order.demand.scope)
        if known is None or order.demand.required_seconds > known.required_seconds:
            demands[order.demand.scope] = order.demand
    return demands


def _lent(
    demands: dict[Scope, Demand],
    cold: Sequence[Demand],
    principal: Principal,
    desk: Desk,
    now: int,
) -> dict[Scope, Lent | BrokerError]:
    def lend(demand: Demand, now: int) -> Lent | BrokerError:
        try:
            return desk.cache.get(demand, now, principal)
        except BrokerError as error:
            return error

    found: dict[Scope, Lent | BrokerError] = {}
    if cold:
        with ThreadPoolExecutor(min(len(cold), _AT_ONCE), thread_name_prefix="broker-batch") as threads:
            lent = threads.map(lambda demand: lend(demand, now), cold)
            found = dict(zip((demand.scope for demand in cold), lent, strict=True))
        now = desk.clock()  # that took its time: what is warm lives so much shorter
    for scope, demand in demands.items():
        if scope not in found:
            found[scope] = lend(demand, now)
    return found


def _granted(order: Order | RequestError, lent: dict[Scope, Lent | BrokerError]) -> Outcome:
    if isinstance(order, RequestError):
        return order
    held = lent[order.demand.scope]
    if isinstance(held, BrokerError):
        return held
    try:
        return grant(order, held.credential, held.now)
    except RequestError as refusal:
        return refusal
