"""A clock that is told, and an issuer with a key of each kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = 1_800_000_000
CLAIMS = {"iss": "https://issuer.test", "aud": "broker", "sub": "u1", "exp": NOW + 600}


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """The instant, as a clock gives it."""
        return self.now

    def tick(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self.now += seconds


class Issuer:
    """Signs whatever it is asked to, and publishes its public keys."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "rsa-other": rsa.generate_private_key(65537, 2048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "p521": ec.generate_private_key(ec.SECP521R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwk(self, name: str, private: bool = False, **members: Any) -> dict[str, Any]:
        """The key `name` as a JWK, with `members` on top."""
        key = self.private[name] if private else self.private[name].public_key()
        algorithm = {"r": "RS256", "p": "ES256", "e": "EdDSA"}[name[0]]
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
        jwk.pop("key_ops", None)
        return {"kid": name, **jwk, **members}

    def jwks(self, *names: str) -> bytes:
        """A set of the named public keys, or of all."""
        return json.dumps({"keys": [self.jwk(name) for name in names or self.private]}).encode()

    def token(
        self, name: str = "rsa", alg: str = "RS256", header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token of CLAIMS and `claims` (None takes one away), signed by the key `name`, which is its kid."""
        merged = {key: value for key, value in {**CLAIMS, **claims}.items() if value is not None}
        full = {"alg": alg, "kid": name, **(header or {})}
        return self.raw(
            name, alg, json.dumps({k: v for k, v in full.items() if v is not None}), json.dumps(merged, allow_nan=True)
        )

    def raw(self, name: str, alg: str, header: str, payload: str) -> str:
        """A token of exactly these two texts, well signed."""
        signed = f"{part(header.encode())}.{part(payload.encode())}"
        signature = jwt.get_algorithm_by_name(alg).sign(signed.encode(), self.private[name])
        return f"{signed}.{part(signature)}"


def part(data: bytes) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def clock() -> Clock:
    """A clock at NOW."""
    return Clock()


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """One issuer for all: its keys are costly to make and never change."""
    return Issuer()
