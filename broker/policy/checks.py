"""What the fields of a policy file demand of each other; every rule is looked at, and every problem reported.

A rule names the fields it reads and is passed over while one of them is unsound in itself. Rules on single headers and
parameters read what is sound of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.cos import cam, requests, signing
from broker.policy import lint, operations, templates
from broker.policy.document import PolicyDocument, ValueRule
from broker.policy.reach import longest, reach_of, scope_name, worst_claims, worst_key
from broker.policy.templates import Claim, Date, Input, Literal, Template, Uuid
from broker.policy.values import META_PREFIX, constant, rule_set

URL_BYTES = 8_000
_TOKEN_BYTES = 2_048
# A credential must serve its longest ask for three quarters of its life, and 120 s more to renew it in.
_RENEWAL_SECONDS = 120
_ASSUME_ROLE_SECONDS = 43_200
_META_NAME = re.compile(r"x-cos-meta-(?:\*|[a-z0-9-]{1,64})")
_LISTED_ONLY = ("x-cos-acl",)
_OPEN_ON_OBJECT = ("versionid", "response-content-type")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings bound: the largest CAM document in bytes, and the URL template of buckets."""

    policy_bytes: int
    cos_endpoint: str


Found = Iterator[tuple[str, str]]  # (field, message)
_RULES: list[tuple[frozenset[str], Callable[[PolicyDocument, Template, Limits], Found]]] = []


def _reads(
    *fields: str,
) -> Callable[
    [Callable[[PolicyDocument, Template, Limits], Found]], Callable[[PolicyDocument, Template, Limits], Found]
]:
    def register(
        rule: Callable[[PolicyDocument, Template, Limits], Found],
    ) -> Callable[[PolicyDocument, Template, Limits], Found]:
        _RULES.append((frozenset(fields), rule))
        return rule

    return register


def check(document: PolicyDocument, unsound: frozenset[str], limits: Limits) -> list[tuple[str, str]]:
    """(field, message) of all that is wrong between fields; `unsound` ones and what depends on them are left out."""
    problems: list[tuple[str, str]] = []
    template = templates.template("", ())
    if "key" not in unsound:
        try:
            template = templates.parse(document.key)
        except templates.TemplateError as error:
            problems.append(("key", str(error)))
            unsound |= {"key"}
    for fields, rule in _RULES:
        if fields.isdisjoint(unsound):
            problems += rule(document, template, limits)
    return problems


