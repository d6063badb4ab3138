"""Asks as JSON Schema: what each vend takes on any route, for documents that people and programs read.

What is an ask is decided in `asks`; whatever a schema refuses is refused there, too. `null` says the same as leaving a
member out. What one route takes is `route_schemas`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from broker.cos.requests import METHODS
from broker.policy.asks import ASKS, BATCH_ASKS, BATCHED, PARTS, STEPS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}
_NULL: Schema = {"type": "null"}
_SIZE: Schema = {"type": "integer", "minimum": 1, "exclusiveMaximum": 10**15}
_PART: Schema = {"type": "integer", "minimum": 1, "maximum": PARTS}
_NEVER_NULL = ("headers", "params", "step")


def closed(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """An object of these members and no others."""
    named = {"required": sorted(required)} if required else {}
    return {"type": "object", "properties": dict(properties), **named, "additionalProperties": False}


MEMBERS: Mapping[str, Schema] = {
    "bucket": {**_TEXT, "description": "The route's bucket; may be left out."},
    "method": {"enum": list(METHODS), "description": "What is signed; may be left out where the route has only one."},
    "key": {**_TEXT, "description": "The object's key; instead of inputs."},
    "inputs": {**_TEXTS, "description": "The parts of the key that the caller supplies; instead of key."},
    "headers": {**_TEXTS, "description": "Headers that the signed request carries. Their case does not matter."},
    "params": {**_TEXTS, "description": "Query parameters that the signed request carries."},
    "expires_in": {**_SIZE, "description": "Lifetime in seconds."},
    "filename": {
        **_TEXT,
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^[^/\\\x00-\x1f\x7f-\x9f]+$",
        "description": "Name that browsers save the object under.",
    },
    "upload_id": {**_TEXT, "pattern": "^[!-~]{1,512}$", "description": "What COS gave at initiate."},
    "size": {**_SIZE, "description": "Length of the whole object in bytes."},
    "parts": {**closed({"from": _PART, "to": _PART}, ["from", "to"]), "description": "Numbers of the first and last."},
}
NOT_BOTH: Schema = {"anyOf": [{"properties": {"key": _NULL}}, {"properties": {"inputs": _NULL}}]}


def ask(vend: str) -> Schema:
    """What a vend takes on any route; what each one makes of it is its own matter."""
    if vend == "multipart":
        return {"oneOf": [step_ask(step, MEMBERS, (), NOT_BOTH) for step in STEPS]}
    return vend_ask(vend, MEMBERS, ["key"] if vend == "confirm" else [], {} if vend == "confirm" else NOT_BOTH)


def batch() -> Schema:
    """What a batch takes; each of its asks is judged alone, and may be refused alone."""
    described = f"One of {', '.join(BATCHED)} as `vend`, beside the members that this vend takes."
    asks = {"type": "array", "minItems": 1, "maxItems": BATCH_ASKS, "items": {"description": described}}
    return closed({"asks": asks}, ["asks"])


def step_ask(step: str, members: Mapping[str, Schema], required: Iterable[str], choice: Schema) -> Schema:
    """What one step of `multipart` takes, of these members; `choice` says how those for the key exclude each other."""
    wanted = STEPS[step]
    told = {"step": {"const": step}, **{name: members[name] for name in wanted}}
    told |= {name: members[name] for name in ("bucket", "key", "inputs", "expires_in") if name in members}
    if step == "initiate":
        told["headers"] = members["headers"]
    return vend_ask("multipart", told, ["step", *wanted, *required], choice)


def vend_ask(
    vend: str, members: Mapping[str, Schema], required: Iterable[str] = (), choice: Mapping[str, Any] | None = None
) -> Schema:
    """The object of these members; those of the vend that are not among them may only be null."""
    needed = set(required)
    properties: dict[str, Schema] = {}
    for name in ASKS[vend]:
        schema = members.get(name)
        if schema is None:
            if name not in _NEVER_NULL:
                properties[name] = _NULL
        elif name in needed or name in _NEVER_NULL:
            properties[name] = schema
        else:
            properties[name] = {"anyOf": [schema, _NULL]}
    return {**closed(properties, needed), **(choice or {})}
