"""For whoever runs the broker: is the process alive, may it get traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from flask import Blueprint, Response

from broker.web import problems


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready`: traffic may come. `redis`, `sts` and `reload` say whether each serves; nothing is said about why not."""

    ready: bool
    redis: bool
    sts: bool
    reload: bool
    policies_generation: int


def register(blueprint: Blueprint, readiness: Callable[[], Readiness]) -> None:
    """Add `/healthz` and `/readyz` to a blueprint."""

    def healthz() -> Response:
        return problems.respond(b'{"status": "ok"}')

    def readyz() -> Response:
        found = readiness()
        degraded = not (found.redis and found.sts and found.reload)
        body = {"ready": found.ready, "degraded": degraded, **asdict(found)}
        return problems.respond(json.dumps(body).encode(), 200 if found.ready else 503)

    blueprint.add_url_rule("/healthz", "healthz", healthz, provide_automatic_options=False)
    blueprint.add_url_rule("/readyz", "readyz", readyz, provide_automatic_options=False)
