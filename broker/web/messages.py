"""Asks and answers as JSON: bytes -> Ask, Grant -> bytes. What an ask may say is here, what it may have is `policy`."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

from flask import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError, to_json

from broker import strict_json
from broker.cos.requests import METHODS
from broker.errors import FieldError, InvalidRequest, RequestTooLarge, UnsupportedMediaType, named, quoted, summary
from broker.policy.document import Method
from broker.policy.routes import Ask
from broker.vending import Grant, KeysGrant, SignatureGrant, UrlGrant

BODY_BYTES = 1024 * 1024
_FILENAME_BYTES = 255
_JSON_TYPE = "application/json"


def _filename(value: str) -> str:
    flawed = [
        character
        for character in value
        if character in "/\\"
        or unicodedata.category(character)[0] == "C"
        or unicodedata.category(character) in ("Zl", "Zp")
    ]
    if not 1 <= len(value.encode()) <= _FILENAME_BYTES or flawed or value in (".", ".."):
        message = f"must be a name of 1..{_FILENAME_BYTES} bytes without slashes and control characters"
        raise PydanticCustomError("expected", "{message}", {"message": message})
    return value


class _Ask(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    bucket: str | None = None


class SigningAsk(_Ask):
    """What `url` and `signature` take; the official SDK's parameters in snake case."""

    method: Method | None = None
    key: str | None = None
    inputs: dict[str, str] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    params: dict[str, str] = Field(default_factory=dict)
    expires_in: Annotated[int, Field(gt=0, lt=10**15)] | None = None

    @model_validator(mode="after")
    def _check(self) -> SigningAsk:
        if self.key is not None and self.inputs is not None:
            raise PydanticCustomError(
                "expected", "{message}", {"message": "key and inputs exclude each other, got both"}
            )
        return self


class DownloadAsk(SigningAsk):
    """What `download-url` takes."""

    filename: Annotated[str, AfterValidator(_filename)] | None = None


class KeysAsk(_Ask):
    """What `credentials` takes."""


ASKS: Mapping[str, type[_Ask]] = {
    "url": SigningAsk,
    "download-url": DownloadAsk,
    "signature": SigningAsk,
    "credentials": KeysAsk,
}


def read_ask(environ: dict[str, Any], vend: str) -> Ask:
    """The ask of a WSGI request. Raises RequestTooLarge, UnsupportedMediaType or InvalidRequest, in this order."""
    data = _body(environ)
    if not data:
        return Ask(vend)
    content_type: str = environ.get("CONTENT_TYPE", "")
    if content_type != _JSON_TYPE and content_type.partition(";")[0].strip().lower() != _JSON_TYPE:
        raise UnsupportedMediaType(
            "unsupported_media_type", f"Content-Type must be {_JSON_TYPE}, got {'another' if content_type else 'none'}"
        )
    try:
        unverified = strict_json.loads(data)
    except strict_json.StrictJsonError as error:
        raise InvalidRequest("malformed_json", f"the body is not JSON that the broker reads: {error}") from None
    return parse_ask(unverified, vend)


def parse_ask(unverified: Any, vend: str) -> Ask:
    """The ask in a JSON value. Raises InvalidRequest with everything that is wrong with its shape."""
    model = ASKS[vend]
    try:
        asked = model.model_validate(unverified)
    except ValidationError as error:
        found = error.errors(include_url=False)
        errors = [FieldError(_path(details), _message(details, model)) for details in found]
        raise InvalidRequest("invalid_request", summary(errors).strip(), errors) from None
    return Ask(vend, **asked.__dict__)


def parse_named_ask(unverified: Mapping[str, Any]) -> Ask:
    """The ask in a mapping that also says which vend it is for. Raises InvalidRequest."""
    vend = unverified.get("vend")
    if not isinstance(vend, str) or vend not in ASKS:
        got = quoted(vend) if isinstance(vend, str) else _kind(vend)
        message = f"must be one of {', '.join(ASKS)}, got {got}"
        raise InvalidRequest("invalid_request", f"vend {message}", [FieldError("vend", message)])
    return parse_ask({name: value for name, value in unverified.items() if name != "vend"}, vend)


