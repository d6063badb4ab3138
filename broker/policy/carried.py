"""What the requests of a route may carry, as its file says it: headers, parameters, limits of uploads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from broker.cos import requests
from broker.policy import lint, notation, operations
from broker.policy.document import PolicyDocument, ValueRule
from broker.policy.limits import Check, Found, Limits
from broker.policy.reach import scope_name
from broker.policy.templates import BUCKET, Claim, Literal, Template
from broker.policy.values import META_PREFIX, rule_set

_META_NAME = re.compile(r"x-cos-meta-(?:\*|[a-z0-9-]{1,64})")
LISTED_ONLY = ("x-cos-acl",)
# What an object may have, https://cloud.tencent.com/document/product/436/30752
_ACLS = frozenset("default private public-read authenticated-read bucket-owner-read bucket-owner-full-control".split())
_OPEN_ON_OBJECT = ("versionid", "response-content-type")
_PUT_BYTES = 5 * 2**30


def _content(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    content = document.content
    if content is None:
        return
    uploads = [vend for vend in ("form", "multipart") if vend in document.vends]
    single = "PUT" in (document.methods or []) or "form" in uploads
    if not single and not uploads:
        yield "content", "limits uploads, and this route has none: PUT is not in methods"
    if "part_bytes" in content.model_fields_set and "multipart" not in uploads:
        yield "content.part_bytes", "concerns the vend multipart, which this route does not have"
    if single and (content.max_bytes or 0) > _PUT_BYTES:
        yield "content.max_bytes", f"is at most {_PUT_BYTES} for PUT and forms, got {content.max_bytes}"


def _headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    count = Counter(name.lower() for name in document.headers)
    for name, rule in document.headers.items():
        field, lower = f"headers.{name}", name.lower()
        if not requests.HEADER_NAME.fullmatch(name) or ("*" in name and lower != f"{META_PREFIX}*"):
            yield field, f"is no header name (the one prefix form is {META_PREFIX}*)"
        elif requests.is_reserved(name):
            yield field, f"is reserved for the broker; reserved: {requests.RESERVED}"
        elif count[lower] > 1:
            yield field, "stands twice: header names do not differ by case"
        elif lower.startswith(META_PREFIX) and not _META_NAME.fullmatch(lower):
            yield field, f"metadata names are {META_PREFIX} and 1 to 64 of a-z 0-9 -"
        elif lower.endswith("*") and (rule.const is not None or rule.required):
            yield field, "a prefix takes enum or pattern, and is never required"
        else:
            yield from _values(field, "header", name, rule)


def _governed_headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    content = document.content
    for name in document.headers:
        if content is not None and content.types is not None and name.lower() == "content-type":
            yield f"headers.{name}", "is governed by content.types"
        if content is not None and content.max_bytes is not None and name.lower() == "content-length":
            yield f"headers.{name}", "is governed by content.max_bytes"


def _used_headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    names = [requests.OPERATION_OF_METHOD[method] for method in operations.all_methods(document)]
    names += [{"multipart": "initiate"}.get(vend, vend) for vend in operations.other_vends(document)]
    for name in document.headers:
        if not any(operations.takes_header(one, name.lower()) for one in names):
            yield f"headers.{name}", "nothing on this route takes it: uploads take any, GET HEAD DELETE Range and If-*"


def _used_params(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if operations.other_vends(document) and not operations.all_methods(document):
        for name in document.params:
            yield f"params.{name}", f"nothing on this route takes it: {', '.join(document.vends)} have no parameters"


def _params(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    count = Counter(name.lower() for name in document.params)
    for name, rule in document.params.items():
        field = f"params.{name}"
        if not name or len(name) > 128 or not name.isprintable():
            yield "params", f"a parameter name is 1 to 128 printable characters, got {name[:64]!r}"
        elif requests.is_reserved(name):
            yield field, f"is reserved for the broker; reserved: {requests.RESERVED}"
        elif requests.is_sub_resource(name) and not _shapes_listing(document, name):
            yield field, "would make it another operation: COS's sub-resources are never granted"
        elif count[name.lower()] > 1:
            yield field, "stands twice: COS signs parameter names in lower case"
        elif name != (spelled := _spelling(name)):
            yield field, f"is spelled {spelled}"
        else:
            yield from _values(field, "param", name, rule)


def _shapes_listing(document: PolicyDocument, name: str) -> bool:
    return document.model_fields_set >= {"key"} and document.key == BUCKET and name in requests.LISTING_PARAMS


def _open_params(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    for name in _OPEN_ON_OBJECT:
        rule = operations.declared(document.params, name)
        if rule is not None and rule.pattern is not None and scope_name(document, template) != "object":
            spelled = next(one for one in document.params if one.lower() == name)
            yield f"params.{spelled}", "a pattern needs credential.scope object: one credential would hold any value"


def _active_types(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    yield from lint.active_types(document)


def _active_readings(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    yield from lint.active_readings(document)


def _spelling(name: str) -> str:
    # Other spellings would slip past what the broker and CAM know these by.
    lower = name.lower()
    return "versionId" if lower == "versionid" else lower if lower.startswith("response-") else name


def _values(field: str, kind: str, name: str, rule: ValueRule) -> Found:
    fixed = rule_set(kind, [])
    lower = name.lower()
    if rule.pattern is not None and lower in LISTED_ONLY:
        yield field, "takes const or enum: CAM must hold its values"
    values = [("const", rule.const)] if rule.const is not None else list(_enumerated(rule))
    for where, value in values:
        literal = value
        if where == "const":
            try:
                parts = notation.split(value)
            except notation.TemplateError as error:
                yield f"{field}.const", str(error)
                continue
            if bad := [part for part in parts if not isinstance(part, (Literal, Claim))]:
                yield f"{field}.const", f"may hold {{principal.CLAIM}} alone, got {type(bad[0]).__name__.lower()}"
            if lower in (*LISTED_ONLY, *_OPEN_ON_OBJECT) and any(isinstance(part, Claim) for part in parts):
                yield f"{field}.const", "must be a literal: the CAM document lists its values"
            literal = "".join(part.text if isinstance(part, Literal) else "x" for part in parts)
        if lower == "x-cos-acl" and value not in _ACLS:
            yield f"{field}.{where}", f"must be one of {', '.join(sorted(_ACLS))}, got {value!r}"
        if (flaw := fixed.value_flaw(literal)) is not None:
            yield f"{field}.{where}", f"{flaw}, got {value!r}"


def _enumerated(rule: ValueRule) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(rule.enum or []):
        yield f"enum[{index}]", value


CHECKS: tuple[Check, ...] = (
    (frozenset({"vends", "methods", "content"}), _content),
    (frozenset(), _headers),
    (frozenset({"content", "headers"}), _governed_headers),
    (frozenset({"vends", "methods", "headers"}), _used_headers),
    (frozenset(), _params),
    (frozenset({"vends", "methods", "params"}), _used_params),
    (frozenset({"key", "params", "credential"}), _open_params),
    (frozenset({"vends", "methods", "content", "headers", "params"}), _active_types),
    (frozenset({"vends", "methods", "params"}), _active_readings),
)
