"""What a form asks for: fields of one route, named as a refusal names them, so that it can point at them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker import strict_json
from broker.policy.admission import ClaimCheck
from broker.policy.catalog import Catalog
from broker.policy.route_schemas import ADDED, ask_of
from broker.policy.routes import Route
from broker.policy.templates import BUCKET

CLAIM = "claims."
_USUAL_SUB = "u1"
_OBJECTS = ("inputs", "headers", "params")
# What the file itself says, unless somebody says otherwise.
OF_THE_FILE = ("headers.Content-Type", "headers.Content-Length")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to fill in. With `choices` one of them; `value` is what stands there at first."""

    name: str
    label: str
    hint: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    number: bool = False
    longest: int | None = None


def chosen(catalog: Catalog, name: str) -> Route | None:
    """The route of a name, the first one without a name; None without routes. Raises NotFound."""
    if name:
        return catalog.route(name)
    return next(iter(catalog.routes.values()), None)


def claim_fields(route: Route, given: Mapping[str, str] | None = None) -> tuple[Field, ...]:
    """The claims that decide something on a route, each with a value that would do where one can be told."""
    if route.admission.anonymous:
        return ()
    rules = route.admission.checks
    known = {name: f"some-{name}" for name in route.admission.claims_used}
    known |= {name: _example(check) for name, check in rules.items()}
    names = dict.fromkeys(["sub", *sorted(route.claims)])
    values = {**known, "sub": _USUAL_SUB, **(given or {})}
    return tuple(
        Field(f"{CLAIM}{name}", name, _demand(rules[name]) if name in rules else "", values.get(name, ""))
        for name in names
    )


def claims(route: Route, given: Mapping[str, str]) -> dict[str, Any]:
    """The claims in a form's fields. What a rule wants to be a number or a truth value is read as JSON."""
    told = {}
    for name, text in given.items():
        if not name.startswith(CLAIM) or not text:
            continue
        claim = name.removeprefix(CLAIM)
        check = route.admission.checks.get(claim)
        told[claim] = text if check is None or _wants_text(check) else _read(text)
    return told


def _wants_text(check: ClaimCheck) -> bool:
    return check.contains is not None or check.pattern is not None or all(isinstance(one, str) for one in check.legal)


def naming_fields(route: Route, given: Mapping[str, str]) -> tuple[Field, ...]:
    """How an object is named: the inputs of its key, and the key itself."""
    inputs = tuple(
        Field(f"inputs.{name}", name, "", given.get(f"inputs.{name}", ""), spec.enum or (), longest=spec.max_bytes)
        for name, spec in route.keys.inputs.items()
    )
    key = Field("key", "key", f"instead of inputs: {route.template.text}", given.get("key", ""))
    return inputs if route.template.text == BUCKET else (*inputs, key)


def ask_fields(route: Route, vend: str, method: str) -> tuple[Field, ...]:
    """What an ask of a vend takes: the first step's, where it has several."""
    return tuple(_members(_variant(ask_of(route, vend), method)))


def added(route: Route, vend: str, method: str) -> tuple[tuple[str, str], ...]:
    """Headers and parameters that the broker adds itself: (name, value where it is the same for everybody)."""
    properties = _variant(ask_of(route, vend), method)["properties"]
    found = []
    for member in ("headers", "params"):
        for name, schema in properties.get(member, {}).get("properties", {}).items():
            if _broker_adds(schema):
                found.append((name, str(schema.get("const", "made of the caller's claims"))))
    return tuple(found)


def _variant(schema: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    if "properties" in schema:
        return schema
    variants: list[Mapping[str, Any]] = schema["oneOf"]
    for one in variants:
        said = one["properties"]
        if method in (_bare(said.get("method", {})).get("const"), said.get("step", {}).get("const")):
            return one
    return variants[0]


def _members(variant: Mapping[str, Any]) -> Iterator[Field]:
    properties, required = variant["properties"], variant.get("required", ())
    for member in ("inputs", "key", "headers", "params", "filename", "expires_in"):
        schema = _bare(properties.get(member, {}))
        if member in _OBJECTS:
            needed = schema.get("required", ())
            for name, one in schema.get("properties", {}).items():
                if not _broker_adds(one):
                    yield _field(f"{member}.{name}", name, one, name in needed)
            if "patternProperties" in schema:
                yield Field("meta", "x-cos-meta-*", "one a line, as in x-cos-meta-author: u1")
        elif schema and schema.get("type") != "null" and "const" not in schema:
            yield _field(member, member.replace("_", " "), schema, member in required)


def _field(name: str, label: str, schema: Mapping[str, Any], required: bool) -> Field:
    hint = str(schema.get("description", ""))
    if name in OF_THE_FILE:
        hint, required = "taken from the file, if one is chosen", False
    elif "pattern" in schema and name != "key" and not hint:
        hint = f"matches {schema['pattern']}"
    if name == "key" and not required:
        hint = f"{hint}; instead of inputs"
    number = schema.get("type") == "integer"
    if number:
        hint = f"{hint} At most {schema['maximum']}; {schema.get('default')} if left out."
    choices = tuple(map(str, schema.get("enum", ())))
    return Field(name, label, hint, "", choices, required, number, schema.get("maxLength"))


def _bare(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its `null`."""
    return schema["anyOf"][0] if "anyOf" in schema and len(schema) == 1 else schema


def _broker_adds(schema: Mapping[str, Any]) -> bool:
    return schema.get("description") == ADDED


def _example(check: ClaimCheck) -> str:
    if check.contains is not None:
        return check.contains
    if check.pattern is not None:
        return ""
    return check.legal[0] if isinstance(check.legal[0], str) else json.dumps(check.legal[0])


def _demand(check: ClaimCheck) -> str:
    return f"the policy: {check.missed(object())}"


def _read(text: str) -> Any:
    try:
        return strict_json.loads(text)
    except strict_json.StrictJsonError:
        return text
