"""Whatever template and key: a key is admitted if, and only if, some legal filling of the template gives exactly it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from broker.patterns import Pattern
from broker.policy.flaws import flaw, key_flaw
from broker.policy.templates import Claim, Date, Input, InputSpec, Literal, Part, ProvenClaims, Uuid, is_date, template
from tests.fuzz.conftest import FUZZ

UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
LETTERS = ["a", "b", "u1", "u10", "/", ".", "..", "-", "*", "%", "\u00e9", "e\u0301", "{", "\ud800"]
TEXT = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join)
SPECS = {
    "free": InputSpec(None, None, 128, path=False),
    "short": InputSpec(None, None, 2, path=False),
    "some": InputSpec(("a", "ab", "b"), None, 128, path=False),
    "only": InputSpec(None, Pattern("[ab]+|u1"), 128, path=False),
    "path": InputSpec(None, None, 128, path=True),
}
CLAIMS = ProvenClaims({"sub": "u1", "tenant": "a"})
PART = (
    TEXT.map(Literal)
    | st.sampled_from(list(CLAIMS)).map(Claim)
    | st.sampled_from(list(SPECS)).map(Input)
    | st.just(Uuid())
    | st.just(Date())
)
PARTS = st.lists(PART, min_size=1, max_size=4)
# Few letters, so that there are many ways to cut a key, and few of them right.
AMBIGUOUS = st.lists(
    st.sampled_from([Input("short"), Input("some"), Input("only"), Literal("a"), Literal("b/")]), min_size=2, max_size=5
)
FILLING = TEXT | st.sampled_from(["a", "u1", UUID, "2026/02/28", "2026/02/30"])


def fills(part: Part, text: str) -> bool:
    """Whether a part may stand for exactly this text, by the words of its own description."""
    if isinstance(part, Literal):
        return text == part.text
    if isinstance(part, Claim):
        return text == CLAIMS[part.name]
    if isinstance(part, Uuid):
        return text == UUID
    if isinstance(part, Date):
        return is_date(text)
    spec = SPECS[part.name]
    if spec.enum is not None:
        return text in spec.enum
    fitting = spec.pattern is None or spec.pattern.matches(text)
    return (
        fitting and len(text.encode("utf-8", "surrogatepass")) <= spec.max_bytes and flaw(text, path=spec.path) is None
    )


def some_filling(parts: Sequence[Part], key: str) -> bool:
    """Whether the key can be cut into texts that fill the parts, looking at every way to cut it."""
    if not parts:
        return key == ""
    first, *rest = parts
    return any(fills(first, key[:end]) and some_filling(rest, key[end:]) for end in range(len(key) + 1))


@FUZZ
@given(PARTS, st.lists(FILLING, min_size=1, max_size=4).map("".join))
def test_any_key(parts: list[Part], key: str) -> None:
    """The matcher agrees with trying everything."""
    if key_flaw(key) is None:
        assert template("", parts).admits(key, CLAIMS, SPECS) == some_filling(parts, key)


@FUZZ
@given(AMBIGUOUS, st.text("ab/", min_size=2, max_size=8))
def test_ambiguous_key(parts: list[Part], key: str) -> None:
    """Nor does it lose its way."""
    if key_flaw(key) is None:
        assert template("", parts).admits(key, CLAIMS, SPECS) == some_filling(parts, key)


@FUZZ
@given(PARTS, st.fixed_dictionaries({name: TEXT | st.just("a") for name in SPECS}))
def test_rendered_key(parts: list[Part], inputs: dict[str, str]) -> None:
    """What is rendered of sound values is admitted again, unless the whole has a flaw."""
    form = template("", parts)
    if any(SPECS[name].flaw(inputs[name]) for name in form.inputs):
        return
    key = form.render(CLAIMS, inputs, 1_700_000_000)
    assert key_flaw(key) is not None or form.admits(key, CLAIMS, SPECS)


@FUZZ
@given(TEXT | st.text("/.* a\\%{}?$\x1f\x7f\u00e9\u200b\u2028", max_size=6), st.booleans())
def test_flaw(text: str, path: bool) -> None:
    """What is looked at in one go is judged as what is looked at character by character."""
    segments = text.split("/") if path else [text]
    sound = all(segment not in ("", ".", "..") for segment in segments) and all(
        character not in "/*?${}\\%" and unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
        for segment in segments
        for character in segment
    )
    assert (flaw(text, path=path) is None) == (sound and unicodedata.is_normalized("NFC", text))
