"""The policy of a POST Object form: until when it is good, and what the form's fields and file must be.

A field that no condition names is taken as it is: the vendor's own samples send such fields (key among them).

Specification: "POST Object", https://cloud.tencent.com/document/product/436/14690; its refusals,
https://cloud.tencent.com/document/product/436/41164
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from broker.emulator.forms import Form
from broker.emulator.refusals import CosError

# Beside x-cos-meta-*, the fields that a policy may give the beginning of.
_BY_PREFIX = frozenset(
    """
    acl cache-control content-disposition content-encoding content-type expires key success_action_redirect
    """.split()
)
_REQUIRED = ("q-sign-algorithm", "q-ak", "q-sign-time")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")


class _Condition(NamedTuple):
    """A field's value, or with `is_prefix` its beginning. `name` is as the policy writes it."""

    name: str
    value: str
    is_prefix: bool


class _Range(NamedTuple):
    """Bytes of the file, both ends included."""

    least: int
    most: int


def check(form: Form, bucket: str, now: float) -> None:
    """Refuse a form that is not as its policy says; the policy's signature has been proven."""
    document = _document(form.policy())
    expires_at = _expiration(document.get("expiration"))
    if now >= expires_at:
        times = f"expiration time: {int(expires_at)} but the time now : {int(now)}"
        raise CosError("AccessDenied", f"You post object request has been expired, {times}")
    conditions = list(_conditions(document.get("conditions")))
    names = [one.name.lower() for one in conditions if isinstance(one, _Condition)]
    if missing := [name for name in _REQUIRED if name not in names]:
        raise CosError("InvalidPolicyDocument", f"The policy has no condition for {missing[0]}.")
    for one in conditions:
        if isinstance(one, _Range):
            _check_size(one, len(form.file))
        else:
            _check_field(one, form, bucket)


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CosError("InvalidPolicyDocument") from error
    if not isinstance(document, dict):
        raise CosError("InvalidPolicyDocument")
    return document


def _expiration(text: Any) -> float:
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, TypeError) as error:
        message = f"expiration must be an instant such as 2019-08-30T09:38:12.414Z, got {text!r}."
        raise CosError("InvalidPolicyDocument", message) from error


def _conditions(entries: Any) -> Iterator[_Condition | _Range]:
    if not isinstance(entries, list) or not entries:
        raise CosError("InvalidPolicyDocument")
    for entry in entries:
        match entry:
            case dict() if len(entry) == 1:
                ((name, value),) = entry.items()
                yield _condition(name, value, is_prefix=False, entry=entry)
            case ["eq" | "starts-with" as kind, str(name), value] if name.startswith("$"):
                yield _condition(name[1:], value, is_prefix=kind == "starts-with", entry=entry)
            case ["content-length-range", int(least), int(most)] if bool not in map(type, entry) and 0 <= least <= most:
                yield _Range(least, most)
            case _:
                raise _unreadable(entry)


def _condition(name: str, value: Any, *, is_prefix: bool, entry: Any) -> _Condition:
    lower = name.lower()
    by_prefix = lower in _BY_PREFIX or lower.startswith("x-cos-meta-")
    if not isinstance(value, str) or not name or (is_prefix and not by_prefix):
        raise _unreadable(entry)
    return _Condition(name, value, is_prefix)


def _unreadable(entry: Any) -> CosError:
    return CosError("InvalidPolicyDocument", f"The policy's condition {json.dumps(entry)} cannot be read.")


def _check_field(condition: _Condition, form: Form, bucket: str) -> None:
    name = condition.name.lower()
    # The policy calls q-sign-time what the form calls q-key-time; the bucket is no field but the Host's.
    given = bucket if name == "bucket" else form.fields.get("q-key-time" if name == "q-sign-time" else name)
    if given is None or not (given.startswith(condition.value) if condition.is_prefix else given == condition.value):
        raise CosError("AccessDenied", f"Condition key {condition.name} doesn't match the value {condition.value}")


def _check_size(allowed: _Range, size: int) -> None:
    if size < allowed.least:
        raise CosError("EntityTooSmall", f"The file has {size} bytes, fewer than {allowed.least}.")
    if size > allowed.most:
        raise CosError("EntityTooLarge", f"The file has {size} bytes, more than {allowed.most}.")
