"""The JSON Schema of policy files, for editors: completion, hover text, legal values.

It is made from the typed document, and says less than `check` does: what fields demand of each other is not in it. A
string may name variables, whatever it must look like once they are put in.
"""

from __future__ import annotations

import json
from typing import Any

from broker.policy.asks import ASKS
from broker.policy.conditions import KEYS
from broker.policy.document import PolicyDocument
from broker.policy.fields import INPUT_NAME
from broker.policy.variables import VARIABLE

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of one policy file."""
    made = PolicyDocument.model_json_schema(by_alias=True)
    fields, parts = made["properties"], made["$defs"]
    fields["condition"].update(_condition())
    parts["Principals"]["properties"]["claims"]["additionalProperties"] = False
    parts["ClaimRule"].update(minProperties=1, maxProperties=1)
    parts["ValueRule"]["oneOf"] = [{"required": [kind]} for kind in ("const", "enum", "pattern")]
    # Examples may hold anything, so that what is refused can be tried, too.
    asked: dict[str, Any] = {name: {} for name in ASKS["download-url"]}
    parts["Example"]["properties"]["ask"]["properties"] = {"vend": {"examples": list(ASKS)}, **asked}
    fields["inputs"]["propertyNames"] = {"pattern": f"^{INPUT_NAME.pattern}$"}
    for listed in (fields["vends"], fields["methods"]["anyOf"][0]):
        listed["uniqueItems"] = True
    return {"$schema": _DIALECT, "title": made["title"], **_plain(made)}


def _condition() -> dict[str, Any]:
    operators: dict[str, dict[str, Any]] = {}
    for key, (names, _, what) in KEYS.items():
        one: dict[str, Any] = {"type": ["string", "number"]}
        value = {"description": what, "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        for name in names:
            operators.setdefault(name, {})[key] = value
    shapes = {
        name: {"type": "object", "properties": keys, "additionalProperties": False, "minProperties": 1}
        for name, keys in operators.items()
    }
    return {"properties": shapes, "additionalProperties": False}


def _plain(part: Any, *, names: bool = False) -> Any:
    """Without what editors need not show: titles of members, null (the loader refuses it). `names`: of members."""
    if isinstance(part, list):
        return [_plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    if not names:
        part = _without_null(part)
        part.pop("title", None)
        if part.get("default", 0) is None:
            del part["default"]
        if part.get("type") == "string" and "pattern" in part:
            part["pattern"] = f"{part['pattern']}|{VARIABLE.pattern}"
        elif part.get("type") == "string" and "enum" in part:
            listed = {"enum": part.pop("enum")}
            part["anyOf"] = [listed, {"pattern": VARIABLE.pattern}]
    return {name: _plain(value, names=name in ("properties", "$defs") and not names) for name, value in part.items()}


def _without_null(part: dict[str, Any]) -> dict[str, Any]:
    kinds = [one for one in part.get("anyOf", ()) if one != {"type": "null"}]
    others = {name: value for name, value in part.items() if name != "anyOf"}
    if len(kinds) == 1:
        return {**kinds[0], **others}
    return {**others, "anyOf": kinds} if kinds else others
