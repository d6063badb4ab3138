"""Redis in all kinds of trouble while people ask: slower, never broken, and told once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from broker.emulator.server import Emulator
from broker.local import RedisServer
from tests.chaos.fleet import CACHE_KEYS, Load, Served, eventually, load, put, sts_calls, together
from tests.chaos.timelapse import Timelapse
from tests.conftest import ACCOUNT, BUCKET

WORKERS = 2
CLIENTS = 4
WARM = [f"warm-{number}" for number in range(5)]
SLOW_SECONDS = 0.1  # a time-out of Redis is 150 ms
SPEED = 5
PAUSE_SECONDS = 5 / SPEED  # between two tries of a Redis that does not answer
NOISE = 0.05  # the share of answers that are slow because the machine has other things to do


@dataclass
class Trouble:
    """A broker of two workers that has what is warm, with a cloud and a Redis of its own."""

    cloud: Emulator
    server: RedisServer
    broker: Served

    @contextlib.contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """A client of the operator's."""
        with redis.Redis.from_url(self.server.url) as client:
            yield client

    @contextlib.contextmanager
    def asked(self) -> Iterator[Load]:
        """Two clients ask for what everybody has, two for what nobody has yet; before and after the trouble, too."""
        with load(
            lambda number: self.broker.ask(WARM[number % len(WARM)]),
            lambda number: self.broker.ask(WARM[-number % len(WARM)]),
            lambda number: self.broker.ask(f"cold-a-{number}"),
            lambda number: self.broker.ask(f"cold-b-{number}"),
        ) as under:
            under.await_more(50)
            yield under
            under.await_more(50)

    def shares(self) -> bool:
        """Whether the workers share a credential that nobody had."""
        sub = f"shared-{time.monotonic()}"
        answers = together(16, lambda number: self.broker.ask(sub))
        assert {answer.status for answer in answers} == {200}
        return len({answer.secret_id for answer in answers}) == 1

    def told(self, part: str) -> int:
        """How many log lines hold `part`."""
        return len(self.broker.told(part))

    def recovered(self) -> bool:
        """Whether every worker has found that Redis answers again."""
        return self.told("Redis answers again") == WORKERS


def without_trouble(cloud: Emulator, server: RedisServer, broker: Served) -> Trouble:
    """One that is to begin."""
    for sub in WARM * 4:
        assert broker.ask(sub).status == 200
    return Trouble(cloud, server, broker)


@pytest.fixture
def trouble(own_cloud, own_redis, start) -> Trouble:
    """A broker as it is served."""
    return without_trouble(own_cloud, own_redis, start(own_cloud, own_redis, workers=WORKERS))


@pytest.fixture
def brief_trouble(own_redis, start, tmp_path) -> Iterator[Trouble]:
    """A broker to which five seconds are one; the time-out is what it is."""
    lapse = Timelapse(tmp_path, SPEED)
    with Emulator(ACCOUNT, clock=lapse.clock, buckets={BUCKET: "ap-guangzhou"}) as emulator:
        broker = start(emulator, own_redis, workers=WORKERS, **lapse.options)
        yield without_trouble(emulator, own_redis, broker)


def test_standing_still(brief_trouble):
    """A Redis that stands still costs a time-out in five seconds and worker, and everybody is served meanwhile."""
    trouble = brief_trouble
    began = time.monotonic()
    with trouble.asked() as under:
        trouble.server.process.send_signal(signal.SIGSTOP)
        eventually(lambda: trouble.told("Redis does not answer") == WORKERS)
        time.sleep(3.5 * PAUSE_SECONDS)  # each worker tries again, in vain, three times
        trouble.server.process.send_signal(signal.SIGCONT)
        eventually(trouble.recovered)
    probes = WORKERS * (time.monotonic() - began) / PAUSE_SECONDS
    assert under.statuses == {200}
    assert len(under.slow(SLOW_SECONDS)) <= CLIENTS + probes + NOISE * len(under.answers)
    assert (trouble.told("Redis does not answer"), trouble.told("Redis answers again")) == (WORKERS, WORKERS)
    assert trouble.shares()


