"""Asks and answers as JSON: bytes -> Ask, Grant -> bytes. What an ask may say is `policy.asks`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from werkzeug.wrappers import Request

from broker import strict_json
from broker.batching import Outcome
from broker.confirming import Confirmation
from broker.errors import BrokerError, InvalidRequest, RequestTooLarge, UnsupportedMediaType
from broker.policy.asks import Ask, parse_ask, parse_batch
from broker.vending import FormGrant, KeysGrant, SignatureGrant, SignedRequest, StepGrant, UrlGrant, Vended

BODY_BYTES = 1024 * 1024
_JSON_TYPE = "application/json"


def read_ask(environ: dict[str, Any], vend: str) -> Ask:
    """The ask of a WSGI request. Raises RequestTooLarge, UnsupportedMediaType or InvalidRequest, in this order."""
    unverified = _read_json(environ)
    return parse_ask({} if unverified is _NO_BODY else unverified, vend)


def read_batch(environ: dict[str, Any]) -> list[Any]:
    """The asks of a WSGI request, each still to be read. Raises as `read_ask`, and Refused (`batch_too_large`)."""
    unverified = _read_json(environ)
    return parse_batch(None if unverified is _NO_BODY else unverified)


_NO_BODY = object()


def _read_json(environ: dict[str, Any]) -> Any:
    data = _body(environ)
    if not data:
        return _NO_BODY
    content_type: str = environ.get("CONTENT_TYPE", "")
    if content_type != _JSON_TYPE and content_type.partition(";")[0].strip().lower() != _JSON_TYPE:
        raise UnsupportedMediaType(
            "unsupported_media_type", f"Content-Type must be {_JSON_TYPE}, got {'another' if content_type else 'none'}"
        )
    try:
        return strict_json.loads(data)
    except strict_json.StrictJsonError as error:
        raise InvalidRequest("malformed_json", f"the body is not JSON that the broker reads: {error}") from None


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
    request = Request(environ, populate_request=False)
    request.max_content_length = BODY_BYTES + 1
    data = request.get_data()
    if len(data) > BODY_BYTES:
        raise _too_large("more")
    if not data and (declared not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ):
        # Granian tells nobody that a body broke off. Half an ask is no JSON, but nothing of it must not pass for none.
        raise InvalidRequest("malformed_json", "the body broke off, or is in chunks and empty")
    return data


def _too_large(got: str) -> RequestTooLarge:
    return RequestTooLarge("request_too_large", f"the body must have at most {BODY_BYTES} bytes, got {got}")


def answer(grant: Vended) -> bytes:
    """A grant as the contract's JSON."""
    return orjson.dumps(_RENDERERS[type(grant)](grant), _plain)


def answer_batch(outcomes: Sequence[Outcome], problem: Callable[[BrokerError], dict[str, Any]]) -> bytes:
    """Grants and refusals in their order; `problem` makes the body of a refusal."""
    results = [
        {"status": one.status, "problem": problem(one)}
        if isinstance(one, BrokerError)
        else {"status": 200, "grant": _RENDERERS[type(one)](one)}
        for one in outcomes
    ]
    return orjson.dumps({"results": results}, _plain)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """What the library does not know, which is mappings that nobody may write to."""
    return dict(value)


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


def _render_form(grant: FormGrant) -> dict[str, Any]:
    return {"url": grant.url, "fields": grant.fields, "key": grant.key, "expires_at": iso(grant.expires_at)}


def _render_step(grant: StepGrant) -> dict[str, Any]:
    return {
        "key": grant.key,
        "step": grant.step,
        "requests": [_render_request(one) for one in grant.requests],
        "part_bytes": grant.part_bytes,
        "expires_at": iso(grant.expires_at),
    }


def _render_confirmation(found: Confirmation) -> dict[str, Any]:
    return {
        "bucket": found.bucket,
        "key": found.key,
        "content_type": found.content_type,
        "content_length": found.content_length,
        "etag": found.etag,
        "satisfies": not found.problems,
        "problems": found.problems,
    }


def _render_request(signed: SignedRequest) -> dict[str, Any]:
    told = {"method": signed.method, "url": signed.url, "headers": signed.headers}
    return told if signed.part_number is None else {**told, "part_number": signed.part_number}


_RENDERERS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    UrlGrant: _render_url,
    SignatureGrant: _render_signature,
    KeysGrant: _render_keys,
    FormGrant: _render_form,
    StepGrant: _render_step,
    Confirmation: _render_confirmation,
}


@lru_cache(maxsize=1024)
def iso(instant: int) -> str:
    """An instant as ISO 8601 in UTC; nowhere else do instants look so."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
