"""What the fields of a policy file demand of each other; every check is made, and every problem reported.

A check names the fields it reads and is passed over while one of them is unsound in itself. What requests may carry is
in `carried`, how large things can get in `sizes`, what is legal but unwise in `lint`.
"""

from __future__ import annotations

from broker.cos import requests
from broker.policy import carried, lint, notation, operations, sizes, templates
from broker.policy.conditions import STORAGE_CLASS, flaws
from broker.policy.document import PolicyDocument
from broker.policy.limits import Check, Found, Limits
from broker.policy.reach import scope_name
from broker.policy.templates import Claim, Date, Input, Literal, Template, Uuid

# A credential must serve its longest ask for three quarters of its life, and 120 s more to renew it in.
_RENEWAL_SECONDS = 120
_ASSUME_ROLE_SECONDS = 43_200
# Forms carry headers as fields, and of a multipart upload only the first request has them.
_BARE = {"form", "multipart"}
_USERS_OF_METHODS = ("url", "signature", operations.CREDENTIALS)


def check(document: PolicyDocument, unsound: frozenset[str], limits: Limits) -> list[tuple[str, str]]:
    """(field, message) of all that is wrong between fields; `unsound` ones and what depends on them are left out."""
    problems: list[tuple[str, str]] = []
    template = templates.template("", ())
    if "key" not in unsound:
        try:
            template = notation.parse(document.key)
        except notation.TemplateError as error:
            problems.append(("key", str(error)))
            unsound |= {"key"}
    for fields, rule in _CHECKS:
        if fields.isdisjoint(unsound):
            problems += rule(document, template, limits)
    return problems


