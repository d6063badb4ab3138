"""Routes for those who may ask them: the entries of `GET /v1`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from broker.policy.document import Expires, InputRule, PolicyDocument
from broker.policy.operations import told_methods
from broker.policy.routes import Route


def describe(route: Route) -> dict[str, Any]:
    """What a caller needs to know to ask a route. Its `methods` are none where each vend has its own."""
    document = route.document
    return {
        "route": route.name,
        "description": document.description,
        "vends": document.vends,
        "methods": told_methods(document),
        "inputs": {name: _input(rule) for name, rule in document.inputs.items()},
        "content": _content(document),
        "headers": {name: _stated(rule) for name, rule in document.headers.items()},
        "params": {name: _stated(rule) for name, rule in document.params.items()},
        "expires": _expires(document.expires),
    }


def _expires(expires: Expires) -> dict[str, int]:
    """What `expires_in` may be; with windows, `max_seconds` of the file holds the window, too."""
    told = {"default_seconds": expires.default_seconds, "max_seconds": expires.longest_seconds}
    return {**told, "window_seconds": expires.window_seconds} if expires.window_seconds else told


def _input(rule: InputRule) -> dict[str, Any]:
    return rule.model_dump(exclude_none=True, exclude={"max_length"} if rule.enum else None)


def _content(document: PolicyDocument) -> dict[str, Any]:
    if document.content is None:
        return {}
    return document.content.model_dump(
        exclude_none=True, exclude=None if "multipart" in document.vends else {"part_bytes"}
    )


def _stated(rule: BaseModel) -> dict[str, Any]:
    return rule.model_dump(exclude_defaults=True)
