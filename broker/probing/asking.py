"""The ask that a door is tried with: what the operator gives of it, and the rest made up safely."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.cos import requests
from broker.errors import ConfigurationError, Problem, quoted
from broker.policy.asks import NOTHING, Ask
from broker.policy.operations import Operation
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.policy.values import RuleSet

SIGNED = ("url", "download-url", "signature")  # the vends that sign by method
BODY_BYTES = 1024 * 1024  # what the operator may declare as Content-Length
# The smallest picture: 1 x 1, so that image processing has something to do.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class Given:
    """What the operator says about the ask; everything else the probe makes up."""

    key: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


def ask(route: Route, operation: Operation, claims: ProvenClaims, given: Given, now: int, token: str, vend: str) -> Ask:
    """What is asked of a vend for one operation. Raises ConfigurationError if the operator has to say more."""
    key, inputs = given.key, None
    if key is None:
        inputs = _inputs(route, given, token)
        # Only what makes keys may leave the generated parts to the broker, and who confirms has the key.
        if vend == "confirm" or (route.template.generated and operation.name not in requests.MAKES_KEYS):
            key, inputs = route.template.render(claims, inputs, now), None
    if vend == "confirm":
        return Ask(vend, key=key)
    signed = vend in SIGNED
    return Ask(
        vend=vend,
        method=operation.method if signed else None,
        key=key,
        inputs=inputs,
        headers=_headers(route, operation, given),
        params=_completed(_own_params(route, operation, given), operation.params) if signed else NOTHING,
        expires_in=route.document.expires.longest_seconds,
    )


def refuse_unused(route: Route, given: Given) -> None:
    """Refuse what no door of a route could take, where none is there to refuse it itself. Raises ConfigurationError."""
    problems: list[str] = []
    if given.params and not route.operations:
        problems += [f"params.{name}" for name in given.params]
    if given.headers and not (route.operations or route.credentials or {"form", "initiate"} & set(route.others)):
        problems += [f"headers.{name}" for name in given.headers]
    if problems:
        message = f"nothing on this route takes it: it vends {', '.join(route.document.vends)}"
        raise ConfigurationError([Problem("probe", field, message) for field in problems])


def content_headers(route: Route, given: Mapping[str, str], *, length: bool = True) -> dict[str, str]:
    """The type and length that the policy wants of an upload; those that bind their length otherwise have a type."""
    named = {name.lower(): value for name, value in given.items()}
    limits = route.content
    own = {"content-length": str(size(route, given, len(PICTURE))), "content-type": _type(limits.types)}
    names = {name: shown for name, shown in limits.names.items() if length or name != "content-length"}
    return {shown: named.get(name, own[name]) for name, shown in names.items()}


def size(route: Route, given: Mapping[str, str], default: int, least: int = 0, most: int = BODY_BYTES) -> int:
    """Bytes that an upload has: as given where the policy limits them. Raises ConfigurationError out of bounds."""
    limits, named = route.content, {name.lower(): value for name, value in given.items()}
    length = named.get("content-length", "")
    if length and not (re.fullmatch("[0-9]{1,7}", length) and least <= int(length) <= most):
        message = f"must be a number of bytes, at least {least} and at most {most}: so many are really sent"
        raise ConfigurationError([Problem("probe", "headers.Content-Length", f"{message}, got {quoted(length)}")])
    if "content-length" not in limits.names:
        return default
    return int(length) if length else min(default, limits.max_bytes)


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
    if operation.name in requests.MAKES_KEYS:
        others = {name: value for name, value in given.headers.items() if name.lower() not in route.content.names}
        own = content_headers(route, given.headers, length=operation.name == "put")
        return _completed({**own, **others}, operation.headers)
    every = [*route.operations.values(), *route.others.values()]
    known = {name.lower() for each in every for name in each.headers.rules} | set(route.content.names)
    own = {name: value for name, value in given.headers.items() if name.lower() in operation.headers.rules}
    # A header that no operation takes is the operator's mistake, and the route says so.
    unknown = {name: value for name, value in given.headers.items() if name.lower() not in known}
    meta = any(each.headers.meta for each in every)
    return _completed({**own, **({} if meta else unknown)}, operation.headers)


def _own_params(route: Route, operation: Operation, given: Given) -> dict[str, str]:
    # What shapes a listing is none of HEAD's business; what no operation takes, the route refuses.
    elsewhere = {name for each in route.operations.values() for name in each.params.rules} - set(operation.params.rules)
    return {name: value for name, value in given.params.items() if name not in elsewhere}


def _type(types: tuple[str, ...]) -> str:
    declared = types[0] if types else ""
    return declared.replace("image/*", "image/png").replace("/*", "/x-cos-broker-probe")


def _completed(given: Mapping[str, str], rules: RuleSet) -> dict[str, str]:
    """The given values, and the first legal one of every list that must be given."""
    named = {name.lower() for name in given}
    required = [rules.rules[name.lower() if rules.kind == "header" else name] for name in rules.required]
    missing = {rule.name: rule.enum[0] for rule in required if rule.enum and rule.name.lower() not in named}
    return {**given, **missing}
