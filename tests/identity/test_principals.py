"""Which proof a request brings, and who checks it."""

from __future__ import annotations

import pytest

from broker.errors import Forbidden, Unauthenticated
from broker.identity.principals import ANONYMOUS, Authenticator, Principal

NOW = 1_800_000_000
TOKEN = "head.body.signature"
KEY = "bff.hunter2"


class TokensDouble:
    """Accepts one token, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def verify(self, unverified_token: str, now: int) -> Principal:
        """A principal for TOKEN."""
        self.calls.append((unverified_token, now))
        if unverified_token != TOKEN:
            raise Unauthenticated("no such token")
        return Principal({"sub": "by-token"})


class KeysDouble:
    """Accepts one key, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, str | None, int]] = []

    def verify(
        self, unverified_key: str, unverified_principal: str | None, unverified_claims: str | None, now: int
    ) -> Principal:
        """A principal for KEY."""
        self.calls.append((unverified_key, unverified_principal, unverified_claims, now))
        if unverified_key != KEY:
            raise Unauthenticated("no such key")
        return Principal({}, key_id="bff")


@pytest.fixture
def tokens() -> TokensDouble:
    """A verifier of tokens."""
    return TokensDouble()


@pytest.fixture
def keys() -> KeysDouble:
    """A verifier of API keys."""
    return KeysDouble()


@pytest.fixture
def authenticator(tokens: TokensDouble, keys: KeysDouble) -> Authenticator:
    """One with everything, which admits strangers too."""
    return Authenticator(jwt=tokens, api_keys=keys, anonymous=True)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_scheme_in_any_case(authenticator: Authenticator, tokens: TokensDouble, scheme: str) -> None:
    """The scheme's case does not matter; what follows arrives untouched."""
    assert authenticator.authenticate(f"{scheme} {TOKEN}", None, None, NOW).sub == "by-token"
    assert tokens.calls == [(TOKEN, NOW)]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic YTpi", f"Token {TOKEN}", TOKEN, f"Bearer\t{TOKEN}", f"Beare {TOKEN}", f" Bearer {TOKEN}"],
)
def test_another_scheme(authenticator: Authenticator, authorization: str) -> None:
    """Whatever is not Bearer is refused, even where nothing at all would be admitted."""
    assert authenticator.authenticate(None, None, None, NOW) is ANONYMOUS
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(authorization, None, None, NOW)


def test_two_dots_go_to_the_token_verifier_alone(
    authenticator: Authenticator, tokens: TokensDouble, keys: KeysDouble
) -> None:
    """A bad token is never tried as a key, and never anonymous."""
    with pytest.raises(Unauthenticated, match="no such token"):
        authenticator.authenticate("Bearer a.b.c", None, None, NOW)
    assert (len(tokens.calls), len(keys.calls)) == (1, 0)


def test_one_dot_goes_to_the_key_verifier_alone(
    authenticator: Authenticator, tokens: TokensDouble, keys: KeysDouble
) -> None:
    """A bad key is never tried as a token, and never anonymous."""
    with pytest.raises(Unauthenticated, match="no such key"):
        authenticator.authenticate("Bearer a.b", None, None, NOW)
    assert (len(tokens.calls), len(keys.calls)) == (0, 1)


@pytest.mark.parametrize("credential", ["", "nodots", "a.b.c.d", "a.b.c, Bearer d.e.f", "....", "a b"])
def test_other_numbers_of_dots(
    authenticator: Authenticator, tokens: TokensDouble, keys: KeysDouble, credential: str
) -> None:
    """Nobody is asked about a credential that is neither form."""
    with pytest.raises(Unauthenticated, match=r"JWT \(two dots\) or an API key ID\.SECRET \(one dot\)"):
        authenticator.authenticate(f"Bearer {credential}", None, None, NOW)
    assert (tokens.calls, keys.calls) == ([], [])


def test_two_keys_joined_by_a_comma(authenticator: Authenticator) -> None:
    """Two Authorization headers folded into one value are no credential, though each of them is."""
    assert authenticator.authenticate(f"Bearer {KEY}", None, None, NOW).key_id == "bff"
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(f"Bearer {KEY}, Bearer {KEY}", None, None, NOW)


