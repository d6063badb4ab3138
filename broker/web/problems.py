"""Errors as RFC 9457 problems."""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_path_info

from broker.audit.outcomes import Audit
from broker.audit.visits import Visit
from broker.errors import (
    BrokerError,
    FieldError,
    MethodNotAllowed,
    RateLimited,
    RequestError,
    UpstreamUnavailable,
    named,
)
from broker.web.answers import Answer, request_id

PROBLEM_TYPE = "application/problem+json"
logger = logging.getLogger("broker.web")
_ERRORS = 100  # a body of nothing but mistakes brings no answer larger than itself
_VISIT_KEY = "broker.visit"
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 415: "unsupported_media_type"}


def arrived(environ: dict[str, Any], audit: Audit, now: int) -> Visit:
    """The visit of a request that has just come, for whoever answers it or has to refuse it."""
    visit = environ[_VISIT_KEY] = audit.visit(now, request_id(environ))
    return visit


def register(target: Flask | Blueprint, audit: Audit) -> None:
    """Give every error of an application (or of our blueprint alone) the one shape, and its line."""
    target.register_error_handler(Exception, lambda error: refusal(error, request.environ, audit))


def refusal(error: Exception, environ: dict[str, Any], audit: Audit) -> Answer:
    """The answer to a request in which an error was raised; it leaves a line."""
    if isinstance(error, BrokerError):
        return _of_broker_error(error, environ, audit)
    if isinstance(error, HTTPException):
        return _of_http_exception(error, environ, audit)
    fields = {"request_id": request_id(environ)}
    logger.error("bug: %s", type(error).__name__, exc_info=error, extra={"fields": fields})
    return _problem(environ, audit, 500, "internal_error", "a bug of the broker: its log has this request_id")


def _of_broker_error(error: BrokerError, environ: dict[str, Any], audit: Audit) -> Answer:
    errors, key_id = (error.errors, error.key_id) if isinstance(error, RequestError) else ((), None)
    answer = _problem(environ, audit, error.status, error.code, error.detail, errors, key_id)
    if error.status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = error.allowed
    if isinstance(error, RateLimited | UpstreamUnavailable):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _of_http_exception(error: HTTPException, environ: dict[str, Any], audit: Audit) -> Answer:
    status = error.code or 500
    code = _CODES.get(status, "invalid_request" if status < 500 else "internal_error")
    allowed = ", ".join(value for name, value in error.get_headers() if name == "Allow")
    detail = HTTPStatus(status).description or HTTPStatus(status).phrase
    if status == HTTPStatus.NOT_FOUND:
        detail = "no such path; the API begins at /v1, and /docs describes it"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"this path takes {allowed}, got {named(environ['REQUEST_METHOD'].upper())}"
    answer = _problem(environ, audit, status, code, detail)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = allowed
    return answer


def _client(address: str | None) -> str:
    # Behind proxies it comes from a header, which may hold anything.
    try:
        return str(ipaddress.ip_address(address or ""))
    except ValueError:
        return "unknown"


def problem(error: BrokerError, environ: dict[str, Any]) -> dict[str, Any]:
    """The body of one of our own errors."""
    errors = error.errors if isinstance(error, RequestError) else ()
    return _body(environ, error.status, error.code, error.detail, errors)


def _problem(
    environ: dict[str, Any],
    audit: Audit,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    key_id: str | None = None,
) -> Answer:
    visit: Visit = environ.get(_VISIT_KEY) or arrived(environ, audit, 0)
    visit.path = "/" + get_path_info(environ).lstrip("/")  # as it was routed
    visit.client, visit.key_id = _client(environ.get("REMOTE_ADDR")), key_id
    audit.refused(visit, status, code, detail)
    return Answer(json.dumps(_body(environ, status, code, detail, errors)).encode(), status, PROBLEM_TYPE)


def _body(environ: dict[str, Any], status: int, code: str, detail: str, errors: Sequence[FieldError]) -> dict[str, Any]:
    return {
        "type": f"urn:cos-broker:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [{"field": one.field, "message": one.message} for one in errors[:_ERRORS]],
        "request_id": request_id(environ),
    }
