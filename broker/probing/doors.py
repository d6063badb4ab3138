"""The ways in that a route offers, and for each the ask to try it with: given by the operator, else made up safely."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.cos import signing
from broker.errors import ConfigurationError, Problem, quoted
from broker.policy.asks import Ask
from broker.policy.operations import CREDENTIALS, Operation
from broker.policy.reach import reach_of
from broker.policy.routes import Order, Route
from broker.policy.templates import BUCKET, ProvenClaims
from broker.policy.uuids import fresh_uuid
from broker.policy.values import RuleSet

WRITES = frozenset({"PUT", "POST", "DELETE"})
BODY_BYTES = 1024 * 1024  # what the operator may declare as Content-Length
# The smallest picture: 1 x 1, so that image processing has something to do.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
_TRIED = ("url", "download-url", "signature")


@dataclass(frozen=True, slots=True)
class Given:
    """What the operator says about the ask; everything else the probe makes up."""

    key: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Door:
    """One way in, ready to be tried.

    `permitted` holds for each method that the credential permits the request as the policy has it; `reach` is the key,
    or the prefix and `*`, that the credential is for. `token` stands in the name of everything the probe makes up, so
    that nobody else has it.
    """

    name: str
    order: Order
    permitted: Mapping[str, signing.Request]
    reach: str
    token: str

    @property
    def key(self) -> str:
        """The key that is asked for."""
        return next(iter(self.permitted.values())).key

    @property
    def spare(self) -> str:
        """Another key inside the reach, which nobody has; the same if the credential reaches one object alone."""
        return f"{self.reach[:-1]}{self.token}-2" if self.reach.endswith("/*") else self.key

    @property
    def writes(self) -> bool:
        """Whether the credential may change objects."""
        return not WRITES.isdisjoint(self.permitted)


def doors(route: Route, claims: ProvenClaims, given: Given, now: int) -> list[Door]:
    """Every door of a route that can be tried. Raises RequestError; ConfigurationError without doors or inputs."""
    found = []
    for vend in route.document.vends:
        if vend == CREDENTIALS:
            found.append(_keys(route, claims, given, now))
        elif vend in _TRIED and route.template.text != BUCKET:
            methods = ["GET"] if vend == "download-url" else route.document.methods or []
            found += [_signed(route, claims, given, now, vend, method) for method in methods]
    if not found:
        message = (
            f"can be tried of {', '.join((*_TRIED, CREDENTIALS))}; this route has {', '.join(route.document.vends)}"
        )
        raise ConfigurationError([Problem("probe", "vends", message)])
    return found


def content(request: signing.Request) -> bytes:
    """What an upload sends: a picture, cut or filled to the length that the request declares."""
    declared = next((value for name, value in request.headers.items() if name.lower() == "content-length"), None)
    return PICTURE if declared is None else PICTURE[: int(declared)].ljust(int(declared), b"\0")


def _signed(route: Route, claims: ProvenClaims, given: Given, now: int, vend: str, method: str) -> Door:
    operation, token = route.operations[method], _token()
    inputs: Mapping[str, str] | None = None
    key = given.key
    if key is None:
        inputs = _inputs(route, given, token)
        # Only an upload may leave the generated parts to the broker.
        if route.template.generated and operation.name != "put":
            key, inputs = route.template.render(claims, inputs, now), None
    ask = Ask(
        vend=vend,
        method=method,
        key=key,
        inputs=inputs,
        headers=_headers(route, operation, given),
        params=_completed(given.params, operation.params),
        expires_in=route.document.expires.longest_seconds,
    )
    order = route.order(ask, claims, now)
    assert order.request is not None  # noqa: S101  only keys have none
    reach = reach_of(route.scope_name, route.template, claims, order.request.key)
    return Door(f"{vend} {method}", order, {method: order.request}, reach, token)


def _keys(route: Route, claims: ProvenClaims, given: Given, now: int) -> Door:
    order, token = route.order(Ask(CREDENTIALS), claims, now), _token()
    permitted: dict[str, signing.Request] = {}
    for method in route.document.methods or []:
        headers = {"Host": route.endpoint.host, **(_content_headers(route, given.headers) if method == "PUT" else {})}
        permitted[method] = signing.Request(method, route.endpoint.base_url, order.key_prefix + token, headers, {})
    return Door(CREDENTIALS, order, permitted, f"{order.key_prefix}*", token)


def _token() -> str:
    return f"cos-broker-probe-{fresh_uuid()}"


def _inputs(route: Route, given: Given, token: str) -> dict[str, str]:
    legal = ", ".join(route.keys.inputs) or "none"
    unknown = given.inputs.keys() - route.keys.inputs.keys()
    problems = [
        Problem("probe", f"inputs.{name}", f"is not an input of this route; inputs: {legal}") for name in unknown
    ]
    chosen = dict(given.inputs)
    for name, spec in route.keys.inputs.items():
        if name in chosen:
            continue
        if (flaw := spec.flaw(token)) is None:
            chosen[name] = token
        elif spec.enum is not None:
            chosen[name] = spec.enum[0]
        else:
            message = f"is needed: the probe's own choice, {token}, {flaw}; give --input {name}=VALUE"
            problems.append(Problem("probe", f"inputs.{name}", message))
    if problems:
        raise ConfigurationError(problems)
    return chosen


def _headers(route: Route, operation: Operation, given: Given) -> dict[str, str]:
    if operation.name == "put":
        others = {name: value for name, value in given.headers.items() if name.lower() not in route.content.names}
        return _completed({**_content_headers(route, given.headers), **others}, operation.headers)
    known = {name.lower() for each in route.operations.values() for name in each.headers.rules}
    known |= set(route.content.names)
    own = {name: value for name, value in given.headers.items() if name.lower() in operation.headers.rules}
    # A header that no operation takes is the operator's mistake, and the route says so.
    unknown = {name: value for name, value in given.headers.items() if name.lower() not in known}
    meta = any(each.headers.meta for each in route.operations.values())
    return _completed({**own, **({} if meta else unknown)}, operation.headers)


def _content_headers(route: Route, given: Mapping[str, str]) -> dict[str, str]:
    named = {name.lower(): value for name, value in given.items()}
    length = named.get("content-length", "")
    if length and not (re.fullmatch("[0-9]{1,7}", length) and int(length) <= BODY_BYTES):
        message = f"must be a number of bytes, at most {BODY_BYTES}: so much is really sent, got {quoted(length)}"
        raise ConfigurationError([Problem("probe", "headers.Content-Length", message)])
    limits = route.content
    own = {"content-length": str(min(len(PICTURE), limits.max_bytes)), "content-type": _type(limits.types)}
    return {shown: named.get(name, own[name]) for name, shown in limits.names.items()}


def _type(types: tuple[str, ...]) -> str:
    declared = types[0] if types else ""
    return declared.replace("image/*", "image/png").replace("/*", "/x-cos-broker-probe")


def _completed(given: Mapping[str, str], rules: RuleSet) -> dict[str, str]:
    """The given values, and the first legal one of every list that must be given."""
    named = {name.lower() for name in given}
    required = [rules.rules[name.lower() if rules.kind == "header" else name] for name in rules.required]
    missing = {rule.name: rule.enum[0] for rule in required if rule.enum and rule.name.lower() not in named}
    return {**given, **missing}