def test_killed(brief_trouble):
    """A Redis that is killed, and comes back at the same place with nothing in it."""
    trouble = brief_trouble
    with contextlib.ExitStack() as stack, trouble.asked() as under:
        trouble.server.process.kill()
        trouble.server.process.wait()
        eventually(lambda: trouble.told("Redis does not answer") == WORKERS)
        again = subprocess.Popen(trouble.server.process.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(again.wait)
        stack.callback(again.kill)
        eventually(trouble.recovered)
        assert trouble.shares()
    assert under.statuses == {200}
    assert len(under.slow(SLOW_SECONDS)) <= NOISE * len(under.answers)
    assert (trouble.told("Redis does not answer"), trouble.told("Redis answers again")) == (WORKERS, WORKERS)


def test_full(trouble):
    """A Redis that has no memory left for what is new."""
    with trouble.redis() as client, trouble.asked() as under:
        client.config_set("maxmemory", 1)
        eventually(lambda: trouble.told("Redis refuses") == WORKERS)
        under.await_more(100)
        client.config_set("maxmemory", 0)
        eventually(trouble.shares)
    assert under.statuses == {200}
    assert len(under.slow(SLOW_SECONDS)) <= NOISE * len(under.answers)
    assert (trouble.told("Redis refuses"), trouble.told("Redis does not")) == (WORKERS, 0)


def test_other_password(brief_trouble):
    """A Redis that lets nobody in any more, until it does."""
    trouble = brief_trouble
    with trouble.redis() as client, trouble.asked() as under:
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: trouble.told("Redis does not answer") == WORKERS)
        under.await_more(100)
        client.config_set("requirepass", "")
        eventually(trouble.recovered)
        assert trouble.shares()
    assert under.statuses == {200}
    assert len(under.slow(SLOW_SECONDS)) <= NOISE * len(under.answers)
    assert (trouble.told("Redis does not answer"), trouble.told("Redis answers again")) == (WORKERS, WORKERS)


def test_foreign_values(trouble, start):
    """What others put under the broker's names, on purpose or not, is a miss: nobody gets what is not theirs."""
    names = ("list", "text", "swapped-a", "swapped-b", "lease", "lease-list", "failure", "sealed-by-another-key")
    neighbour = start(trouble.cloud, trouble.server)
    stranger = start(trouble.cloud, trouble.server, BROKER_CACHE_KEYS=CACHE_KEYS[1])
    before, keys, given = set[bytes](), dict[str, bytes](), dict[str, str]()
    with trouble.redis() as client:
        for name in names:
            before |= set(client.keys("broker:{*}:credential"))
            answer = (stranger if name == "sealed-by-another-key" else neighbour).ask(name)
            given[name] = answer.secret_id
            [keys[name]] = set(client.keys("broker:{*}:credential")) - before
        calls = sts_calls(trouble.cloud)
        with trouble.asked() as under:
            upset(client, keys)
            answers = {name: together(8, lambda number, name=name: trouble.broker.ask(name)) for name in names}
    assert under.statuses == {200}
    for name in names:
        assert {(answer.status, put(answer)) for answer in answers[name]} == {(200, 200)}
        assert len({answer.secret_id for answer in answers[name]}) == 1
        assert answers[name][0].secret_id not in given.values()
    cold = len({answer.body["key"].split("/")[1] for answer in under.answers} - set(WARM))
    assert sts_calls(trouble.cloud) - calls <= len(names) + cold
    assert 1 <= trouble.told("Redis holds") <= WORKERS
    assert trouble.told("Redis refuses") <= WORKERS
    assert (trouble.told("Redis does not"), trouble.told("bug")) == (0, 0)


def upset(client: redis.Redis, keys: dict[str, bytes]) -> None:
    """Put something else in the place of each credential, failure or lease, and of the fleet's counters."""
    client.rename(keys["swapped-a"], "aside")
    client.rename(keys["swapped-b"], keys["swapped-a"])
    client.rename("aside", keys["swapped-b"])
    for name in ("list", "text", "lease", "lease-list", "failure"):
        client.delete(keys[name])
    client.rpush(keys["list"], "not", "a", "credential")
    client.set(keys["text"], b"\x01 nothing sealed")
    client.set(keys["lease"].replace(b"credential", b"lease"), "nobody's")
    client.rpush(keys["lease-list"].replace(b"credential", b"lease"), "nobody's")
    client.rpush(keys["failure"].replace(b"credential", b"failure"), "none")
    client.rpush("broker:epoch", "never")
    for name in client.keys("broker:budget*"):
        client.delete(name)
        client.rpush(name, "none")
