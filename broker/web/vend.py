"""The views of `/v1`: each is the straight line of one request, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from broker import vending
from broker.batching import vend_many
from broker.errors import NEEDS_AUTHENTICATION, MethodNotAllowed, NotFound, RequestError, Unauthenticated, named
from broker.identity.principals import Authenticator, Principal
from broker.policy.asks import ASKS
from broker.policy.descriptions import describe
from broker.policy.routes import Route
from broker.web import messages, problems

_ENDPOINTS = (*ASKS, "batch")


class _Rest(BaseConverter):
    """Whatever follows, empty and `//` included; Werkzeug's `path` takes neither."""

    regex = ".*?"
    part_isolating = False


def register(blueprint: Blueprint, desk: vending.Desk, authenticator: Authenticator) -> None:
    """Add the views of `/v1` to a blueprint."""

    def list_routes() -> Response:
        principal = authenticate(authenticator, request.environ, desk.clock())
        routes = [describe(route) for route in desk.catalog().routes.values() if admits(route, principal)]
        return problems.respond(json.dumps({"routes": routes}).encode())

    def vend(route_name: str, vend_name: str) -> Response:
        now, environ = desk.clock(), request.environ
        principal = authenticate(authenticator, environ, now)
        if vend_name not in ASKS:
            raise _no_path(principal)
        route = desk.find(route_name, principal)
        claims = route.admit(principal)
        ask = messages.read_ask(environ, vend_name)
        grant = desk.grant(route, ask, claims, principal, now)
        return problems.respond(messages.answer(grant))

    def batch(route_name: str) -> Response:
        now, environ = desk.clock(), request.environ
        principal = authenticate(authenticator, environ, now)
        route = desk.find(route_name, principal)
        claims = route.admit(principal)
        asks = messages.read_batch(environ)
        outcomes = vend_many(desk, route, asks, claims, principal, now)
        return problems.respond(messages.answer_batch(outcomes, problems.problem))

    def no_view(rest: str | None = None) -> Response:
        # Strangers learn nothing here either: not which paths exist, nor for which methods.
        principal = authenticate(authenticator, request.environ, desk.clock())
        if principal.anonymous:
            raise Unauthenticated(NEEDS_AUTHENTICATION)
        if rest is None:
            raise MethodNotAllowed("GET", named(request.method))
        segments = rest.split("/")
        if len(segments) == 2 and segments[1] in _ENDPOINTS:
            desk.find(segments[0], principal)
            raise MethodNotAllowed("POST", named(request.method))
        raise _no_path(principal)

    def add(rule: str, name: str, view: Callable[..., Response], method: str) -> None:
        blueprint.add_url_rule(rule, name, view, methods=[method], provide_automatic_options=False, merge_slashes=False)

    def add_others(state: BlueprintSetupState) -> None:
        # Flask's own way to add a rule knows no "any method".
        prefix, endpoint = state.url_prefix or "", f"{blueprint.name}.no_view"
        state.app.url_map.converters["broker_rest"] = _Rest
        for path in ("/v1", "/v1/<broker_rest:rest>"):
            rule = state.app.url_rule_class(prefix + path, endpoint=endpoint, strict_slashes=True, merge_slashes=False)
            state.app.url_map.add(rule)
        state.app.view_functions[endpoint] = no_view

    add("/v1", "routes", list_routes, "GET")
    add("/v1/<route_name>/batch", "batch", batch, "POST")
    add("/v1/<route_name>/<vend_name>", "vend", vend, "POST")
    blueprint.record(add_others)


def authenticate(authenticator: Authenticator, environ: dict[str, Any], now: int) -> Principal:
    """Who sent this request. Raises Unauthenticated, Forbidden or UpstreamUnavailable."""
    header = environ.get
    return authenticator.authenticate(
        header("HTTP_AUTHORIZATION"), header("HTTP_X_PRINCIPAL"), header("HTTP_X_PRINCIPAL_CLAIMS"), now
    )


def admits(route: Route, principal: Principal) -> bool:
    """Whether a principal may use a route."""
    try:
        route.admit(principal)
    except RequestError:
        return False
    return True


def _no_path(principal: Principal) -> RequestError:
    if principal.anonymous:
        return Unauthenticated(NEEDS_AUTHENTICATION)
    return NotFound("not_found", f"no such path; POST /v1/ROUTE/ with one of {', '.join(_ENDPOINTS)}, or GET /v1")
