"""In which line of a JSON text each field stands, so that whoever reads of a mistake finds it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from broker.errors import named

# Of valid JSON; what separates tokens is left out.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lines(text: str) -> dict[str, int]:
    """Line (from 1) by field, as in `headers.Range.pattern` or `vends[1]`, of a text that is valid JSON."""
    found = {"": 1}
    path: list[str | int] = []  # of the value that comes next: names, and indices of lists
    name: str | None = None
    line, end = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", end, token.start())
        end = token.start()
        mark = token[0]
        if mark in "}]":
            path.pop()
            continue
        if mark == ",":
            if isinstance(path[-1], int):
                path[-1] += 1
            continue
        if mark == ":":
            continue
        in_object = bool(path) and isinstance(path[-1], str)
        if in_object and name is None:
            name = json.loads(mark)
            path[-1] = str(name)
            found.setdefault(field_name(path), line)
            continue
        if not in_object:
            found.setdefault(field_name(path), line)
        name = None
        if mark == "{":
            path.append("")
        elif mark == "[":
            path.append(0)
    return found


def line_of(field: str, known: Mapping[str, int]) -> int | None:
    """The line of a field, or of the nearest one around it."""
    while field not in known and field:
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return known.get(field)


def field_name(path: Sequence[str | int]) -> str:
    """A field as messages name it. Names are escaped: those that mean something hold nothing to escape."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{named(part)}" for part in path).removeprefix(".")
