"""JSON from strangers: one reading or none.

The standard library's parser forgives what lets two readers of one text see two things: duplicate member names, NaN,
lone surrogates, any depth. This room refuses those, as I-JSON does (https://www.rfc-editor.org/rfc/rfc7493).
Messages say what was expected and where it broke; they never quote the text.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

_MAY_HOLD_A_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BOM = "\ufeff"
_WHITE_SPACE = " \t\n\r"


class StrictJsonError(ValueError):
    """The text is not the one JSON value that was expected.

    `member` is the name that an object holds twice, `line` the one (from 1) where malformed text begins.
    """

    def __init__(self, message: str, member: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.member = member
        self.line = line


def loads(data: bytes | str, max_depth: int = 8) -> Any:
    """The value that `data` holds; `max_depth` counts nested objects and arrays, so `{}` has depth 1."""
    text = _text(data)
    try:
        value = _value(text)
    except StrictJsonError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        # The parser's own words are fixed: they quote nothing.
        message = f"expected one JSON value, got malformed text at {where}: {error.msg}"
        raise StrictJsonError(message, line=error.lineno) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError:
        # The only other ValueError: CPython converts at most sys.get_int_max_str_digits() digits.
        raise StrictJsonError("expected integers of at most 4300 digits, got a longer one") from None
    if text.count("{") + text.count("[") > max_depth and _deeper_than(max_depth, value):
        raise _too_deep(max_depth)
    if _MAY_HOLD_A_SURROGATE.search(text) is not None:
        _refuse_lone_surrogates(json.dumps(value, ensure_ascii=False))
    return value


def _value(text: str) -> Any:
    # The decoder itself searches for white space on both sides with regular expressions; mostly there is none before.
    try:
        value, end = _DECODER.scan_once(text, 0)  # type: ignore[attr-defined]  # what `raw_decode` calls
    except StopIteration:
        return _DECODER.decode(text)
    return value if not text[end:].strip(_WHITE_SPACE) else _DECODER.decode(text)


def _text(data: bytes | str) -> str:
    if isinstance(data, bytes):
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise StrictJsonError(f"expected UTF-8, got an invalid byte at offset {error.start}") from None
    else:
        text = data
        if not text.isascii():
            _refuse_lone_surrogates(text)
    if text.startswith(_BOM):
        raise StrictJsonError("expected UTF-8 without a byte order mark, got one")
    return text


def _refuse_lone_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StrictJsonError("expected Unicode text, got a lone surrogate") from None


def _deeper_than(max_depth: int, value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def _too_deep(max_depth: int) -> StrictJsonError:
    return StrictJsonError(f"expected at most {max_depth} levels of objects and arrays, got more")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise StrictJsonError("expected each member of an object once, got a duplicate", member=twice)
    return members


def _constant(name: str) -> NoReturn:
    raise StrictJsonError(f"expected a JSON value, got {name}, which is none")


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJsonError("expected numbers that fit a 64-bit float, got a larger one")
    return number


# Built once: json.loads() with hooks builds a decoder a call, which costs more than a small text.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
