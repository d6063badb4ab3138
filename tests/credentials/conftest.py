"""A clock that is told, an issuer that keeps what it was asked, and a real Redis server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore
from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.local import RedisServer, redis_server
from tests.doubles import NOW, Clock, IssuerDouble, some_scope

KEY = b"k" * 32


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def issuer(clock: Clock) -> IssuerDouble:
    """An issuer that gives half an hour."""
    return IssuerDouble(clock)


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


@pytest.fixture
def open_connection() -> Iterator[Callable[..., Connection]]:
    """Connections to a URL, closed again."""
    opened: list[Connection] = []

    def make(url: str, monotonic: Callable[[], float] = time.monotonic) -> Connection:
        opened.append(Connection(topology.parse(url), monotonic))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


@pytest.fixture
def open_store(open_connection: Callable[..., Connection]) -> Callable[..., CredentialStore]:
    """Stores on a URL, with keys of their own or the one of everybody."""

    def make(url: str, *keys: bytes, monotonic: Callable[[], float] = time.monotonic) -> CredentialStore:
        return CredentialStore(open_connection(url, monotonic), Sealer(keys or [KEY]))

    return make
