"""The API described as OpenAPI 3.1: for everybody, or with the routes of one caller spelled out. Pure.

What asks look like is `policy.ask_schemas`, what answers look like `answer_schemas`; here they become operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from broker.errors import CODES
from broker.policy import ask_schemas, route_schemas
from broker.policy.asks import ASKS, BATCHED
from broker.policy.fields import NAME
from broker.policy.routes import Route
from broker.web.answer_schemas import SCHEMAS, grant_name

Part = dict[str, Any]

_VERSION = "1"  # of the API, as in its paths
_INTRODUCTION = (
    "Signed URLs and temporary credentials for Tencent Cloud COS, one narrow grant at a time. Asks and answers are "
    "JSON; an ask's members are checked whole: what is not known is refused. Refusals are RFC 9457 problems; `code` "
    "says which. A path that exists for another method answers 405. Patterns are those of Rust's `regex`."
)
_BEARER = (
    "A JWT, or an API key as ID.SECRET. An API key with acts_for says for whom it asks in the header X-Principal, and "
    "their further claims in X-Principal-Claims, base64url(JSON)."
)
SUMMARIES: Mapping[str, str] = {
    "url": "A pre-signed URL",
    "download-url": "A pre-signed URL that downloads",
    "signature": "An Authorization value and all headers to send",
    "credentials": "Temporary keys in the shape that the official COS SDKs take",
    "form": "URL and fields of a browser form that uploads one object",
    "multipart": "The signed requests of one step of a multipart upload",
    "confirm": "Whether an upload has arrived, and whether it satisfies the policy",
    "batch": "Many asks at once, each with its own result",
}
_ASKED = (400, 401, 403, 404, 413, 415, 422, 429, 502, 503)
_ROUTE_PARAMETER: Part = {
    "name": "route",
    "in": "path",
    "required": True,
    "description": "A route, as GET /v1 lists them.",
    "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"},
}


def generic(prefix: str, *, anonymous: bool) -> Part:
    """The API for those who have not said who they are: no route is named.

    `prefix` is the path that the API is mounted below, `anonymous` whether callers without credentials are let in.
    """
    named = {"parameters": [{"$ref": "#/components/parameters/route"}]}
    paths: dict[str, Part] = {}
    for vend in ASKS:
        ask = {"$ref": f"#/components/schemas/{_ask_name(vend)}"}
        paths[f"/v1/{{route}}/{vend}"] = {**named, "post": _vend(vend, vend, ask, anonymous=anonymous)}
    paths["/v1/{route}/batch"] = {**named, "post": _batch("batch", anonymous=anonymous)}
    described = _document(prefix, _listing(anonymous=anonymous), paths)
    components = described["components"]
    components["parameters"] = {"route": _ROUTE_PARAMETER}
    components["schemas"] |= {_ask_name(vend): ask_schemas.ask(vend) for vend in ASKS}
    return described


def of_routes(routes: Sequence[Route], prefix: str, *, anonymous: bool) -> Part:
    """The API with one path for each vend of these routes."""
    paths: dict[str, Part] = {}
    for route in routes:
        open_to_all = anonymous and route.admission.anonymous
        for vend in route.document.vends:
            operation = _vend(f"{route.name}.{vend}", vend, route_schemas.ask_of(route, vend), anonymous=open_to_all)
            paths[f"/v1/{route.name}/{vend}"] = {"post": {**operation, "tags": [route.name]}}
        if not set(BATCHED).isdisjoint(route.document.vends):
            operation = _batch(f"{route.name}.batch", anonymous=open_to_all)
            paths[f"/v1/{route.name}/batch"] = {"post": {**operation, "tags": [route.name]}}
    described = _document(prefix, _listing(anonymous=anonymous), paths)
    return {**described, "tags": [_tag(route) for route in routes]}


def _tag(route: Route) -> Part:
    rate = route.document.rate
    limit = f"At most {rate} signed requests for each caller." if rate else ""
    return {"name": route.name, "description": f"{route.document.description} {limit}".strip()}


def _document(prefix: str, listing: Part, paths: Mapping[str, Part]) -> Part:
    return {
        "openapi": "3.1.0",
        "info": {"title": "COS Broker", "version": _VERSION, "description": _INTRODUCTION},
        "servers": [{"url": prefix or "/"}],
        "paths": {"/v1": listing, **paths, **_operations()},
        "components": {
            "schemas": {**SCHEMAS, "BatchAsk": ask_schemas.batch()},
            "responses": {str(status): _problem(status, codes) for status, codes in CODES.items()},
            "headers": {
                "X-Request-Id": {
                    "description": "The request's id: the caller's X-Request-Id if it is one, else a new one.",
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
                },
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": _BEARER}},
        },
    }


def _vend(operation_id: str, vend: str, ask: Part, *, anonymous: bool) -> Part:
    answer = {"$ref": f"#/components/schemas/{grant_name(vend)}"}
    return _operation(operation_id, SUMMARIES[vend], answer, _ASKED, ask=ask, security=_security(anonymous=anonymous))


def _batch(operation_id: str, *, anonymous: bool) -> Part:
    ask, answer = ({"$ref": f"#/components/schemas/{name}"} for name in ("BatchAsk", "Batch"))
    security = _security(anonymous=anonymous)
    return _operation(operation_id, SUMMARIES["batch"], answer, _ASKED, ask=ask, security=security)


def _listing(*, anonymous: bool) -> Part:
    answer = {"$ref": "#/components/schemas/Routes"}
    security = _security(anonymous=anonymous)
    statuses = (401, 403, 503)
    return {"get": _operation("routes", "The routes that the caller may use", answer, statuses, security=security)}


def _operations() -> dict[str, Part]:
    ready = {"$ref": "#/components/schemas/Readiness"}
    readiness = _operation("readyz", "Traffic may come", ready, ())
    readiness["responses"]["503"] = _answer(ready, description="Not yet, or no longer")
    optional = _security(anonymous=True)
    return {
        "/healthz": {"get": _operation("healthz", "The process answers", {"$ref": "#/components/schemas/Health"}, ())},
        "/readyz": {"get": readiness},
        "/metrics": {
            "get": _operation(
                "metrics",
                "Prometheus's text format, for API keys with operations",
                {"type": "string"},
                (401, 403, 503),
                content_type="text/plain",
                security=_security(anonymous=False),
            )
        },
        "/openapi.json": {
            "get": _operation("openapi", "This description", {"type": "object"}, (401, 403, 503), security=optional)
        },
        "/client.js": {
            "get": _operation(
                "client",
                "A module for browsers: uploads and links",
                {"type": "string"},
                (),
                content_type="text/javascript",
            )
        },
        "/docs": {
            "get": _operation(
                "docs",
                "This description as a page",
                {"type": "string"},
                (401, 403, 503),
                content_type="text/html",
                security=optional,
            )
        },
    }


def _operation(
    operation_id: str,
    summary: str,
    answer: Part,
    statuses: Iterable[int],
    *,
    ask: Part | None = None,
    content_type: str = "application/json",
    security: Sequence[Part] = (),
) -> Part:
    body = {} if ask is None else {"requestBody": _body(ask)}
    problems = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
    return {
        "operationId": operation_id,
        "summary": summary,
        "security": list(security),
        **body,
        "responses": {"200": _answer(answer, content_type), **problems},
    }


def _body(ask: Part) -> Part:
    # An ask without members may be left out as a whole.
    required = bool(ask.get("required") or "oneOf" in ask or "$ref" in ask)
    return {"required": required, "content": {"application/json": {"schema": ask}}}


def _answer(schema: Part, content_type: str = "application/json", description: str = "Granted") -> Part:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    return {"description": description, "headers": headers, "content": {content_type: {"schema": schema}}}


def _problem(status: int, codes: Sequence[str]) -> Part:
    named = {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, named]}
    answer = _answer(schema, "application/problem+json", ", ".join(codes))
    if status in (429, 503):
        answer["headers"]["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    return answer


def _security(*, anonymous: bool) -> list[Part]:
    return [{}, {"bearer": []}] if anonymous else [{"bearer": []}]


def _ask_name(vend: str) -> str:
    return f"{vend.title().replace('-', '')}Ask"
