"""JSON of the broker -> typed answers. What is missing or of another type makes an UnexpectedAnswer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from broker.client.answers import (
    Confirmation,
    Credentials,
    Form,
    Grant,
    MultipartStep,
    Raw,
    RouteDescription,
    Signature,
    SignedRequest,
    SignedUrl,
)
from broker.client.errors import UnexpectedAnswer

T = TypeVar("T")


def read(reader: Callable[[Any], T], raw: Any) -> T:
    """What a reader makes of a JSON value. Raises UnexpectedAnswer."""
    try:
        return reader(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__} at {error}" if isinstance(error, KeyError) else type(error).__name__
    raise UnexpectedAnswer(f"the broker's answer is not of the shape that this client knows ({what})")


def signed_url(raw: Raw) -> SignedUrl:
    """The answer of `url` and `download-url`."""
    return SignedUrl(headers=_texts(raw["headers"]), raw=raw, **_request(raw))


def signature(raw: Raw) -> Signature:
    """The answer of `signature`."""
    return Signature(
        authorization=_text(raw["authorization"]), headers=_texts(raw["headers"]), raw=raw, **_request(raw)
    )


def credentials(raw: Raw) -> Credentials:
    """The answer of `credentials`."""
    keys = raw["credentials"]
    return Credentials(
        secret_id=_text(keys["tmpSecretId"]),
        secret_key=_text(keys["tmpSecretKey"]),
        session_token=_text(keys["sessionToken"]),
        start_at=int(raw["startTime"]),
        expires_at=int(raw["expiredTime"]),
        request_id=str(raw["requestId"]),
        bucket=_text(raw["bucket"]),
        region=_text(raw["region"]),
        key_prefix=_text(raw["key_prefix"]),
        actions=tuple(raw["actions"]),
        raw=raw,
    )


def form(raw: Raw) -> Form:
    """The answer of `form`."""
    fields = _texts(raw["fields"])
    return Form(_text(raw["url"]), fields, _text(raw["key"]), _instant(raw["expires_at"]), raw)


def multipart(raw: Raw) -> MultipartStep:
    """The answer of `multipart`."""
    requests = tuple(
        SignedRequest(_text(one["method"]), _text(one["url"]), _texts(one["headers"]), one.get("part_number"))
        for one in raw["requests"]
    )
    part_bytes = int(raw["part_bytes"])
    return MultipartStep(_text(raw["key"]), _text(raw["step"]), requests, part_bytes, _instant(raw["expires_at"]), raw)


def confirmation(raw: Raw) -> Confirmation:
    """The answer of `confirm`."""
    return Confirmation(
        bucket=_text(raw["bucket"]),
        key=_text(raw["key"]),
        content_type=raw["content_type"] or "",
        content_length=int(raw["content_length"]),
        etag=_text(raw["etag"]),
        satisfies=bool(raw["satisfies"]),
        problems=tuple(raw["problems"]),
        raw=raw,
    )


def routes(raw: Any) -> tuple[RouteDescription, ...]:
    """The answer of `GET /v1`."""
    return tuple(
        RouteDescription(
            route=_text(one["route"]),
            description=one["description"] or "",
            vends=tuple(one["vends"]),
            methods=tuple(one["methods"]),
            inputs=dict(one["inputs"]),
            content=dict(one["content"]),
            headers=dict(one["headers"]),
            params=dict(one["params"]),
            expires=dict(one["expires"]),
        )
        for one in raw["routes"]
    )


READERS: Mapping[str, Callable[[Raw], Grant]] = {
    "url": signed_url,
    "download-url": signed_url,
    "signature": signature,
    "credentials": credentials,
    "form": form,
}


def _request(raw: Raw) -> dict[str, Any]:
    texts = {name: _text(raw[name]) for name in ("method", "url", "bucket", "region", "key")}
    return {**texts, "expires_in": int(raw["expires_in"]), "expires_at": _instant(raw["expires_at"])}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in value.items()}


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
