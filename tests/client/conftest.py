"""A broker behind a real socket, COS behind a wire that can be cut, and clients that sleep without waiting."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from broker.client import BrokerClient
from broker.emulator.connections import Listener
from broker.emulator.server import Emulator
from tests.conftest import BUCKET, REPOSITORY
from tests.doubles import Clock
from tests.web.conftest import Door, clock, open_door  # noqa: F401  fixtures

MIB = 2**20
_NAME = {"name": {"pattern": "[a-z0-9.-]{1,40}"}}
_BYTES = {"types": ["application/octet-stream", "text/plain"], "max_bytes": 40 * MIB}
_ONCE = {"x-cos-forbid-overwrite": {"const": "true"}}
POLICIES = {
    "files": {
        "vends": ["url", "multipart", "confirm", "form", "signature", "download-url"],
        "methods": ["PUT"],
        "key": "files/{principal.sub}/{name}",
        "inputs": _NAME,
        "content": {**_BYTES, "part_bytes": MIB},
    },
    "parts-only": {"vends": ["multipart"], "key": "only/{principal.sub}/{name}", "inputs": _NAME},
    "form-only": {"vends": ["form"], "key": "form/{principal.sub}/{name}", "inputs": _NAME},
    "form-or-parts": {
        "vends": ["form", "multipart"],
        "key": "form/{principal.sub}/{name}",
        "inputs": _NAME,
        "content": _BYTES,
        "headers": {"Cache-Control": {"const": "no-store"}},
    },
    "once": {
        "vends": ["url", "confirm"],
        "methods": ["PUT"],
        "key": "once/{principal.sub}/{uuid}.txt",
        "content": _BYTES,
        "headers": _ONCE,
    },
    "blind": {
        "vends": ["url"],
        "methods": ["PUT"],
        "key": "blind/{principal.sub}/{name}",
        "inputs": _NAME,
        "headers": _ONCE,
    },
    "read": {
        "vends": ["download-url"],
        "key": "files/{principal.sub}/{name}",
        "inputs": _NAME,
        "headers": {"Range": {"pattern": "bytes=[0-9]+-"}},
    },
    "read-other": {
        "vends": ["download-url"],
        "key": "files/{principal.sub}/{name}",
        "inputs": _NAME,
        "headers": {"Range": {"pattern": "bytes=[0-9]+-[0-9]+"}},
    },
    "read-whole": {"vends": ["url"], "methods": ["GET"], "key": "files/{principal.sub}/{name}", "inputs": _NAME},
}  # fmt: skip


class Wire:
    """What lies between clients and COS: a WSGI application that hands requests on, unless it is told to break.

    Each order is (a pattern for the request line, what happens): "refuse": closed at once; "lose": carried out, the
    answer lost; a number: the answer is cut after so many bytes.
    """

    def __init__(self, cloud: Emulator) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._orders: list[tuple[str, Any]] = []
        self.lines: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.after_cut: Callable[[], None] = lambda: None

    def order(self, pattern: str, what: Any, count: int = 1) -> None:
        """Let the next `count` requests whose line holds a pattern fail."""
        with self._lock:
            self._orders += [(pattern, what)] * count

    def count(self, pattern: str) -> int:
        """How many requests had a line that holds a pattern."""
        with self._lock:
            return sum(bool(re.search(pattern, line)) for line in self.lines)

    def _next(self, environ: dict[str, Any]) -> Any:
        line = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}"
        with self._lock:
            self.lines.append(line)
            self.headers.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
            for index, (pattern, what) in enumerate(self._orders):
                if re.search(pattern, line):
                    del self._orders[index]
                    return what
        return None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """WSGI."""
        what = self._next(environ)
        if what == "refuse":
            raise ConnectionResetError
        body = b"".join(self._cloud(environ, start_response))
        if what == "lose":
            raise ConnectionResetError
        return self._cut(body, what) if isinstance(what, int) else iter([body])

    def _cut(self, body: bytes, length: int) -> Iterator[bytes]:
        yield body[:length]
        self.after_cut()
        raise ConnectionResetError


@pytest.fixture
def wire(emulator: Emulator) -> Wire:
    """The way to COS, whole."""
    return Wire(emulator)


@pytest.fixture
def cos_url(wire: Wire) -> Iterator[str]:
    """Where COS is reached through the wire."""
    with served(wire) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The repository's policies and these tests' own."""
    target = tmp_path / "policies"
    shutil.copytree(REPOSITORY / "policies", target)
    for name, policy in POLICIES.items():
        (target / f"{name}.json").write_text(json.dumps({"bucket": BUCKET, "region": "ap-guangzhou", **policy}))
    return target


@pytest.fixture
def door(open_door: Callable[..., Door], cos_url: str, folder: Path) -> Door:  # noqa: F811
    """The broker, in this process."""
    return open_door(BROKER_COS_ENDPOINT=cos_url, BROKER_POLICIES=str(folder))


@pytest.fixture
def url(door: Door) -> Iterator[str]:
    """Where the broker listens."""
    with served(door.app) as url:
        yield url


@pytest.fixture
def pauses() -> list[float]:
    """How long the client has slept, in seconds; no time passes with it but its own."""
    return []


@pytest.fixture
def connect(pauses: list[float]) -> Iterator[Callable[..., BrokerClient]]:
    """Clients of any broker, closed at the end; jitter draws one half."""
    opened: list[BrokerClient] = []
    time = Clock()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.tick(seconds)

    def make(url: str, token: Any = "a.b.c", **more: Any) -> BrokerClient:
        options = {"sleep": sleep, "clock": time.monotonic, "draw": lambda: 0.5, "timeout_seconds": 5, **more}
        opened.append(BrokerClient(url, token, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(url: str, door: Door, connect: Callable[..., BrokerClient]) -> BrokerClient:
    """A client for u1 with a JWT."""
    return connect(url, door.token())


@pytest.fixture
def told() -> list[tuple[int, int]]:
    """What a progress callback was told."""
    return []


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Files whose every byte depends on its place."""

    def make(size: int, name: str = "data.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content(size))
        return path

    return make


def content(size: int) -> bytes:
    """`size` bytes that repeat at no power of two."""
    pattern = bytes(range(251))
    return (pattern * (size // len(pattern) + 1))[:size]


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The URL of a WSGI application on a free port."""
    listener = Listener("127.0.0.1", 0, app)
    listener.start()
    try:
        yield f"http://127.0.0.1:{listener.port}"
    finally:
        listener.stop()


class Answers:
    """A broker that answers as scripted: (status, headers, body); the last answer goes on for ever."""

    def __init__(self, *script: tuple[int, dict[str, str], Any]) -> None:
        self._script = list(script)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """WSGI."""
        self.asked.append({name: value for name, value in environ.items() if isinstance(value, str)})
        status, headers, body = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        start_response(f"{status} X", [*headers.items(), ("Content-Length", str(len(data)))])
        return [data]


@pytest.fixture
def scripted() -> Iterator[Callable[..., tuple[str, Answers]]]:
    """Brokers that answer as scripted, each as (URL, double)."""
    with ExitStack() as running:

        def make(*script: tuple[int, dict[str, str], Any]) -> tuple[str, Answers]:
            double = Answers(*script)
            return running.enter_context(served(double)), double

        yield make
