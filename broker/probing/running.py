"""One probe of one route, door by door, with STS and COS as configured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from broker import parts
from broker.credentials.issuing import Issuer
from broker.credentials.timekeeping import Timekeeper
from broker.identity.principals import Principal
from broker.policy.catalog import Catalog
from broker.policy.routes import Route
from broker.probing.asking import Given
from broker.probing.cloud import Cloud
from broker.probing.doors import doors
from broker.probing.visit import visit
from broker.probing.work import Tell
from broker.settings import Settings


def opened(settings: Settings, clock: Callable[[], int]) -> tuple[Catalog, Cloud]:
    """The configured routes and the configured cloud; no credential comes from a cache. Raises ConfigurationError."""
    whole = parts.assemble(settings, time.monotonic)
    timekeeper = Timekeeper(clock, time.monotonic)
    issuer = Issuer(whole.source, settings.sts_endpoint, settings.sts_region, timekeeper)
    return whole.policies.catalog, Cloud(lambda scope: issuer.issue(scope, lambda: None), timekeeper)


def probe(route: Route, principal: Principal, given: Given, cloud: Cloud, tell: Tell) -> None:
    """Try every door of a route; each attempt is told as it happens.

    Raises RequestError if the broker itself refuses the ask, ConfigurationError if the ask would touch an object that
    exists, UpstreamError if STS does not mint. What was made by then is removed.
    """
    claims = route.admit(principal)
    ready = doors(route, claims, given, cloud.clock())
    # Doors with one scope share a credential, as asks do.
    minting = replace(cloud, issue=cache(cloud.issue))
    for door in ready:
        visit(route, claims, door, minting, tell)
