"""A session policy as STS reads it: decoded, checked, and the buckets it names.

STS refuses here what COS could only misread later. A condition key or operator that `broker.cos.cam` does not know is
refused too: the real service would take it, and the emulator could not tell what it means.

Specification: https://cloud.tencent.com/document/product/598/10604
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_plus

from broker.cos import evaluation, requests
from broker.emulator.sessions import Document

_ACTION = re.compile(r"\*|(?:name/)?[a-z]+:[A-Za-z*]+")
_STATEMENT_MEMBERS = {"effect", "action", "resource", "condition"}

# A value of each kind, so that evaluating once proves that operators, keys and operands can all be read.
_PROBE = {"cos:content-length": "0", "cos:tls-version": "1.2", "qcs:ip": "127.0.0.1", "cos:secure-transport": "false"}


class InvalidDocument(Exception):
    """A policy that STS does not take; `code` is STS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"InvalidParameter.{code}"


def parse(encoded: str) -> Document:
    """The document in a `Policy` parameter: JSON text, percent-encoded once by the caller."""
    try:
        document = json.loads(unquote_plus(encoded), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument("StrategyFormatError", f"The policy is not JSON: {error}") from error
    if not isinstance(document, dict) or not document.keys() <= {"version", "statement", "principal"}:
        raise InvalidDocument("StrategyFormatError", "The policy must be an object of version and statement.")
    if document.get("version") != "2.0":
        raise InvalidDocument("StrategyFormatError", f"version must be '2.0', got {document.get('version')!r}.")
    statements = document.get("statement")
    if not isinstance(statements, list) or not statements:
        raise InvalidDocument("StrategyFormatError", "statement must be an array of at least one statement.")
    if any("principal" in part for part in (document, *statements)):
        raise InvalidDocument("StrategyInvalid", "A session policy must not name a principal.")
    for statement in statements:
        _check(statement)
    return document


def buckets(document: Document) -> Iterator[tuple[str, str]]:
    """(bucket, region) of every resource that names both without a wildcard."""
    for statement in document["statement"]:
        for name in _listed(statement["resource"]):
            _, _, _, region, _, path = name.split(":", 5) if name != "*" else [""] * 6
            bucket = path.partition("/")[0]
            if requests.BUCKET.fullmatch(bucket) and requests.REGION.fullmatch(region):
                yield bucket, region


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"a member is given twice: {[name for name, _ in pairs]}")
    return members


def _check(statement: Any) -> None:
    if not isinstance(statement, dict) or not {"effect", "action", "resource"} <= statement.keys():
        raise InvalidDocument("StrategyFormatError", "A statement needs effect, action and resource.")
    if unknown := statement.keys() - _STATEMENT_MEMBERS:
        raise InvalidDocument("StrategyFormatError", f"A statement has no member {sorted(unknown)[0]!r}.")
    if statement["effect"] not in ("allow", "deny"):
        raise InvalidDocument("StrategyFormatError", f"effect must be allow or deny, got {statement['effect']!r}.")
    for action in _texts(statement["action"], "action"):
        if not _ACTION.fullmatch(action):
            raise InvalidDocument("StrategyInvalid", f"The action {action!r} is not of the form name/SERVICE:ACTION.")
    for resource in _texts(statement["resource"], "resource"):
        if resource != "*" and not re.fullmatch(r"qcs:[^:]*:[^:]+:[^:]*:[^:]*:.+", resource, re.DOTALL):
            raise InvalidDocument("ResouceError", f"The resource {resource!r} is not of six segments.")
    _check_condition(statement)


def _check_condition(statement: Document) -> None:
    condition = statement.get("condition", {})
    if not isinstance(condition, dict) or not all(isinstance(keys, dict) for keys in condition.values()):
        raise InvalidDocument("StrategyFormatError", "condition must be {operator: {key: value}}.")
    operands = [one for keys in condition.values() for wanted in keys.values() for one in _listed(wanted) or [None]]
    if not all(isinstance(one, str | int | float) for one in operands):
        raise InvalidDocument("StrategyFormatError", "A condition's values must be strings, numbers or booleans.")
    values = {name: _PROBE.get(name, "") for keys in condition.values() for name in keys}
    try:
        evaluation.evaluate({"version": "2.0", "statement": [statement]}, "", "", values)
    except evaluation.UnknownCondition as error:
        raise InvalidDocument("StrategyInvalid", str(error)) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidDocument("StrategyFormatError", f"A condition's value cannot be read: {error}") from error


def _texts(value: Any, member: str) -> Sequence[str]:
    listed = _listed(value)
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise InvalidDocument("StrategyFormatError", f"{member} must be a string or an array of strings.")
    return listed


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
