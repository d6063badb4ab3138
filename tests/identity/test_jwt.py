"""An unverified bearer token and the instant it is shown at -> a principal, or why not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.errors import Unauthenticated, UpstreamUnavailable
from broker.identity.jwt import ALGORITHMS, JwtVerifier
from broker.identity.public_keys import VerifyingKey, parse_key_set

NOW = 1_800_000_000


class KeysDouble:
    """A key set that is there, and counts who asks."""

    def __init__(self, jwks: bytes) -> None:
        self.all = parse_key_set(jwks)
        self.calls: list[str | None] = []

    def keys(self, kid: str | None) -> tuple[VerifyingKey, ...]:
        """The keys named `kid`, or all."""
        self.calls.append(kid)
        return self.all if kid is None else tuple(key for key in self.all if key.kid == kid)


def make_verifier(jwks: bytes, algorithms: tuple[str, ...] = ALGORITHMS) -> tuple[JwtVerifier, KeysDouble]:
    """A verifier of the issuer's tokens, and the keys it asks."""
    keys = KeysDouble(jwks)
    return JwtVerifier(keys, "https://issuer.test", "broker", algorithms), keys


@pytest.fixture
def verifier(issuer: Any) -> JwtVerifier:
    """A verifier that has every key and allows every algorithm."""
    return make_verifier(issuer.jwks())[0]


def refusal(verifier: JwtVerifier, token: str, now: int = NOW) -> str:
    """Why the token is refused; the reason holds no part of it."""
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(token, now)
    for piece in token.split("."):
        assert len(piece) < 8 or piece not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize(
    ("name", "alg"),
    [
        (name, alg)
        for name, algs in {"rsa": ALGORITHMS[:6], "p256": ["ES256"], "p384": ["ES384"]}.items()
        for alg in algs
    ]
    + [("p521", "ES512"), ("ed", "EdDSA")],
)
def test_each_algorithm(issuer: Any, verifier: JwtVerifier, name: str, alg: str) -> None:
    """A token signed with any listed algorithm is its sub, with all its claims and no API key."""
    principal = verifier.verify(issuer.token(name, alg, scope="avatars:write"), NOW)
    assert (principal.sub, principal.claims["scope"]) == ("u1", "avatars:write")
    assert (principal.key_id, principal.routes, principal.anonymous) == (None, None, False)


def test_algorithms_are_asymmetric() -> None:
    """No setting admits a shared secret or none."""
    assert all(name.startswith(("RS", "PS", "ES", "Ed")) for name in ALGORITHMS)
    for refused in (["HS256"], ["none"], ["RS256", "ES256K"], []):
        with pytest.raises(ValueError, match="algorithms must be some of RS256"):
            JwtVerifier(KeysDouble.__new__(KeysDouble), "i", "a", refused)


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS1", None, 5, ["RS256"]])
def test_algorithm_named_by_the_token(issuer: Any, verifier: JwtVerifier, alg: Any) -> None:
    """The algorithm is the configuration's choice, whatever the header says."""
    head, body, signature = issuer.token().split(".")
    forged = issuer.token(header={"alg": alg}).split(".")[0]
    assert verifier.verify(f"{head}.{body}.{signature}", NOW)
    assert "expected alg" in refusal(verifier, f"{forged}.{body}.{signature}")
    assert "expected one JWT of three" in refusal(verifier, f"{forged}.{body}.")


