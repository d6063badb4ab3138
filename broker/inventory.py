"""What is cached, for operators: which credentials the fleet holds, for which routes, and a way to drop them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker import parts
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore, Listed
from broker.errors import ConfigurationError, Problem, quoted
from broker.fleet import topology
from broker.fleet.connection import Connection, Unavailable
from broker.policy.routes import Route
from broker.settings import Settings

_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")
_WHOLE = 64
COLUMNS = ("FINGERPRINT", "ROUTES", "ACTIONS", "BUCKET/KEYS", "SECRET ID", "LEFT")
_SHOWN = 6  # of a SecretId, and twice as many of a fingerprint: enough to tell one from another


@dataclass(frozen=True, slots=True)
class Holding:
    """One cached credential: what it is for, and how long it will do. Nothing of it could be used."""

    listed: Listed
    routes: tuple[str, ...]
    now: int

    def described(self) -> dict[str, Any]:
        """All there is to tell."""
        credential, outline = self.listed.credential, self.listed.outline
        return {
            "fingerprint": self.listed.fingerprint,
            "routes": self.routes,
            "resource": outline.resource,
            "actions": outline.actions,
            "secret_id_ends": credential.secret_id[-_SHOWN:],
            "request_id": credential.request_id,
            "issued_at": credential.issued_at,
            "expires_at": credential.expires_at,
            "remaining_seconds": credential.expires_at - self.now,
        }

    def row(self) -> tuple[str, ...]:
        """The same in brief, in the order of COLUMNS."""
        credential, outline = self.listed.credential, self.listed.outline
        return (
            self.listed.fingerprint[: 2 * _SHOWN],
            ",".join(self.routes) or "-",
            ",".join(action.removeprefix("name/cos:") for action in outline.actions),
            outline.resource.rpartition(":")[2],
            f"…{credential.secret_id[-_SHOWN:]}",
            f"{credential.expires_at - self.now} s",
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """The fleet's credentials beside the routes of today. `now` is in Unix seconds."""

    store: CredentialStore
    routes: Mapping[str, Route]
    now: int

    def find(self, which: str | None) -> Iterator[Holding]:
        """All that is cached, or what belongs to a route or a fingerprint. Raises ConfigurationError."""
        self._check(which)
        try:
            for listed in self.store.listed():
                routes = tuple(name for name, route in self.routes.items() if route.covers(listed.outline))
                if which is None or which in routes or (which not in self.routes and _begins(listed, which)):
                    yield Holding(listed, routes, self.now)
        except Unavailable:
            raise _no_answer() from None

    def forget(self, which: str) -> int:
        """Drop what belongs to a route or a fingerprint; how much of it was in Redis. Raises ConfigurationError."""
        fingerprints = {holding.listed.fingerprint for holding in self.find(which)}
        if which not in self.routes and len(which) == _WHOLE:
            fingerprints.add(which)  # what Redis has lost may still be in somebody's memory
        try:
            return self.store.forget(sorted(fingerprints))
        except Unavailable:
            raise _no_answer() from None

    def _check(self, which: str | None) -> None:
        if which is None or which in self.routes or _FINGERPRINT.fullmatch(which):
            return
        legal = f"a route ({', '.join(sorted(self.routes))}) or at least 8 digits of a fingerprint"
        raise ConfigurationError([Problem("credentials", "", f"must be {legal}, got {quoted(which)}")])


def opened(settings: Settings, now: int) -> Inventory:
    """The inventory of the configured Redis and policies. Raises ConfigurationError."""
    if not settings.redis_url:
        message = "is needed: without Redis each process keeps its credentials to itself, and drops them when it ends"
        raise ConfigurationError([Problem("environment", "BROKER_REDIS_URL", message)])
    connection = Connection(topology.parse(settings.redis_url), time.monotonic)
    return Inventory(
        CredentialStore(connection, Sealer(settings.cache_keys)), parts.load_policies(settings).routes, now
    )


def _begins(listed: Listed, which: str) -> bool:
    return listed.fingerprint.startswith(which)


def _no_answer() -> ConfigurationError:
    return ConfigurationError([Problem("credentials", "BROKER_REDIS_URL", "Redis does not answer")])
