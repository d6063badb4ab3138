"""What a route makes of a principal: its key, the credentials behind it, and which lock decides a given request.

Nothing here asks STS or COS. The two locks are the broker's own checks and the CAM document; `probe` tries real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from broker.cos import actions, cam, evaluation, requests
from broker.credentials import lifetimes
from broker.credentials.scope import Scope
from broker.errors import ConfigurationError, Problem, RequestError
from broker.policy.asks import Ask
from broker.policy.operations import CREDENTIALS, Permission
from broker.policy.routes import MARGIN_SECONDS, Route
from broker.policy.templates import ProvenClaims

Fingerprint = Callable[[Scope], str]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that somebody might send to COS; an empty key is the bucket."""

    method: str
    key: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        params = "&".join(f"{name}={value}" if value else name for name, value in self.params.items())
        return f"{self.method} {self.key}{'?' if params else ''}{params}"


def parse_request(text: str) -> Request:
    """The request in a text such as `PUT avatars/u2/x.png` or `GET a.png?acl`. Raises ConfigurationError."""
    method, space, target = text.strip().partition(" ")
    key, _, query = target.strip().partition("?")
    if not space or not (key or query):
        problem = Problem("--try", "", f"must be METHOD KEY, as in 'PUT avatars/u2/x.png', got {text!r}")
        raise ConfigurationError([problem])
    return Request(method.upper(), key, dict(parse_qsl(query, keep_blank_values=True)))


@dataclass(frozen=True, slots=True)
class Held:
    """One credential of a route: what hands it out or signs with it, and all that STS is asked for."""

    name: str
    vends: tuple[str, ...]
    scope: Scope
    need_seconds: int

    @property
    def document(self) -> Mapping[str, object]:
        """The CAM document."""
        found: Mapping[str, object] = json.loads(self.scope.document)
        return found

    @property
    def renewal_seconds(self) -> int:
        """The age from which an ask has it renewed in the background, without jitter."""
        return lifetimes.renewal_at(0, self.scope.duration_seconds, self.need_seconds, 0)


@dataclass(frozen=True, slots=True)
class Explained:
    """A route for one principal and one ask; `key` is None if none can be told, `why` says why not."""

    route: Route
    claims: ProvenClaims
    ask: Ask
    key: str | None
    why: str
    held: tuple[Held, ...]


def explain(route: Route, claims: ProvenClaims, ask: Ask, now: int) -> Explained:
    """What a route makes of an admitted principal; `ask` holds key or inputs, headers and parameters as far as given.

    Raises RequestError for a key or inputs that the route refuses.
    """
    key, why = _key(route, claims, ask, now)
    held = []
    for name, vends, permission in _permissions(route):
        if key is not None or route.scope_name != "object":
            keys = name == CREDENTIALS
            need = route.document.credential.min_remaining_seconds if keys else route.document.expires.max_seconds
            scope = route.scope(permission, claims, key or "")
            held.append(Held(name, vends, scope, need if keys else need + MARGIN_SECONDS))
    return Explained(route, claims, ask, key, why, tuple(held))


def _permissions(route: Route) -> Iterator[tuple[str, tuple[str, ...], Permission]]:
    vends = route.document.vends
    for method, operation in route.operations.items():
        signing = [vend for vend in vends if vend in ("url", "signature") and method in (route.document.methods or [])]
        downloads = ["download-url"] if method == "GET" and "download-url" in vends else []
        yield operation.name, tuple(signing + downloads), operation.permission
    if route.credentials is not None:
        yield CREDENTIALS, (CREDENTIALS,), route.credentials


def _key(route: Route, claims: ProvenClaims, ask: Ask, now: int) -> tuple[str | None, str]:
    if not route.operations:
        return None, "the holder of the keys chooses one"
    # An upload, if there is one, since it alone may leave generated parts to the broker.
    operation = route.operations.get("PUT") or next(iter(route.operations.values()))
    if ask.key is None and set(ask.inputs or {}) < route.template.inputs:
        missing = ", ".join(f"--input {name}=…" for name in sorted(route.template.inputs - set(ask.inputs or {})))
        return None, f"give {missing}, or --key"
    if ask.key is None and route.template.generated and operation.name != "put":
        return None, f"give --key: {operation.method} names an existing object"
    return route.keys.key(ask, operation, claims, now), ""


def lines(explained: Explained, fingerprint: Fingerprint | None) -> Iterator[str]:
    """The explanation for people. `fingerprint` is what the fleet keeps a scope's credential under, if it is known."""
    route, document = explained.route, explained.route.document
    yield f"route       {route.name}{': ' if document.description else ''}{document.description}"
    yield f"key         {route.template.text} -> {explained.key or f'? ({explained.why})'}"
    yield f"scope       {route.scope_name}"
    if route.operations:
        expires = document.expires
        window = f", in windows of {expires.window_seconds} s" if expires.window_seconds else ""
        yield f"links       live {expires.default_seconds} s, at most {expires.max_seconds} s{window}"
    if added := _constants(explained):
        yield f"signed      {', '.join(f'{name}: {value}' for name, value in added.items())}"
    if not explained.held:
        yield "credential  of one object: which, is not known without its key"
    for held in explained.held:
        yield ""
        yield from _credential_lines(held, route, fingerprint)


