"""What policies cost: loading many, looking at them again, and whether a request pays for those it does not use."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from broker import create_app
from broker.emulator.server import Emulator
from broker.identity.principals import Principal
from broker.local import AUDIENCE, ISSUER, Identities
from broker.policy.asks import Ask
from broker.policy.catalog import Folder
from broker.policy.limits import Limits
from broker.settings import Settings
from tests.bench import samples
from tests.bench.figures import Figure

FEW, MANY = 10, 1_000
REQUESTS = 400
_ROUNDS, _ORDERS = 9, 5_000
_LIMITS = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")
ACCOUNT = ("AKIDBENCHMARK", "SKBENCHMARK")


def measure() -> list[Figure]:
    """Medians of rounds."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = (write(Path(folder), count) for count in (FEW, MANY))
        return [*_loading(many), _looking(many), _ordering(few), *_requests(few, many)]


def write(folder: Path, count: int) -> Path:
    """A folder with so many policies: the samples by turns, each with keys of its own; and one that is asked."""
    policies = folder / str(count)
    policies.mkdir()
    files = sorted(path for path in Path("policies").glob("*.json") if path.name != "policy.schema.json")
    (policies / "avatars.json").write_bytes(Path("policies/avatars.json").read_bytes())
    for number in range(count - 1):
        text = files[number % len(files)].read_text()
        for name in ("avatars/", "downloads/", "files/", "reports/"):
            text = text.replace(name, f"r{number}-{name}")
        (policies / f"r{number}.json").write_text(text)
    return policies


def _loading(folder: Path) -> list[Figure]:
    found = []
    for _ in range(5):
        command = [sys.executable, "-m", "tests.bench.loaded", str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(tuple(float(text) for text in told.stdout.split()))
    seconds, size = (statistics.median(column) for column in zip(*found, strict=True))
    return [
        Figure(f"loading {MANY} policy files, their own tests included", "s", seconds, at_most=2),
        Figure(f"memory of {MANY} routes", "MB", size / 1e6, at_most=30),
    ]


def _looking(folder: Path) -> Figure:
    policies = Folder(folder, _LIMITS)
    settled = time.time_ns() + 10**10
    policies.refresh(settled)
    taken = [_seconds(lambda: policies.refresh(settled)) * 1000 for _ in range(_ROUNDS)]
    return Figure(f"looking whether any of {MANY} files has changed (once a second)", "ms", statistics.median(taken))


def _ordering(folder: Path) -> Figure:
    route = Folder(folder, _LIMITS).catalog.route("avatars")
    principal = Principal(MappingProxyType({"sub": "u1", "scope": "avatars:write"}))
    ask = Ask("url", inputs=samples.ASK["inputs"], headers=samples.ASK["headers"])
    issuer, now = samples.Issuer(), samples.clock()
    issuer.fingerprint(route.order(ask, route.admit(principal), now).demand.scope)

    def orders() -> None:
        for _ in range(_ORDERS):
            route.order(ask, route.admit(principal), now)

    taken = [_seconds(orders) / _ORDERS * 1e6 for _ in range(_ROUNDS)]
    return Figure("an order, warm: key, headers, scope, lifetime", "µs", statistics.median(taken), at_most=25)


def _requests(few: Path, many: Path) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, Emulator(ACCOUNT) as cloud:
        identities = Identities(Path(folder))
        asks = [asking(policies, identities, cloud) for policies in (few, many)]
        for ask in asks:
            ask()
        pairs = [[_seconds(ask) / REQUESTS * 1e6 for ask in asks] for _ in range(_ROUNDS)]
    with_few, with_many = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(many / few for few, many in pairs)
    return [
        Figure(f"a warm request beside {FEW} routes, in one process without a server", "µs", with_few),
        Figure(f"the same beside {MANY} routes", "µs", with_many),
        Figure(f"{MANY} routes / {FEW} routes", "ratio", ratio, at_most=1.1),
    ]


def asking(policies: Path, identities: Identities, cloud: Emulator) -> Callable[[], None]:
    """What makes so many requests, one after another, of a broker in this process without a server."""
    environ = {
        "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
        "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
        "BROKER_STS_ENDPOINT": cloud.url,
        "BROKER_COS_ENDPOINT": cloud.url,
        "BROKER_POLICIES": str(policies),
        "BROKER_JWT_JWKS": str(identities.jwks),
        "BROKER_JWT_ISSUER": ISSUER,
        "BROKER_JWT_AUDIENCE": AUDIENCE,
        "BROKER_JWT_ALGORITHMS": "ES256",
        "BROKER_LOG_LEVEL": "error",
    }
    app, body = create_app(Settings.from_environ(environ)), json.dumps(samples.ASK).encode()
    token = identities.token("u1", int(time.time()))
    request: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/v1/avatars/url", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"Bearer {token}", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    statuses = set()

    def ask() -> None:
        for _ in range(REQUESTS):
            answer = app({**request, "wsgi.input": io.BytesIO(body)}, lambda status, *more: statuses.add(status))
            b"".join(answer)
        if statuses != {"200 OK"}:
            raise RuntimeError(f"expected grants, got {statuses}")

    return ask


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
