"""What is cached, as people look at it: each credential with its life, and the instants that matter in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from broker import explaining, inventory
from broker.console.timeline import Life
from broker.credentials import lifetimes
from broker.credentials.cache import CredentialCache
from broker.credentials.scope import Outline, Scope
from broker.credentials.store import CredentialStore, Listed
from broker.fleet.connection import Unavailable
from broker.policy.routes import MARGIN_SECONDS, Route

MOST = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One credential; `life` is None if it does not open. Nothing of it could be used."""

    fingerprint: str
    routes: tuple[str, ...]
    vends: tuple[str, ...]
    actions: tuple[str, ...]
    keys: str
    secret_id_ends: str
    life: Life | None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Some of what is cached: `where`, and whether there is `more`."""

    where: str
    rows: tuple[Row, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where credentials are: the fleet's Redis, and this process's memory."""

    store: CredentialStore | None
    cache: CredentialCache
    fingerprint: Callable[[Scope], str]

    def shelf(self, routes: Mapping[str, Route], now: int) -> Shelf:
        """The first of them; Redis's while it answers. `now` is in Unix seconds."""
        kept = self.cache.kept()
        due = {self.fingerprint(scope): (credential.expires_at, renewal) for scope, credential, renewal in kept}
        where = "of the whole fleet, in Redis"
        try:
            listed = list(islice(self.store.listed(), MOST + 1)) if self.store is not None else None
        except Unavailable:
            listed = None
        if listed is None:
            down = ": Redis does not answer" if self.store is not None else ""
            where = f"of this process alone, in its memory{down}"
            listed = [Listed(self.fingerprint(scope), (credential, scope.outline())) for scope, credential, _ in kept]
        rows = sorted(
            (_row(one, routes, due, now) for one in listed[:MOST]), key=lambda row: (row.routes, row.fingerprint)
        )
        return Shelf(where, tuple(rows), len(listed) > MOST)


def _row(listed: Listed, routes: Mapping[str, Route], due: Mapping[str, tuple[int, int]], now: int) -> Row:
    told = inventory.holding(listed, routes, now)
    if listed.opened is None:
        return Row(listed.fingerprint, (), (), (), "", "", None)
    credential, outline = listed.opened
    kinds = [kind for name in told.routes for kind in _kinds(routes[name], outline)]
    need = max((kind.need_seconds for kind in kinds), default=MARGIN_SECONDS)
    issued, expires = credential.issued_at, credential.expires_at
    known, renewal = due.get(listed.fingerprint, (0, 0))
    exact = known == expires
    life = Life(
        issued,
        expires,
        now,
        # What this process has in memory it renews by its own dice; of others the middle is known.
        renewal if exact else lifetimes.renewal_at(issued, expires, need, 0),
        exact,
        any(routes[name].renews for name in told.routes),
        need,
        all(kind.name != "credentials" for kind in kinds),
    )
    return Row(
        listed.fingerprint,
        told.routes,
        tuple(dict.fromkeys(vend for kind in kinds for vend in kind.vends)),
        tuple(action.removeprefix("name/cos:") for action in outline.actions),
        outline.resource.rpartition(":")[2],
        credential.secret_id[-inventory.SHOWN :],
        life,
    )


def _kinds(route: Route, outline: Outline) -> list[explaining.Kind]:
    return [kind for kind in explaining.kinds(route) if kind.permission.scope("").outline().form == outline.form]
