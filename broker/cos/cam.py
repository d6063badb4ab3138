"""CAM policy documents: built and measured.

A document is plain JSON data (`{"version": "2.0", "statement": [...]}`). Values enter it as data, never as text. What
one permits is in `evaluation`.

Specification: https://cloud.tencent.com/document/product/598/10604 (syntax),
https://cloud.tencent.com/document/product/436/71307 (COS condition keys)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from broker.cos import requests

Condition = dict[str, dict[str, Any]]  # {operator: {key: value or [values]}}

# POST Object's request is longer than its file: boundaries and the other form fields.
FORM_OVERHEAD_BYTES = 65_536


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


def multipart_condition(acl: Sequence[str] = ()) -> Condition:
    """What a credential for multipart uploads may set. Types and lengths cannot be held: COS checks a part alone."""
    return _acl_condition(acl)


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


def list_condition(prefix: str) -> Condition:
    """What a credential for listing may list: this prefix and nothing else, or whatever begins so if it ends in `*`."""
    if prefix.endswith("*"):
        return {"string_like": {"cos:prefix": f"{quote(prefix[:-1], safe='')}*"}}
    return {"string_equal": {"cos:prefix": quote(prefix, safe="")}}


def _acl_condition(acl: Sequence[str]) -> Condition:
    grants = {f"cos:{name}": "" for name in requests.GRANT_HEADERS}
    return {"string_equal_if_exist": {"cos:x-cos-acl": list(acl) or "default", **grants}}
