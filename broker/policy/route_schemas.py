"""Asks as JSON Schema for one route: its inputs, headers, parameters and limits, as far as a schema can say them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from broker.cos.requests import MAKES_KEYS
from broker.policy.ask_schemas import MEMBERS, NOT_BOTH, Schema, closed, step_ask, vend_ask
from broker.policy.asks import STEPS
from broker.policy.document import Content, InputRule
from broker.policy.flaws import KEY_BYTES
from broker.policy.operations import CREDENTIALS, Operation
from broker.policy.routes import Route
from broker.policy.templates import BUCKET, Date, Input, Literal, Part, Uuid
from broker.policy.uploads import largest_upload
from broker.policy.values import VALUE_BYTES, Rule, RuleSet

ADDED = "Added by the broker; may be left out."  # describes the headers and parameters that callers need not say
_TEXT: Schema = {"type": "string"}
# What is the same in the dialects of regular expressions that readers of schemas use.
_ODD = re.compile(r"\(\?(?!:)|\[\[|&&|--|~~|\\[^dwsDWSnrt.\-/\\+*?()\[\]{}^$|]")
_ONE_OF_BOTH: Schema = {
    "oneOf": [
        {"required": ["key"], "properties": {"key": {"type": "string"}}},
        {"required": ["inputs"], "properties": {"inputs": {"type": "object"}}},
    ]
}


def ask_of(route: Route, vend: str) -> Schema:
    """What a vend takes on one route, with its inputs, headers, parameters and limits."""
    known = _known(route)
    if vend == CREDENTIALS:
        return vend_ask(vend, known)
    if vend == "confirm":
        return vend_ask(vend, {**known, "key": _key(route)}, ["key"])
    if vend == "multipart":
        return {"oneOf": [_step_of(route, step, known) for step in STEPS]}
    if vend == "form":
        operation = route.others["form"]
        return _signed(vend, route, operation, {**known, "headers": _headers(route, operation)}, [])
    methods = ["GET"] if vend == "download-url" else list(route.document.methods or ())
    asks = [_of_method(route, vend, method, known, ["method"] if len(methods) > 1 else []) for method in methods]
    return asks[0] if len(asks) == 1 else {"oneOf": asks}


def _known(route: Route) -> Mapping[str, Schema]:
    document = route.document
    expires = document.expires
    expires_in = {"type": "integer", "minimum": 1, "maximum": expires.longest_seconds}
    return {
        "bucket": {"const": document.bucket},
        "expires_in": {**expires_in, "default": expires.default_seconds, "description": "Lifetime in seconds."},
    }


def _of_method(route: Route, vend: str, method: str, known: Mapping[str, Schema], required: list[str]) -> Schema:
    operation = route.operations[method]
    members = {
        **known,
        "method": {"const": method},
        "headers": _headers(route, operation),
        "params": _carried(operation.params, {}),
        "filename": MEMBERS["filename"],
    }
    return _signed(vend, route, operation, members, required)


def _signed(
    vend: str, route: Route, operation: Operation, members: Mapping[str, Schema], required: list[str]
) -> Schema:
    named, named_required, choice = _naming(route, operation)
    needed = [name for name in ("headers", "params") if "required" in members.get(name, {})]
    return vend_ask(vend, {**members, **named}, [*required, *named_required, *needed], choice)


def _step_of(route: Route, step: str, known: Mapping[str, Schema]) -> Schema:
    operation = route.others["initiate" if step == "initiate" else "multipart"]
    headers = _headers(route, operation)
    most = largest_upload(route.document.content)
    members = {
        **MEMBERS,
        **known,
        "size": {"type": "integer", "minimum": 1, "maximum": most, "description": MEMBERS["size"]["description"]},
        "headers": headers,
    }
    named, required, choice = _naming(route, operation)
    for name in ("key", "inputs"):
        members.pop(name)
    needed = ["headers"] if step == "initiate" and "required" in headers else []
    return step_ask(step, {**members, **named}, [*required, *needed], choice)


def _naming(route: Route, operation: Operation) -> tuple[dict[str, Schema], list[str], Schema]:
    """How the object is named: the members for it, which of them are required, and how they exclude each other."""
    template = route.template
    key, inputs = _key(route), _inputs(route)
    if template.generated and operation.name not in MAKES_KEYS:
        return {"key": key}, ["key"], {}
    if template.generated and operation.writes and not template.claims:
        return {"inputs": inputs}, ["inputs"] if template.inputs else [], {}
    return {"key": key, "inputs": inputs}, [], _ONE_OF_BOTH if template.inputs else NOT_BOTH


def _key(route: Route) -> Schema:
    text = route.template.text
    if text == BUCKET:
        return {"const": BUCKET, "description": "The bucket itself."}
    pattern = "".join(_part(part, route) for part in route.template.parts)
    described = f"The object's key, of the form {text}"
    return {**_TEXT, "pattern": f"^{pattern}$", "maxLength": KEY_BYTES, "description": described}


def _part(part: Part, route: Route) -> str:
    """What may stand in the place of one part of a key; of claims that they are the caller's is not said."""
    if isinstance(part, Literal):
        return _escaped(part.text)
    if isinstance(part, Uuid):
        return "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    if isinstance(part, Date):
        return "[0-9]{4}/[0-9]{2}/[0-9]{2}"
    rule = route.document.inputs[part.name] if isinstance(part, Input) else None
    if rule is not None and rule.enum is not None:
        return f"(?:{'|'.join(map(_escaped, rule.enum))})"
    return ".+" if rule is not None and rule.type == "path" else "[^/]+"


