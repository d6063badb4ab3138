"""A fleet of two is restarted one by one, under load, behind a balancer that follows `/readyz`: nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from broker.local import send
from tests.chaos.fleet import ASKS, AVATARS, Answer, People, Served, end, environ_of, eventually, load, serve, sts_calls

DELAY_SECONDS = 2
POLL_SECONDS = 0.05
STALE_SECONDS = 0.5  # a slow machine must not make the balancer believe old news
CLIENTS = 6


def readiness(broker: Served) -> int:
    """The status of `/readyz`; 0 if nobody listens."""
    try:
        return send("GET", f"http://127.0.0.1:{broker.port}/readyz", {})[0]
    except OSError:
        return 0


@dataclass
class Balancer:
    """Sends each ask to an instance that was ready a moment ago, over connections that it keeps."""

    people: People
    instances: list[Served]
    seen_ready_at: dict[int, float] = field(default_factory=dict)
    statuses: list[set[int]] = field(default_factory=lambda: [set(), set()])
    answered: list[int] = field(default_factory=lambda: [0, 0])
    ended: threading.Event = field(default_factory=threading.Event)
    kept: dict[tuple[int, int], http.client.HTTPConnection] = field(default_factory=dict)

    def follow(self, number: int) -> None:
        """Ask one instance again and again whether it is ready."""
        while not self.ended.wait(POLL_SECONDS):
            asked_at = time.monotonic()
            status = readiness(self.instances[number])
            self.statuses[number].add(status)
            self.seen_ready_at[number] = asked_at if status == 200 else 0.0

    def _choose(self, turn: int) -> int:
        def choice() -> list[int]:
            fresh = time.monotonic() - STALE_SECONDS
            return [one for one in (turn % 2, (turn + 1) % 2) if self.seen_ready_at.get(one, 0.0) > fresh]

        return eventually(choice)[0]

    def _connection(self, chosen: int) -> http.client.HTTPConnection:
        """The client's connection to an instance; a new one if the instance has closed it, as every proxy sees."""
        mine = (threading.get_ident(), chosen)
        if mine not in self.kept:
            self.kept[mine] = http.client.HTTPConnection("127.0.0.1", self.instances[chosen].port, timeout=20)
        kept = self.kept[mine]
        if kept.sock is not None and select.select([kept.sock], [], [], 0)[0]:
            kept.close()
        return kept

    def ask(self, turn: int) -> Answer:
        """One ask of one client."""
        chosen = self._choose(turn)
        headers = {"Authorization": self.people.bearer("u1"), "Content-Type": "application/json"}
        connection, began = self._connection(chosen), time.monotonic()
        try:
            connection.request("POST", f"/v1/{AVATARS}", json.dumps(ASKS[AVATARS]), headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            return Answer(0, {}, {}, began, time.monotonic() - began)
        self.answered[chosen] += 1
        return Answer(response.status, body, dict(response.getheaders()), began, time.monotonic() - began)


@contextlib.contextmanager
def balancing(people: People, instances: list[Served]) -> Iterator[Balancer]:
    """A balancer in front of two instances."""
    balancer = Balancer(people, instances)
    followers = [threading.Thread(target=balancer.follow, args=(number,)) for number in range(2)]
    for follower in followers:
        follower.start()
    try:
        yield balancer
    finally:
        balancer.ended.set()
        for follower in followers:
            follower.join()
        for connection in balancer.kept.values():
            connection.close()


@pytest.fixture
def begin(own_cloud, own_redis, identities, policies, people, tmp_path) -> Iterator[Callable[..., Served]]:
    """Starts one of the brokers that share a Redis and say that they will close before they do."""
    environ = environ_of(own_cloud, identities, policies, own_redis)
    started: list[Served] = []

    def one(port: int | None = None) -> Served:
        started.append(serve(environ, people, tmp_path, workers=2, drain_delay=DELAY_SECONDS, port=port))
        return started[-1]

    yield one
    end(*(broker.process for broker in started))


def test_rolling_restart(begin, people, own_cloud):
    """Every ask is granted while one instance after the other ends and comes back; STS is asked once in all."""
    instances = [begin(), begin()]
    for instance in instances:
        instance.await_ready()
    with balancing(people, instances) as balancer, load(*[balancer.ask] * CLIENTS, pause_seconds=0.01) as asked:
        asked.await_more(100)
        for number, old in enumerate(balancer.instances):
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(DELAY_SECONDS + 10) == 0
            asked.await_more(50)  # of the other alone
            balancer.instances[number] = begin(old.port)  # the balancer sees when it is ready
            before = balancer.answered[number]
            eventually(lambda number=number, before=before: balancer.answered[number] > before + 50)
        asked.await_more(100)
    assert asked.statuses == {200}
    assert sts_calls(own_cloud) == 1
    # Each said so beforehand, on a port that was still open.
    assert [503 in statuses for statuses in balancer.statuses] == [True, True]


def test_connections_while_draining(begin, people):
    """What is asked while it drains is granted, and is the last on its connection; a second SIGTERM ends it at once."""
    broker = begin()
    broker.await_ready()
    kept = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=20)
    kept.request("GET", "/healthz")
    before = kept.getresponse()
    assert (before.status, before.read(), before.getheader("Connection")) == (200, b'{"status": "ok"}', None)
    broker.process.send_signal(signal.SIGTERM)
    eventually(lambda: readiness(broker) == 503)
    kept.request("GET", "/healthz")
    last = kept.getresponse()
    assert (last.status, last.getheader("Connection")) == (200, "close")
    granted = people.ask(broker.port, "u1")
    assert (granted.status, granted.headers["connection"]) == (200, "close")
    broker.process.send_signal(signal.SIGTERM)
    assert broker.process.wait(10) == 0
    kept.close()
