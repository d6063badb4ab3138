"""In which line a field stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import named
from broker.policy.lines import line_of, lines

TEXT = """{
  "vends": ["url",
    "signature"], "description": "a, {b}: [\\"c\\"]",
  "headers": {
    "Range": {"pattern": "bytes=.*"},
    "If-Match":
      {"enum": []}
  },
  "tests": [{"ask": {}}, {
    "ask": {"vend": "url"}}]
}
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("", 1),
        ("vends", 2),
        ("vends[0]", 2),
        ("vends[1]", 3),
        ("description", 3),
        ("headers", 4),
        ("headers.Range.pattern", 5),
        ("headers.If-Match", 6),
        ("headers.If-Match.enum", 7),
        ("tests[0].ask", 9),
        ("tests[1]", 9),
        ("tests[1].ask.vend", 10),
    ],
)
def test_field(field, line):
    """A field is found where its name stands, an element of a list where it begins."""
    assert line_of(field, lines(TEXT)) == line


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("headers.Range.const", 5),
        ("headers.Rang", 4),
        ("vends[7]", 2),
        ("region", 1),
        ("vendsx", 1),
        ("tests[1].expect", 9),
    ],
)
def test_absent_field(field, line):
    """What is not there is told at the nearest part around it."""
    assert line_of(field, lines(TEXT)) == line


def test_unreadable():
    """Of a text that was not read nothing is known."""
    assert line_of("key", {}) is None


def fields(value, path=""):
    """Every field of a JSON value."""
    yield path
    for name, one in value.items() if isinstance(value, dict) else ():
        yield from fields(one, f"{path}.{named(name)}".removeprefix("."))
    for index, one in enumerate(value) if isinstance(value, list) else ():
        yield from fields(one, f"{path}[{index}]")


names = st.text(st.characters(codec="utf-8", exclude_characters=".["), min_size=1, max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, values, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_any_value(value, indent, ascii_only):
    """Whatever the value and however it is laid out, its fields are found, and nothing else."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert set(lines(text)) == set(fields(value))