def _body(environ: dict[str, Any]) -> bytes:
    declared: str = environ.get("CONTENT_LENGTH", "")
    if declared.isascii() and declared.isdigit():
        length = int(declared[:20])
        if length > BODY_BYTES:
            raise _too_large(str(length))
        data: bytes = environ["wsgi.input"].read(length)
        if len(data) == length:
            return data
    # Chunked, or read by somebody before us. Werkzeug cuts it silently at its limit: so one byte more, and count.
    request = Request(environ)
    request.max_content_length = BODY_BYTES + 1
    data = request.get_data()
    if len(data) > BODY_BYTES:
        raise _too_large("more")
    return data


def _too_large(got: str) -> RequestTooLarge:
    return RequestTooLarge("request_too_large", f"the body must have at most {BODY_BYTES} bytes, got {got}")


def _path(details: ErrorDetails) -> str:
    return ".".join(named(str(part)) for part in details["loc"] if part != "[key]")


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    got, kind = details["input"], details["type"]
    expected = {
        "string_type": "must be a string",
        "dict_type": "must be an object of strings",
        "int_type": "must be a positive integer",
        "int_from_float": "must be a positive integer",
        "greater_than": "must be a positive integer",
        "less_than": "must be a positive integer",
        "model_type": "the ask must be a JSON object",
    }
    if kind == "extra_forbidden":
        return f"is no member of this ask; members: {', '.join(model.model_fields)}"
    if kind == "literal_error":
        return f"must be one of {', '.join(METHODS)}, got {quoted(got) if isinstance(got, str) else _kind(got)}"
    if kind == "expected":
        return str(details["ctx"]["message"])
    is_number = isinstance(got, (int, float)) and not isinstance(got, bool)
    shown = quoted(str(got)) if is_number and abs(got) < 10**18 else _kind(got)
    return f"{expected.get(kind, details['msg'])}, got {shown.strip(chr(39))}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def answer(grant: Grant) -> bytes:
    """A grant as the contract's JSON."""
    return to_json(_RENDERERS[type(grant)](grant))


def _render_url(grant: UrlGrant) -> dict[str, Any]:
    return {
        "method": grant.method,
        "url": grant.url,
        "headers": grant.headers,
        "bucket": grant.bucket,
        "region": grant.region,
        "key": grant.key,
        "expires_in": grant.expires_in,
        "expires_at": iso(grant.expires_at),
    }


def _render_signature(grant: SignatureGrant) -> dict[str, Any]:
    return {
        "authorization": grant.authorization,
        "headers": grant.headers,
        "method": grant.method,
        "url": grant.url,
        "key": grant.key,
        "bucket": grant.bucket,
        "region": grant.region,
        "expires_in": grant.expires_in,
        "expires_at": iso(grant.expires_at),
    }


def _render_keys(grant: KeysGrant) -> dict[str, Any]:
    # The names of Tencent's own STS SDKs, which client SDKs are fed with.
    return {
        "credentials": {
            "tmpSecretId": grant.credential.secret_id,
            "tmpSecretKey": grant.credential.secret_key,
            "sessionToken": grant.credential.session_token,
        },
        "startTime": grant.issued_at,
        "expiredTime": grant.credential.expires_at,
        "expiration": iso(grant.credential.expires_at),
        "requestId": grant.credential.request_id,
        "bucket": grant.bucket,
        "region": grant.region,
        "key_prefix": grant.key_prefix,
        "actions": grant.actions,
    }


_RENDERERS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    UrlGrant: _render_url,
    SignatureGrant: _render_signature,
    KeysGrant: _render_keys,
}


@lru_cache(maxsize=1024)
def iso(instant: int) -> str:
    """An instant as ISO 8601 in UTC; nowhere else do instants look so."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
