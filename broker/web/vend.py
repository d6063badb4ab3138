"""The views of `/v1`: each is the straight line of one request, and no more."""

from __future__ import annotations

import json
from typing import Any

from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from broker import vending
from broker.audit.outcomes import Audit
from broker.audit.visits import BATCH, Visit
from broker.batching import vend_many
from broker.errors import NEEDS_AUTHENTICATION, MethodNotAllowed, NotFound, RequestError, Unauthenticated, named
from broker.identity.principals import Authenticator, Principal
from broker.policy.asks import ASKS
from broker.policy.descriptions import describe
from broker.policy.routes import Route
from broker.web import messages, problems
from broker.web.answers import Answer
from broker.web.views import Views

_ENDPOINTS = (*ASKS, BATCH)


class _Rest(BaseConverter):
    """Whatever follows, empty and `//` included; Werkzeug's `path` takes neither."""

    regex = ".*?"
    part_isolating = False


def register(views: Views, desk: vending.Desk, authenticator: Authenticator) -> None:
    """Add the views of `/v1`."""
    audit = views.audit

    def entered(environ: dict[str, Any]) -> tuple[Visit, Principal]:
        return enter(environ, authenticator, audit, desk.clock())

    def list_routes(environ: dict[str, Any]) -> Answer:
        _, principal = entered(environ)
        routes = [describe(route) for route in desk.catalog().routes.values() if admits(route, principal)]
        return Answer(json.dumps({"routes": routes}).encode())

    def vend(environ: dict[str, Any], route_name: str, vend_name: str) -> Answer:
        visit, principal = entered(environ)
        if vend_name not in ASKS:
            raise _no_path(principal)
        visit.vend = vend_name
        route = desk.find(route_name, principal)
        visit.route = route.name
        claims = route.admit(principal)
        visit.ask = ask = messages.read_ask(environ, vend_name)
        grant = desk.grant(route, ask, claims, principal, visit.now)
        answer = messages.answer(grant)
        audit.granted(visit, grant)
        return Answer(answer)

    def batch(environ: dict[str, Any], route_name: str) -> Answer:
        visit, principal = entered(environ)
        visit.vend = BATCH
        route = desk.find(route_name, principal)
        visit.route = route.name
        claims = route.admit(principal)
        asks = messages.read_batch(environ)
        outcomes = vend_many(desk, route, asks, claims, principal, visit.now)
        answer = messages.answer_batch(outcomes, lambda error: problems.problem(error, environ))
        audit.settled(visit, asks, outcomes)
        return Answer(answer)

    def no_view(environ: dict[str, Any], rest: str | None = None) -> Answer:
        # Strangers learn nothing here either: not which paths exist, nor for which methods.
        _, principal = entered(environ)
        if principal.anonymous:
            raise Unauthenticated(NEEDS_AUTHENTICATION)
        method = named(environ["REQUEST_METHOD"].upper())
        if rest is None:
            raise MethodNotAllowed("GET", method)
        segments = rest.split("/")
        if len(segments) == 2 and segments[1] in _ENDPOINTS:
            desk.find(segments[0], principal)
            raise MethodNotAllowed("POST", method)
        raise _no_path(principal)

    def add_others(state: BlueprintSetupState) -> None:
        # Flask's own way to add a rule knows no "any method".
        prefix, endpoint = state.url_prefix or "", f"{views.blueprint.name}.no_view"
        state.app.url_map.converters["broker_rest"] = _Rest
        for path in ("/v1", "/v1/<broker_rest:rest>"):
            rule = state.app.url_rule_class(prefix + path, endpoint=endpoint, strict_slashes=True, merge_slashes=False)
            state.app.url_map.add(rule)
        state.app.view_functions[endpoint] = views.view(no_view, shared=True)

    views.add("/v1", "routes", list_routes, shared=True, merge_slashes=False)
    views.add("/v1/<route_name>/batch", "batch", batch, "POST", shared=True, merge_slashes=False)
    views.add("/v1/<route_name>/<vend_name>", "vend", vend, "POST", shared=True, merge_slashes=False)
    views.blueprint.record(add_others)


def enter(environ: dict[str, Any], authenticator: Authenticator, audit: Audit, now: int) -> tuple[Visit, Principal]:
    """The visit that a request begins, and who sent it. Raises Unauthenticated, Forbidden or UpstreamUnavailable."""
    visit, header = problems.arrived(environ, audit, now), environ.get
    visit.principal = principal = authenticator.authenticate(
        header("HTTP_AUTHORIZATION"), header("HTTP_X_PRINCIPAL"), header("HTTP_X_PRINCIPAL_CLAIMS"), now
    )
    return visit, principal


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
