"""Policies that change under running fleets: every worker follows, and no ask fails for it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time

import pytest

from tests.chaos.fleet import environ_of, eventually, load
from tests.chaos.test_gunicorn import under_gunicorn
from tests.conftest import REPOSITORY

SAMPLE = json.loads((REPOSITORY / "policies" / "avatars.json").read_text())
_LIVE_SECONDS = 2


@pytest.fixture
def folder(tmp_path):
    """A folder of one policy."""
    path = tmp_path / "policies"
    path.mkdir()
    publish(path, 1)
    return path


def publish(folder, number: int) -> None:
    """A version of the policy, in one step, that can be told by how long its links live."""
    changed = {**SAMPLE, "expires": {"default_seconds": number, "max_seconds": 900}}
    (folder / "new").write_text(json.dumps(changed))
    (folder / "new").replace(folder / "avatars.json")


def workers(broker, count: int) -> list[http.client.HTTPConnection]:
    """Many connections, so that each worker has some: the kernel deals them out."""
    connections = [http.client.HTTPConnection("127.0.0.1", broker.port, timeout=10) for _ in range(8 * count)]
    for connection in connections:
        connection.connect()
    return connections


def lives(connection: http.client.HTTPConnection) -> int:
    """The generation that the worker at the other end serves."""
    connection.request("GET", "/readyz")
    return int(json.loads(connection.getresponse().read())["policies_generation"])


@pytest.mark.parametrize("program", ["serve", "gunicorn --preload"])
def test_every_worker(emulator, identities, people, start, folder, tmp_path, program):
    """A change is live in every worker within two seconds; the workers of one fleet need not be told."""
    if program == "serve":
        broker = start(emulator, None, workers=3, BROKER_POLICIES=str(folder))
        broker.await_ready()
        follow(broker, folder, 3)
        return
    environ = environ_of(emulator, identities, folder, None)
    with under_gunicorn(environ, people, tmp_path, "--preload") as broker:
        follow(broker, folder, 2)


def follow(broker, folder, count: int) -> None:
    """Publish versions, and see all connections meet each in time."""
    connections = workers(broker, count)
    try:
        for connection in connections:
            assert lives(connection) == 1
        for number in (2, 3):
            publish(folder, number)
            changed_at = time.monotonic()
            eventually(lambda number=number: all(lives(one) == number for one in connections), _LIVE_SECONDS)
            assert time.monotonic() - changed_at < _LIVE_SECONDS
        assert broker.people.ask(broker.port, "u1").body["expires_in"] == 3
    finally:
        for connection in connections:
            connection.close()


def test_worker_in_the_place_of_another(emulator, people, start, folder):
    """A worker that takes a dead one's place while a file is unsound serves the others, and ends nobody."""
    (folder / "other.json").write_text(json.dumps(SAMPLE))
    broker = start(emulator, None, workers=2, BROKER_POLICIES=str(folder))
    broker.await_ready()
    (folder / "avatars.json").write_text("{")
    first = broker.worker
    os.kill(first, signal.SIGKILL)
    eventually(lambda: broker.worker != first and len(broker.told("Started worker")) == 3)
    (folder / "avatars.json").unlink()
    connections, bearer = workers(broker, 2), people.bearer("u1")
    try:
        eventually(lambda: {served(one, bearer, "other") for one in connections} == {True}, 10)
        eventually(lambda: {served(one, bearer, "avatars") for one in connections} == {False}, 10)
    finally:
        for connection in connections:
            connection.close()
    assert broker.process.poll() is None
    assert broker.told("not served: ") != []


def served(connection: http.client.HTTPConnection, bearer: str, route: str) -> bool:
    """Whether the worker at the other end has a route."""
    connection.request("GET", "/v1", headers={"Authorization": bearer})
    return route in [one["route"] for one in json.loads(connection.getresponse().read())["routes"]]


def test_changes_under_load(emulator, start, folder):
    """While the file is written a hundred times, half-written and unsound versions among them, no ask fails."""
    broker = start(emulator, None, workers=2, BROKER_POLICIES=str(folder))
    broker.await_ready()
    with load(*[lambda number, name=name: broker.ask(f"u{name}-{number % 5}") for name in range(4)]) as under:
        under.await_more(20)
        for number in range(2, 102):
            if number % 10 == 0:
                (folder / "avatars.json").write_text(json.dumps(SAMPLE)[: number * 3])
            elif number % 10 == 5:
                (folder / "avatars.json").write_text(json.dumps({**SAMPLE, "region": "nowhere"}))
            publish(folder, number)
            under.await_more(8)
        publish(folder, 102)
        eventually(lambda: broker.ask("last").body["expires_in"] == 102)
    assert under.statuses == {200}
    assert len({answer.body["expires_in"] for answer in under.answers}) >= 3
