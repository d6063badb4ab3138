"""A key set as text -> the keys that may verify, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from broker.identity.public_keys import ALGORITHMS, KeySetError, VerifyingKey, parse_key_set


def parse(*jwks: Any) -> tuple[VerifyingKey, ...]:
    """The usable ones among `jwks`."""
    return parse_key_set(json.dumps({"keys": jwks}).encode())


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("rsa", set(ALGORITHMS[:6])),
        ("p256", {"ES256"}),
        ("p384", {"ES384"}),
        ("p521", {"ES512"}),
        ("ed", {"EdDSA"}),
    ],
)
def test_algorithms_of_a_key(issuer: Any, name: str, algorithms: set[str]) -> None:
    """Type and curve say which algorithms fit."""
    (key,) = parse(issuer.jwk(name))
    assert (key.kid, key.algorithms) == (name, algorithms)


def test_private_key_in_the_set(issuer: Any) -> None:
    """Of a private key only the public half is kept, whatever its private members hold."""
    for name in ("rsa", "p256", "ed"):
        (key,) = parse(issuer.jwk(name, private=True, d="AAAA"))
        assert not hasattr(key.key, "sign")
        assert hasattr(key.key, "verify")


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "kid": "s", "k": "AAAA"},
        {"kty": "oct", "kid": "s", "k": "AAAA", "alg": "RS256"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB", "e": None},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": ["P-256"], "x": "A" * 43, "y": "A" * 43},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": ["RSA"]},
        {},
        "RSA",
        None,
    ],
)
def test_unusable_key_beside_a_good_one(issuer: Any, unusable: Any) -> None:
    """What cannot verify is left out; alone, it makes the set unusable."""
    assert [key.kid for key in parse(unusable, issuer.jwk("p256"))] == ["p256"]
    with pytest.raises(KeySetError, match="got 1 keys and none usable"):
        parse(unusable)


@pytest.mark.parametrize(
    ("members", "usable"),
    [
        ({"use": "sig"}, True),
        ({"use": "enc"}, False),
        ({"use": None}, False),
        ({"alg": "ES256"}, True),
        ({"alg": "ES384"}, False),
        ({"alg": "HS256"}, False),
        ({"alg": None}, False),
        ({"alg": ["ES256"]}, False),
        ({"key_ops": ["sign", "verify"]}, True),
        ({"key_ops": ["sign"]}, False),
        ({"key_ops": []}, False),
        ({"kid": "a"}, True),
        ({"kid": 5}, False),
    ],
)
def test_what_a_key_is_for(issuer: Any, members: dict[str, Any], usable: bool) -> None:
    """A member that is there counts, whatever its type."""
    kids = [key.kid for key in parse(issuer.jwk("p256", **members), issuer.jwk("ed"))]
    assert len(kids) == 1 + usable


def test_key_without_a_name(issuer: Any) -> None:
    """A kid is optional."""
    jwk = issuer.jwk("p256")
    del jwk["kid"]
    assert parse(jwk)[0].kid is None


def test_short_rsa_key(issuer: Any) -> None:
    """An RSA key of fewer than 2048 bits is unusable."""
    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    assert [key.kid for key in parse(short, issuer.jwk("rsa"))] == ["rsa"]


@pytest.mark.parametrize(
    "text",
    [b"", b"not json", b"[]", b'"x"', b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [], "keys": []}', b"\xff"],
)
def test_text_that_is_no_key_set(text: bytes) -> None:
    """A set is an object with a list of keys, at least one of them usable."""
    with pytest.raises(KeySetError):
        parse_key_set(text)


def test_message_quotes_nothing(issuer: Any) -> None:
    """Key material never enters a message."""
    for text in (b'{"keys": [{"kty": "oct", "k": "hunter2"}]}', b'{"hunter2": 1', b'{"keys": "hunter2"}'):
        with pytest.raises(KeySetError) as caught:
            parse_key_set(text)
        assert "hunter2" not in str(caught.value)