def test_hmac_with_the_public_key(issuer: Any) -> None:
    """The public key is no shared secret, however the token asks for it."""
    pem = issuer.private["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = issuer.token(header={"alg": "HS256"}).rpartition(".")[0]
    signature = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert "expected alg" in refusal(make_verifier(issuer.jwks())[0], token)


def test_algorithm_outside_the_configured(issuer: Any) -> None:
    """A sound algorithm that this broker does not name is refused."""
    verifier, _ = make_verifier(issuer.jwks(), ("RS256",))
    verifier.verify(issuer.token("rsa", "RS256"), NOW)
    assert "expected alg RS256" in refusal(verifier, issuer.token("rsa", "RS384"))
    assert "expected alg RS256" in refusal(verifier, issuer.token("p256", "ES256"))


@pytest.mark.parametrize(
    ("signer", "alg", "kid"),
    [
        ("p384", "ES384", "p256"),
        ("p256", "ES256", "p384"),
        ("rsa", "RS256", "p256"),
        ("p256", "ES256", "rsa"),
        ("ed", "EdDSA", "p256"),
        ("rsa", "RS256", "ed"),
    ],
)
def test_algorithm_that_does_not_fit_the_key(
    issuer: Any, verifier: JwtVerifier, signer: str, alg: str, kid: str
) -> None:
    """Type and curve of the named key decide which algorithm it can check."""
    verifier.verify(issuer.token(signer, alg), NOW)
    assert "exactly one key" in refusal(verifier, issuer.token(signer, alg, header={"kid": kid}))


def test_es256_signature_by_another_curve(issuer: Any, verifier: JwtVerifier) -> None:
    """ES256 means P-256: a P-384 signature over the same hash passes under neither key's name."""
    payload = json.dumps({"iss": "https://issuer.test", "aud": "broker", "sub": "u1", "exp": NOW + 60})
    for kid, reason in [("p384", "exactly one key"), ("p256", "expected a signature")]:
        header = json.dumps({"alg": "ES256", "kid": kid})
        assert verifier.verify(issuer.raw("p256", "ES256", header.replace("384", "256"), payload), NOW)
        assert reason in refusal(verifier, issuer.raw("p384", "ES256", header, payload))


@pytest.mark.parametrize(
    ("members", "fits"),
    [
        ({}, True),
        ({"alg": "RS256"}, True),
        ({"alg": "RS384"}, False),
        ({"use": "sig"}, True),
        ({"use": "enc"}, False),
        ({"key_ops": ["verify"]}, True),
        ({"key_ops": ["encrypt"]}, False),
        ({"key_ops": "verify"}, False),
    ],
)
def test_what_the_key_is_for(issuer: Any, members: dict[str, Any], fits: bool) -> None:
    """A key's own alg, use and key_ops narrow what it verifies."""
    jwks = json.dumps({"keys": [issuer.jwk("rsa", **members), issuer.jwk("p256")]}).encode()
    verifier, _ = make_verifier(jwks)
    if fits:
        assert verifier.verify(issuer.token(), NOW).sub == "u1"
    else:
        assert "exactly one key" in refusal(verifier, issuer.token())


def test_signature_by_another_key(issuer: Any, verifier: JwtVerifier) -> None:
    """The name of a key does not stand for its signature."""
    verifier.verify(issuer.token("rsa-other"), NOW)
    assert "expected a signature" in refusal(verifier, issuer.token("rsa-other", header={"kid": "rsa"}))


def test_changed_claims(issuer: Any, verifier: JwtVerifier) -> None:
    """Claims of one token under the signature of another are refused, also once the first is remembered."""
    head, _, signature = issuer.token().split(".")
    verifier.verify(issuer.token(), NOW)
    other = issuer.token(sub="admin").split(".")[1]
    assert "expected a signature" in refusal(verifier, f"{head}.{other}.{signature}")


@pytest.mark.parametrize("kid", ["../../etc/passwd", "x' OR '1'='1", "", "RSA", "rsa\x00", "https://evil.test/k"])
def test_unknown_kid(issuer: Any, kid: str) -> None:
    """A kid is compared whole and is nothing but a name."""
    verifier, keys = make_verifier(issuer.jwks())
    assert "exactly one key" in refusal(verifier, issuer.token(header={"kid": kid}))
    assert keys.calls == [kid]


@pytest.mark.parametrize("kid", [1, ["rsa"], {"rsa": 1}, True])
def test_kid_that_is_no_text(issuer: Any, verifier: JwtVerifier, kid: Any) -> None:
    """A kid of another type is refused before any key is looked for."""
    assert "kid to be text" in refusal(verifier, issuer.token(header={"kid": kid}))


def test_kid_missing(issuer: Any) -> None:
    """Without a name exactly one key must fit; two leave it open which was meant."""
    token = issuer.token(header={"kid": None})
    assert make_verifier(issuer.jwks("rsa", "p256"))[0].verify(token, NOW).sub == "u1"
    assert "exactly one key" in refusal(make_verifier(issuer.jwks("rsa", "rsa-other"))[0], token)
    assert "exactly one key" in refusal(make_verifier(issuer.jwks("p256"))[0], token)


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"b64": True}])
def test_critical_extension(issuer: Any, verifier: JwtVerifier, header: dict[str, Any]) -> None:
    """An extension that must be understood is refused, since none is."""
    assert "crit and b64" in refusal(verifier, issuer.token(header=header))


def test_keys_brought_by_the_token(issuer: Any, verifier: JwtVerifier) -> None:
    """Keys and addresses inside the header are never looked at: the named key decides."""
    brought = {"jwk": issuer.jwk("rsa-other"), "jku": "https://evil.test/", "x5u": "https://evil.test/", "x5c": ["AA"]}
    assert verifier.verify(issuer.token(header=brought), NOW).sub == "u1"
    assert "expected a signature" in refusal(verifier, issuer.token("rsa-other", header={**brought, "kid": "rsa"}))


