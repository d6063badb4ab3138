"""For whoever runs the broker: is the process alive, may it get traffic, how is it doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Response, request

from broker.errors import NEEDS_AUTHENTICATION, Forbidden, Unauthenticated
from broker.identity.principals import Principal
from broker.web import problems

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready`: traffic may come. `redis`, `sts` and `reload` say whether each serves; nothing is said about why not."""

    ready: bool
    redis: bool
    sts: bool
    reload: bool
    policies_generation: int


def register(
    blueprint: Blueprint,
    readiness: Callable[[], Readiness],
    metrics: Callable[[], bytes],
    authenticate: Callable[[dict[str, Any]], Principal],
) -> None:
    """Add `/healthz`, `/readyz` and `/metrics` to a blueprint."""

    def healthz() -> Response:
        return problems.respond(b'{"status": "ok"}')

    def readyz() -> Response:
        found = readiness()
        degraded = not (found.redis and found.sts and found.reload)
        body = {"ready": found.ready, "degraded": degraded, **asdict(found)}
        return problems.respond(json.dumps(body).encode(), 200 if found.ready else 503)

    def metrics_view() -> Response:
        principal = authenticate(request.environ)
        if principal.anonymous:
            raise Unauthenticated(NEEDS_AUTHENTICATION)
        if not principal.operations:
            raise Forbidden("/metrics is for API keys with operations")
        return problems.respond(metrics(), content_type=METRICS_TYPE)

    blueprint.add_url_rule("/metrics", "metrics", metrics_view, provide_automatic_options=False)
    blueprint.add_url_rule("/healthz", "healthz", healthz, provide_automatic_options=False)
    blueprint.add_url_rule("/readyz", "readyz", readyz, provide_automatic_options=False)
