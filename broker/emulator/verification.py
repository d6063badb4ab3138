"""Whose signature a COS request carries, and whether it is good: the server's side of `broker.cos.signing`.

Names come from the signature's own lists, in the lists' order; values from the request. What the lists leave out is
simply not authenticated.

Specification: "Request Signature", https://cloud.tencent.com/document/product/436/7778; forms,
https://cloud.tencent.com/document/product/436/14690
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from broker.cos import signing
from broker.emulator.forms import Form
from broker.emulator.received import Received
from broker.emulator.refusals import CosError
from broker.emulator.sessions import Session, Sessions

_FIELDS = (
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
)
_FORM_FIELDS = ("q-sign-algorithm", "q-ak", "q-key-time", "q-signature")
_WINDOW = re.compile(r"([0-9]{1,12});([0-9]{1,12})")


class Signature(NamedTuple):
    """The fields of a signature; the lists hold encoded lower-case names."""

    secret_id: str
    sign_time: str
    key_time: str
    header_list: tuple[str, ...]
    param_list: tuple[str, ...]
    signature: str


def authenticate(received: Received, sessions: Sessions, now: float) -> Session:
    """The key pair whose holder signed exactly this request, and that works now."""
    signature = _signature(received)
    session = sessions.find(signature.secret_id)
    if session is None:
        raise CosError("InvalidAccessKeyId")
    windows = [_window(text) for text in (signature.sign_time, signature.key_time)]
    _compare(signature, session.secret_key, received)
    if not all(start <= int(now) <= end for start, end in windows):
        raise CosError("AccessDenied", "Request has expired")
    places = (received.headers, received.params)
    _check_token([place[signing.TOKEN_NAME] for place in places if signing.TOKEN_NAME in place], session, now)
    return session


def authenticate_form(form: Form, sessions: Sessions, now: float) -> Session:
    """The key pair whose holder signed the form's policy, and that works now; nothing but the policy is signed."""
    fields = form.fields
    if "policy" not in fields:
        raise CosError("AccessDenied")  # anonymous; every object here is private
    if missing := [name for name in _FORM_FIELDS if name not in fields]:
        raise CosError("InvalidArgument", f"The form has no field {missing[0]}.")
    _check_algorithm(fields["q-sign-algorithm"])
    session = sessions.find(fields["q-ak"])
    if session is None:
        raise CosError("InvalidAccessKeyId")
    start, end = _window(fields["q-key-time"])
    sign_key = signing.sign_key(session.secret_key, fields["q-key-time"])
    string_to_sign = hashlib.sha1(form.policy(), usedforsecurity=False).hexdigest()
    if not _is_signed(string_to_sign, sign_key, fields["q-signature"]):
        raise CosError("SignatureDoesNotMatch", details={"StringToSign": string_to_sign})
    if not start <= int(now) <= end:
        raise CosError("AccessDenied", "Request has expired")
    _check_token([fields[signing.TOKEN_NAME]] if signing.TOKEN_NAME in fields else [], session, now)
    return session


def _signature(received: Received) -> Signature:
    in_query = {name: value for name, value in received.params.items() if name in _FIELDS}
    texts = [received.headers.get("authorization", ""), received.params.get("sign", "")]
    found = [_fields(text) for text in texts if text] + [in_query] * bool(in_query)
    if not found:
        raise CosError("AccessDenied")  # anonymous; every object here is private
    if len(found) > 1:
        raise CosError("InvalidArgument", "The request carries more than one signature.")
    fields = found[0]
    if missing := [name for name in _FIELDS if name not in fields]:
        raise CosError("InvalidArgument", f"The signature has no field {missing[0]}.")
    _check_algorithm(fields["q-sign-algorithm"])
    return Signature(
        fields["q-ak"],
        fields["q-sign-time"],
        fields["q-key-time"],
        _list(fields["q-header-list"]),
        _list(fields["q-url-param-list"]),
        fields["q-signature"],
    )


def _check_algorithm(name: str) -> None:
    if name != "sha1":
        raise CosError("InvalidArgument", f"q-sign-algorithm must be sha1, got {name!r}.")


def _fields(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.strip().split("&")]
    return {name: value for name, _, value in pairs}


def _list(text: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in text.split(";") if name)


def _compare(signature: Signature, secret_key: str, received: Received) -> None:
    params = _pairs(signature.param_list, received.params)
    candidates = []
    for host in _hosts(received.host):
        headers = _pairs(signature.header_list, {**received.headers, "host": host})
        http_string = signing.http_string(received.method, received.key, params, headers)
        candidates.append((http_string, signing.string_to_sign(signature.sign_time, http_string)))
    sign_key = signing.sign_key(secret_key, signature.key_time)
    if not any(_is_signed(text, sign_key, signature.signature) for _, text in candidates):
        http_string, string_to_sign = candidates[0]
        raise CosError("SignatureDoesNotMatch", details={"StringToSign": string_to_sign, "FormatString": http_string})


def _pairs(names: Sequence[str], values: Mapping[str, str]) -> str:
    return "&".join(f"{name}={signing.encode(values.get(name, ''))}" for name in names)


def _hosts(host: str) -> Iterator[str]:
    yield host
    # The Python SDK signs `urlparse(url).hostname`, whatever port the request goes to.
    yield re.sub(r":[0-9]*$", "", host).strip("[]").lower()


def _is_signed(string_to_sign: str, sign_key: str, unverified_signature: str) -> bool:
    signature = hmac.digest(sign_key.encode(), string_to_sign.encode(), "sha1").hex()
    return hmac.compare_digest(signature.encode(), unverified_signature.encode())


def _window(text: str) -> tuple[int, int]:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise CosError("InvalidArgument", "q-sign-time and q-key-time must be START;END in Unix seconds.")
    return int(found[1]), int(found[2])


def _check_token(tokens: Sequence[str], session: Session, now: float) -> None:
    if not session.is_temporary and not tokens:
        return
    if not tokens:
        raise CosError("InvalidAccessKeyId", f"A temporary key needs its token in {signing.TOKEN_NAME}.")
    if not all(map(session.holds, tokens)):
        raise CosError("InvalidAccessKeyId", f"The {signing.TOKEN_NAME} is not the one of this SecretId.")
    if session.is_expired(now):
        raise CosError("InvalidAccessKeyId", "The temporary key has expired.")
