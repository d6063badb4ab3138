"""How much work an ask is, counted: what a benchmark would see as time, without a clock, the same on every machine.

Time stands still for the broker here, so that nothing it does once a second falls into a count. Whoever makes an ask
cheaper lowers its `Bound`; whoever has a reason to make it dearer raises it, and says so.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest
import redis
from werkzeug.test import create_environ

from broker import create_app, logs
from broker.emulator.server import Emulator
from broker.local import Identities, redis_server
from broker.settings import Settings

KEY = "d29yay13b3JrLXdvcmstd29yay13b3JrLXdvcmstd28="
ASK = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "1000"}}
ITEMS = 100


class Bound(NamedTuple):
    """The most that something may be. Much less is wrong as well: then the bound no longer guards anything."""

    most: int

    def holds(self, count: float) -> bool:
        """Whether a count is at most this, and not far below."""
        return 0.8 * self.most <= count <= self.most


# Calls of Python functions, comprehensions not counted: they are calls until Python 3.11 only.
WARM_CALLS, ITEM_CALLS = Bound(135), Bound(54)
# SHA-256 of the bearer token; SHA-1 of the request, and both keyed states of the HMAC. In a new second the key, too,
# an HMAC, and its two states.
WARM_HASHES, ITEM_HASHES, SECOND_HASHES = 4, 3, 3
# Round trips for a scope that nobody has asked for: look, claim the lease, its source's failure, 3 budgets, publish.
COLD_ROUND_TRIPS = Bound(7)
# Blocks of memory that an ask may leave behind. A list that grows with each ask takes one.
KEPT_BLOCKS = 0.2


class Work(NamedTuple):
    """What one ask made the interpreter do."""

    calls: int
    hashes: int


class Elsewhere(NamedTuple):
    """What one ask made others do."""

    round_trips: int  # to Redis
    sts_calls: int


class World:
    """Redis, STS and brokers whose time stands still, called in this thread."""

    def __init__(self, environ: dict[str, str], identities: Identities, cloud: Emulator, client: redis.Redis) -> None:
        self._environ = environ
        self._identities = identities
        self._cloud = cloud
        self._redis = client
        self.now = int(time.time())
        self.app = self.broker()

    def broker(self) -> Any:
        """One more process, as it were."""
        app = create_app(Settings.from_environ(self._environ), clock=lambda: self.now, monotonic=lambda: 0.0)
        app.extensions["broker"].audit._clock = lambda: (
            self.now
        )  # lines tell the real time, with a new text each second
        return app

    def ask(self, sub: str, vend: str = "url", body: Any = ASK, app: Any = None) -> Callable[[], None]:
        """What asks for an avatar's upload, the same each time; it must be granted."""
        sent = json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._identities.token(sub, self.now)}"}
        path = f"/v1/avatars/{vend}"
        environ = create_environ(path, method="POST", data=sent, content_type="application/json", headers=headers)
        application, statuses = app or self.app, Counter[str]()

        def ask() -> None:
            given = {**environ, "wsgi.input": io.BytesIO(sent)}
            answer = b"".join(application(given, lambda status, *more: statuses.update([status])))
            if set(statuses) != {"200 OK"} or b'"problem"' in answer:
                raise AssertionError(f"expected a grant, got {answer!r}")

        return ask

    def elsewhere(self, work: Callable[[], None]) -> Elsewhere:
        """What others hear of it, and of what it leaves to threads."""
        end_of_flights()
        trips, calls = self._reads(), self._sts_calls()
        work()
        end_of_flights()
        return Elsewhere(self._reads() - trips - 1, self._sts_calls() - calls)  # without our own second question

    def _sts_calls(self) -> int:
        return sum(self._cloud.stats()["sts"].values())

    def _reads(self) -> int:
        return int(self._redis.info("stats")["total_reads_processed"])


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis that nobody else speaks to."""
    with redis_server() as server:
        yield server.url


@pytest.fixture
def world(
    environ: dict[str, str], identities: Identities, emulator: Emulator, redis_url: str, logging_restored: None
) -> Iterator[World]:
    """An empty Redis, and a broker that has vended to u1 and to others."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        one = World({**environ, "BROKER_REDIS_URL": redis_url, "BROKER_CACHE_KEYS": KEY}, identities, emulator, client)
        for sub in ("u1", "u1", "u2"):
            one.ask(sub)()
        yield one


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Without pytest's handlers, which keep every audit line."""
    given = logging.root.handlers
    logging.root.handlers = [handler for handler in given if isinstance(handler, logs.Handler)]
    try:
        yield
    finally:
        logging.root.handlers = given


def end_of_flights() -> None:
    """Wait for threads that have answered an ask and still speak to Redis."""
    for thread in threading.enumerate():
        if thread.name == "broker-flight":
            thread.join()


