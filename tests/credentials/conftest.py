"""A clock that is told, an issuer that keeps what it was asked, and a real Redis server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.local import RedisServer, redis_server

NOW = 1_700_000_000


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        """The current second."""
        return self.now

    def tick(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds


class IssuerDouble:
    """Makes credentials as scripted and keeps what it was asked.

    `script` holds the next answers: a lifetime in seconds, or an error to raise; then `lifetime` goes on for ever.
    While `gate` is clear, calls for `held` scopes (None: all) stand still; `arrived` counts a permit for each call.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Scope, int]] = []
        self.script: list[int | Exception] = []
        self.lifetime = 1800
        self.gate = threading.Event()
        self.gate.set()
        self.held: Scope | None = None
        self.arrived = threading.Semaphore(0)
        self._lock = threading.Lock()

    def fingerprint(self, scope: Scope) -> str:
        """As the real one's, of a fixed source."""
        return scope.fingerprint("AKIDSOURCE", "https://sts.test")

    def issue(self, scope: Scope, now: int) -> Credential:
        """The next credential, numbered."""
        with self._lock:
            self.calls.append((scope, now))
            number = len(self.calls)
            answer = self.script.pop(0) if self.script else self.lifetime
        self.arrived.release()
        if self.held is None or self.held == scope:
            assert self.gate.wait(10)
        if isinstance(answer, Exception):
            raise answer
        return Credential(f"AKID{number}", f"KEY{number}", f"TOKEN{number}", now, now + answer, f"request-{number}")


def some_scope(name: str = "u1", **terms: object) -> Scope:
    """A scope whose document names somebody."""
    return Scope(f'{{"statement":["{name}"],"version":"2.0"}}', **{"duration_seconds": 1800, **terms})


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def issuer() -> IssuerDouble:
    """An issuer that gives half an hour."""
    return IssuerDouble()


@pytest.fixture
def scope() -> Callable[..., Scope]:
    """`some_scope`."""
    return some_scope


@pytest.fixture
def credential() -> Callable[..., Credential]:
    """A credential with a lifetime counted from NOW."""

    def make(lifetime: int = 1800, issued: int = 0, number: int = 0) -> Credential:
        names = (f"AKIDKEPT{number}", f"SECRETKEPT{number}", f"TOKENKEPT{number}")
        return Credential(*names, NOW + issued, NOW + lifetime, "request-kept")

    return make


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One server for each test process."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """The URL of an empty server."""
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture
def raw_redis(redis_url: str) -> Iterator[redis.Redis]:
    """A client that sees what is kept as it is."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may stop and kill."""
    with redis_server() as server:
        yield server
