"""An explanation of a route, laid out for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from broker import explaining
from broker.cos import cam
from broker.credentials.scope import Scope
from broker.explaining import Explained, Held, Request, SecondLock
from broker.policy.routes import Route

Fingerprint = Callable[[Scope], str]


def lines(explained: Explained, fingerprint: Fingerprint | None) -> Iterator[str]:
    """Key, lifetimes, credentials. `fingerprint`: what the fleet keeps a scope's credential under, if it is known."""
    route, document = explained.route, explained.route.document
    yield f"route       {route.name}{': ' if document.description else ''}{document.description}"
    key = f"? ({explained.why})" if explained.key is None else explained.key or "the bucket itself"
    yield f"key         {route.template.text} -> {key}"
    yield f"scope       {route.scope_name}"
    if route.operations:
        expires = document.expires
        window = f" after a window of {expires.window_seconds} s" if expires.window_seconds else ""
        yield f"links       live {expires.default_seconds} s, at most {expires.longest_seconds} s{window}"
    if route.rate is not None:
        yield f"rate        {route.rate}: so many signed requests for each principal"
    if added := explaining.constants(explained):
        yield f"signed      {', '.join(f'{name}: {value}' for name, value in added.items())}"
    if not explained.held:
        yield "credential  of one object: which, is not known without its key"
    for held in explained.held:
        yield ""
        yield from _credential(held, route, fingerprint)


def tried(explained: Explained, request: Request, now: int) -> Iterator[str]:
    """What either lock says to a request."""
    yield f"try         {request}"
    if explained.route.operations:
        yield f"  broker      {_first(explained, request, now)}"
    for kind in explained.kinds:
        try:
            first, *others = _second(explaining.second_lock(explained, kind, request))
        except ValueError as error:
            first, others = f"denies: {error}", []
        yield f"  {kind.name.ljust(11)} {first}"
        yield from (f"              {line}" for line in others)


def _credential(held: Held, route: Route, fingerprint: Fingerprint | None) -> Iterator[str]:
    scope = held.scope
    yield f"credential  {held.kind.name}, for {', '.join(held.kind.vends)}"
    how = f"by {scope.action}{f' of {scope.role_arn}' if scope.role_arn else ''}"
    renewed = f"renewed in use after about {held.renewal_seconds} s" if route.renews else "not renewed ahead of need"
    yield f"lives       {scope.duration_seconds} s, {how}; needed for up to {held.kind.need_seconds} s, {renewed}"
    known = fingerprint(scope) if fingerprint else "needs TENCENTCLOUD_SECRET_ID: it is of the key that asks, too"
    yield f"fingerprint {known}"
    yield f"document    {cam.measure(scope.document)} of {route.limits.policy_bytes} bytes"
    yield from (f"  {line}" for line in json.dumps(held.document, indent=2, ensure_ascii=False).splitlines())


def _first(explained: Explained, request: Request, now: int) -> str:
    lock = explaining.first_lock(explained, request, now)
    if lock.vend is None:
        return f"refuses, {lock.refusal}"
    told = ", ".join(f"{name}: {value}" for name, value in lock.added.items())
    return f"grants it by {lock.vend}{f', with {told}' if told else ''}"


def _second(lock: SecondLock) -> Iterator[str]:
    number = lock.decided
    if number is not None:
        reading = lock.readings[number - 1]
        provisos = (*reading.provisos, *lock.further)
        yield f"{reading.effect}s {lock.action} by statement {number}{', provided that' if provisos else ''}"
        yield from (f"  {proviso}" for proviso in reading.provisos)
        yield from (f"  what it needs besides is allowed: {text}" for text in lock.further)
        return
    yield f"denies {lock.action}: no statement allows it"
    for index, reading in enumerate(lock.readings, start=1):
        yield from (f"  statement {index} {miss}" for miss in reading.misses)
