"""What pages of other origins may ask: those of BROKER_CORS_ORIGINS, and nobody else's.

A page sends its user's token itself; browsers add nothing, since credentials are never allowed. Who is not listed is
answered like any other client, without the headers that let a page read the answer: browsers keep the rule, and whoever
is no browser need not say an origin.

Specification: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Collection

from flask import Blueprint, Response, request

from broker.errors import MethodNotAllowed
from broker.web import problems

_ALLOWED_HEADERS = "Authorization, Content-Type, X-Request-Id"
_EXPOSED_HEADERS = "X-Request-Id, Retry-After"
_MAX_AGE_SECONDS = "7200"  # the longest that Chromium keeps an answer
# Views whose answers pages may read; `no_view` is every other path and method of the API.
_SHARED = ("routes", "vend", "batch", "no_view", "openapi", "openapi_options", "client")


def register(blueprint: Blueprint, origins: Collection[str]) -> None:
    """Let pages of these origins use the API of a blueprint; without origins nothing changes."""
    if not origins:
        return
    listed = frozenset(origins)
    shared = frozenset(f"{blueprint.name}.{view}" for view in _SHARED)

    def preflight() -> Response | None:
        environ = request.environ
        if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return None
        if request.endpoint not in shared or environ.get("HTTP_ORIGIN") not in listed:
            return None
        # By the form of the path alone: it has no credentials, and strangers learn of no route.
        method = "POST" if (request.view_args or {}).get("rest") is not None else "GET"
        answer = problems.respond(b"", 204)
        del answer.headers["Content-Type"]
        answer.headers["Access-Control-Allow-Methods"] = method
        answer.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
        answer.headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
        return answer

    def share(answer: Response) -> Response:
        if request.endpoint in shared:
            answer.headers["Vary"] = "Origin"
            origin = request.environ.get("HTTP_ORIGIN")
            if origin in listed:
                answer.headers["Access-Control-Allow-Origin"] = origin
                answer.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        return answer

    def only_read() -> Response:
        raise MethodNotAllowed("GET, HEAD", "OPTIONS")

    blueprint.before_request(preflight)
    blueprint.after_request(share)
    blueprint.add_url_rule(
        "/openapi.json", "openapi_options", only_read, methods=["OPTIONS"], provide_automatic_options=False
    )
