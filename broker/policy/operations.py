"""What one operation of a route may carry, and the permission behind it: rule sets and CAM statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from broker.cos import cam, requests
from broker.credentials.scope import Scope
from broker.patterns import Pattern
from broker.policy.conditions import merged
from broker.policy.content import compile_content
from broker.policy.document import CredentialTerms, PolicyDocument, ValueRule
from broker.policy.templates import BUCKET, InputSpec
from broker.policy.values import Rule, RuleSet, constant, rule_set

CREDENTIALS = "credentials"  # the one vend whose credential holds more than one operation
CACHE_CONTROL = "response-cache-control"


@dataclass(frozen=True, slots=True, eq=False)
class Permission:
    """What a credential of a route permits, but for whose objects: `scope` says that.

    Of a `listing` the resource is the bucket, and whose objects are listed is a condition.
    """

    region: str
    bucket: str
    statements: tuple[tuple[tuple[str, ...], str], ...]  # (actions, condition as JSON text)
    terms: CredentialTerms
    listing: bool = False

    @property
    def actions(self) -> list[str]:
        """Every CAM action, in the document's order."""
        return [action for actions, _ in self.statements for action in actions]

    def document(self, reach: str) -> dict[str, Any]:
        """The CAM document for one key, for all keys below a prefix that ends in `*`, or to list a prefix."""
        resource = cam.resource(self.region, self.bucket, "" if self.listing else reach)
        held = cam.list_condition(reach) if self.listing else {}
        return cam.document(
            [
                cam.statement(actions, [resource], merged(held, json.loads(condition)))
                for actions, condition in self.statements
            ]
        )

    def scope(self, reach: str) -> Scope:
        """All that STS is asked for to reach `reach`."""
        return _scope(self, reach)


# Rendering and serialising a document costs more than the rest of an ask; the ones in use are kept. Pure: a scope is a
# function of its arguments.
@lru_cache(maxsize=2048)
def _scope(permission: Permission, reach: str) -> Scope:
    terms = permission.terms
    return Scope(cam.compact(permission.document(reach)), terms.duration_seconds, terms.role_arn, terms.external_id)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that `url`, `download-url` or `signature` can sign."""

    name: str
    method: str
    headers: RuleSet
    params: RuleSet
    permission: Permission

    @property
    def writes(self) -> bool:
        """Whether it changes objects."""
        return self.name in requests.WRITE_OPERATIONS


def operations(document: PolicyDocument) -> dict[str, Operation]:
    """The operations of a route, by the HTTP method that is signed."""
    headers, params = rules(document.headers), param_rules(document)
    return {method: _operation(document, method, headers, params) for method in signed_methods(document)}


def other_operations(document: PolicyDocument) -> dict[str, Operation]:
    """What the vends `form`, `multipart` and `confirm` need, by the operation's name."""
    nothing, vends = rule_set("param", []), document.vends
    headers = rule_set(
        "header", rules(document.headers), governed_elsewhere=compile_content(document).names_without_length.values()
    )
    found = {}
    acl = _listed_values(document.headers, "x-cos-acl") or []
    if "form" in vends:
        limit = document.content.max_bytes if document.content else None
        condition = merged(cam.post_condition(limit, acl), document.condition)
        permission = _permission(document, [((requests.ACTION_OF_OPERATION["post"],), json.dumps(condition))])
        found["form"] = Operation("form", "POST", headers, nothing, permission)
    if "multipart" in vends:
        condition = merged(cam.multipart_condition(acl), document.condition)
        permission = _permission(document, [(requests.MULTIPART_ACTIONS, json.dumps(condition))])
        found["initiate"] = Operation("initiate", "POST", headers, nothing, permission)
        kept = [
            rule
            for rule in headers.rules.values()
            if rule.name.lower() == "x-cos-forbid-overwrite" and rule.const is not None
        ]
        found["multipart"] = Operation("multipart", "POST", rule_set("header", kept), nothing, permission)
    if "confirm" in vends:
        condition = merged(cam.read_condition([]), document.condition)
        permission = _permission(document, [((requests.ACTION_OF_OPERATION["head"],), json.dumps(condition))])
        found["confirm"] = Operation("confirm", "HEAD", rule_set("header", []), nothing, permission)
    return found


def told_methods(document: PolicyDocument) -> list[str]:
    """The methods to name to people: those listed, or a download's; none where each vend has its own."""
    return list(document.methods or (["GET"] if "download-url" in document.vends else []))


def signed_methods(document: PolicyDocument) -> list[str]:
    """The HTTP methods that a route signs (vend `credentials` signs nothing)."""
    methods: list[str] = list(document.methods or []) if {"url", "signature"} & set(document.vends) else []
    if "download-url" in document.vends and "GET" not in methods:
        methods.append("GET")
    return methods


def all_methods(document: PolicyDocument) -> set[str]:
    """The HTTP methods that a route signs or hands out keys for."""
    return {*signed_methods(document), *(document.methods or [])}


def other_vends(document: PolicyDocument) -> list[str]:
    """The vends that are operations of their own, whatever the methods."""
    return [vend for vend in document.vends if vend in ("form", "multipart", "confirm")]