def test_credential_without_its_verifier(tokens: TokensDouble, keys: KeysDouble) -> None:
    """A form this broker has no verifier for is refused, and the message names the form it has."""
    with pytest.raises(Unauthenticated, match="API key"):
        Authenticator(api_keys=keys, anonymous=True).authenticate(f"Bearer {TOKEN}", None, None, NOW)
    with pytest.raises(Unauthenticated, match="JWT"):
        Authenticator(jwt=tokens, anonymous=True).authenticate(f"Bearer {KEY}", None, None, NOW)
    with pytest.raises(Unauthenticated, match="no Authorization header"):
        Authenticator(anonymous=True).authenticate(f"Bearer {KEY}", None, None, NOW)


def test_no_authorization(tokens: TokensDouble) -> None:
    """Nothing proves nothing: anonymous where that is allowed, else 401."""
    assert Authenticator(jwt=tokens, anonymous=True).authenticate(None, None, None, NOW) is ANONYMOUS
    with pytest.raises(Unauthenticated, match="no Authorization header"):
        Authenticator(jwt=tokens).authenticate(None, None, None, NOW)


@pytest.mark.parametrize("authorization", [None, f"Bearer {TOKEN}"])
@pytest.mark.parametrize(("principal", "claims"), [("u2", None), (None, "e30"), ("", None), (None, "")])
def test_acting_without_an_api_key(
    authenticator: Authenticator, authorization: str | None, principal: str | None, claims: str | None
) -> None:
    """X-Principal headers are refused, not ignored, from anyone who may not act for others; empty ones too."""
    authenticator.authenticate(authorization, None, None, NOW)
    with pytest.raises(Forbidden, match="acts_for"):
        authenticator.authenticate(authorization, principal, claims, NOW)


def test_bad_token_with_principal_header(authenticator: Authenticator) -> None:
    """Who asks comes before what they may: a stranger learns nothing about X-Principal."""
    with pytest.raises(Unauthenticated):
        authenticator.authenticate("Bearer a.b.c", "u2", None, NOW)


def test_acting_with_an_api_key(authenticator: Authenticator, keys: KeysDouble) -> None:
    """The key's own verifier decides about the headers."""
    authenticator.authenticate(f"Bearer {KEY}", "u2", "e30", NOW)
    assert keys.calls == [(KEY, "u2", "e30", NOW)]


def test_length_of_the_credential(authenticator: Authenticator, keys: KeysDouble) -> None:
    """8192 bytes are looked at, one more is not."""
    for length, looked_at in [(8192, 1), (8193, 1)]:
        with pytest.raises(Unauthenticated, match="no such key" if length == 8192 else "at most 8192 bytes, got 8193"):
            authenticator.authenticate("Bearer a." + "b" * (length - 2), None, None, NOW)
        assert len(keys.calls) == looked_at


def test_characters_outside_ascii(authenticator: Authenticator, keys: KeysDouble) -> None:
    """A credential is ASCII; nothing is folded into it."""
    with pytest.raises(Unauthenticated, match="outside ASCII"):
        authenticator.authenticate("Bearer bff.hunter\u00b2", None, None, NOW)
    assert keys.calls == []


@pytest.mark.parametrize("authorization", ["hunter2", "Bearer hunter2", "Bearer a.hunter2.b.c", "hunter2 a.b"])
def test_message_holds_no_credential(authenticator: Authenticator, authorization: str) -> None:
    """A refusal says what was expected and nothing of what came."""
    with pytest.raises(Unauthenticated) as caught:
        authenticator.authenticate(authorization, None, None, NOW)
    assert "hunter2" not in caught.value.detail


def test_repr_of_a_principal() -> None:
    """Claims are named; only the value of sub is shown."""
    shown = repr(Principal({"sub": "u1", "email": "a@example.com"}, key_id="bff", routes=frozenset({"avatars"})))
    assert shown == "Principal(sub='u1', claims=['email', 'sub'], key_id='bff', routes=['avatars'], anonymous=False)"


@pytest.mark.parametrize(("claims", "sub"), [({}, None), ({"sub": "u1"}, "u1"), ({"sub": 7}, None)])
def test_sub(claims: dict[str, object], sub: str | None) -> None:
    """Only text names a caller."""
    assert Principal(claims).sub == sub