def test_expiry_with_leeway(issuer: Any) -> None:
    """A token ends 30 s after its exp, by the caller's clock."""
    for late, accepted in [(-1, True), (0, True), (29, True), (30, False), (31, False)]:
        verifier, _ = make_verifier(issuer.jwks())
        token = issuer.token(exp=NOW - late)
        if accepted:
            assert verifier.verify(token, NOW).sub == "u1"
        else:
            assert f"expired {late} s ago" in refusal(verifier, token)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_token_from_the_future(issuer: Any, verifier: JwtVerifier, name: str) -> None:
    """Clocks may differ by 30 s, not by 31."""
    assert verifier.verify(issuer.token(**{name: NOW + 30}), NOW).sub == "u1"
    assert f"{name} is 31 s ahead" in refusal(verifier, issuer.token(**{name: NOW + 31}))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [str(NOW + 60), True, 10**30, 1e300, -1, [NOW], {"at": NOW}, (NOW + 60) * 1000, "\u0661\u0662"]
)
def test_instant_that_is_no_number_of_seconds(issuer: Any, verifier: JwtVerifier, name: str, value: Any) -> None:
    """Text, booleans, milliseconds and absurd numbers are no instants."""
    assert f"expected {name} to be a number" in refusal(verifier, issuer.token(**{name: value}))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "null"])
def test_instant_outside_json(issuer: Any, verifier: JwtVerifier, text: str) -> None:
    """An exp that compares with nothing does not live forever."""
    payload = '{"iss": "https://issuer.test", "aud": "broker", "sub": "u1", "exp": %s}'
    header = '{"alg": "RS256", "kid": "rsa"}'
    assert verifier.verify(issuer.raw("rsa", "RS256", header, payload % (NOW + 60)), NOW)
    refusal(verifier, issuer.raw("rsa", "RS256", header, payload % text))


def test_fractional_expiry(issuer: Any, verifier: JwtVerifier) -> None:
    """A NumericDate may have a fraction."""
    assert verifier.verify(issuer.token(exp=NOW + 0.5), NOW).sub == "u1"


@pytest.mark.parametrize("name", ["exp", "iss", "aud", "sub"])
def test_claim_missing(issuer: Any, verifier: JwtVerifier, name: str) -> None:
    """Each of the four is required."""
    assert name in refusal(verifier, issuer.token(**{name: None}))


@pytest.mark.parametrize(
    ("claim", "value", "accepted"),
    [
        ("iss", "https://issuer.test", True),
        ("iss", "https://issuer.test/", False),
        ("iss", ["https://issuer.test"], False),
        ("aud", "broker", True),
        ("aud", ["other", "broker"], True),
        ("aud", "other", False),
        ("aud", ["other"], False),
        ("aud", [], False),
        ("aud", "brokers", False),
        ("aud", {"broker": 1}, False),
        ("sub", "u1", True),
        ("sub", "", False),
        ("sub", 7, False),
        ("sub", ["u1"], False),
    ],
)
def test_parties(issuer: Any, verifier: JwtVerifier, claim: str, value: Any, accepted: bool) -> None:
    """Issuer and audience are compared whole; a list of audiences must hold ours; sub is text."""
    token = issuer.token(**{claim: value})
    if accepted:
        assert verifier.verify(token, NOW).claims[claim] == value
    else:
        assert claim in refusal(verifier, token)


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ('{"alg": "RS256", "kid": "rsa"}', '{"sub": "u1", "sub": "admin"}'),
        ('{"alg": "RS256", "alg": "none", "kid": "rsa"}', "{}"),
        ('{"alg": "RS256", "kid": "rsa"}', '["sub"]'),
        ('{"alg": "RS256", "kid": "rsa"}', "not json"),
        ('["RS256"]', "{}"),
        ("not json", "{}"),
    ],
)
def test_parts_that_are_no_object(issuer: Any, verifier: JwtVerifier, header: str, payload: str) -> None:
    """Both JSON parts are objects with one reading, however well they are signed."""
    refusal(verifier, issuer.raw("rsa", "RS256", header, payload))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token + "A",
        lambda token: token[:-1],
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.replace(".", "..", 1),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "." + token.partition(".")[2],
        lambda token: token + ", Bearer x",
        lambda token: token[:-1] + "\u0661",
        lambda token: "..",
        lambda token: "a.b.c",
    ],
)
def test_shape(issuer: Any, verifier: JwtVerifier, change: Any) -> None:
    """Three unpadded base64url parts, in their one spelling, and nothing around them."""
    token = issuer.token()
    verifier.verify(token, NOW)
    refusal(verifier, change(token))


