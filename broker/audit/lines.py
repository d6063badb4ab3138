"""Audit lines as text: what they tell of a visit, and nothing else.

Of a caller's own values a line holds what has passed validation, or what the refusal's `detail` quotes; all of it
redacted. Grants are many, and the standard library's way to write a line costs a fifth of a request: theirs are put
together by hand, around what many of them have in common.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from broker import logs
from broker.audit.visits import Visit
from broker.confirming import Confirmation
from broker.cos.requests import METHODS
from broker.credentials.credential import Credential
from broker.errors import named
from broker.policy.asks import ASKS
from broker.vending import FormGrant, KeysGrant, SignatureGrant, StepGrant, UrlGrant, Vended

LOGGER = "broker.audit"
_CHARACTERS = 128  # of a name
_OF_A_METHOD = (UrlGrant, SignatureGrant)


def level(status: int) -> int:
    """The level at which a refusal is told."""
    return logging.WARNING if status >= 500 else logging.INFO


def begun(visit: Visit, vend: str, credential: Credential, instant: float, seconds: float) -> str:
    """How the line of a grant begins: all but what is the grant's own. It is written at `instant`, after `seconds`."""
    principal = visit.principal
    common = _common(
        visit.route,
        vend,
        principal.sub if principal else None,
        principal.key_id if principal else None,
        credential.fingerprint,
        credential.secret_id,
        credential.request_id,
    )
    return (
        f'{{"time": "{logs.stamp(instant)}", {common}, "request_id": {_json(visit.request_id)}, '
        f'"latency_ms": {seconds * 1000:.3f}, '
    )


@lru_cache(maxsize=1024)
def _common(
    route: str | None,
    vend: str,
    sub: str | None,
    key_id: str | None,
    fingerprint: str,
    secret_id: str,
    sts_request_id: str,
) -> str:
    """What is the same in the lines of one caller's grants."""
    return (
        f'"level": "info", "logger": "{LOGGER}", "message": "granted", "route": "{route}", "vend": "{vend}", '
        f'"sub": {_json(sub, _CHARACTERS)}, "key_id": {_json(key_id)}, "fingerprint": "{fingerprint}", '
        f'"credential": {_json(secret_id[-6:])}, "sts_request_id": {_json(sts_request_id)}'
    )


def granted(beginning: str, grant: Vended, more: str = "") -> str:
    """The line of a grant."""
    # NOTE: in the form that json.dumps would give it, ASCII alone: those who read lines need not know whose it is.
    if isinstance(grant, _OF_A_METHOD):
        key, expires_at = _json(grant.key), grant.expires_at
        return f'{beginning}"method": "{grant.method}", "key": {key}, "expires_at": {expires_at}{more}}}\n'
    method, until, more = _others(grant, more)
    key = _json(grant.key_prefix if isinstance(grant, KeysGrant) else grant.key)
    return f'{beginning}"method": {method}, "key": {key}, "expires_at": {until}{more}}}\n'


def refused(
    visit: Visit,
    status: int,
    code: str,
    detail: str,
    instant: float,
    seconds: float,
    asked: Mapping[str, Any],
    item: int | None = None,
) -> str:
    """The line of a refusal; `asked` is as much of the ask as is known, unverified."""
    principal = visit.principal
    facts = {
        "time": logs.stamp(instant),
        "level": logging.getLevelName(level(status)).lower(),
        "logger": LOGGER,
        "message": "refused",
        "status": status,
        "code": code,
        "detail": logs.redact(detail),
        "route": visit.route,
        **_asked(asked),
        "sub": _shown(principal.sub if principal else None),
        "key_id": _shown(principal.key_id if principal else visit.key_id),
        "path": _quoted(None if visit.route else visit.path),
        "client": visit.client,
        "request_id": _shown(visit.request_id),
        "latency_ms": round(seconds * 1000, 3),
        "item": item,
    }
    if item is None:
        facts["vend"] = visit.vend
    return json.dumps({name: value for name, value in facts.items() if value is not None}) + "\n"


def _asked(unverified: Mapping[str, Any]) -> dict[str, str | None]:
    """What a refusal tells of an ask: names out of closed lists, and the key as a message would quote it."""
    vend, method, key = (unverified.get(name) for name in ("vend", "method", "key"))
    return {
        "vend": vend if isinstance(vend, str) and vend in ASKS else None,
        "method": method if isinstance(method, str) and method in METHODS else None,
        "key": _quoted(key) if isinstance(key, str) else None,
    }


def _others(grant: Vended, more: str) -> tuple[str, str, str]:
    """Method, the instant it dies, further members."""
    if isinstance(grant, Confirmation):
        return '"HEAD"', "null", more
    if isinstance(grant, KeysGrant):
        return "null", str(grant.credential.expires_at), more
    if isinstance(grant, StepGrant):
        more = f', "step": "{grant.step}", "requests": {len(grant.requests)}{more}'
    return '"POST"' if isinstance(grant, FormGrant) else "null", str(grant.expires_at), more


def _shown(text: str | None) -> str | None:
    return None if text is None else logs.redact(text)[:_CHARACTERS]


def _quoted(text: str | None) -> str | None:
    return None if text is None else logs.redact(named(text))


def _json(text: str | None, most: int | None = None) -> str:
    return "null" if text is None else encode_basestring_ascii(logs.redact(text)[:most])
