"""The client for browsers: `static/client.js` at `/client.js`, for everyone."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

from werkzeug.http import parse_etags, quote_etag

from broker.web.answers import Answer, Empty, fixed_headers
from broker.web.views import Views

CLIENT = Path(__file__).parent / "static" / "client.js"


# It is the same for everybody, and a new broker may bring a new one: kept, and asked about every time.
_FIXED = fixed_headers(cache_control="no-cache")
_TYPE = "text/javascript; charset=utf-8"


def register(views: Views) -> None:
    """Add `/client.js`."""
    script = CLIENT.read_bytes()
    etag = hashlib.sha256(script).hexdigest()[:32]

    def client(environ: dict[str, Any]) -> Answer:
        known = parse_etags(environ.get("HTTP_IF_NONE_MATCH")).contains_weak(etag)
        answer = Empty(HTTPStatus.NOT_MODIFIED, _FIXED) if known else Answer(script, 200, _TYPE, _FIXED)
        answer.headers["ETag"] = quote_etag(etag)
        return answer

    views.add("/client.js", "client", client, shared=True)
