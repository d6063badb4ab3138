"""The broker's side: who asks, one HTTP request, and a problem document -> the error it means.

Asking again is safe for every endpoint: the broker signs, and changes nothing but the count of its rate limit.

Specification: docs of the HTTP API; problems are RFC 9457.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from broker.client.errors import (
    BrokerClientError,
    FieldProblem,
    Problem,
    RateLimited,
    Refused,
    Unavailable,
    UnexpectedAnswer,
)
from broker.client.patience import Patience
from broker.client.sending import Response, Sender

Token = str | Callable[[], str] | None
PARTY = "the broker"
_GATEWAYS = (502, 503, 504)  # without a problem document they come from something in front of the broker
_LONGEST_RETRY_AFTER = 86400


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a token, or what gives a fresh one for every request; for a BFF's API key, for whom."""

    token: Token = field(repr=False)
    principal: str | None = None
    principal_claims: Mapping[str, Any] | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """The identity headers of one request. Raises BrokerClientError if the token is none."""
        token = self.token() if callable(self.token) else self.token
        headers = {}
        if token is not None:
            if not (isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token and token):
                raise BrokerClientError("the token must be printable ASCII without spaces and line ends")
            headers["Authorization"] = f"Bearer {token}"
        if self.principal is not None:
            headers["X-Principal"] = self.principal
        if self.principal_claims is not None:
            claims = json.dumps(dict(self.principal_claims), separators=(",", ":")).encode()
            headers["X-Principal-Claims"] = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
        return headers


class Asker:
    """Asks one broker as one identity. `base_url` is what stands before `/v1`."""

    def __init__(self, base_url: str, identity: Identity, sender: Sender, patience: Patience) -> None:
        parts = urlsplit(base_url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in base_url
        ):
            raise ValueError("base_url must be http(s)://HOST[:PORT][/PREFIX], without user, query and fragment")
        self.base_url = base_url.rstrip("/")
        self.identity = identity
        self._sender = sender
        self._patience = patience

    def ask(self, route: str, vend: str, ask: Mapping[str, Any]) -> Any:
        """The JSON that an ask brings. Raises Problem, NetworkError or UnexpectedAnswer."""
        body = json.dumps(ask).encode()
        return self._persistently("POST", f"/v1/{quote(route, safe='')}/{vend}", body)

    def routes(self) -> Any:
        """The JSON of `GET /v1`. Raises as `ask`."""
        return self._persistently("GET", "/v1", b"")

    def _persistently(self, method: str, path: str, body: bytes) -> Any:
        return self._patience.ask(lambda seconds: self._once(method, path, body, seconds))

    def _once(self, method: str, path: str, body: bytes, within_seconds: float) -> Any:
        headers = {"Accept": "application/json", **self.identity.headers()}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        url = self.base_url + path
        response = self._sender.send(PARTY, method, url, headers, body, within_seconds=within_seconds)
        unverified = _json(response)
        if response.status_code == 200 and isinstance(unverified, dict):
            return unverified
        if response.status_code < 400:
            raise UnexpectedAnswer(f"the broker answered {response.status_code} without the JSON of a grant")
        raise problem(response.status_code, unverified, response.headers)


def problem(status: int, unverified: Any, headers: Mapping[str, str]) -> Problem:
    """The error that a problem document means; also without one, since gateways write none."""
    told = unverified if isinstance(unverified, dict) else {}
    code = told["code"] if isinstance(told.get("code"), str) else ""
    detail = told["detail"] if isinstance(told.get("detail"), str) else "no problem document"
    named = told.get("request_id") or headers.get("X-Request-Id") or ""
    request_id = named if isinstance(named, str) else ""
    errors = _field_problems(told.get("errors"))
    retry_after = _seconds(headers.get("Retry-After", ""))
    if status == 429:
        return RateLimited(status, code, detail, errors, request_id, retry_after)
    if status == 503 or (status in _GATEWAYS and not code):
        return Unavailable(status, code, detail, errors, request_id, retry_after)
    return Refused(status, code, detail, errors, request_id)


def _field_problems(unverified: Any) -> list[FieldProblem]:
    listed = unverified if isinstance(unverified, list) else []
    found = [(one.get("field"), one.get("message")) for one in listed if isinstance(one, dict)]
    return [
        FieldProblem(field, message) for field, message in found if isinstance(field, str) and isinstance(message, str)
    ]


def _json(response: Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _seconds(text: str) -> int:
    # A date, the header's other form, is no reason to wait for longer than a second.
    return min(int(text[:9]), _LONGEST_RETRY_AFTER) if text.isascii() and text.isdigit() else 1
