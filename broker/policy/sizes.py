"""How large a route's CAM documents and URLs can get, with the longest values that it admits."""

from __future__ import annotations

from broker.cos import cam, requests, signing
from broker.policy import notation, operations
from broker.policy.content import compile_content
from broker.policy.document import PolicyDocument
from broker.policy.limits import Check, Found, Limits
from broker.policy.reach import longest, reach_of, scope_name, worst_claims, worst_key
from broker.policy.templates import Template
from broker.policy.values import Constant, Rule, RuleSet, constant

URL_BYTES = 8_000
_TOKEN_BYTES = 2_048


def _documents(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    try:
        by_method = operations.operations(document)
    except notation.TemplateError:
        return  # a const that is no template is reported where it stands
    others = operations.other_operations(document)
    permissions = [operation.permission for operation in (*by_method.values(), *others.values())]
    if operations.CREDENTIALS in document.vends and document.methods:
        permissions.append(operations.credentials_permission(document))
    reach = reach_of(
        scope_name(document, template), template, worst_claims(template.claims), worst_key(document, template)
    )
    listed = operations.declared(document.params, "prefix")
    prefix = _worst(constant(listed.const)) if listed is not None and listed.const is not None else ""
    size = max((cam.measure(one.scope(prefix if one.listing else reach).document) for one in permissions), default=0)
    if size > limits.policy_bytes:
        yield "", f"the CAM document can reach {size} bytes, at most {limits.policy_bytes} (BROKER_POLICY_BYTES)"


def _urls(document: PolicyDocument, template: Template, limits: Limits) -> Found:
    try:
        by_method = operations.operations(document)
    except notation.TemplateError:
        return
    base_url = requests.endpoint(document.endpoint or limits.cos_endpoint, document.bucket, document.region).base_url
    key, governed = worst_key(document, template), dict.fromkeys(compile_content(document).names.values(), "")
    for operation in by_method.values():
        carried = governed if operation.name == "put" else {}
        headers = {"Host": base_url, **carried, **dict.fromkeys(_always(operation.headers), "")}
        params = {rule.name: _longest(rule) for rule in operation.params.rules.values()}
        length = signing.url_length(signing.Request(operation.method, base_url, key, headers, params), _TOKEN_BYTES)
        if length > URL_BYTES:
            yield "params" if params else "", f"a URL of this route can reach {length} bytes, at most {URL_BYTES}"
            return


def _always(rules: RuleSet) -> list[str]:
    """The names that every request carries."""
    return [*(name for name, _ in rules.constants), *rules.required]


def _longest(rule: Rule) -> str:
    return _worst(rule.const) if rule.const else longest(rule.enum or [""])


def _worst(constant: Constant) -> str:
    return constant.render(worst_claims(constant.claims))


CHECKS: tuple[Check, ...] = (
    (
        frozenset(
            {"key", "vends", "methods", "bucket", "region", "inputs", "content", "headers", "params", "credential"}
            | {"condition", "expires"}
        ),
        _documents,
    ),
    (
        frozenset(
            {"key", "vends", "methods", "bucket", "region", "endpoint", "inputs", "content", "headers", "params"}
            | {"expires", "credential", "condition"}
        ),
        _urls,
    ),
)
