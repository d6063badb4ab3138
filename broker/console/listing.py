"""The routes as policy authors look at them: each with its file, its limits, and what lint says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from broker.errors import Problem
from broker.policy.catalog import Catalog
from broker.policy.document import InputRule, PolicyDocument
from broker.policy.routes import Route

PAGE_ROUTES = 100
_LINE = 76  # characters of JSON that are read at a glance
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Listing:
    """Some routes of a catalog. `found` are all that were looked for, `rows` those on this page, from `first` on."""

    find: str
    total: int
    found: int
    first: int
    page: int
    pages: int
    rows: tuple[Mapping[str, Any], ...]
    problems: tuple[Problem, ...]
    generation: int


def listed(catalog: Catalog, find: str, page: str) -> Listing:
    """The routes whose name, description or key holds a text; page by page, from 1."""
    wanted = find.strip().casefold()
    routes = [route for route in catalog.routes.values() if not wanted or wanted in _searched(route)]
    pages = max(1, -(-len(routes) // PAGE_ROUTES))
    number = min(max(int(page), 1), pages) if page.isascii() and page.isdigit() and len(page) < 6 else 1
    first = (number - 1) * PAGE_ROUTES
    rows = tuple(_row(catalog, route) for route in routes[first : first + PAGE_ROUTES])
    return Listing(
        find.strip(), len(catalog.routes), len(routes), first, number, pages, rows, catalog.problems, catalog.generation
    )


def described(catalog: Catalog, route: Route) -> Mapping[str, Any]:
    """All there is to say of one route."""
    document = route.document
    tests = [(json.dumps(one.as_), json.dumps(one.ask), one.expect) for one in document.tests]
    return {
        **_row(catalog, route),
        "who": _who(document),
        "bucket": document.bucket,
        "region": document.region,
        "host": route.endpoint.base_url,
        "methods": document.methods or [],
        "inputs": [(name, _input(rule)) for name, rule in document.inputs.items()],
        "headers": [(name, _rule(rule.model_dump(exclude_defaults=True))) for name, rule in document.headers.items()],
        "params": [(name, _rule(rule.model_dump(exclude_defaults=True))) for name, rule in document.params.items()],
        "content": _content(document),
        "expires": document.expires,
        "credential": document.credential,
        "scope": route.scope_name,
        "warnings": _of(catalog.warnings, route),
        "problems": _of(catalog.problems, route),
        "tests": tests,
        "file": file_text(document),
    }


def file_text(document: PolicyDocument) -> str:
    """The policy file as it is served: variables put in, the fields in the order a request meets them."""
    raw = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw.pop("$schema", None)
    return laid_out(raw)


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}".removesuffix(".0") + f" {_UNITS[unit]}"


def duration(seconds: int) -> str:
    """Seconds as people read them."""
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def _row(catalog: Catalog, route: Route) -> dict[str, Any]:
    document, expires = route.document, route.document.expires
    content = document.content
    return {
        "name": route.name,
        "description": document.description,
        "vends": document.vends,
        "key": document.key,
        "anonymous": document.principals is not None and document.principals.anonymous,
        "largest": size(content.max_bytes) if content is not None and content.max_bytes is not None else "",
        "longest": duration(expires.longest_seconds),
        "rate": str(route.rate) if route.rate is not None else "",
        "findings": len(_of(catalog.warnings, route)),
        "broken": bool(_of(catalog.problems, route)),
    }


def _searched(route: Route) -> str:
    return f"{route.name}\n{route.document.description}\n{route.document.key}".casefold()


def _of(problems: tuple[Problem, ...], route: Route) -> list[Problem]:
    return [one for one in problems if PurePath(one.source).name == f"{route.name}.json"]


def _who(document: PolicyDocument) -> list[str]:
    if document.principals is None:
        return ["any authenticated caller"]
    if document.principals.anonymous:
        return ["everyone, without credentials"]
    rules = document.principals.claims.items()
    return [f"{name} {_rule(rule.model_dump(exclude_none=True))}" for name, rule in rules]


def _rule(rule: Mapping[str, Any]) -> str:
    words = {"const": "is", "enum": "is one of", "contains": "contains", "pattern": "matches"}
    told = [f"{words[name]} {_value(value)}" for name, value in rule.items() if name in words]
    return ", ".join([*told, *(["required"] if rule.get("required") else [])]) or "any value"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _input(rule: InputRule) -> str:
    kind = "several segments, separated by /; " if rule.type == "path" else ""
    if rule.enum is not None:
        return f"one of {', '.join(rule.enum)}"
    matching = f"matches {rule.pattern}; " if rule.pattern is not None else ""
    return f"{kind}{matching}at most {rule.max_length} bytes"


def _content(document: PolicyDocument) -> list[tuple[str, str]]:
    content = document.content
    if content is None:
        return []
    told = [("types", ", ".join(content.types))] if content.types else []
    if content.max_bytes is not None:
        told.append(("at most", size(content.max_bytes)))
    return told + ([("parts of", size(content.part_bytes))] if "multipart" in document.vends else [])


def laid_out(value: Any, indent: str = "") -> str:
    """JSON in which every member has a line, and lists of plain values stay on theirs."""
    inner = indent + "  "
    if isinstance(value, dict) and value and (not indent or _nests(value) or len(indent + _json(value)) > _LINE):
        members = [f"{inner}{_json(name)}: {laid_out(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "[\n" + ",\n".join(f"{inner}{_json(one)}" for one in value) + f"\n{indent}]"
    return _json(value)


def _nests(value: Mapping[str, Any]) -> bool:
    return any(isinstance(one, dict) for one in value.values())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
