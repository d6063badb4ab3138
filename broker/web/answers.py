"""Answers as they go out: small WSGI applications, each with what every answer carries."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Headers = tuple[tuple[str, str], ...]

_REQUEST_ID_KEY = "broker.request_id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def request_id(environ: dict[str, Any]) -> str:
    """The id of a request: the caller's if it is one, else made once and kept in its environ."""
    known: str | None = environ.get(_REQUEST_ID_KEY)
    if known is None:
        given: str = environ.get("HTTP_X_REQUEST_ID", "")
        # An id, not a secret: it need not be hard to guess.
        known = given if given and _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        environ[_REQUEST_ID_KEY] = known
    return known


def fixed_headers(policy: str = _NOTHING, cache_control: str = "no-store") -> Headers:
    """What tells browsers to make no more of an answer than it is; `policy` is its Content-Security-Policy."""
    return (
        ("Cache-Control", cache_control),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Content-Security-Policy", policy),
    )


FIXED = fixed_headers()


class Answer:
    """An answer; its `headers` beside those that every answer has, which are the request's id and the `fixed` ones.

    A response of Werkzeug's that does the same takes four times as long. Flask makes one of this where it needs one.
    """

    def __init__(
        self, body: bytes, status: int = 200, content_type: str = "application/json", fixed: Headers = FIXED
    ) -> None:
        self.body = body
        self.status = status
        self.fixed = fixed
        self.headers = {"Content-Type": content_type, "Content-Length": str(len(body))}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application that answers a request so."""
        headers = [*self.headers.items(), ("X-Request-Id", request_id(environ)), *self.fixed]
        start_response(_LINES[self.status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


class Empty(Answer):
    """An answer that has no body, not even an empty one (RFC 9110 15.3.5, 15.4.5)."""

    def __init__(self, status: HTTPStatus, fixed: Headers = FIXED) -> None:
        super().__init__(b"", status, fixed=fixed)
        self.headers.clear()
