"""Whose signature an STS call carries, and whether it is good: TC3-HMAC-SHA256, and the older form signature (v1).

A call is read without being believed (`read`), so that it can be counted and delayed; `authenticate` then finds the
key pair that signed it.

Specification: "Signature v3", https://cloud.tencent.com/document/api/1312/48203; v1, https://cloud.tencent.com/document/api/1312/48204
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.wrappers import Request

from broker.emulator.received import target
from broker.emulator.sessions import Session, Sessions

MAX_SKEW_SECONDS = 300

_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/\s]+)/([0-9-]{10})/([a-z]+)/tc3_request, *"
    r"SignedHeaders=([a-z0-9;-]+), *Signature=([0-9a-f]{64})"
)
# The parameters of every v1 call, beside those of its action.
_COMMON = frozenset("Action Version Region Timestamp Nonce SecretId Signature SignatureMethod Token Language".split())
# What `Call` begins with: members of the form in v1, headers after `X-TC-` in TC3.
_PROOF = ("Action", "Version", "Region", "Timestamp", "Token")
_HASHES = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}


class StsError(Exception):
    """STS refuses; `code` is as its SDKs report it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One STS call, not proven yet. `fields` is the v1 form, None for TC3."""

    action: str
    version: str
    region: str
    timestamp: str
    token: str
    parameters: Mapping[str, Any]
    fields: Mapping[str, str] | None


def is_call(request: Request) -> bool:
    """Whether a request to `/` is meant for STS and not for a bucket."""
    if target(request)[0] != "/":
        return False
    if "X-TC-Action" in request.headers or request.headers.get("Authorization", "").startswith("TC3-"):
        return True
    if request.method == "GET":
        return "Action" in dict(parse_qsl(target(request)[1]))
    return request.method == "POST" and request.mimetype in ("application/x-www-form-urlencoded", "application/json")


def read(request: Request, body: bytes) -> Call:
    """What is called, with which parameters. Raises StsError if it cannot be read."""
    text = target(request)[1] if request.method == "GET" else body.decode("utf-8", "replace")
    if "X-TC-Action" in request.headers or "Authorization" in request.headers:
        return _read_tc3(request, text)
    fields = dict(parse_qsl(text, keep_blank_values=True))
    parameters = {name: value for name, value in fields.items() if name not in _COMMON and name != "RequestClient"}
    action, version, region, timestamp, token = (fields.get(name, "") for name in _PROOF)
    return Call(action, version, region, timestamp, token, parameters, fields)


def authenticate(call: Call, request: Request, body: bytes, sessions: Sessions, now: float) -> Session:
    """The key pair whose holder signed exactly this call, and that works now."""
    _check_time(call.timestamp, now)
    session = _signer_tc3(call, request, body, sessions) if call.fields is None else _signer_v1(call, request, sessions)
    if not session.holds(call.token):
        raise StsError("AuthFailure.TokenFailure", "The token is not the one of this SecretId.")
    if session.is_expired(now):
        raise StsError("AuthFailure.TokenFailure", "The temporary key has expired.")
    return session


def tc3_canonical_request(method: str, query: str, headers: Sequence[tuple[str, str]], payload: bytes) -> str:
    """CanonicalRequest of a call to `/`; `headers` are the signed ones, in the signature's order."""
    lines = "".join(f"{name}:{value.strip()}\n" for name, value in headers)
    names = ";".join(name for name, _ in headers)
    return f"{method}\n/\n{query}\n{lines}\n{names}\n{hashlib.sha256(payload).hexdigest()}"


def tc3_string_to_sign(timestamp: int, service: str, canonical_request: str) -> str:
    """StringToSign: algorithm, time, scope and the hash of CanonicalRequest."""
    scope = f"{_date(timestamp)}/{service}/tc3_request"
    return f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"


