"""`${POLICY_NAME}` in policy files."""

from __future__ import annotations

import pytest

from broker.policy.variables import nulls, substituted

SET = {"POLICY_BUCKET": "examplebucket-1250000000", "POLICY_EMPTY": "", "POLICY_ODD": '"}, {"x": "${POLICY_BUCKET}'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${POLICY_BUCKET}", "examplebucket-1250000000"),
        ("a-${POLICY_BUCKET}-${POLICY_BUCKET}", "a-examplebucket-1250000000-examplebucket-1250000000"),
        ("${POLICY_BUCKET:-other}", "examplebucket-1250000000"),
        ("${POLICY_NONE:-other}", "other"),
        ("${POLICY_NONE:-}", ""),
        ("${POLICY_EMPTY}", ""),
        ("${POLICY_EMPTY:-other}", "other"),
        ("${POLICY_NONE:-a:-b}", "a:-b"),
        (f"${{POLICY_{'A' * 64}:-longest}}", "longest"),
        ("no variable: $POLICY_BUCKET $ { } {x}", "no variable: $POLICY_BUCKET $ { } {x}"),
    ],
)
def test_value(text, expected):
    """A variable is put in, its default if it is unset or empty; anything else stays as it is."""
    assert substituted(text, SET) == (expected, [])


@pytest.mark.parametrize(
    "text",
    [
        *("${POLICY_NONE}", "${HOME}", "${HOME:-x}", "${policy_bucket}", "${}", "${", "${POLICY_}"),
        *("a${POLICY_BUCKET}${x}", "${POLICY_none:-x}", "${POLICY_NONE:-a$b}", f"${{POLICY_{'A' * 65}:-x}}"),
    ],
)
def test_variable_that_is_none(text):
    """An unset variable without default, another prefix, a spelling that is none: told, and what is legal."""
    value, problems = substituted({"a": [text]}, SET)
    assert value == {"a": [text]}
    assert [field for field, _ in problems] == ["a[0]"]
    assert "${POLICY_N" in problems[0][1]


@pytest.mark.parametrize("text", ["${POLICY_S}", "${POLICY_S:-x}", "a${POLICY_S}"])
def test_bytes_that_are_no_text(text):
    """A variable that is not UTF-8 is told, by its name alone."""
    problems = substituted({"key": text}, {"POLICY_S": "\udcff"})[1]
    assert problems == [("key", "${POLICY_S} is not UTF-8 in the environment")]


def test_beside_a_dollar():
    """What stands beside a variable does not make one with what is left of it."""
    assert substituted("$${POLICY_BUCKET}{x}", SET) == ("$examplebucket-1250000000{x}", [])


def test_value_is_data():
    """A value cannot break out of its string, nor name variables itself."""
    assert substituted({"key": "a/${POLICY_ODD}"}, SET)[0] == {"key": f"a/{SET['POLICY_ODD']}"}


def test_where():
    """Every string value is looked at, however deep; names of members and other values are not touched."""
    value = {"${POLICY_NONE}": [{"b": "${POLICY_BUCKET}", "c": 5, "d": None, "e": True}]}
    assert substituted(value, SET)[0] == {"${POLICY_NONE}": [{"b": SET["POLICY_BUCKET"], "c": 5, "d": None, "e": True}]}


def test_nulls():
    """Where a value holds null."""
    assert list(nulls({"a": None, "b": [1, None], "c": {"d": {"e": None}}, "f": ""})) == ["a", "b[1]", "c.d.e"]


def test_checked_like_written(policy, problems, limits):
    """What a variable holds is checked like what an author writes; what it lacks is one problem at its field."""
    variables = type(limits)(
        limits.policy_bytes, limits.cos_endpoint, {"POLICY_A": "x*", "POLICY_B": SET["POLICY_BUCKET"]}
    )
    written = {
        "bucket": "${POLICY_B}",
        "region": "${POLICY_R:-ap-guangzhou}",
        "key": "files/{principal.sub}/${POLICY_A}",
    }
    assert list(problems(policy("read", {**written, "inputs": {}}), variables)) == ["key"]
    written["key"] = "files/{principal.sub}/${POLICY_NONE}"
    found = problems(policy("read", {**written, "inputs": {}}), variables)
    assert list(found) == ["key"]
    assert "${POLICY_NONE} is not set" in found["key"]
    assert problems(policy("read", {**written, "inputs": {}, "key": "files/${POLICY_B}/a"}), variables) == {}
