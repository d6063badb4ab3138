"""The client for browsers: `static/client.js` at `/client.js`, for everyone."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

from werkzeug.http import is_resource_modified, quote_etag

from broker.web.answers import Answer, Empty, fixed_headers
from broker.web.views import Views

CLIENT = Path(__file__).parent / "static" / "client.js"


# It is the same for everybody, and a new broker may bring a new one: kept, and asked about every time.
_FIXED = fixed_headers(cache_control="no-cache")


class _Script(Answer):
    fixed = _FIXED

    def __init__(self, script: bytes) -> None:
        super().__init__(script, content_type="text/javascript; charset=utf-8")


class _Kept(Empty):
    fixed = _FIXED


def register(views: Views) -> None:
    """Add `/client.js`."""
    script = CLIENT.read_bytes()
    etag = hashlib.sha256(script).hexdigest()[:32]

    def client(environ: dict[str, Any]) -> Answer:
        changed = is_resource_modified(environ, etag)
        answer = _Script(script) if changed else _Kept(HTTPStatus.NOT_MODIFIED)
        answer.headers["ETag"] = quote_etag(etag)
        return answer

    views.add("/client.js", "client", client, shared=True)
