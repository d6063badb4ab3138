"""What a CAM document permits: which statement allows or denies a request, and why the others do not.

This is what the emulator and the operators' tools decide with: what it does not know is an error, not a pass.

Specification: https://cloud.tencent.com/document/product/598/10605 (evaluation),
https://cloud.tencent.com/document/product/436/71307 (COS condition keys)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from broker.cos import requests

# Their values are written URL-encoded in a document.
_ENCODED_KEYS = frozenset({"cos:prefix", "cos:response-content-type"})
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_KNOWN_KEYS = frozenset(
    {
        "cos:content-length",
        "cos:content-type",
        "cos:prefix",
        "cos:response-content-type",
        "cos:secure-transport",
        "cos:tls-version",
        "cos:versionid",
        "cos:x-cos-acl",
        "cos:x-cos-storage-class",
        "qcs:ip",
        "vpc:requester_vpc",
        *(f"cos:{name}" for name in requests.GRANT_HEADERS),
    }
)


class UnknownCondition(ValueError):
    """A document says what this evaluator does not know: a condition key, an operator, an effect, a member."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a document allows a request, and the index of the statement that decided (None: none matched)."""

    allowed: bool
    statement: int | None


def evaluate(document: Mapping[str, Any], action: str, resource: str, values: Mapping[str, str]) -> Decision:
    """Decide one request. `values` are its condition keys as received, absent ones left out.

    Any matching deny wins, then any matching allow; otherwise denied. Raises UnknownCondition, whatever would decide.
    """
    _check_known(document)
    allowed_by = None
    for index, entry in enumerate(document["statement"]):
        if not _matches(entry, action, resource, values):
            continue
        if entry["effect"] == "deny":
            return Decision(False, index)
        if allowed_by is None:
            allowed_by = index
    return Decision(allowed_by is not None, allowed_by)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one statement reads for one request: `misses` keep it from matching, `provisos` are still open.

    A proviso is a condition on a value that the request was not told to carry.
    """

    effect: str
    misses: tuple[str, ...]
    provisos: tuple[str, ...]


def readings(document: Mapping[str, Any], action: str, resource: str, values: Mapping[str, str]) -> list[Reading]:
    """Each statement of a document, read for a request. Raises UnknownCondition."""
    _check_known(document)
    return [_reading(entry, action.removeprefix("name/"), resource, values) for entry in document["statement"]]


def _reading(entry: Mapping[str, Any], action: str, resource: str, values: Mapping[str, str]) -> Reading:
    misses = []
    actions, resources = [one.removeprefix("name/") for one in _listed(entry["action"])], _listed(entry["resource"])
    if not any(_like(pattern, action) for pattern in actions):
        misses.append(f"is about {', '.join(actions)}, not {action}")
    if not any(_like(pattern, resource) for pattern in resources):
        misses.append(f"reaches {', '.join(resources)}, not {resource}")
    provisos = []
    for operator, keys in entry.get("condition", {}).items():
        for name, wanted in keys.items():
            if _operator_holds(operator, name, _listed(wanted), values.get(name)):
                continue
            demand = f"{name} {_WORDS[operator.removesuffix('_if_exist')]} {_alternatives(wanted)}"
            if name in values:
                misses.append(f"demands that {demand}, got {values[name]!r}")
            else:
                provisos.append(demand)
    return Reading(entry["effect"], tuple(misses), tuple(provisos))


def _alternatives(wanted: Any) -> str:
    return " or ".join(str(one) or "empty" for one in _listed(wanted))


def _check_known(document: Mapping[str, Any]) -> None:
    _check_members(document, {"version", "statement"}, "document")
    if document["version"] != "2.0":
        raise UnknownCondition(f"version must be '2.0', got {document['version']!r}")
    for entry in document["statement"]:
        _check_members(entry, {"effect", "action", "resource"}, "statement", {"condition"})
        if entry["effect"] not in ("allow", "deny"):
            raise UnknownCondition(f"effect must be 'allow' or 'deny', got {entry['effect']!r}")
        for pattern in (*_listed(entry["action"]), *_listed(entry["resource"])):
            if "*" in pattern[:-1]:
                raise UnknownCondition(f"a wildcard stands only last, got {pattern!r}")
        for operator, keys in entry.get("condition", {}).items():
            _check_operator(operator, keys)


def _check_members(part: Mapping[str, Any], required: set[str], what: str, optional: Set[str] = frozenset()) -> None:
    if not required <= set(part) <= required | optional:
        raise UnknownCondition(f"a {what} has {', '.join(sorted(required))}, got {', '.join(map(str, part))}")


def _check_operator(operator: str, keys: Mapping[str, Any]) -> None:
    if operator.removesuffix("_if_exist") not in _OPERATORS:
        raise UnknownCondition(f"condition operator {operator!r} is not one of {', '.join(_OPERATORS)}")
    for name, wanted in keys.items():
        if name not in _KNOWN_KEYS:
            raise UnknownCondition(f"condition key {name!r} is not one of {', '.join(sorted(_KNOWN_KEYS))}")
        if operator.startswith("string_like") and any("*" in str(one)[1:-1] for one in _listed(wanted)):
            raise UnknownCondition(f"string_like takes * first or last, got {wanted!r}")


def _matches(entry: Mapping[str, Any], action: str, resource: str, values: Mapping[str, str]) -> bool:
    actions = [name.removeprefix("name/") for name in _listed(entry["action"])]
    return (
        _condition_holds(entry.get("condition", {}), values)
        and any(_like(pattern, action.removeprefix("name/")) for pattern in actions)
        and any(_like(pattern, resource) for pattern in _listed(entry["resource"]))
    )


def _condition_holds(condition: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> bool:
    """All operators and all keys must hold; several values of a key are alternatives."""
    return all(
        _operator_holds(operator, name, _listed(wanted), values.get(name))
        for operator, keys in condition.items()
        for name, wanted in keys.items()
    )


def _operator_holds(operator: str, name: str, wanted: Sequence[Any], got: str | None) -> bool:
    if got is None:
        return operator.endswith("_if_exist")
    if name in _ENCODED_KEYS:
        got = quote(got, safe="")
    return _OPERATORS[operator.removesuffix("_if_exist")](got, wanted)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(pattern: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


def _numeric(
    compare: Callable[[float, float], bool], quantifier: Callable[[Iterable[bool]], bool] = any
) -> Callable[[str, Sequence[Any]], bool]:
    def holds(got: str, wanted: Sequence[Any]) -> bool:
        return _NUMBER.fullmatch(got) is not None and quantifier(compare(float(got), float(one)) for one in wanted)

    return holds


def _in_network(got: str, wanted: Sequence[Any]) -> bool:
    return any(ipaddress.ip_address(got) in ipaddress.ip_network(one, strict=False) for one in wanted)


_OPERATORS: dict[str, Callable[[str, Sequence[Any]], bool]] = {
    "string_equal": lambda got, wanted: got in wanted,
    "string_not_equal": lambda got, wanted: got not in wanted,
    "string_like": lambda got, wanted: any(_like(one, got) for one in wanted),
    "numeric_equal": _numeric(lambda got, one: got == one),
    "numeric_not_equal": _numeric(lambda got, one: got != one, all),
    "numeric_greater_than": _numeric(lambda got, one: got > one),
    "numeric_greater_than_equal": _numeric(lambda got, one: got >= one),
    "numeric_less_than": _numeric(lambda got, one: got < one),
    "numeric_less_than_equal": _numeric(lambda got, one: got <= one),
    "ip_equal": _in_network,
    "ip_not_equal": lambda got, wanted: not _in_network(got, wanted),
    "bool_equal": lambda got, wanted: got in [str(one).lower() for one in wanted],
}

_WORDS = {
    "string_equal": "is",
    "string_not_equal": "is not",
    "string_like": "is like",
    "numeric_equal": "is",
    "numeric_not_equal": "is not",
    "numeric_greater_than": "is more than",
    "numeric_greater_than_equal": "is at least",
    "numeric_less_than": "is less than",
    "numeric_less_than_equal": "is at most",
    "ip_equal": "is in",
    "ip_not_equal": "is not in",
    "bool_equal": "is",
}
