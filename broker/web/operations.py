"""For whoever runs the broker: is the process alive, may it get traffic, how is it doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from broker.errors import NEEDS_AUTHENTICATION, Forbidden, Unauthenticated
from broker.identity.principals import Principal
from broker.web.answers import Answer
from broker.web.views import Views

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
    views: Views,
    readiness: Callable[[], Readiness],
    metrics: Callable[[], bytes],
    authenticate: Callable[[dict[str, Any]], Principal],
) -> None:
    """Add `/healthz`, `/readyz` and `/metrics`."""

    def healthz(environ: dict[str, Any]) -> Answer:
        return Answer(b'{"status": "ok"}')

    def readyz(environ: dict[str, Any]) -> Answer:
        found = readiness()
        degraded = not (found.redis and found.sts and found.reload)
        body = {"ready": found.ready, "degraded": degraded, **asdict(found)}
        return Answer(json.dumps(body).encode(), 200 if found.ready else 503)

    def metrics_view(environ: dict[str, Any]) -> Answer:
        principal = authenticate(environ)
        if principal.anonymous:
            raise Unauthenticated(NEEDS_AUTHENTICATION)
        if not principal.operations:
            raise Forbidden("/metrics is for API keys with operations")
        return Answer(metrics(), content_type=METRICS_TYPE)

    views.add("/metrics", "metrics", metrics_view)
    views.add("/healthz", "healthz", healthz)
    views.add("/readyz", "readyz", readyz)
