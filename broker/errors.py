"""Every error of the broker, arranged by whose fault it is.

    BrokerError
      ConfigurationError            the operator's; at start-up only; carries every problem at once
      RequestError                  the caller's
        InvalidRequest       400      malformed_json, invalid_request
        Unauthenticated      401
        Forbidden            403      principal_not_allowed
        NotFound             404      route_not_found, not_found
        MethodNotAllowed     405      the HTTP method, not the one to be signed
        RequestTooLarge      413
        UnsupportedMediaType 415
        Refused              422      what the policy forbids; the code says which part
        RateLimited          429      more than its share; worth asking again
      UpstreamError          502      the cloud's: sts_refused
        UpstreamUnavailable  503      worth retrying: sts_unavailable, lifetime_unavailable, identity_unavailable

Messages quote both sides of a comparison and never hold a secret, a signed URL or an upstream's body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

# What a policy refuses of an ask.
RefusedCode = Literal[
    "vend_not_allowed",
    "method_not_allowed_by_policy",
    "bucket_not_allowed",
    "key_not_allowed",
    "input_not_allowed",
    "content_type_not_allowed",
    "content_too_large",
    "header_required",
    "header_not_allowed",
    "param_required",
    "param_not_allowed",
    "expires_too_long",
    "url_too_long",
]
Subject = Literal["scope", "source", "network"]

# Every code that an answer may have, by its status.
CODES: Mapping[int, tuple[str, ...]] = {
    400: ("malformed_json", "invalid_request"),
    401: ("unauthenticated",),
    403: ("principal_not_allowed",),
    404: ("not_found", "route_not_found", "object_not_found"),
    405: ("method_not_allowed",),
    413: ("request_too_large",),
    415: ("unsupported_media_type",),
    422: (*get_args(RefusedCode), "batch_too_large"),
    429: ("rate_limited",),
    500: ("internal_error",),
    502: ("sts_refused", "cos_refused"),
    503: ("sts_unavailable", "lifetime_unavailable", "identity_unavailable"),
}

NEEDS_AUTHENTICATION = "this needs the header Authorization with a JWT or an API key (ID.SECRET) as bearer token"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one member of an ask: `field` is its path, as in `inputs.ext`."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration: where it stands, in which field, and what would be legal.

    `line` counts from 1, where the source is a file whose lines can be told.
    """

    source: str
    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class BrokerError(Exception):
    """Root of all errors. `status` is the HTTP status; `code` is the last part of the problem's `type`."""

    status: ClassVar[int] = 500
    code: str = "internal_error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigurationError(BrokerError):
    """The broker cannot start or go on as configured; `problems` holds everything found."""

    code = "configuration_error"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class RequestError(BrokerError):
    """The caller's fault. `errors` lists everything that is wrong in the step that refused.

    `key_id` names the API key that was proven, if it is then refused for what it was used for.
    """

    status = 400
    key_id: str | None = None

    def __init__(self, code: str, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.errors = tuple(errors)


class InvalidRequest(RequestError):
    """The body is no ask: not JSON, an unknown member, a wrong type."""

    status = 400


class Unauthenticated(RequestError):
    """Who asks is not proven."""

    status = 401

    def __init__(self, detail: str) -> None:
        super().__init__("unauthenticated", detail)


class Forbidden(RequestError):
    """Who asks is proven, and may not."""

    status = 403

    def __init__(self, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__("principal_not_allowed", detail, errors)


class NotFound(RequestError):
    """No such route, or no such path at all."""

    status = 404


class MethodNotAllowed(RequestError):
    """The path exists, for another HTTP method; `allowed` names it."""

    status = 405

    def __init__(self, allowed: str, got: str) -> None:
        super().__init__("method_not_allowed", f"this path takes {allowed}, got {got}")
        self.allowed = allowed


class RequestTooLarge(RequestError):
    """The body is longer than the broker reads."""

    status = 413


class UnsupportedMediaType(RequestError):
    """The body is not declared as JSON."""

    status = 415


class Refused(RequestError):
    """The ask is well formed and the route's policy forbids it."""

    status = 422


class RateLimited(RequestError):
    """The caller has had its share for now; worth asking again after `retry_after_seconds`."""

    status = 429

    def __init__(self, detail: str, retry_after_seconds: int = 1) -> None:
        super().__init__("rate_limited", detail)
        self.retry_after_seconds = retry_after_seconds


class UpstreamError(BrokerError):
    """Tencent's STS refused for good; asking again changes nothing.

    `about` says what else would fail: `scope`, the same ask by anybody; `source`, any ask with the same key in the same
    role, or in none; `network`, any ask of this process.
    """

    status = 502

    def __init__(self, code: str, detail: str, *, about: Subject = "scope") -> None:
        super().__init__(detail)
        self.code = code
        self.about = about


class UpstreamUnavailable(UpstreamError):
    """Something the answer depends on does not serve now; worth asking again after `retry_after_seconds`."""

    status = 503

    def __init__(self, code: str, detail: str, retry_after_seconds: int = 1, *, about: Subject = "scope") -> None:
        super().__init__(code, detail, about=about)
        self.retry_after_seconds = retry_after_seconds


def quoted(text: str) -> str:
    """A caller's value for a message: escaped, at most 64 characters of it."""
    escaped = ascii(text[:64])
    return escaped if len(text) <= 64 and len(escaped) <= 66 else f"{escaped[:61].rstrip(chr(92))}..."


def named(name: str) -> str:
    """A caller's own name for something (a header, an input), for a message: escaped and cut, without quotes."""
    escaped = quoted(name)
    return escaped[1:].removesuffix(escaped[0])


def summary(errors: Sequence[FieldError]) -> str:
    """One line for everything that is wrong in one step."""
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return f"{errors[0].field} {errors[0].message}{more}"
