"""The client for browsers: `static/client.js` at `/client.js`, for everyone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flask import Response

from broker.web import problems
from broker.web.views import Views

CLIENT = Path(__file__).parent / "static" / "client.js"


class _Script(problems.Answer):
    # It is the same for everybody, and a new broker may bring a new one: kept, and asked about every time.
    fixed = problems.fixed_headers(cache_control="no-cache")


def register(views: Views) -> None:
    """Add `/client.js`."""
    script = CLIENT.read_bytes()
    etag = hashlib.sha256(script).hexdigest()[:32]

    def client(environ: dict[str, Any]) -> Response:
        answer = problems.respond(script, content_type="text/javascript; charset=utf-8", answer=_Script)
        answer.set_etag(etag)
        return answer.make_conditional(environ)  # type: ignore[return-value]  # itself

    views.add("/client.js", "client", client, shared=True)
