"""A JSON Web Key Set as text -> the keys that may verify signatures, each with the algorithms it fits.

Only asymmetric keys, and only their public part: a private key in the set serves as its public half, a symmetric one is
ignored. Specification: https://www.rfc-editor.org/rfc/rfc7517, https://www.rfc-editor.org/rfc/rfc7518#section-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cryptography.hazmat.backends.openssl.backend  # noqa: F401  else the first signature waits for it
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import AllowedPublicKeys

from broker.strict_json import StrictJsonError, loads

# What a key of each type and curve may verify, and the members that make up its public part.
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_FITTING: dict[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_MIN_RSA_BITS = 2048

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


class KeySetError(Exception):
    """The text is no key set, or holds no usable key; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One public key of the set."""

    kid: str | None
    algorithms: frozenset[str]
    key: AllowedPublicKeys


def parse_key_set(data: bytes) -> tuple[VerifyingKey, ...]:
    """The usable keys of a set, at least one; unusable ones are left out, as RFC 7517 section 5 asks."""
    try:
        document = loads(data)
    except StrictJsonError as error:
        raise KeySetError(f"the key set is not JSON: {error}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeySetError('expected an object with a list "keys", got something else')
    keys = tuple(key for entry in entries if (key := _verifying_key(entry)) is not None)
    if not keys:
        raise KeySetError(f"expected at least one usable public key, got {len(entries)} keys and none usable")
    return keys


def _verifying_key(jwk: Any) -> VerifyingKey | None:
    if not isinstance(jwk, dict) or not _may_verify(jwk):
        return None
    algorithms = _algorithms(jwk)
    if not algorithms:
        return None
    public_part = {name: jwk[name] for name in _PUBLIC_MEMBERS[jwk["kty"]] if name in jwk}
    try:
        key = jwt.PyJWK(public_part, algorithm=min(algorithms)).key
    # Coordinates of a wrong type end in whatever the decoding met first.
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return VerifyingKey(jwk.get("kid"), algorithms, key)


def _may_verify(jwk: dict[str, Any]) -> bool:
    """Whether `use`, `key_ops` and `kid`, where present, allow and can name a verifying key."""
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(jwk.get("kid", ""), str)
    )


def _algorithms(jwk: dict[str, Any]) -> frozenset[str]:
    """The algorithms that fit type and curve, narrowed by the key's own `alg`."""
    kty, curve, alg = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    if not isinstance(kty, str) or not isinstance(curve, str | None):
        return frozenset()
    fitting = _FITTING.get((kty, None if kty == "RSA" else curve), frozenset())
    if "alg" not in jwk:
        return fitting
    return frozenset(name for name in fitting if name == alg)