def work(ask: Callable[[], None]) -> Work:
    """What this thread does for one ask that is not the first of its kind."""
    ask()
    return counted(ask)


def counted(ask: Callable[[], None]) -> Work:
    """What this thread does for one ask."""
    calls: Counter[CodeType] = Counter()
    functions: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            calls[frame.f_code] += 1
        elif event == "c_call":
            functions[f"{function.__module__}.{getattr(function, '__qualname__', function)}"] += 1

    with unwatched():
        ask_alone(ask, note)
    plain = {code: count for code, count in calls.items() if not code.co_name.endswith("comp>")}
    return Work(sum(plain.values()), sum(count for name, count in functions.items() if _hashes(name)))


def ask_alone(ask: Callable[[], None], note: Callable[[FrameType, str, Any], None]) -> None:
    """Ask, and have each call noted; finalizers are no part of it."""
    enabled = gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        ask()
    finally:
        sys.setprofile(None)
        if enabled:
            gc.enable()


def _hashes(name: str) -> bool:
    """Whether a C function begins a hash or copies one: whatever is hashed begins with one of these."""
    return (
        re.match(r"(_hashlib|_hmac|_sha\d|_md5|_blake2)\.(openssl_|hmac_|new|sha|md5|blake2)|.*HASH\.copy$", name)
        is not None
    )


def work_of_an_item(world: World) -> tuple[float, float]:
    """Calls and hashes that one more ask in a batch takes."""
    few, many = (work(world.ask("u1", "batch", {"asks": [{"vend": "url", **ASK}] * n})) for n in (1, 1 + ITEMS))
    return (many.calls - few.calls) / ITEMS, (many.hashes - few.hashes) / ITEMS


class TestWarmAsk:
    """One URL, its credential in memory and its token known."""

    def test_calls(self, world):
        """A warm `/url` is so many calls of Python functions, each time."""
        calls = {work(world.ask("u1")).calls for _ in range(3)}
        assert len(calls) == 1
        assert WARM_CALLS.holds(*calls), f"{calls} calls: if that is less than it was, lower the bound"

    def test_hashes(self, world):
        """It hashes the bearer token, the request, and twice for the HMAC: the key of the second is at hand."""
        assert work(world.ask("u1")).hashes == WARM_HASHES

    def test_new_second(self, world):
        """The first ask of a second makes the key of it."""
        ask = world.ask("u1")
        ask()
        world.now += 1
        assert counted(ask).hashes == WARM_HASHES + SECOND_HASHES
        assert counted(ask).hashes == WARM_HASHES

    def test_nobody_else_is_asked(self, world):
        """Neither Redis nor STS hears of it; of a scope that is not in memory both do."""
        assert world.elsewhere(world.ask("u1")) == (0, 0)
        assert world.elsewhere(world.ask("u3")).sts_calls == 1

    def test_nothing_is_kept(self, world):
        """Memory does not grow with asks."""
        ask, many, grown = world.ask("u1"), 500, []
        with unwatched():
            for _ in range(1_100):  # until whatever keeps the last thousand of anything is full
                ask()
            for _ in range(3):
                gc.collect()
                before = sys.getallocatedblocks()
                for _ in range(many):
                    ask()
                gc.collect()
                grown.append((sys.getallocatedblocks() - before) / many)
        assert min(grown) < KEPT_BLOCKS


class TestBatch:
    """Many asks at once for a scope in memory."""

    def test_calls(self, world):
        """One more ask in a batch is so many calls, a quarter of what it is alone."""
        calls, _ = work_of_an_item(world)
        assert ITEM_CALLS.holds(calls), f"{calls} calls: if that is less than it was, lower the bound"

    def test_hashes(self, world):
        """One more ask hashes the request, and twice for the HMAC."""
        _, hashes = work_of_an_item(world)
        assert hashes == ITEM_HASHES

    def test_nobody_else_is_asked(self, world):
        """A thousand asks of a scope in memory do without Redis and STS."""
        batch = world.ask("u1", "batch", {"asks": [{"vend": "url", **ASK}] * 1_000})
        assert world.elsewhere(batch) == (0, 0)


class TestColdAsk:
    """The first URL of a scope in this process."""

    def test_new_scope(self, world):
        """A scope that nobody has asked for takes one call of STS, and so many round trips to Redis."""
        seen = {world.elsewhere(world.ask(f"new-{number}")) for number in range(3)}
        assert len(seen) == 1
        [(trips, calls)] = seen
        assert calls == 1
        assert COLD_ROUND_TRIPS.holds(trips), f"{trips} round trips: if that is less than it was, lower the bound"

    def test_scope_of_another_process(self, world):
        """What another process has fetched takes one round trip to Redis, and no call of STS."""
        other = world.broker()
        world.ask("u2", app=other)()  # connects
        assert world.elsewhere(world.ask("u1", app=other)) == (1, 0)
