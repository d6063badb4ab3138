"""The servers that are compared, each in processes of its own: the broker, a bare route, and what people write today.

STS is the emulator, in a process of its own beside the load: it takes nothing of the servers' core.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from broker import local
from tests.bench import loader, processes, samples

THREADS = 32
PATH = "/v1/avatars/url"


class Server(NamedTuple):
    """Where one listens, and the process to account to it."""

    port: int
    pid: int


class Cloud(NamedTuple):
    """An emulator in a process of its own."""

    url: str

    def slow(self, seconds: float) -> None:
        """From now on STS takes so long to answer."""
        order = {"target": "sts", "delay_seconds": seconds, "count": 10**6}
        _ask("POST", f"{self.url}/_emulator/faults", json.dumps(order).encode())

    def calls(self) -> int:
        """How often STS was asked."""
        return int(sum(json.loads(_ask("GET", f"{self.url}/_emulator/stats"))["sts"].values()))


class Place(NamedTuple):
    """Redis, a cloud and users; `environ` is a broker's."""

    environ: dict[str, str]
    identities: local.Identities
    cloud: Cloud
    folder: Path

    def request(self, sub: str = "u1", path: str = PATH) -> bytes:
        """The bytes of one ask for an avatar's upload."""
        return loader.post(path, self.identities.token(sub, int(time.time())), samples.ASK)

    def answer(self, url: str) -> bytes:
        """What a broker at `url` answers to that ask."""
        token = self.identities.token("u1", int(time.time()))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return _ask("POST", f"{url}{PATH}", json.dumps(samples.ASK).encode(), headers)


@contextlib.contextmanager
def place(policies: Path = Path("policies")) -> Iterator[Place]:
    """Everything but servers."""
    with tempfile.TemporaryDirectory() as text, local.redis_server() as redis, cloud() as one:
        environ, identities = processes.environment(one.url, redis.url, Path(text), policies)
        yield Place(environ, identities, one, Path(text))


@contextlib.contextmanager
def cloud(sts_seconds: float = 0) -> Iterator[Cloud]:
    """An emulator whose STS takes so long. It gets slower after 10,000 calls: no two contenders share one."""
    port = local.free_port()
    environ = {**local.inherited(), **_account()}
    url = f"http://127.0.0.1:{port}"
    with processes.started("broker", "emulate", "--port", str(port), environ=environ, ready=f"{url}/_emulator/stats"):
        found = Cloud(url)
        if sts_seconds:
            found.slow(sts_seconds)
        yield found


@contextlib.contextmanager
def broker(environ: dict[str, str], *options: str) -> Iterator[Server]:
    """`serve` as in production: its audit lines go to a file."""
    port = local.free_port()
    ready = f"http://127.0.0.1:{port}/readyz"
    arguments = ("serve", "--port", str(port), "--drain-delay", "0", *options)
    with (
        tempfile.TemporaryFile() as lines,
        processes.started("broker", *arguments, environ=_audited(environ), ready=ready, stderr=lines) as process,
    ):
        yield Server(port, process.pid)


def _audited(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BROKER_LOG_LEVEL": "info"}


@contextlib.contextmanager
def bare(body: bytes) -> Iterator[Server]:
    """The bare route, under Granian as `serve` has it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        with _started("tests.bench.bare", environ={**os.environ, "BENCH_BODY": file.name}) as server:
            yield server


@contextlib.contextmanager
def by_hand(place: Place, sts: Cloud, *, cached: bool, granian: bool) -> Iterator[Server]:
    """What people write today."""
    environ = {
        **local.inherited(),
        **_account(),
        "BENCH_STS": sts.url,
        "BENCH_JWKS": str(place.identities.jwks),
        "BENCH_CACHED": str(int(cached)),
    }
    module = "tests.bench.by_hand"
    with _started(module, environ) if granian else gunicorn(f"{module}:app", environ) as server:
        yield server


@contextlib.contextmanager
def gunicorn(application: str, environ: dict[str, str], threads: int = THREADS) -> Iterator[Server]:
    """One worker with threads; idle connections are kept as long as by `serve`."""
    port = local.free_port()
    options = f"--bind 127.0.0.1:{port} --worker-class gthread --threads {threads} --keep-alive 30 --log-level error"
    ready = f"http://127.0.0.1:{port}/readyz"
    arguments = (application, *options.split())
    with (
        tempfile.TemporaryFile() as lines,
        processes.started("gunicorn", *arguments, environ=_audited(environ), ready=ready, stderr=lines) as process,
    ):
        yield Server(port, process.pid)


@contextlib.contextmanager
def _started(module: str, environ: dict[str, str]) -> Iterator[Server]:
    port = local.free_port()
    ready = f"http://127.0.0.1:{port}/readyz"
    with processes.started(module, str(port), environ=environ, ready=ready) as process:
        yield Server(port, process.pid)


def _account() -> dict[str, str]:
    return dict(zip(("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"), processes.ACCOUNT, strict=True))


def _ask(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    status, _, answer = local.send(method, url, headers or {"Content-Type": "application/json"}, body)
    if status not in (200, 204):
        raise RuntimeError(f"expected an answer of {url}, got {status} {answer[:200]!r}")
    return answer
