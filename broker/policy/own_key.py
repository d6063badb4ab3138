"""The CAM policy that the broker's own key needs: what all routes together can ever hand on, and nothing else.

A temporary key may do what its session policy says as far as the key or role behind it may. So the one behind it needs
the session policies of everybody at once: their statements, with claims and inputs replaced by the `*` that CAM allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from broker.cos import cam
from broker.policy import operations
from broker.policy.operations import Permission
from broker.policy.routes import Route
from broker.policy.templates import Literal, Part
from broker.policy.values import constant

GET_FEDERATION_TOKEN, ASSUME_ROLE = "sts:GetFederationToken", "sts:AssumeRole"


class _Grant(NamedTuple):
    action: str
    resource: str
    condition: str  # canonical JSON


def own_key_policy(routes: Iterable[Route]) -> dict[str, Any]:
    """What the permanent key must be permitted: to ask STS, and to do what its federation tokens do.

    Routes with a role need no more of the key than to assume it.
    """
    listed = list(routes)
    roles = sorted({one.document.credential.role_arn for one in listed if one.document.credential.role_arn})
    own = [one for one in listed if one.document.credential.role_arn is None]
    asking = [cam.statement([GET_FEDERATION_TOKEN], ["*"], {})] if own else []
    asking += [cam.statement([ASSUME_ROLE], roles, {})] if roles else []
    return cam.document([*asking, *_statements(own)])


def role_policy(routes: Iterable[Route], role_arn: str) -> dict[str, Any]:
    """What a role must be permitted that some routes assume. Raises ValueError if none does."""
    return cam.document(_statements(one for one in routes if one.document.credential.role_arn == role_arn))


def _statements(routes: Iterable[Route]) -> list[dict[str, Any]]:
    """One statement for all that differs in actions alone, then for all that differs in resources alone."""
    grants = sorted({grant for route in routes for grant in _grants(route)})
    actions: dict[tuple[str, str], list[str]] = {}
    for action, resource, condition in grants:
        actions.setdefault((condition, resource), []).append(action)
    resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (condition, resource), together in sorted(actions.items()):
        resources.setdefault((condition, tuple(together)), []).append(resource)
    return [cam.statement(acts, held, json.loads(condition)) for (condition, acts), held in resources.items()]


def _grants(route: Route) -> Iterator[_Grant]:
    every = [operation.permission for operation in (*route.operations.values(), *route.others.values())]
    for permission in [*every, *([route.credentials] if route.credentials else [])]:
        for entry in permission.document(_reach(route, permission))["statement"]:
            condition = json.dumps(entry.get("condition", {}), sort_keys=True)
            yield from (
                _Grant(action, resource, condition) for action in entry["action"] for resource in entry["resource"]
            )


def _reach(route: Route, permission: Permission) -> str:
    """The keys that anybody's credential may reach, or the prefixes it may list, as one key or a prefix and `*`."""
    if not permission.listing:
        return _widened(route.template.parts)
    listed = operations.declared(route.document.params, "prefix")
    assert listed is not None  # noqa: S101  checked at load: a listing has a constant prefix
    return _widened(constant(listed.const or "").parts)


def _widened(parts: Iterable[Part]) -> str:
    text = ""
    for part in parts:
        if not isinstance(part, Literal):
            return f"{text[: text.rfind('/') + 1]}*"
        text += part.text
    return text
