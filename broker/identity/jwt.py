"""JwtVerifier: an unverified bearer token -> a Principal.

PyJWT checks the signature; the claims are checked here, against the `now` of the request, because PyJWT reads a clock
of its own and lets `exp` be text or 10**30. Header fields that name a key (`jku`, `x5u`, `jwk`) are never looked at.
Specification: https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import sys
import threading
from collections.abc import Collection
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jwt
from cachetools import TLRUCache

from broker.errors import Unauthenticated
from broker.identity.principals import Principal
from broker.identity.public_keys import ALGORITHMS, VerifyingKey
from broker.strict_json import StrictJsonError, loads

__all__ = ["ALGORITHMS", "JwtVerifier"]

_MAX_TOKEN_BYTES = 8192
_LEEWAY_SECONDS = 30
_REMEMBERED_SECONDS = 60
_REMEMBERED_TOKENS = 10_000
_LAST_INSTANT = 253_402_300_799  # the last second of the year 9999
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Keys(Protocol):
    """Where verifying keys come from: `broker.identity.jwks.KeySet`."""

    def keys(self, kid: str | None) -> tuple[VerifyingKey, ...]:
        """The keys named `kid`, or all of them."""


class _Remembered(NamedTuple):
    principal: Principal
    until: int


class JwtVerifier:
    """Verifies tokens of one issuer for one audience, and remembers each until min(exp, 60 s)."""

    def __init__(self, key_set: Keys, issuer: str, audience: str, algorithms: Collection[str]) -> None:
        unknown = sorted(set(algorithms) - set(ALGORITHMS))
        if unknown or not algorithms:
            raise ValueError(f"algorithms must be some of {' '.join(ALGORITHMS)}, got {unknown or 'none'}")
        self._key_set = key_set
        self._issuer = issuer
        self._audience = audience
        self._algorithms = tuple(algorithms)
        self._jws = jwt.PyJWS(algorithms=self._algorithms)
        self._now = 0
        self._lock = threading.Lock()  # guards the memory and the instant it lives in
        self._memory: TLRUCache[bytes, _Remembered] = TLRUCache(
            _REMEMBERED_TOKENS, ttu=lambda _, remembered, __: remembered.until, timer=lambda: self._now
        )

    def verify(self, unverified_token: str, now: int) -> Principal:
        """The principal the token speaks for at `now`; Unauthenticated, or UpstreamUnavailable without keys."""
        if len(unverified_token) > _MAX_TOKEN_BYTES:
            raise Unauthenticated(f"expected a token of at most {_MAX_TOKEN_BYTES} bytes, got {len(unverified_token)}")
        fingerprint = hashlib.sha256(unverified_token.encode("utf-8", "replace")).digest()
        with self._lock:
            self._now = now
            try:
                return self._memory[fingerprint].principal
            except KeyError:
                pass
        claims = self._signed_claims(unverified_token)
        expires_at = self._check_times(claims, now)
        self._check_parties(claims)
        principal = Principal(MappingProxyType(self._shared(claims)))
        with self._lock:
            self._now = now
            self._memory[fingerprint] = _Remembered(principal, min(int(expires_at), now + _REMEMBERED_SECONDS))
        return principal

    def _signed_claims(self, unverified_token: str) -> dict[str, Any]:
        if _SHAPE.fullmatch(unverified_token) is None:
            raise Unauthenticated("expected one JWT of three base64url parts without padding, got something else")
        algorithm, kid = self._checked_header(unverified_token.partition(".")[0])
        fitting = [key for key in self._key_set.keys(kid) if algorithm in key.algorithms]
        if len(fitting) != 1:
            name = "token without kid" if kid is None else "token's kid and alg"
            raise Unauthenticated(f"expected exactly one key of the issuer to fit the {name}, got {len(fitting)}")
        try:
            payload = self._jws.decode(unverified_token, fitting[0].key, algorithms=[algorithm])
            claims = loads(payload)
        except jwt.PyJWTError:
            raise Unauthenticated("expected a signature by the issuer's key, got another one") from None
        except StrictJsonError as error:
            raise Unauthenticated(f"the token's claims: {error}") from None
        if not isinstance(claims, dict):
            raise Unauthenticated("expected the token's claims to be an object, got another JSON value")
        return claims

    def _shared(self, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims, with what thousands of remembered tokens have in common kept once: names, parties, scopes."""
        shared = {sys.intern(name): value for name, value in claims.items()}
        shared["iss"] = self._issuer
        if shared["aud"] == self._audience:
            shared["aud"] = self._audience
        if isinstance(scope := shared.get("scope"), str):
            shared["scope"] = sys.intern(scope)
        return shared

    def _checked_header(self, unverified_part: str) -> tuple[str, str | None]:
        try:
            header = loads(base64.urlsafe_b64decode(unverified_part + "=" * (-len(unverified_part) % 4)))
        except (binascii.Error, StrictJsonError):
            raise Unauthenticated("expected the token's header to be base64url of a JSON object, got none") from None
        if not isinstance(header, dict):
            raise Unauthenticated("expected the token's header to be an object, got another JSON value")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise Unauthenticated(f"expected alg {' or '.join(self._algorithms)}, got another one or none")
        if "crit" in header or "b64" in header:
            raise Unauthenticated("expected a token without crit and b64, got one with them")
        if "kid" in header and not isinstance(kid, str):
            raise Unauthenticated("expected the token's kid to be text, got another type")
        return algorithm, kid

    def _check_times(self, claims: dict[str, Any], now: int) -> float:
        """The instant the token ends, without the leeway; Unauthenticated outside of its life."""
        expires_at = _instant(claims, "exp")
        if expires_at is None:
            raise Unauthenticated("expected the token to have exp, got none")
        if now >= expires_at + _LEEWAY_SECONDS:
            raise Unauthenticated(f"the token expired {now - int(expires_at)} s ago, {_LEEWAY_SECONDS} s are allowed")
        for name in ("nbf", "iat"):
            starts_at = _instant(claims, name)
            if starts_at is not None and starts_at > now + _LEEWAY_SECONDS:
                raise Unauthenticated(
                    f"the token's {name} is {int(starts_at) - now} s ahead, {_LEEWAY_SECONDS} s are allowed"
                )
        return expires_at

    def _check_parties(self, claims: dict[str, Any]) -> None:
        if claims.get("iss") != self._issuer:
            raise Unauthenticated(f"expected iss {self._issuer!r}, got another one or none")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthenticated(f"expected aud {self._audience!r}, got another one or none")
        sub = claims.get("sub")
        if not isinstance(sub, str) or not sub:
            raise Unauthenticated("expected sub to be text that is not empty, got something else or none")


def _instant(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate in Unix seconds, None if the claim is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_INSTANT:
        raise Unauthenticated(f"expected {name} to be a number of seconds between 0 and {_LAST_INSTANT}, got another")
    return value
