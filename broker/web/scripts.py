"""The client for browsers: `static/client.js` at `/client.js`, for everyone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Blueprint, Response, request

from broker.web import problems

CLIENT = Path(__file__).parent / "static" / "client.js"


class _Script(problems.Answer):
    # It is the same for everybody, and a new broker may bring a new one: kept, and asked about every time.
    fixed = problems.fixed_headers(cache_control="no-cache")


def register(blueprint: Blueprint) -> None:
    """Add `/client.js` to a blueprint."""
    script = CLIENT.read_bytes()
    etag = hashlib.sha256(script).hexdigest()[:32]

    def client() -> Response:
        answer = problems.respond(script, content_type="text/javascript; charset=utf-8", answer=_Script)
        answer.set_etag(etag)
        return answer.make_conditional(request)  # type: ignore[return-value]  # itself

    blueprint.add_url_rule("/client.js", "client", client, provide_automatic_options=False)
