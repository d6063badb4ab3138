"""The CORS rule that a bucket needs, so that browsers can use what a route vends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from broker.cos import cors
from broker.cos.cors import Rule
from broker.policy.document import PolicyDocument
from broker.policy.operations import CREDENTIALS, Operation
from broker.policy.routes import Route

_METHODS_OF_STEPS = ("POST", "PUT", "GET", "DELETE")
_OF_SIGNATURES = ("Authorization", "x-cos-security-token")
# Browsers set it themselves, or from the file; the others of an ask they do not ask about.
_TYPE, _UNASKED = "Content-Type", frozenset({"content-length"})


def rule(route: Route, origins: Sequence[str]) -> Rule:
    """The narrowest rule for pages of these origins; without methods if browsers send COS nothing for this route."""
    methods = cors.sorted_methods(_methods(route.document))
    return Rule(route.name, tuple(origins), methods, _headers(route, methods))


def rules(routes: Iterable[Route], origins: Sequence[str]) -> tuple[Rule, ...]:
    """Those of all routes for which browsers send COS anything."""
    return tuple(one for route in routes if (one := rule(route, origins)).methods)


def _methods(document: PolicyDocument) -> set[str]:
    vends = set(document.vends)
    methods: set[str] = set()
    if vends & {"url", "signature", CREDENTIALS}:
        methods.update(document.methods or ())
    if "download-url" in vends:
        methods.add("GET")
    if "form" in vends:
        methods.add("POST")
    if "multipart" in vends:
        methods.update(_METHODS_OF_STEPS)
    return methods


def _headers(route: Route, methods: Sequence[str]) -> tuple[str, ...]:
    vends = set(route.document.vends)
    carried = [*route.operations.values(), *(one for name, one in route.others.items() if name != "form")]
    if CREDENTIALS in vends or any(one.headers.meta is not None for one in carried):
        return (cors.ANY,)  # an SDK's own headers, or `x-cos-meta-*`: rules name no prefixes
    names = {} if {"PUT", "POST"}.isdisjoint(methods) else {_TYPE.lower(): _TYPE}
    for operation in carried:
        names.update(_names(operation))
    signed = _OF_SIGNATURES if "signature" in vends else ()
    return (*names.values(), *signed)


def _names(operation: Operation) -> dict[str, str]:
    return {lower: one.name for lower, one in operation.headers.rules.items() if lower not in _UNASKED}