def test_length_of_a_token(issuer: Any, verifier: JwtVerifier) -> None:
    """8 KiB are read, more are not."""
    short = issuer.token(pad="x" * 5000)
    assert len(short) < 8192
    assert verifier.verify(short, NOW).sub == "u1"
    assert "at most 8192 bytes" in refusal(verifier, issuer.token(pad="x" * 6000))


def test_warm_token(issuer: Any) -> None:
    """A verified token costs no second look at the keys for 60 s, and one after that."""
    verifier, keys = make_verifier(issuer.jwks())
    token = issuer.token()
    first = verifier.verify(token, NOW)
    assert verifier.verify(token, NOW + 59) is first
    assert len(keys.calls) == 1
    verifier.verify(token, NOW + 60)
    assert len(keys.calls) == 2


def test_warm_token_that_expires(issuer: Any) -> None:
    """Memory never outlives exp; the leeway is checked anew each time."""
    verifier, keys = make_verifier(issuer.jwks())
    token = issuer.token(exp=NOW + 10)
    for at, looks in [(0, 1), (9, 1), (10, 2), (39, 3)]:
        verifier.verify(token, NOW + at)
        assert len(keys.calls) == looks
    refusal(verifier, token, NOW + 40)


def test_refused_token_is_not_remembered(issuer: Any, verifier: JwtVerifier) -> None:
    """A token that starts later is refused now and accepted then."""
    token = issuer.token(nbf=NOW + 100)
    refusal(verifier, token)
    assert verifier.verify(token, NOW + 100).sub == "u1"


def test_claims_cannot_be_changed(issuer: Any, verifier: JwtVerifier) -> None:
    """A remembered principal is shared between requests, so nobody may write to it."""
    principal = verifier.verify(issuer.token(), NOW)
    with pytest.raises(TypeError):
        principal.claims["sub"] = "admin"  # type: ignore[index]


@pytest.mark.parametrize("name", ["nickname", "scope"])
@pytest.mark.parametrize("value", [None, 1, ["a"], {"a": None}, "", "a b"])
def test_any_other_claim(issuer: Any, verifier: JwtVerifier, name: str, value: Any) -> None:
    """What the other claims hold is not for us to judge, null and `scope` included."""
    header = json.dumps({"alg": "RS256", "kid": "rsa"})
    token = issuer.raw(
        "rsa",
        "RS256",
        header,
        json.dumps({"iss": "https://issuer.test", "aud": "broker", "sub": "u1", "exp": NOW + 600, name: value}),
    )
    assert verifier.verify(token, NOW).claims[name] == value


def test_what_claims_have_in_common(issuer: Any, verifier: JwtVerifier) -> None:
    """Of thousands of remembered tokens, names, parties and scopes are in memory once."""
    one, other = (
        verifier.verify(issuer.token(sub=sub, scope="a b", aud=aud), NOW).claims
        for sub, aud in (("u1", "broker"), ("u2", "broker"))
    )
    assert all(one[name] is other[name] for name in ("iss", "aud", "scope"))
    assert all(mine is theirs for mine, theirs in zip(one, other, strict=True))
    assert verifier.verify(issuer.token(aud=["other", "broker"]), NOW).claims["aud"] == ["other", "broker"]


def test_many_threads(issuer: Any, verifier: JwtVerifier) -> None:
    """Threads that share the memory all get their own token's sub."""
    tokens = {f"u{n}": issuer.token("ed", "EdDSA", sub=f"u{n}") for n in range(8)}
    barrier, wrong = threading.Barrier(8), []

    def ask(sub: str) -> None:
        barrier.wait(5)
        wrong.extend(sub for _ in range(50) if verifier.verify(tokens[sub], NOW).sub != sub)

    threads = [threading.Thread(target=ask, args=(sub,)) for sub in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert wrong == []


def test_keys_not_loaded(issuer: Any) -> None:
    """Without keys a token is neither good nor bad: 503, not 401."""

    class NoKeys:
        def keys(self, kid: str | None) -> tuple[VerifyingKey, ...]:
            raise UpstreamUnavailable("identity_unavailable", "not loaded")

    with pytest.raises(UpstreamUnavailable):
        JwtVerifier(NoKeys(), "https://issuer.test", "broker", ALGORITHMS).verify(issuer.token(), NOW)
