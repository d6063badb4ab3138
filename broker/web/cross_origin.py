"""What pages of other origins may ask: those of BROKER_CORS_ORIGINS, and nobody else's.

A page sends its user's token itself; browsers add nothing, since credentials are never allowed. Who is not listed is
answered like any other client, without the headers that let a page read the answer: browsers keep the rule, and whoever
is no browser need not say an origin.

Specification: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

from broker.web.answers import Answer, Empty

_ALLOWED_HEADERS = "Authorization, Content-Type, X-Request-Id"
_EXPOSED_HEADERS = "X-Request-Id, Retry-After"
_MAX_AGE_SECONDS = "7200"  # the longest that Chromium keeps an answer


class Sharing:
    """Lets pages of these origins use the views that it is put around."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, environ: Mapping[str, Any], arguments: Mapping[str, str]) -> Answer | None:
        """What a browser is told that asks for a page of a listed origin; None: the request is no such question."""
        if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
            return None
        if environ.get("HTTP_ORIGIN") not in self._origins:
            return None
        # By the form of the path alone: it has no credentials, and strangers learn of no route.
        method = "POST" if arguments.get("rest") is not None else "GET"
        answer = Empty(HTTPStatus.NO_CONTENT)
        answer.headers["Access-Control-Allow-Methods"] = method
        answer.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
        answer.headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
        return answer

    def share(self, answer: Answer, environ: Mapping[str, Any]) -> None:
        """Let a page of a listed origin read an answer."""
        answer.headers["Vary"] = "Origin"
        origin = environ.get("HTTP_ORIGIN")
        if origin in self._origins:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
