"""The API's description as a page that people read: one answer, which needs no other host and no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

Schema = Mapping[str, Any]

_PAGE = files("broker.web").joinpath("page")
_STYLE, _SCRIPT, _TEMPLATE = (_PAGE.joinpath(f"docs.{kind}").read_text("utf-8") for kind in ("css", "js", "html"))
_TABLE = """{% if rows %}<div class="scroll">
<table>
<thead><tr><th>Member</th><th></th><th>Value</th></tr></thead>
<tbody>
{% for row in rows %}<tr><td><code>{{ row.name }}</code></td><td class="quiet">{{ "required" if row.required }}</td>\
<td>{{ row.value }}</td></tr>
{% endfor %}</tbody>
</table>
</div>{% else %}<p class="quiet">No members.</p>{% endif %}"""
_environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_page, _table = _environment.from_string(_TEMPLATE), _environment.from_string(_TABLE)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One member of an object, its name with those of the objects around it."""

    name: str
    required: bool
    value: str


def own(description: Schema) -> bytes:
    """The page of an OpenAPI description, for the caller whose routes it spells out."""
    return _rendered(description, stranger=False)


def stranger(description: Schema) -> bytes:
    """The page for those who have not said who they are: with a field to say so."""
    return _rendered(description, stranger=True)


def _rendered(description: Schema, *, stranger: bool) -> bytes:
    schemas = description["components"]["schemas"]
    prefix = description["servers"][0]["url"].rstrip("/")
    answers = [(name, list(_rows(schema))) for name, schema in schemas.items() if not name.endswith("Ask")]
    page = _page.render(
        title=f"{description['info']['title']} API",
        introduction=description["info"]["description"],
        prefix=prefix,
        style=Markup(_STYLE),  # noqa: S704  a file of ours
        script=Markup(_SCRIPT),  # noqa: S704  the same
        stranger=stranger,
        own=bool(description.get("tags")),
        sections=list(_sections(description, prefix)),
        answers=answers,
        problems=[(status, one["description"]) for status, one in description["components"]["responses"].items()],
        table=_drawn,
    )
    return page.encode()


def _drawn(rows: list[Row]) -> Markup:
    return Markup(_table.render(rows=rows))  # noqa: S704  the template escapes


def _sections(description: Schema, prefix: str) -> Iterator[dict[str, Any]]:
    named = {tag["name"]: tag["description"] for tag in description.get("tags", ())}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for path, item in description["paths"].items():
        for method in ("get", "post"):
            if method in item:
                title = item[method].get("tags", ["Asking" if path.startswith("/v1") else "Operating"])[0]
                told = _operation(item[method], description["components"]["schemas"])
                grouped.setdefault(title, []).append({**told, "method": method.upper(), "path": f"{prefix}{path}"})
    for title, operations in grouped.items():
        yield {"title": title, "description": named.get(title, ""), "operations": operations}


def _operation(operation: Schema, schemas: Schema) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    responses = operation["responses"]
    content_type, answer = next(iter(responses["200"]["content"].items()))
    return {
        "summary": operation["summary"],
        "bearer": bool(operation["security"]),
        "optional": {} in operation["security"],
        "variants": [] if body is None else list(_variants(_resolved(body, schemas))),
        "answer": answer["schema"]["$ref"].rpartition("/")[2] if "$ref" in answer["schema"] else content_type,
        "problems": ", ".join(status for status in responses if status != "200"),
    }


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    found: Schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _variants(schema: Schema) -> Iterator[dict[str, Any]]:
    for one in schema["oneOf"] if "properties" not in schema else [schema]:
        chosen = [(name, one["properties"].get(name, {}).get("const")) for name in ("step", "method")]
        title = next((f"{name} {value}" for name, value in chosen if value is not None), "")
        note = "Exactly one of key and inputs." if "oneOf" in one else ""
        note = "At most one of key and inputs." if "anyOf" in one else note
        yield {"title": title, "rows": list(_rows(one)), "note": note}


def _rows(schema: Schema, around: str = "") -> Iterator[Row]:
    required = schema.get("required", ())
    for name, given in {**schema.get("properties", {}), **schema.get("patternProperties", {})}.items():
        member = _without_null(given)
        inner = [*member.get("properties", {}), *member.get("patternProperties", {})]
        if inner:
            yield from _rows(member, f"{around}{name}.")
        elif member.get("additionalProperties") is not False and member != {"type": "null"}:
            yield Row(f"{around}{name}", name in required, value(member))


def _without_null(schema: Schema) -> Schema:
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def value(schema: Schema) -> str:
    """What a value may be, in words."""
    words = []
    if "const" in schema:
        words.append(str(schema["const"]))
    elif "enum" in schema:
        words.append(f"one of {', '.join(map(str, schema['enum']))}")
    elif "$ref" in schema:
        words.append(schema["$ref"].rpartition("/")[2])
    elif schema.get("type") == "array":
        words.append(f"list of {value(schema['items'])}")
    else:
        words.append(schema.get("type", "any"))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        words.append(f"{'' if low is None else low}..{'' if high is None else high}")
    if "pattern" in schema:
        words.append(f"matches {schema['pattern']}")
    if "maxLength" in schema:
        words.append(f"at most {schema['maxLength']} characters")
    if "default" in schema:
        words.append(f"default {schema['default']}")
    told = ", ".join(words)
    return f"{told}. {schema['description']}" if schema.get("description") else told
