"""Fleets: brokers as processes that share a Redis of their own, and a cloud that fails when it is told to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.emulator.server import Emulator
from broker.local import Identities, RedisServer, redis_server
from tests.chaos.fleet import Answer, People, Served, end, environ_of, eventually, serve
from tests.conftest import ACCOUNT, BUCKET, REPOSITORY

# Its credentials are needed for a second longer than the margin, so that they may be short.
BRIEF = {
    "vends": ["url"],
    "methods": ["GET"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "brief/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z]+"}},
    "expires": {"default_seconds": 1, "max_seconds": 1},
}

RATED = {**BRIEF, "key": "rated/{principal.sub}/{name}", "rate": "60/hour"}


@dataclass
class Fleet:
    """Brokers that share a Redis."""

    brokers: list[Served]
    redis: RedisServer

    def ask(self, number: int, sub: str) -> Answer:
        """The answer of one of the brokers, by turns."""
        return self.brokers[number % len(self.brokers)].ask(sub)


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's policy for avatars, one for short credentials, and one with a rate."""
    folder = tmp_path_factory.mktemp("chaos-policies")
    (folder / "avatars.json").write_bytes((REPOSITORY / "policies" / "avatars.json").read_bytes())
    (folder / "brief.json").write_text(json.dumps(BRIEF))
    (folder / "rated.json").write_text(json.dumps(RATED))
    return folder


@pytest.fixture(scope="session")
def people(identities: Identities) -> People:
    """Everybody who may ask."""
    return People(identities)


@pytest.fixture(scope="session")
def standing(
    cloud: Emulator, identities: Identities, policies: Path, people: People, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Two brokers, of two workers and of one, for all tests that leave them whole."""
    folder = tmp_path_factory.mktemp("standing")
    with redis_server() as redis:
        environ = environ_of(cloud, identities, policies, redis)
        brokers = [serve(environ, people, folder, workers=workers) for workers in (2, 1)]
        try:
            yield Fleet(brokers, redis)
        finally:
            end(*(broker.process for broker in brokers))


@pytest.fixture
def fleet(standing: Fleet, emulator: Emulator) -> Fleet:
    """Two brokers of three workers in all, which have found that STS answers."""
    emulator.reset()
    for number in range(24):
        sub = f"new-{uuid.uuid4()}"
        eventually(lambda number=number, sub=sub: standing.ask(number, sub).status == 200)
    emulator.reset()
    return standing


@pytest.fixture
def own_cloud() -> Iterator[Emulator]:
    """A cloud that a test may stop."""
    with Emulator(ACCOUNT, buckets={BUCKET: "ap-guangzhou"}) as emulator:
        yield emulator


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may stop and kill."""
    with redis_server() as server:
        yield server


@pytest.fixture
def start(identities: Identities, policies: Path, people: People, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts brokers that end with the test: `start(emulator, redis, workers=…, environment variables…)`."""
    brokers: list[Served] = []

    def begin(
        emulator: Emulator,
        redis: RedisServer | None,
        *,
        workers: int = 1,
        program: tuple[str, ...] = ("broker", "serve"),
        **environ: str,
    ) -> Served:
        whole = environ_of(emulator, identities, policies, redis, **environ)
        brokers.append(serve(whole, people, tmp_path, workers=workers, program=program))
        return brokers[-1]

    yield begin
    end(*(broker.process for broker in brokers))
