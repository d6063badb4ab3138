"""Answers as JSON Schema: what `messages`, `problems` and `operations` write, for documents that others read.

Members may come to them; none of those here goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from broker.cos.requests import METHODS
from broker.errors import CODES
from broker.policy.asks import STEPS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_BYTES: Schema = {"type": "integer", "minimum": 0}
_TRUTH: Schema = {"type": "boolean"}
_ANY: Schema = {"type": "object"}
_SECONDS: Schema = {"type": "integer", "minimum": 1, "description": "Seconds from now."}
_INSTANT: Schema = {"type": "string", "format": "date-time", "description": "When it ends, UTC."}
_UNIX: Schema = {"type": "integer", "description": "Unix seconds."}
_URL: Schema = {"type": "string", "format": "uri"}
_METHOD: Schema = {"enum": list(METHODS)}


def _texts(description: str) -> Schema:
    return {"type": "object", "additionalProperties": _TEXT, "description": description}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _whole(properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    left_out = set(optional)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in left_out],
    }


_HEADERS = _texts("All that the client must send besides Host.")
_OBJECT: dict[str, Schema] = {"bucket": _TEXT, "region": _TEXT, "key": _TEXT}
_ENDS: dict[str, Schema] = {"expires_in": _SECONDS, "expires_at": _INSTANT}
_REQUEST = _whole(
    {"method": _METHOD, "url": _URL, "headers": _HEADERS, "part_number": {"type": "integer", "minimum": 1}},
    optional=["part_number"],
)

PROBLEM = _whole(
    {
        "type": {**_TEXT, "pattern": "^urn:cos-broker:[a-z_]+$"},
        "title": _TEXT,
        "status": {"enum": list(CODES)},
        "code": {"enum": [code for codes in CODES.values() for code in codes]},
        "detail": _TEXT,
        "errors": {
            **_list(_whole({"field": _TEXT, "message": _TEXT})),
            "description": "All that is wrong in the step that refused.",
        },
        "request_id": _TEXT,
    }
)

# What each vend answers.
GRANTS: Mapping[str, tuple[str, Schema]] = {
    "url": ("Url", _whole({"method": _METHOD, "url": _URL, "headers": _HEADERS, **_OBJECT, **_ENDS})),
    "signature": (
        "Signature",
        _whole({"authorization": _TEXT, "headers": _HEADERS, "method": _METHOD, "url": _URL, **_OBJECT, **_ENDS}),
    ),
    "credentials": (
        "Credentials",
        _whole(
            {
                "credentials": _whole({"tmpSecretId": _TEXT, "tmpSecretKey": _TEXT, "sessionToken": _TEXT}),
                "startTime": _UNIX,
                "expiredTime": _UNIX,
                "expiration": _INSTANT,
                "requestId": {**_TEXT, "description": "STS's."},
                "bucket": _TEXT,
                "region": _TEXT,
                "key_prefix": {**_TEXT, "description": "What the keys reach."},
                "actions": {**_list(_TEXT), "description": "What they may do there."},
            }
        ),
    ),
    "form": (
        "Form",
        _whole(
            {
                "url": _URL,
                "fields": _texts("To be sent in this order, the file after them as `file`."),
                "key": _TEXT,
                "expires_at": _INSTANT,
            }
        ),
    ),
    "multipart": (
        "Step",
        _whole(
            {
                "key": _TEXT,
                "step": {"enum": list(STEPS)},
                "requests": _list(_REQUEST),
                "part_bytes": _BYTES,
                "expires_at": _INSTANT,
            }
        ),
    ),
    "confirm": (
        "Confirmation",
        _whole(
            {
                "bucket": _TEXT,
                "key": _TEXT,
                "content_type": _TEXT,
                "content_length": _BYTES,
                "etag": _TEXT,
                "satisfies": _TRUTH,
                "problems": {
                    **_list({"enum": ["content_type_not_allowed", "content_too_large"]}),
                    "description": "What the policy would not have let in.",
                },
            }
        ),
    ),
}

_RESULT: Schema = {
    "oneOf": [
        _whole({"status": {"const": 200}, "grant": _ANY}),
        _whole({"status": {"enum": list(CODES)}, "problem": {"$ref": "#/components/schemas/Problem"}}),
    ]
}
_ROUTE = _whole(
    {
        "route": _TEXT,
        "description": _TEXT,
        "vends": _list(_TEXT),
        "methods": _list(_METHOD),
        "inputs": {"type": "object", "additionalProperties": _ANY},
        "content": _ANY,
        "headers": {"type": "object", "additionalProperties": _ANY},
        "params": {"type": "object", "additionalProperties": _ANY},
        "expires": _whole(
            {"default_seconds": _SECONDS, "max_seconds": _SECONDS, "window_seconds": _SECONDS}, ["window_seconds"]
        ),
    }
)
SCHEMAS: Mapping[str, Schema] = {
    "Problem": PROBLEM,
    **dict(GRANTS.values()),
    "Batch": _whole({"results": {**_list(_RESULT), "description": "In the order of the asks."}}),
    "Routes": _whole({"routes": _list(_ROUTE)}),
    "Health": _whole({"status": {"const": "ok"}}),
    "Readiness": _whole(
        {
            "ready": _TRUTH,
            "degraded": _TRUTH,
            "redis": _TRUTH,
            "sts": _TRUTH,
            "reload": _TRUTH,
            "policies_generation": _BYTES,
        }
    ),
}


def grant_name(vend: str) -> str:
    """The name of the schema of what a vend answers."""
    return "Url" if vend == "download-url" else GRANTS[vend][0]
