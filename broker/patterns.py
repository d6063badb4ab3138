"""Regular expressions that policies and key files hold, matched in time linear in the value.

Python's own engine backtracks: one innocent-looking pattern and one hostile value of forty characters would hold a
worker for ever. This is Rust's `regex`, by way of pydantic: no look-around, no backreferences.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema


class PatternError(ValueError):
    """A pattern is not one; the message says why."""


class Pattern:
    """A compiled pattern; `pattern` is its text. Raises PatternError."""

    __slots__ = ("_matches", "pattern")

    def __init__(self, text: str) -> None:
        self.pattern = text
        _compiled(text)  # alone first: `a)|(?:b` must not escape the group below
        self._matches = _compiled(rf"\A(?:{text})\z").isinstance_python

    def __repr__(self) -> str:
        return f"Pattern({self.pattern!r})"

    def matches(self, value: str) -> bool:
        """Whether the whole value matches."""
        return self._matches(value)


@lru_cache(maxsize=1024)
def _compiled(text: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=text, strict=True, regex_engine="rust-regex"))
    except (SchemaError, UnicodeEncodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1].removeprefix("error: ").removeprefix("SchemaError: ") if lines else "unreadable"
        raise PatternError(reason) from None
