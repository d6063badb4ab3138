"""CAM policy documents: built, measured, evaluated.

A document is plain JSON data (`{"version": "2.0", "statement": [...]}`). Values enter it as data, never as text.
`evaluate` is what the emulator and the operators' tools decide with: what it does not know is an error, not a pass.

Specification: https://cloud.tencent.com/document/product/598/10604 (syntax), /10605 (evaluation),
https://cloud.tencent.com/document/product/436/71307 (COS condition keys)
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from broker.cos import requests

Condition = dict[str, dict[str, Any]]  # {operator: {key: value or [values]}}

# POST Object's request is longer than its file: boundaries and the other form fields.
FORM_OVERHEAD_BYTES = 65_536

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


def resource(region: str, bucket: str, key: str) -> str:
    """The six segments that name objects of one bucket; `key` may end in `*`."""
    return f"qcs::cos:{region}:uid/{requests.appid(bucket)}:{bucket}/{key}"


def statement(actions: Sequence[str], resources: Sequence[str], condition: Condition) -> dict[str, Any]:
    """One allow statement. Empty actions or resources are refused: they would mean everything or nothing."""
    if not actions or not resources:
        raise ValueError(f"a statement needs actions and resources, got {actions!r} and {resources!r}")
    body: dict[str, Any] = {"effect": "allow", "action": list(actions), "resource": list(resources)}
    if condition:
        body["condition"] = condition
    return body


def document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A whole document. An empty one is refused: STS would read it as the caller's full rights."""
    if not statements:
        raise ValueError("a policy document needs at least one statement")
    return {"version": "2.0", "statement": list(statements)}


def compact(document: Mapping[str, Any]) -> str:
    """Canonical JSON text: sorted keys, no spaces, non-ASCII as it is. Equal documents have equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def measure(text: str) -> int:
    """Bytes of a document's text as STS receives it, percent-encoded."""
    return len(quote(text, safe=""))


def put_condition(types: Sequence[str] | None, max_bytes: int | None, acl: Sequence[str] = ()) -> Condition:
    """What a credential for `put` may write: these types, up to this length, with these ACLs and no grants."""
    condition = _acl_condition(acl)
    if types:
        # One operator for all types: two operators are ANDed, and no type would satisfy both.
        operator = "string_like" if any(name.endswith("/*") for name in types) else "string_equal"
        condition[operator] = {"cos:content-type": list(types)}
    if max_bytes is not None:
        condition["numeric_less_than_equal"] = {"cos:content-length": max_bytes}
    return condition


def post_condition(max_bytes: int | None, acl: Sequence[str] = ()) -> Condition:
    """What a credential for PostObject may write. The type cannot be held: the request's own is multipart/form-data."""
    condition = _acl_condition(acl)
    if max_bytes is not None:
        condition["numeric_less_than_equal"] = {"cos:content-length": max_bytes + FORM_OVERHEAD_BYTES}
    return condition


def read_condition(
    version_ids: Sequence[str] | None, response_types: Sequence[str] | None = None, *, get: bool = False
) -> Condition:
    """What a credential for get, head or delete may name; None leaves that value open, `[]` admits it only empty."""
    held: dict[str, Any] = {}
    if version_ids is not None:
        held["cos:versionid"] = list(version_ids) or ""
    if get and response_types is not None:
        held["cos:response-content-type"] = [quote(value, safe="") for value in response_types] or ""
    return {"string_equal_if_exist": held} if held else {}


def _acl_condition(acl: Sequence[str]) -> Condition:
    grants = {f"cos:{name}": "" for name in requests.GRANT_HEADERS}
    return {"string_equal_if_exist": {"cos:x-cos-acl": list(acl) or "default", **grants}}


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
