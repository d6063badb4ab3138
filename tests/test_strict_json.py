"""One reading or none."""

from __future__ import annotations

import pytest

from broker.strict_json import StrictJsonError, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        ('"é中"', "é中"),
        ("1e308", 1e308),
        ("-0", 0),
    ],
)
def test_ordinary_value(text: str, value: object) -> None:
    """Text and its UTF-8 bytes give the same value."""
    assert loads(text) == loads(text.encode()) == value


@pytest.mark.parametrize(
    ("refused", "allowed", "message"),
    [
        ('{"a": 1, "a": 2}', '{"a": 1, "b": 2}', "duplicate"),
        ('{"a": 1, "\\u0061": 1}', '{"a": 1, "\\u0062": 1}', "duplicate"),
        ('[{"b": {"a": 1, "a": 1}}]', '[{"b": {"a": 1, "c": 1}}]', "duplicate"),
        ("NaN", "0", "NaN"),
        ("[Infinity]", "[1]", "Infinity"),
        ('{"a": -Infinity}', '{"a": -1}', "-Infinity"),
        ("1e309", "1e308", "64-bit float"),
        ('"\\ud800"', '"\\ud83d\\ude00"', "lone surrogate"),
        ('"\\udfff"', '"\\\\udfff"', "lone surrogate"),
        ('{"\\uDC00": 1}', '{"\\u00dc": 1}', "lone surrogate"),
        ('"\\ude00\\ud83d"', '"\\ud83d\\ude00"', "lone surrogate"),
        ('"\ud800"', '"\ud7ff"', "lone surrogate"),
        ("1" * 4301, "1" * 4300, "4300 digits"),
        ("[" * 9 + "]" * 9, "[" * 8 + "]" * 8, "at most 8 levels"),
        ('{"a":' * 9 + "1" + "}" * 9, '{"a":' * 8 + "1" + "}" * 8, "at most 8 levels"),
        ("[" * 200_000, "[" * 8 + "]" * 8, "at most 8 levels"),
        ("\ufeff{}", "{}", "byte order mark"),
        ('{"a": 1', '{"a": 1}', "line 1, column 8"),
        ('{"a": 1} {}', '{"a": 1} ', "malformed"),
        ("{'a': 1}", '{"a": 1}', "malformed"),
        ('"a\nb"', '"a\\nb"', "malformed"),
        ("[1,]", "[1]", "malformed"),
        ("\u0661", "1", "malformed"),
        ("", "0", "malformed"),
    ],
)
def test_text_with_two_readings(refused: str, allowed: str, message: str) -> None:
    """What another reader could take differently is refused; its twin, which none can, is not."""
    with pytest.raises(StrictJsonError, match=message):
        loads(refused)
    loads(allowed)


@pytest.mark.parametrize(
    ("refused", "allowed", "message"),
    [
        (b'"\xff"', '"ÿ"'.encode(), "offset 1"),
        (b'"\xc0\xaf"', b'"/"', "UTF-8"),
        (b'"\xed\xa0\x80"', b'"\xed\x9f\xbf"', "UTF-8"),
        (b"\xef\xbb\xbf{}", b"{}", "byte order mark"),
        ("{}".encode("utf-16"), b"{}", "UTF-8"),
    ],
)
def test_bytes_that_are_not_utf8(refused: bytes, allowed: bytes, message: str) -> None:
    """Only UTF-8 without a mark is read; no other encoding is guessed."""
    with pytest.raises(StrictJsonError, match=message):
        loads(refused)
    loads(allowed)


def test_many_brackets_that_are_not_deep() -> None:
    """Breadth is not depth, and brackets in text are neither."""
    assert loads("[" + ",".join(["{}"] * 1000) + "]") == [{}] * 1000
    assert loads('"' + "[" * 1000 + '"') == "[" * 1000


@pytest.mark.parametrize("text", ["{}", " {}", "{} ", "\t\r\n {}\n", "1 ", "\n1"])
def test_white_space(text: str) -> None:
    """White space may stand around a value."""
    assert loads(text) in ({}, 1)


@pytest.mark.parametrize("text", ["{}x", "{} x", "{}\u00a0", "\u00a0{}", "{}\x0b", "{}\x00", "{}{}", "", " "])
def test_more_or_less_than_a_value(text: str) -> None:
    """Nothing else may, whatever other readers take for white space."""
    with pytest.raises(StrictJsonError, match="one JSON value"):
        loads(text)


def test_depth_of_the_caller() -> None:
    """`max_depth` counts objects and arrays from the outermost."""
    assert loads("[[1]]", max_depth=2) == [[1]]
    with pytest.raises(StrictJsonError, match="at most 1 levels"):
        loads("[[1]]", max_depth=1)


@pytest.mark.parametrize(
    "text", ['{"hunter2": 1, "hunter2": 2}', '["hunter2" "', '{"hunter2": NaN}', '"hunter2\\ud800"']
)
def test_message_quotes_no_value(text: str) -> None:
    """A message may be shown and logged: it holds nothing of the text."""
    with pytest.raises(StrictJsonError) as caught:
        loads(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
