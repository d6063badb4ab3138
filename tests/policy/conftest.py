"""Sound policies to change, and short ways to load, ask and be refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import RequestError
from broker.identity.principals import Principal
from broker.policy import parsing
from broker.policy.asks import Ask
from broker.policy.checks import check
from broker.policy.limits import Limits
from broker.policy.routes import Order, Route, compile_route

NOW = 1_700_000_000  # 2023-11-14 22:13:20 UTC
LIMITS = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")
PLACE = {"bucket": "examplebucket-1250000000", "region": "ap-guangzhou"}
SOUND: dict[str, dict[str, Any]] = {
    "upload": {
        "description": "Uploads.",
        "vends": ["url"],
        "methods": ["PUT"],
        **PLACE,
        "key": "avatars/{principal.sub}/{uuid}.{ext}",
        "inputs": {"ext": {"enum": ["png", "jpg"]}},
        "content": {"types": ["image/png", "image/jpeg"], "max_bytes": 1000},
    },
    "read": {
        "vends": ["url"],
        "methods": ["GET"],
        **PLACE,
        "key": "files/{principal.sub}/{name}",
        "inputs": {"name": {}},
    },
    "download": {"vends": ["download-url"], **PLACE, "key": "public/{name}", "inputs": {"name": {}}},
    "keys": {
        "vends": ["credentials"],
        "methods": ["PUT", "GET"],
        **PLACE,
        "key": "users/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path"}},
    },
}


def changed(base: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A sound policy with members set by dotted path; `...` takes a member away."""
    policy = copy.deepcopy(SOUND[base])
    for path, value in changes.items():
        *outer, last = path.split(".")
        member = policy
        for name in outer:
            member = member.setdefault(name, {})
        if value is ...:
            member.pop(last, None)
        else:
            member[last] = copy.deepcopy(value)
    return policy


def found(policy: Any, limits: Limits = LIMITS) -> dict[str, str]:
    """Messages by field: everything wrong with a policy."""
    parsed, problems, unsound = parsing.parse(policy, limits.variables)
    by_field: dict[str, list[str]] = {}
    for field, message in (*problems, *check(parsed, unsound, limits)):
        by_field.setdefault(field, []).append(message)
    return {field: "; ".join(messages) for field, messages in by_field.items()}


def compiled(base: str, changes: dict[str, Any] | None = None, limits: Limits = LIMITS) -> Route:
    """A route, through JSON as a file would be read."""
    policy = json.loads(json.dumps(changed(base, changes or {})))
    assert found(policy, limits) == {}
    parsed, _, _ = parsing.parse(policy, limits.variables)
    return compile_route("route", parsed, limits)


def ordered(route: Route, claims: dict[str, Any] | None = None, **ask: Any) -> Order:
    """What a principal gets for an ask; by default u1 asks for the route's first vend."""
    principal = Principal({"sub": "u1"} if claims is None else claims)
    ask.setdefault("vend", route.document.vends[0])
    return route.order(Ask(**ask), route.admit(principal), NOW)


def refusal(route: Route, claims: dict[str, Any] | None = None, **ask: Any) -> tuple[str, list[str]]:
    """(code, fields of the errors) of an ask that must be refused."""
    with pytest.raises(RequestError) as caught:
        ordered(route, claims, **ask)
    return caught.value.code, [error.field for error in caught.value.errors]


@pytest.fixture(scope="session")
def policy() -> Callable[..., dict[str, Any]]:
    """`changed`."""
    return changed


@pytest.fixture(scope="session")
def problems() -> Callable[..., dict[str, str]]:
    """`found`."""
    return found


@pytest.fixture(scope="session")
def route() -> Callable[..., Route]:
    """`compiled`."""
    return compiled


@pytest.fixture(scope="session")
def order() -> Callable[..., Order]:
    """`ordered`."""
    return ordered


@pytest.fixture(scope="session")
def refused() -> Callable[..., tuple[str, list[str]]]:
    """`refusal`."""
    return refusal


@pytest.fixture(scope="session")
def limits() -> Limits:
    """The limits that everything here is loaded with."""
    return LIMITS
