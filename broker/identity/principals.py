"""Principal: an authenticated caller and its claims; Authenticator: which proof a request brings, and who checks it.

The checks themselves are elsewhere: bearer tokens in `jwt`, API keys in `api_keys`. A credential is checked by one of
them and by nothing else: what looks like a token is never tried as a key, and a bad credential is never anonymous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from broker.errors import Forbidden, Unauthenticated
from broker.rates import Rate

_MAX_CREDENTIAL_BYTES = 8192


@dataclass(frozen=True, slots=True, repr=False)
class Principal:
    """Who asks, proven (or `ANONYMOUS`).

    `key_id` is the API key that acts, for itself or for others; `routes` are those that key may use, None meaning all.
    `operations`: it may see how the broker is doing, `/metrics`. `rate` is what that key may have signed.
    """

    claims: Mapping[str, Any]
    key_id: str | None = None
    routes: frozenset[str] | None = None
    anonymous: bool = False
    operations: bool = False
    rate: Rate | None = None

    @property
    def sub(self) -> str | None:
        """The claim that names one caller; an API key alone has none unless its entry fixes one."""
        sub = self.claims.get("sub")
        return sub if isinstance(sub, str) else None

    def __repr__(self) -> str:
        # Claims may be personal; their names are not.
        return (
            f"Principal(sub={self.sub!r}, claims={sorted(self.claims)}, key_id={self.key_id!r}, "
            f"routes={None if self.routes is None else sorted(self.routes)}, anonymous={self.anonymous})"
        )


ANONYMOUS = Principal(claims=MappingProxyType({}), anonymous=True)


class TokenVerifier(Protocol):
    """What checks a JWT: `broker.identity.jwt.JwtVerifier`."""

    def verify(self, unverified_token: str, now: int) -> Principal:
        """The principal the token speaks for, or `Unauthenticated`."""


class KeyVerifier(Protocol):
    """What checks an API key: `broker.identity.api_keys.ApiKeys`."""

    def verify(
        self, unverified_key: str, unverified_principal: str | None, unverified_claims: str | None, now: int
    ) -> Principal:
        """The key's principal, or the one it acts for; `Unauthenticated` or `Forbidden`."""


class Authenticator:
    """Turns a request's identity headers into a principal, with the verifiers this broker has."""

    def __init__(
        self, jwt: TokenVerifier | None = None, api_keys: KeyVerifier | None = None, anonymous: bool = False
    ) -> None:
        self._jwt = jwt
        self._api_keys = api_keys
        self._anonymous = anonymous
        forms = ["a JWT (two dots)"] * (jwt is not None) + ["an API key ID.SECRET (one dot)"] * (api_keys is not None)
        self._expected = f"Authorization: Bearer with {' or '.join(forms)}" if forms else "no Authorization header"

    def authenticate(
        self,
        unverified_authorization: str | None,
        unverified_principal: str | None,
        unverified_claims: str | None,
        now: int,
    ) -> Principal:
        """The principal behind the values of Authorization, X-Principal and X-Principal-Claims (None: not sent)."""
        if unverified_authorization is None:
            if not self._anonymous:
                raise Unauthenticated(f"expected {self._expected}, got no Authorization header")
            principal = ANONYMOUS
        else:
            unverified_credential = self._bearer(unverified_authorization)
            dots = unverified_credential.count(".")
            if dots == 1 and self._api_keys is not None:
                return self._api_keys.verify(unverified_credential, unverified_principal, unverified_claims, now)
            if dots != 2 or self._jwt is None:
                raise Unauthenticated(f"expected {self._expected}, got a credential with {dots} dots")
            principal = self._jwt.verify(unverified_credential, now)
        if unverified_principal is not None or unverified_claims is not None:
            raise Forbidden("X-Principal and X-Principal-Claims are accepted only from an API key with acts_for")
        return principal

    def _bearer(self, unverified_authorization: str) -> str:
        scheme, _, unverified_credential = unverified_authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(f"expected {self._expected}, got another scheme")
        if len(unverified_credential) > _MAX_CREDENTIAL_BYTES:
            raise Unauthenticated(
                f"expected a credential of at most {_MAX_CREDENTIAL_BYTES} bytes, got {len(unverified_credential)}"
            )
        if not unverified_credential.isascii():
            raise Unauthenticated(f"expected {self._expected}, got characters outside ASCII")
        return unverified_credential.lstrip(" ")
