"""What a rate costs: a warm request on a route without one, and with one that is counted in memory or in Redis."""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from werkzeug.test import create_environ

from broker import create_app, local
from broker.emulator.server import Emulator
from broker.settings import Settings
from tests.bench import processes, samples
from tests.bench.figures import Figure

_ASKS, _WARM = 4_000, 200
_REDIS = ("BROKER_REDIS_URL", "BROKER_CACHE_KEYS")
_RATED = "rated"


def measure() -> list[Figure]:
    """Medians of single requests in this process, without a server; they take turns, one of each at a time."""
    with tempfile.TemporaryDirectory() as text, local.redis_server() as redis, Emulator(processes.ACCOUNT) as emulator:
        folder = Path(text)
        environ, identities = processes.environment(emulator.url, redis.url, folder, _policies(folder))
        alone = {name: value for name, value in environ.items() if name not in _REDIS}
        token = identities.token("u1", int(time.time()))
        asks = [
            _asking(app, route, token)
            for app in (create_app(Settings.from_environ(_settings(variables))) for variables in (alone, environ))
            for route in (samples.ROUTE, _RATED)
        ]
        taken = [[ask() for ask in asks] for _ in range(_WARM + _ASKS)][_WARM:]
    free, in_memory, beside_redis, in_redis = (statistics.median(column) * 1e6 for column in zip(*taken, strict=True))
    return [
        Figure("a warm request without a rate, in one process without a server", "µs", free),
        Figure("with a rate, counted in memory", "µs", in_memory),
        Figure("with a rate in memory / without", "ratio", in_memory / free, at_most=1.1),
        Figure("without a rate, Redis configured", "µs", beside_redis),
        Figure("with a rate, counted in Redis", "µs", in_redis),
        Figure("with a rate in Redis / without", "ratio", in_redis / beside_redis),
    ]


def _policies(folder: Path) -> Path:
    policies = samples.write_policies(folder)
    policy = json.loads((policies / f"{samples.ROUTE}.json").read_text())
    (policies / f"{_RATED}.json").write_text(json.dumps({**policy, "rate": "1000000/second"}))
    return policies


def _settings(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(("BROKER_", "TENCENTCLOUD_"))}


def _asking(app: Flask, route: str, token: str) -> Callable[[], float]:
    """What asks once and tells how many seconds it took."""
    body, headers = json.dumps(samples.ASK).encode(), {"Authorization": f"Bearer {token}"}
    environ = create_environ(
        f"/v1/{route}/url", method="POST", data=body, content_type="application/json", headers=headers
    )
    statuses = []

    def ask() -> float:
        given = {**environ, "wsgi.input": io.BytesIO(body)}
        begun = time.perf_counter()
        b"".join(app(given, lambda status, *more: statuses.append(status)))
        seconds = time.perf_counter() - begun
        if statuses.pop() != "200 OK":
            raise RuntimeError(f"expected a grant on {route}")
        return seconds

    return ask
