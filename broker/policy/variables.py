"""Variables of the environment in a policy file: `${POLICY_NAME}` and `${POLICY_NAME:-default}`.

They are put into the string values of parsed JSON, so a value can break out of nothing, and before anything is
validated, so that what they hold is checked like what an author writes. As in a shell, `:-` stands in for an empty
variable, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from broker.errors import named

VARIABLE = re.compile(r"\$\{(POLICY_[A-Z0-9_]{1,64})(?::-([^{}$]*))?\}")


class _Missing(ValueError):
    """A text that cannot be completed; the message says why."""


def substituted(value: Any, variables: Mapping[str, str]) -> tuple[Any, list[tuple[str, str]]]:
    """(the value with every variable put in, (field, message) of each that could not be)."""
    problems: list[tuple[str, str]] = []

    def put_in(part: Any, field: str) -> Any:
        if isinstance(part, str) and "${" in part:
            try:
                return _completed(part, variables)
            except _Missing as error:
                problems.append((field, str(error)))
                return part
        if isinstance(part, dict):
            return {name: put_in(one, _within(field, name)) for name, one in part.items()}
        if isinstance(part, list):
            return [put_in(one, f"{field}[{index}]") for index, one in enumerate(part)]
        return part

    return put_in(value, ""), problems


def nulls(value: Any, field: str = "") -> Iterator[str]:
    """The fields that hold null."""
    if value is None:
        yield field
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from nulls(one, _within(field, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from nulls(one, f"{field}[{index}]")


def _within(field: str, name: str) -> str:
    return f"{field}.{named(name)}" if field else named(name)


def _completed(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        given = variables.get(name)
        if given is not None and not _is_text(given):
            raise _Missing(f"${{{name}}} is not UTF-8 in the environment")
        if default is not None:
            return given or default
        if given is None:
            raise _Missing(f"{found[0]} is not set in the environment, and has no default (${{{name}:-default}})")
        return given

    if "${" in VARIABLE.sub("\0", text):
        raise _Missing(f"${{…}} takes ${{POLICY_NAME}} or ${{POLICY_NAME:-default}}, got {text[:64]!a}")
    return VARIABLE.sub(value, text)


def _is_text(value: str) -> bool:
    """Whether a variable's bytes were UTF-8; others come as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