def _constants(explained: Explained) -> dict[str, str]:
    """The headers and parameters that the broker adds: the holder of a link cannot leave them out."""
    rules = [rules for one in explained.route.operations.values() for rules in (one.headers, one.params)]
    return {name: constant.render(explained.claims) for each in rules for name, constant in each.constants}


def _credential_lines(held: Held, route: Route, fingerprint: Fingerprint | None) -> Iterator[str]:
    scope = held.scope
    yield f"credential  {held.name}, for {', '.join(held.vends)}"
    how = f"by {scope.action}{f' of {scope.role_arn}' if scope.role_arn else ''}"
    renewed = f"renewed in use after about {held.renewal_seconds} s" if route.renews else "not renewed ahead of need"
    yield f"lives       {scope.duration_seconds} s, {how}; needed for up to {held.need_seconds} s, {renewed}"
    known = fingerprint(scope) if fingerprint else "needs TENCENTCLOUD_SECRET_ID: it is of the key that asks, too"
    yield f"fingerprint {known}"
    yield f"document    {cam.measure(scope.document)} of {route.limits.policy_bytes} bytes"
    yield from (f"  {line}" for line in json.dumps(held.document, indent=2, ensure_ascii=False).splitlines())


def try_lines(explained: Explained, request: Request, now: int) -> Iterator[str]:
    """What either lock says to a request, for people."""
    yield f"try         {request}"
    if explained.route.operations:
        yield f"  broker      {_first_lock(explained, request, now)}"
    for held in explained.held:
        first, *others = _second_lock(explained, held, request)
        yield f"  {held.name.ljust(11)} {first}"
        yield from (f"              {line}" for line in others)


def _first_lock(explained: Explained, request: Request, now: int) -> str:
    """Whether the broker would sign it, asked as a caller would ask."""
    route, asked = explained.route, explained.ask
    vend = next((held.vends[0] for held in explained.held if _method(held) == request.method), None)
    if vend is None:
        methods = ", ".join(method for method in route.operations)
        return f"refuses, method_not_allowed_by_policy: this route signs {methods}"
    headers, added = _with_what_is_required(route, request, asked.headers)
    ask = Ask(
        vend,
        method=request.method,
        key=request.key,
        headers=headers,
        params={**asked.params, **request.params},
    )
    try:
        route.order(ask, explained.claims, now)
    except RequestError as refusal:
        return f"refuses, {refusal.code}: {refusal.detail}"
    told = ", ".join(f"{name}: {value}" for name, value in added.items())
    return f"grants it by {vend}{f', with {told}' if told else ''}"


def _method(held: Held) -> str:
    return next((method for method, name in requests.OPERATION_OF_METHOD.items() if name == held.name), "")


def _with_what_is_required(
    route: Route, request: Request, given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """(the headers, those of them that were added) of an ask, so that its key is judged and not what it left out."""
    added: dict[str, str] = {}
    names = {name.lower() for name in given}
    if request.method == "PUT":
        for own in route.content.names.values():
            if own.lower() not in names:
                added[own] = route.content.types[0].replace("*", "x") if own == "Content-Type" else "1"
    for name in route.operations[request.method].headers.required:
        rule = route.operations[request.method].headers.rules[name.lower()]
        if name.lower() not in names and rule.enum:
            added[name] = rule.enum[0]
    return {**given, **added}, added


def _second_lock(explained: Explained, held: Held, request: Request) -> Iterator[str]:
    """Whether the credential would do it, and which statement says so."""
    document = explained.route.document
    params = {name.lower(): value for name, value in request.params.items()}
    headers = {name.lower(): value for name, value in explained.ask.headers.items()}
    try:
        action = f"cos:{actions.action_of(request.method, request.key, params)}"
    except ValueError as error:
        yield f"denies: {error}"
        return
    resource = cam.resource(document.region, document.bucket, request.key)
    values = actions.condition_values(request.method, headers, params)
    read = evaluation.readings(held.document, action, resource, values)
    for number, reading in enumerate(read, start=1):
        if not reading.misses:
            yield f"{reading.effect}s {action} by statement {number}{', provided that' if reading.provisos else ''}"
            yield from (f"  {proviso}" for proviso in reading.provisos)
            return
    yield f"denies {action}: no statement allows it"
    for number, reading in enumerate(read, start=1):
        yield from (f"  statement {number} {miss}" for miss in reading.misses)