def _escaped(text: str) -> str:
    # `re.escape` escapes more, which not every dialect forgives.
    return re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text)


def _inputs(route: Route) -> Schema:
    rules = route.document.inputs
    described = f"The caller's parts of the key {route.template.text}"
    return {**closed({name: _input(rule) for name, rule in rules.items()}, rules), "description": described}


def _input(rule: InputRule) -> Schema:
    if rule.enum is not None:
        return {"enum": list(rule.enum)}
    what = "Several segments, separated by /" if rule.type == "path" else "One segment of the key"
    described = f"{what}; at most {rule.max_length} bytes."
    return {**_matching(rule.pattern, described), "minLength": 1, "maxLength": rule.max_length}


def _headers(route: Route, operation: Operation) -> Schema:
    governed = {}
    if operation.name in MAKES_KEYS:
        content, names = route.document.content, set(route.content.names)
        if content is not None and "content-type" in names:
            governed["Content-Type"] = _media_type(content)
        if content is not None and "content-length" in names and operation.name == "put":
            digits = len(str(content.max_bytes))
            described = f"Bytes in decimal digits, at most {content.max_bytes}."
            governed["Content-Length"] = {
                **_TEXT,
                "pattern": "^(0|[1-9][0-9]*)$",
                "maxLength": digits,
                "description": described,
            }
    return _carried(operation.headers, governed)


def _media_type(content: Content) -> Schema:
    types = content.types or []
    if not any(one.endswith("/*") for one in types):
        return {"enum": list(types)}
    forms = "|".join(_escaped(one).replace(r"\*", "[!#$%&'+.^_`|~0-9A-Za-z-]+") for one in types)
    return {**_TEXT, "pattern": f"^(?:{forms})$", "description": f"One of {', '.join(types)}, without parameters."}


def _carried(rules: RuleSet, governed: Mapping[str, Schema]) -> Schema:
    properties = {**governed, **{rule.name: _value(rule) for rule in rules.rules.values()}}
    schema = closed(properties, [*governed, *rules.required])
    if rules.meta is not None:
        schema["patternProperties"] = {"^[xX]-[cC][oO][sS]-[mM][eE][tT][aA]-[A-Za-z0-9-]{1,64}$": _value(rules.meta)}
    return schema


def _value(rule: Rule) -> Schema:
    if rule.const is not None:
        return {**({"const": rule.const.fixed} if rule.const.fixed is not None else _TEXT), "description": ADDED}
    if rule.enum is not None:
        return {"enum": list(rule.enum)}
    return {**_matching(rule.pattern.pattern if rule.pattern else None, ""), "maxLength": VALUE_BYTES}


def _matching(pattern: str | None, described: str) -> Schema:
    if pattern is None:
        return {**_TEXT, "description": described}
    if _ODD.search(pattern) is None:
        told = {**_TEXT, "pattern": f"^(?:{pattern})$"}
        return {**told, "description": described} if described else told
    return {**_TEXT, "description": f"{described} Matches {pattern} entirely (Rust's `regex`).".strip()}