@_reads("key")
def _declared_inputs(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    for name in sorted(template.inputs - set(document.inputs)):
        yield "key", f"{{{name}}} is not declared in inputs; declared: {', '.join(document.inputs) or 'none'}"
    for name in sorted(set(document.inputs) - template.inputs):
        yield f"inputs.{name}", f"is not used in key {document.key!r}"


@_reads("key", "inputs")
def _path_inputs(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    specs = operations.input_specs(document)
    for index, part in enumerate(template.parts):
        if isinstance(part, Input) and part.name in specs and specs[part.name].path:
            before = template.parts[index - 1] if index else Literal("/")
            if index + 1 < len(template.parts) or not (isinstance(before, Literal) and before.text.endswith("/")):
                yield f"inputs.{part.name}", f"a path fills whole segments at the end of key, got {document.key!r}"


@_reads("key", "principals", "headers", "params")
def _anonymous(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if document.principals is None or not document.principals.anonymous:
        return
    if template.claims:
        yield "key", f"an anonymous caller has no claims, got {document.key!r}"
    for field, declared in (("headers", document.headers), ("params", document.params)):
        for name, rule in declared.items():
            if rule.const is not None and "{principal." in rule.const:
                yield f"{field}.{name}", f"an anonymous caller has no claims, got {rule.const!r}"


@_reads("vends", "methods")
def _methods(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    users = [vend for vend in document.vends if vend != "download-url"]
    if document.methods is None:
        if users:
            yield "methods", f"is required by {', '.join(users)}; legal: {', '.join(requests.METHODS)}"
        return
    if not users:
        yield "methods", "no vend of this route uses it: download-url is always GET; leave it out"
    if operations.CREDENTIALS in users and "POST" in document.methods:
        yield "methods", "POST is never handed out with vend credentials: make another route for it"


@_reads("vends", "methods", "content")
def _content(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if document.content is not None and "PUT" not in (document.methods or []):
        yield "content", "limits uploads, and this route has none: PUT is not in methods"


@_reads()
def _headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    names = [name.lower() for name in document.headers]
    for name, rule in document.headers.items():
        field, lower = f"headers.{name}", name.lower()
        if not requests.HEADER_NAME.fullmatch(name) or ("*" in name and lower != f"{META_PREFIX}*"):
            yield field, f"is no header name (the one prefix form is {META_PREFIX}*)"
        elif requests.is_reserved(name):
            yield field, f"is reserved for the broker; reserved: {requests.RESERVED}"
        elif names.count(lower) > 1:
            yield field, "stands twice: header names do not differ by case"
        elif lower.startswith(META_PREFIX) and not _META_NAME.fullmatch(lower):
            yield field, f"metadata names are {META_PREFIX} and 1 to 64 of a-z 0-9 -"
        elif lower.endswith("*") and (rule.const is not None or rule.required):
            yield field, "a prefix takes enum or pattern, and is never required"
        else:
            yield from _values(field, "header", name, rule)


@_reads("content", "headers")
def _governed_headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    content = document.content
    for name in document.headers:
        if content is not None and content.types is not None and name.lower() == "content-type":
            yield f"headers.{name}", "is governed by content.types"
        if content is not None and content.max_bytes is not None and name.lower() == "content-length":
            yield f"headers.{name}", "is governed by content.max_bytes"


@_reads("vends", "methods", "headers")
def _used_headers(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    methods = {*operations.signed_methods(document), *(document.methods or [])}
    for name in document.headers:
        if not any(operations.takes_header(requests.OPERATION_OF_METHOD[one], name.lower()) for one in methods):
            yield f"headers.{name}", "no method of this route takes it: PUT takes any, GET HEAD DELETE Range and If-*"


@_reads()
def _params(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    names = [name.lower() for name in document.params]
    for name, rule in document.params.items():
        field = f"params.{name}"
        if not name or len(name) > 128 or not name.isprintable():
            yield "params", f"a parameter name is 1 to 128 printable characters, got {name[:64]!r}"
        elif requests.is_reserved(name):
            yield field, f"is reserved for the broker; reserved: {requests.RESERVED}"
        elif requests.is_sub_resource(name):
            yield field, "would make it another operation: COS's sub-resources are never granted"
        elif names.count(name.lower()) > 1:
            yield field, "stands twice: COS signs parameter names in lower case"
        elif name != (spelled := _spelling(name)):
            yield field, f"is spelled {spelled}"
        else:
            yield from _values(field, "param", name, rule)


@_reads("key", "params", "credential")
def _open_params(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    for name in _OPEN_ON_OBJECT:
        rule = operations.declared(document.params, name)
        if rule is not None and rule.pattern is not None and scope_name(document, template) != "object":
            spelled = next(one for one in document.params if one.lower() == name)
            yield f"params.{spelled}", "a pattern needs credential.scope object: one credential would hold any value"


def _spelling(name: str) -> str:
    # Other spellings would slip past what the broker and CAM know these by.
    lower = name.lower()
    return "versionId" if lower == "versionid" else lower if lower.startswith("response-") else name


def _values(field: str, kind: str, name: str, rule: ValueRule) -> Found:
    fixed = rule_set(kind, [])
    lower = name.lower()
    if rule.pattern is not None and lower in _LISTED_ONLY:
        yield field, "takes const or enum: CAM must hold its values"
    values = [("const", rule.const)] if rule.const is not None else list(_enumerated(rule))
    for where, value in values:
        literal = value
        if where == "const":
            try:
                parts = templates.split(value)
            except templates.TemplateError as error:
                yield f"{field}.const", str(error)
                continue
            if bad := [part for part in parts if not isinstance(part, (Literal, Claim))]:
                yield f"{field}.const", f"may hold {{principal.CLAIM}} alone, got {type(bad[0]).__name__.lower()}"
            if lower in (*_LISTED_ONLY, *_OPEN_ON_OBJECT) and any(isinstance(part, Claim) for part in parts):
                yield f"{field}.const", "must be a literal: the CAM document lists its values"
            literal = "".join(part.text if isinstance(part, Literal) else "x" for part in parts)
        if (flaw := fixed.value_flaw(literal)) is not None:
            yield f"{field}.{where}", f"{flaw}, got {value!r}"


def _enumerated(rule: ValueRule) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(rule.enum or []):
        yield f"enum[{index}]", value


@_reads("key", "vends", "methods", "credential")
def _scope(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    terms, scope = document.credential, scope_name(document, template)
    if scope == "principal" and not template.claims:
        yield "credential.scope", f"principal needs a {{principal.CLAIM}} in key, got {document.key!r}"
    if scope == "principal":
        last_claim = max((i for i, part in enumerate(template.parts) if isinstance(part, Claim)), default=-1)
        if any(isinstance(part, (Input, Uuid, Date)) for part in template.parts[:last_claim]):
            yield "key", f"with scope principal, no input or generated part precedes a claim, got {document.key!r}"
    if scope != "object" and template.parts and not template.literal_prefix:
        yield "key", f"scope {scope} needs a literal first segment ending in '/', got {document.key!r}"
    if terms.shared_writes and not (scope == "route" and _writes(document)):
        yield "credential.shared_writes", f"only means something for writes with scope route, got scope {scope}"
    if terms.external_id is not None and terms.role_arn is None:
        yield "credential.external_id", "goes with role_arn"
    if terms.role_arn is not None and terms.duration_seconds > _ASSUME_ROLE_SECONDS:
        yield (
            "credential.duration_seconds",
            f"AssumeRole gives at most {_ASSUME_ROLE_SECONDS}, got {terms.duration_seconds}",
        )


def _writes(document: PolicyDocument) -> bool:
    return any(requests.OPERATION_OF_METHOD[method] in requests.WRITE_OPERATIONS for method in document.methods or [])


@_reads("vends", "expires", "credential")
def _lifetimes(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    terms = document.credential
    needs = []
    if set(document.vends) - {operations.CREDENTIALS}:
        needs.append(("expires.max_seconds", document.expires.max_seconds, document.expires.max_seconds + 60))
    if operations.CREDENTIALS in document.vends:
        needs.append(("credential.min_remaining_seconds", terms.min_remaining_seconds, terms.min_remaining_seconds))
    elif "min_remaining_seconds" in terms.model_fields_set:
        yield "credential.min_remaining_seconds", "concerns the vend credentials, which this route does not have"
    for field, value, need in needs:
        wanted = -(-(need + _RENEWAL_SECONDS) * 4 // 3)
        if wanted > terms.duration_seconds:
            yield field, f"{value} needs credential.duration_seconds of at least {wanted}, got {terms.duration_seconds}"


@_reads("key", "vends", "inputs", "headers", "params", "credential")
def _credentials_vend(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if operations.CREDENTIALS not in document.vends:
        return
    *before, last = template.parts or (Literal(""),)
    path = document.inputs.get(last.name) if isinstance(last, Input) else None
    whole = all(isinstance(part, (Literal, Claim)) for part in before)
    if path is None or path.type != "path" or path.pattern is not None or not whole:
        yield (
            "key",
            (
                "with vend credentials, key is literals and whole-segment claims, then one path input without pattern, "
                f"got {document.key!r}"
            ),
        )
    wanted = "principal" if template.claims else "route"
    if scope_name(document, template) != wanted:
        got = scope_name(document, template)
        yield "credential.scope", f"with vend credentials and this key it is {wanted}: keys reach one folder, got {got}"
    if document.params:
        yield "params", f"must be empty with vend credentials, got {', '.join(document.params)}"
    for name, rule in document.headers.items():
        if name.lower() not in _LISTED_ONLY or rule.required:
            yield f"headers.{name}", "CAM cannot hold it, so vend credentials cannot; x-cos-acl (not required) can be"


@_reads("key", "vends", "methods", "bucket", "region", "inputs", "content", "headers", "params", "credential")
def _sizes(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    try:
        by_method = operations.operations(document)
    except templates.TemplateError:
        return  # a const that is no template is reported where it stands
    reach = reach_of(
        scope_name(document, template), template, worst_claims(template.claims), worst_key(document, template)
    )
    permissions = [operation.permission for operation in by_method.values()]
    if operations.CREDENTIALS in document.vends and document.methods:
        permissions.append(operations.credentials_permission(document))
    for permission in permissions:
        size = cam.measure(permission.scope(reach).document)
        if size > limits.policy_bytes:
            yield "", f"the CAM document can reach {size} bytes, at most {limits.policy_bytes} (BROKER_POLICY_BYTES)"
            break
    base_url = requests.endpoint(limits.cos_endpoint, document.bucket, document.region).base_url
    params = {
        name: _worst_constant(rule.const) if rule.const is not None else longest(rule.enum or [""])
        for name, rule in document.params.items()
    }
    request = signing.Request("GET", base_url, worst_key(document, template), {"Host": base_url}, params)
    length = signing.url_length(request, _TOKEN_BYTES)
    if length > URL_BYTES:
        yield "params", f"a URL of this route can reach {length} bytes, at most {URL_BYTES}"


def _worst_constant(text: str) -> str:
    value = constant(text)
    return value.render(worst_claims(value.claims))


@_reads("key", "methods", "credential")
def _shared_writes(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    yield from lint.shared_writes(document, template)


@_reads("content", "headers")
def _active_types(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    yield from lint.active_types(document)
