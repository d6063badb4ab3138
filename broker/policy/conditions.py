"""Which conditions a policy file may add to its CAM documents, beside those that the broker puts there itself.

A short list on purpose: keys that every request of COS carries, under operators that fail closed where a key is
missing; and the storage class, which only uploads carry. What the broker renders itself (types, lengths, ACLs,
versions) cannot be said twice.

Specification: https://cloud.tencent.com/document/product/436/71307
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from broker.cos.cam import Condition

STORAGE_CLASS = "cos:x-cos-storage-class"
_VPC = re.compile(r"vpc-[a-z0-9]{1,32}")
_CLASS = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_COMPARISONS = ("numeric_equal", "numeric_greater_than", "numeric_greater_than_equal")


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return "%" not in value  # a zone means something on one machine alone


# Key: (operators, what a value is, in words).
KEYS: Mapping[str, tuple[tuple[str, ...], Callable[[str], object], str]] = {
    "qcs:ip": (
        ("ip_equal", "ip_not_equal"),
        _is_network,
        "an address, or a network such as 203.0.113.0/24",
    ),
    "vpc:requester_vpc": (("string_equal",), _VPC.fullmatch, "a VPC such as vpc-1a2b3c4d"),
    "cos:secure-transport": (("bool_equal",), ("true", "false").__contains__, '"true" or "false"'),
    "cos:tls-version": (_COMPARISONS, ("1.0", "1.1", "1.2", "1.3").__contains__, "1.0, 1.1, 1.2 or 1.3"),
    STORAGE_CLASS: (("string_equal", "string_equal_if_exist"), _CLASS.fullmatch, "a storage class such as STANDARD"),
}
LEGAL = "; ".join(f"{key} ({', '.join(operators)})" for key, (operators, _, _) in KEYS.items())


def flaws(condition: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(field below `condition`, message) of everything that keeps it out of a policy file."""
    for operator, keys in condition.items():
        if not keys:
            yield operator, f"must hold a condition key; legal: {LEGAL}"
        for key, value in keys.items():
            field = f"{operator}.{key}"
            if key not in KEYS:
                yield field, f"is no condition key to add; legal: {LEGAL}"
                continue
            operators, is_value, what = KEYS[key]
            if operator not in operators:
                yield field, f"{key} goes with {', '.join(operators)}, got {operator}"
            values = value if isinstance(value, list) else [value]
            if not values:
                yield field, "must not be empty"
            for index, one in enumerate(values):
                if not (isinstance(one, (str, int, float)) and is_value(str(one))):
                    place = f"{field}[{index}]" if isinstance(value, list) else field
                    yield place, f"must be {what}, got {ascii(one)[:66]}"


def merged(own: Condition, added: Mapping[str, Mapping[str, Any]]) -> Condition:
    """The broker's own condition and what the policy file adds; their keys differ, so nothing is lost."""
    operators = [*own, *(operator for operator in added if operator not in own)]
    return {operator: {**own.get(operator, {}), **added.get(operator, {})} for operator in operators}