def tc3_key(secret_key: str, date: str, service: str) -> bytes:
    """SecretSigning: the secret key bound to a day and a service."""
    key = f"TC3{secret_key}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def v1_signature(secret_key: str, method: str, host: str, fields: Mapping[str, str]) -> str:
    """Signature of the older form; values are signed as they are, not URL-encoded."""
    digest = _HASHES[fields.get("SignatureMethod", "HmacSHA1")]
    signed = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "Signature")
    return base64.b64encode(hmac.digest(secret_key.encode(), f"{method}{host}/?{signed}".encode(), digest)).decode()


def _read_tc3(request: Request, text: str) -> Call:
    try:
        parameters = dict(parse_qsl(text)) if request.method == "GET" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StsError("InvalidParameter", "The body is not JSON.") from error
    if not isinstance(parameters, dict):
        raise StsError("InvalidParameter", "The body must be a JSON object.")
    action, version, region, timestamp, token = (request.headers.get(f"X-TC-{name}", "") for name in _PROOF)
    return Call(action, version, region, timestamp, token, parameters, None)


def _check_time(timestamp: str, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise StsError("InvalidParameter", "The timestamp must be Unix seconds.")
    if abs(int(timestamp) - now) > MAX_SKEW_SECONDS:
        message = f"The signature is dated {timestamp}, more than {MAX_SKEW_SECONDS} seconds from {int(now)}."
        raise StsError("AuthFailure.SignatureExpire", message)


def _signer_tc3(call: Call, request: Request, body: bytes, sessions: Sessions) -> Session:
    found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        raise StsError("AuthFailure.InvalidAuthorization", "The Authorization header is not TC3-HMAC-SHA256's.")
    secret_id, date, service, listed, unverified_signature = found.groups()
    names = listed.split(";")
    if not {"content-type", "host"} <= set(names):
        raise StsError("AuthFailure.InvalidAuthorization", "content-type and host must be signed.")
    if (date, service) != (_date(int(call.timestamp)), "sts"):
        raise StsError("AuthFailure.SignatureFailure", "The credential's scope is not this day's sts/tc3_request.")
    session = _known(secret_id, sessions)
    key = tc3_key(session.secret_key, date, service)
    for canonical_request in _canonical_requests(request, names, body):
        string_to_sign = tc3_string_to_sign(int(call.timestamp), service, canonical_request)
        if _equal(hmac.digest(key, string_to_sign.encode(), "sha256").hex(), unverified_signature):
            return session
    raise StsError("AuthFailure.SignatureFailure", "The signature is not that of this request.")


def _canonical_requests(request: Request, names: Sequence[str], body: bytes) -> list[str]:
    unsigned = request.headers.get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD"
    payload = b"UNSIGNED-PAYLOAD" if unsigned else body
    query = target(request)[1]
    sent = [(name, request.headers.get(name, "")) for name in names]
    # The specification lower-cases values, the SDKs do not; it shows in x-tc-action only.
    lowered = [(name, value.lower()) for name, value in sent]
    return [tc3_canonical_request(request.method, query, headers, payload) for headers in (sent, lowered)]


def _signer_v1(call: Call, request: Request, sessions: Sessions) -> Session:
    fields = call.fields or {}
    if fields.get("SignatureMethod", "HmacSHA1") not in _HASHES:
        raise StsError("InvalidParameter", f"SignatureMethod must be one of {', '.join(_HASHES)}.")
    if missing := [name for name in ("SecretId", "Nonce", "Signature") if not fields.get(name)]:
        raise StsError("MissingParameter", f"The parameter {missing[0]} is missing.")
    session = _known(fields["SecretId"], sessions)
    signature = v1_signature(session.secret_key, request.method, request.headers.get("Host", ""), fields)
    if not _equal(signature, fields["Signature"]):
        raise StsError("AuthFailure.SignatureFailure", "The signature is not that of this request.")
    return session


def _known(secret_id: str, sessions: Sessions) -> Session:
    session = sessions.find(secret_id)
    if session is None:
        raise StsError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    return session


def _equal(signature: str, unverified_signature: str) -> bool:
    return hmac.compare_digest(signature.encode(), unverified_signature.encode())


def _date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
