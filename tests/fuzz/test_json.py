"""Whatever bytes come as JSON: they are refused, or every other reader reads them alike."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
from hypothesis import given
from hypothesis import strategies as st

from broker.strict_json import StrictJsonError, loads
from tests.fuzz.conftest import FUZZ

PIECES = [b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"\\u0000", b"d800"]
PIECES += [b"NaN", b"-Infinity", b"1e400", b"-0", b"0x1", b"01", b"1.", b".5", b"9" * 400, b"true", b"null", b'"a":1']
PIECES += [b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\x00", b"\n", b"\t", b" ", b"//", b"'"]
LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
NAME = st.sampled_from(["a", "b", "\u00e9", ""])
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3))
ESCAPED = st.sampled_from([b"\\ud83d", b"\\uDE00", b"\\u0041", b"\\\\", b"\\n", b"a", "\u00e9".encode(), b"\\x", b"\n"])
STRING = st.lists(ESCAPED, max_size=4).map(lambda pieces: b'"' + b"".join(pieces) + b'"')


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A value's text with pieces put in, and stretches taken out."""
    text = json.dumps(draw(VALUE), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 3)), len(text))
        text = text[:start] + draw(st.sampled_from([*PIECES, b""])) + text[end:]
    return text


def depth(value: Any) -> int:
    """How many objects and arrays stand in each other."""
    if isinstance(value, dict | list):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


@FUZZ
@given(damaged() | STRING | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join) | st.binary(max_size=20))
def test_bytes(data: bytes) -> None:
    """Nothing but the one error is raised; what is accepted, a parser that is not ours reads as the same value."""
    try:
        value = loads(data)
    except StrictJsonError as error:
        assert len(str(error)) < 200  # noqa: PT017  it names the place, and quotes nothing of the text
        return
    assert depth(value) <= 8
    assert pydantic_core.from_json(data, allow_inf_nan=False) == value
    assert loads(json.dumps(value)) == value


@FUZZ
@given(VALUE)
def test_values(value: Any) -> None:
    """What is sound, and not too deep, is accepted."""
    text = json.dumps(value)
    if depth(value) <= 8:
        assert loads(text) == value
