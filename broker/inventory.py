"""What is cached, for operators: which credentials the fleet holds, for which routes, and a way to drop them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker import parts
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore, Listed
from broker.errors import ConfigurationError, Problem, quoted
from broker.fleet import topology
from broker.fleet.connection import Connection, Unavailable
from broker.policy import catalog
from broker.policy.routes import Route
from broker.settings import Settings

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{8,64}")
_WHOLE = 64
COLUMNS = ("FINGERPRINT", "ROUTES", "ACTIONS", "BUCKET/KEYS", "SECRET ID", "LEFT")
SHOWN = 6  # of a SecretId, and twice as many of a fingerprint: enough to tell one from another


@dataclass(frozen=True, slots=True)
class Holding:
    """One cached credential: what it is for, and how long it will do. Nothing of it could be used."""

    listed: Listed
    routes: tuple[str, ...]
    now: int

    def described(self) -> dict[str, Any]:
        """All there is to tell."""
        if self.listed.opened is None:
            return {"fingerprint": self.listed.fingerprint, "opens": False}
        credential, outline = self.listed.opened
        return {
            "fingerprint": self.listed.fingerprint,
            "opens": True,
            "routes": self.routes,
            "resource": outline.resource,
            "actions": outline.actions,
            "secret_id_ends": credential.secret_id[-SHOWN:],
            "request_id": credential.request_id,
            "issued_at": credential.issued_at,
            "expires_at": credential.expires_at,
            "remaining_seconds": credential.expires_at - self.now,
        }

    def row(self) -> tuple[str, ...]:
        """The same in brief, in the order of COLUMNS."""
        fingerprint = self.listed.fingerprint[: 2 * SHOWN]
        if self.listed.opened is None:
            return fingerprint, "?", "?", "sealed with a key that BROKER_CACHE_KEYS does not hold", "?", "?"
        credential, outline = self.listed.opened
        return (
            fingerprint,
            ",".join(self.routes) or "-",
            ",".join(action.removeprefix("name/cos:") for action in outline.actions),
            outline.resource.rpartition(":")[2],
            f"…{credential.secret_id[-SHOWN:]}",
            f"{credential.expires_at - self.now} s",
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """The fleet's credentials beside the routes of today. `now` is in Unix seconds."""

    store: CredentialStore
    routes: Mapping[str, Route]
    now: int

    def find(self, which: str | None) -> list[Holding]:
        """All that is cached, or what belongs to a route or a fingerprint. Raises ConfigurationError."""
        self._check(which)
        return [holding for holding in self._all() if which is None or self._belongs(holding, which)]

    def forget(self, which: str) -> int:
        """Drop what belongs to a route or a fingerprint; how much of it was in Redis. Raises ConfigurationError."""
        self._check(which)
        holdings = self._all()
        fingerprints = {holding.listed.fingerprint for holding in holdings if self._belongs(holding, which)}
        if which not in self.routes and len(which) == _WHOLE:
            fingerprints.add(which.lower())  # what Redis has lost may still be in somebody's memory
        try:
            dropped = self.store.forget(sorted(fingerprints))
        except Unavailable as error:
            raise _failed(f"Redis did not do it, ask again: {error}") from None
        closed = sum(holding.listed.opened is None for holding in holdings)
        if closed and which in self.routes:
            raise _failed(
                f"{dropped} dropped, but {closed} more are sealed with a key that BROKER_CACHE_KEYS does not hold, and "
                "may be of this route: set the fleet's keys, or name fingerprints"
            )
        return dropped

    def _all(self) -> list[Holding]:
        try:
            return [holding(listed, self.routes, self.now) for listed in self.store.listed()]
        except Unavailable as error:
            raise _failed(f"Redis did not answer: {error}") from None

    def _belongs(self, holding: Holding, which: str) -> bool:
        if which in self.routes:
            return which in holding.routes
        return holding.listed.fingerprint.startswith(which.lower())

    def _check(self, which: str | None) -> None:
        if which is None or which in self.routes or _FINGERPRINT.fullmatch(which):
            return
        legal = f"a route ({', '.join(sorted(self.routes))}) or the first 8 or more hex digits of a fingerprint"
        raise ConfigurationError([Problem("credentials", "", f"must be {legal}, got {quoted(which)}")])


def opened(settings: Settings, now: int) -> Inventory:
    """The inventory of the configured Redis and policies. Raises ConfigurationError."""
    if not settings.redis_url:
        message = "is needed: without Redis each process keeps its credentials to itself, and drops them when it ends"
        raise ConfigurationError([Problem("environment", "BROKER_REDIS_URL", message)])
    connection = Connection(topology.parse(settings.redis_url), time.monotonic)
    return Inventory(
        CredentialStore(connection, Sealer(settings.cache_keys)),
        catalog.load(settings.policies, parts.limits(settings)).routes,
        now,
    )


def holding(listed: Listed, routes: Mapping[str, Route], now: int) -> Holding:
    """A cached credential beside the routes that it may be of. `now` is in Unix seconds."""
    if listed.opened is None:
        return Holding(listed, (), now)
    _, outline = listed.opened
    return Holding(listed, tuple(name for name, route in routes.items() if route.covers(outline)), now)


def _failed(message: str) -> ConfigurationError:
    return ConfigurationError([Problem("credentials", "", message)])