def _declared_inputs(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    for name in sorted(template.inputs - set(document.inputs)):
        yield "key", f"{{{name}}} is not declared in inputs; declared: {', '.join(document.inputs) or 'none'}"
    for name in sorted(set(document.inputs) - template.inputs):
        yield f"inputs.{name}", f"is not used in key {document.key!r}"


def _path_inputs(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    specs = operations.input_specs(document)
    for index, part in enumerate(template.parts):
        if isinstance(part, Input) and part.name in specs and specs[part.name].path:
            before = template.parts[index - 1] if index else Literal("/")
            if index + 1 < len(template.parts) or not (isinstance(before, Literal) and before.text.endswith("/")):
                yield f"inputs.{part.name}", f"a path fills whole segments at the end of key, got {document.key!r}"


def _anonymous(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if document.principals is None or not document.principals.anonymous:
        return
    if template.claims:
        yield "key", f"an anonymous caller has no claims, got {document.key!r}"
    for field, declared in (("headers", document.headers), ("params", document.params)):
        for name, rule in declared.items():
            if rule.const is not None and "{principal." in rule.const:
                yield f"{field}.{name}", f"an anonymous caller has no claims, got {rule.const!r}"


def _methods(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    users = [vend for vend in document.vends if vend in _USERS_OF_METHODS]
    if document.methods is None:
        if users:
            yield "methods", f"is required by {', '.join(users)}; legal: {', '.join(requests.METHODS)}"
        return
    if not users:
        yield "methods", f"no vend of this route uses it ({', '.join(_USERS_OF_METHODS)} do); leave it out"
    if operations.CREDENTIALS in users and "POST" in document.methods:
        yield "methods", "POST is never handed out with vend credentials: make another route for it"


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
    if terms.shared_writes and not (scope == "route" and operations.written_with(document)):
        yield "credential.shared_writes", f"only means something for writes with scope route, got scope {scope}"
    if terms.external_id is not None and terms.role_arn is None:
        yield "credential.external_id", "goes with role_arn"
    if terms.role_arn is not None and terms.duration_seconds > _ASSUME_ROLE_SECONDS:
        yield (
            "credential.duration_seconds",
            f"AssumeRole gives at most {_ASSUME_ROLE_SECONDS}, got {terms.duration_seconds}",
        )


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
        if name.lower() not in carried.LISTED_ONLY or rule.required:
            yield f"headers.{name}", "CAM cannot hold it, so vend credentials cannot; x-cos-acl (not required) can be"


def _shared_writes(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    yield from lint.shared_writes(document, template)


def _multipart_keys(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    # Every step names the key, and nobody may name what the broker made for somebody else.
    if "multipart" in document.vends and template.generated and not template.claims:
        yield "key", f"with vend multipart and a generated part it needs a claim, got {document.key!r}"


def _redirects(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    rule = operations.declared(document.headers, requests.REDIRECT)
    if rule is None:
        return
    if document.vends != ["form"]:
        yield (
            f"headers.{requests.REDIRECT}",
            f"is a field of forms: it needs a route of its own, got {', '.join(document.vends)}",
        )
    if rule.const is None or requests.url_flaw(rule.const) is not None or "{" in rule.const:
        yield f"headers.{requests.REDIRECT}", "must be a const https URL"


def _bucket(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if template.text != templates.BUCKET:
        return
    for index, vend in enumerate(document.vends):
        if vend not in ("url", "signature"):
            yield f"vends[{index}]", f"on the key '/', the bucket itself, it is url or signature, got {vend}"
    for index, method in enumerate(document.methods or []):
        if method not in requests.BUCKET_OPERATIONS:
            yield f"methods[{index}]", f"on the key '/', the bucket itself, it is GET or HEAD, got {method}"
    if document.credential.scope not in (None, "object"):
        yield "credential.scope", f"means nothing on the key '/', the bucket itself, got {document.credential.scope}"
    if document.expires.window_seconds:
        yield "expires.window_seconds", "is for objects: listings change"
    prefix = operations.declared(document.params, "prefix")
    if "GET" in (document.methods or []) and (prefix is None or prefix.const is None):
        yield "params.prefix", "is required to list, as a const: what is listed is the policy's word"
    elif prefix is not None and prefix.const is not None and (flaw := _prefix_flaw(prefix.const)) is not None:
        yield "params.prefix.const", f"{flaw}, got {prefix.const!r}"


def _prefix_flaw(const: str) -> str | None:
    if not const.endswith("/"):
        return "must end in '/': u1 must not list u10"
    try:
        notation.parse(const[:-1])
    except notation.TemplateError as error:
        return str(error)
    return None


def _windows(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if not document.expires.window_seconds:
        return
    field = "expires.window_seconds"
    methods = operations.all_methods(document)
    if not methods <= {"GET", "HEAD"} or {"form", "multipart"} & set(document.vends):
        got = ", ".join([*(document.methods or []), *operations.other_vends(document)]) or "none"
        yield field, f"is for GET and HEAD alone: other requests must not be repeated; got {got}"
    if not operations.signed_methods(document):
        yield field, "concerns signed requests, which vend credentials has none of"
    if template.generated:
        yield (
            field,
            f"needs a key without {{uuid}} and {{date}}, an input in their place; got {document.key!r}",
        )
    if operations.declared(document.params, operations.CACHE_CONTROL) is not None:
        yield f"params.{operations.CACHE_CONTROL}", "is set by the broker with window_seconds"


def _conditions(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    for field, message in flaws(document.condition):
        yield f"condition.{field}", message
    methods = operations.all_methods(document) | {"GET" for vend in document.vends if vend == "confirm"}
    for operator, keys in document.condition.items():
        if STORAGE_CLASS in keys and not methods <= {"PUT", "POST"}:
            got = ", ".join(sorted(methods))
            yield f"condition.{operator}.{STORAGE_CLASS}", f"fits uploads alone, and this route has {got}"
        if STORAGE_CLASS in keys and operator == "string_equal" and (bare := _BARE & set(document.vends)):
            yield (
                f"condition.{operator}.{STORAGE_CLASS}",
                f"wants the header on every request, which those of {' and '.join(sorted(bare))} never carry: "
                "string_equal_if_exist fits them",
            )


def _role(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    if limits.role_required and document.credential.role_arn is None:
        yield (
            "credential.role_arn",
            "is required: the key for STS is itself temporary and only assumes roles",
        )


_CHECKS: tuple[Check, ...] = (
    (frozenset({"key"}), _declared_inputs),
    (frozenset({"key", "inputs"}), _path_inputs),
    (frozenset({"key", "principals", "headers", "params"}), _anonymous),
    (frozenset({"key", "vends"}), _multipart_keys),
    (frozenset({"key", "vends", "methods", "params", "expires", "credential"}), _bucket),
    (frozenset({"vends", "methods"}), _methods),
    (frozenset({"key", "vends", "methods", "params", "expires"}), _windows),
    (frozenset({"vends", "methods", "condition"}), _conditions),
    (frozenset({"vends", "headers"}), _redirects),
    (frozenset({"credential"}), _role),
    (frozenset({"key", "vends", "methods", "credential"}), _scope),
    (frozenset({"vends", "expires", "credential"}), _lifetimes),
    (frozenset({"key", "vends", "inputs", "headers", "params", "credential"}), _credentials_vend),
    (frozenset({"key", "vends", "methods", "credential"}), _shared_writes),
    *carried.CHECKS,
    *sizes.CHECKS,
)