def written_with(document: PolicyDocument) -> list[str]:
    """The methods and vends of a route that change objects."""
    methods = [one for one in document.methods or [] if requests.OPERATION_OF_METHOD[one] in requests.WRITE_OPERATIONS]
    return [*methods, *(vend for vend in other_vends(document) if vend in requests.WRITE_OPERATIONS)]


def credentials_permission(document: PolicyDocument) -> Permission:
    """The union that the vend `credentials` hands out; methods with one condition share a statement."""
    grouped: dict[str, list[str]] = {}
    for method in document.methods or []:
        operation = requests.OPERATION_OF_METHOD[method]
        condition = json.dumps(_condition(document, operation))
        grouped.setdefault(condition, []).append(requests.ACTION_OF_OPERATION[operation])
    if "multipart" in document.vends and document.content is None:
        acl = _listed_values(document.headers, "x-cos-acl") or []
        condition = json.dumps(merged(cam.multipart_condition(acl), document.condition))
        grouped.setdefault(condition, []).extend(requests.MULTIPART_ACTIONS)
    return _permission(document, [(tuple(actions), condition) for condition, actions in grouped.items()])


def rules(declared: Mapping[str, ValueRule]) -> list[Rule]:
    """The compiled rules of a policy's `headers` or `params`."""
    return [
        Rule(
            name=name,
            const=constant(rule.const) if rule.const is not None else None,
            enum=tuple(rule.enum) if rule.enum is not None else None,
            pattern=Pattern(rule.pattern) if rule.pattern is not None else None,
            required=rule.required,
        )
        for name, rule in declared.items()
    ]


def param_rules(document: PolicyDocument) -> list[Rule]:
    """The rules of the parameters, with the one that makes browsers and CDNs keep what a windowed URL reads."""
    window = document.expires.window_seconds
    kept = {CACHE_CONTROL: ValueRule.model_validate({"const": f"private, max-age={window}"})} if window else {}
    return rules({**document.params, **kept})


def input_specs(document: PolicyDocument) -> dict[str, InputSpec]:
    """What each input may be filled with."""
    return {
        name: InputSpec(
            enum=tuple(rule.enum) if rule.enum is not None else None,
            pattern=Pattern(rule.pattern) if rule.pattern is not None else None,
            max_bytes=rule.max_length,
            path=rule.type == "path",
        )
        for name, rule in document.inputs.items()
    }


def takes_header(operation: str, name: str) -> bool:
    """Whether an operation takes a header at all; `name` in lower case."""
    if operation in requests.MAKES_KEYS:
        return True
    return operation in ("get", "head", "delete") and (name == "range" or name.startswith("if-"))


def declared(rules: Mapping[str, ValueRule], wanted: str) -> ValueRule | None:
    """The rule for one header or parameter, whatever its case."""
    return next((rule for name, rule in rules.items() if name.lower() == wanted), None)


def _operation(document: PolicyDocument, method: str, headers: list[Rule], params: list[Rule]) -> Operation:
    if document.key == BUCKET and method in requests.BUCKET_OPERATIONS:
        return _bucket_operation(document, method, params)
    name = requests.OPERATION_OF_METHOD[method]
    condition = json.dumps(_condition(document, name))
    return Operation(
        name=name,
        method=method,
        headers=rule_set(
            "header",
            headers,
            lambda header: takes_header(name, header),
            compile_content(document).names.values() if name == "put" else (),
        ),
        params=rule_set("param", params),
        permission=_permission(document, [((requests.ACTION_OF_OPERATION[name],), condition)]),
    )


def _bucket_operation(document: PolicyDocument, method: str, params: list[Rule]) -> Operation:
    name, action = requests.BUCKET_OPERATIONS[method]
    shaping = params if name == "list" else [one for one in params if one.name.lower() not in requests.LISTING_PARAMS]
    permission = replace(_permission(document, [((action,), json.dumps(document.condition))]), listing=name == "list")
    return Operation(name, method, rule_set("header", []), rule_set("param", shaping), permission)


def _permission(document: PolicyDocument, statements: Sequence[tuple[tuple[str, ...], str]]) -> Permission:
    return Permission(document.region, document.bucket, tuple(statements), document.credential)


def _condition(document: PolicyDocument, operation: str) -> cam.Condition:
    return merged(_own_condition(document, operation), document.condition)


def _own_condition(document: PolicyDocument, operation: str) -> cam.Condition:
    content = document.content
    types, max_bytes = (content.types, content.max_bytes) if content else (None, None)
    if operation == "put":
        return cam.put_condition(types, max_bytes, _listed_values(document.headers, "x-cos-acl") or [])
    if operation == "post":
        return cam.post_condition(max_bytes)
    return cam.read_condition(
        _listed_values(document.params, "versionid"),
        _listed_values(document.params, "response-content-type"),
        get=operation == "get",
    )


def _listed_values(rules: Mapping[str, ValueRule], name: str) -> list[str] | None:
    """The values a rule admits: none without a rule, None if a pattern leaves them open."""
    rule = declared(rules, name)
    if rule is None:
        return []
    return [rule.const] if rule.const is not None else rule.enum
