"""What is legal but unwise in a policy file. Errors refuse the file like any other mistake, warnings never do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from broker.patterns import Pattern
from broker.policy import operations
from broker.policy.document import PolicyDocument, ValueRule
from broker.policy.reach import scope_name
from broker.policy.templates import Template
from broker.policy.values import ATTACHMENT, DISPOSITION

# Types that a browser runs scripts from, if an object of them is opened from the bucket's domain, and whatever else
# ends in `+xml`: https://github.com/BlackFan/content-type-research/blob/master/XSS.md
_ACTIVE_TYPES = (
    "text/html",
    "image/svg+xml",
    "application/xhtml+xml",
    "application/xml",
    "text/xml",
    "text/xsl",
    "text/rdf",
    "multipart/x-mixed-replace",
)
_OTHER_XML = re.compile(r"[^/]+/[^/]*\+xml")
# What browsers end a type at; several in one value stand beside each other, and the last may count.
_TYPE_ENDS = re.compile(r"[,;( \t]+")
# What a pattern must not match, since a browser executes it. More than these cannot be told of a pattern.
_ACTIVE_SPELLINGS = [
    spelled(active)
    for spelled in (str, str.upper, "{};charset=utf-8".format, "{}; charset=utf-8".format, "image/png, {}".format)
    for active in (*_ACTIVE_TYPES, "application/rss+xml")
]
_PARAMETER = f'the parameter "{DISPOSITION}": {{"const": "attachment"}}'
_LONG_SECONDS = 3600


def shared_writes(document: PolicyDocument, template: Template) -> Iterator[tuple[str, str]]:
    """(field, message) if one credential would write for all principals, unsaid."""
    writes = operations.written_with(document)
    if scope_name(document, template) == "route" and writes and not document.credential.shared_writes:
        yield (
            "credential.scope",
            (
                f"route lets one credential write for all principals ({', '.join(writes)}): put a claim into key, "
                "or say shared_writes"
            ),
        )


def active_types(document: PolicyDocument) -> Iterator[tuple[str, str]]:
    """(field, message) of types that browsers execute, unless they are always saved as files."""
    if not (remedy := _remedy(document)):
        return
    types = (document.content and document.content.types) or []
    declared = [(f"content.types[{index}]", one) for index, one in enumerate(types)]
    for name, rule in document.headers.items():
        if name.lower() == "content-type":
            if rule.pattern is not None or "{principal." in (rule.const or ""):
                yield (
                    f"headers.{name}",
                    f"may admit types that browsers execute: list types in content.types, or {remedy}",
                )
            declared += [(f"headers.{name}", one) for one in rule.enum or [rule.const or ""]]
    for field, one in declared:
        if active := _active(one):
            yield (
                field,
                f"{one!r} admits {' and '.join(active)}, which browsers execute: name the types you need, or {remedy}",
            )


def active_readings(document: PolicyDocument) -> Iterator[tuple[str, str]]:
    """(field, message) of types that objects are read as and browsers execute, unless they are saved as files."""
    rule = operations.declared(document.params, "response-content-type")
    if rule is None or "GET" not in operations.all_methods(document):
        return
    if _attached(operations.declared(document.params, DISPOSITION)):
        return
    declared = rule.enum or [rule.const or ""]
    if rule.pattern is not None:
        pattern = Pattern(rule.pattern)
        declared = [spelling for spelling in _ACTIVE_SPELLINGS if pattern.matches(spelling)][:1]
    for one in declared:
        if _active(one):
            yield (
                "params.response-content-type",
                (
                    f"admits {one!r}, which browsers execute, whatever it was uploaded as: name the types you need, "
                    f"or add {_PARAMETER}"
                ),
            )


def _remedy(document: PolicyDocument) -> str:
    """What has the objects of a route saved as files, whoever opens them; empty if it is there."""
    if operations.CREDENTIALS in document.vends:
        return "vend URLs: keys are held to no attachment"
    lacking = []
    if not _attached(operations.declared(document.headers, "content-disposition")):
        lacking.append('the header "Content-Disposition": {"const": "attachment"}')
    # A URL that does not sign this parameter is good with `inline` added to it, which overrules what is stored.
    if "GET" in operations.all_methods(document) and not _attached(operations.declared(document.params, DISPOSITION)):
        lacking.append(_PARAMETER)
    return f"add {' and '.join(lacking)}" if lacking else ""


def _attached(rule: ValueRule | None) -> bool:
    return rule is not None and ATTACHMENT.fullmatch(rule.const or "") is not None


def warnings(document: PolicyDocument, template: Template) -> Iterator[tuple[str, str]]:
    """(field, message) of what deserves a second look."""
    content, written = document.content, set(operations.written_with(document))
    if "POST" in written:
        size = "" if content is not None and content.max_bytes is not None else " and size"
        yield "methods", f"POST uploads of any type{size} are allowed, also over existing objects: form has limits"
    if {"PUT", "form", "multipart"} & written:
        if content is None or content.types is None:
            yield "content.types", "uploads of any type are allowed"
        if content is None or content.max_bytes is None:
            yield "content.max_bytes", "uploads of any size are allowed"
        overwrite = operations.declared(document.headers, "x-cos-forbid-overwrite")
        signed = {"url", "signature", "form", "multipart"} & set(document.vends)
        if signed and (overwrite is None or overwrite.const != "true"):
            yield "headers.x-cos-forbid-overwrite", "uploads may overwrite existing objects"
    for name, rule in document.headers.items():
        if name.lower() == "x-cos-acl" and any(one.startswith("public-") for one in rule.enum or [rule.const or ""]):
            yield f"headers.{name}", "uploads may be made readable for everyone"
    if document.expires.max_seconds > _LONG_SECONDS:
        yield "expires.max_seconds", f"links may live {document.expires.max_seconds} s, more than an hour"


def _active(declared: str) -> list[str]:
    """The types that browsers execute, of those that a type, a range or the text of a header stands for."""
    found = []
    for one in _TYPE_ENDS.split(declared.lower()):
        kind, _, subtype = one.partition("/")
        if subtype == "*":
            found += [active for active in _ACTIVE_TYPES if active.startswith(f"{kind}/")]
        elif one in _ACTIVE_TYPES or _OTHER_XML.fullmatch(one):
            found.append(one)
    return found
