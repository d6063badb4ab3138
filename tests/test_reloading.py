"""A process's policies follow their folder: when it looks, and what it leaves behind."""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import threading
import time
import weakref
from pathlib import Path

import pytest

from broker.policy.catalog import Catalog, Folder
from broker.policy.limits import Limits
from broker.reloading import POLL_SECONDS, Policies
from tests.doubles import Threads

READ = {
    "vends": ["url"],
    "methods": ["GET"],
    "bucket": "examplebucket-1250000000",
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{name}",
    "inputs": {"name": {}},
}
LIMITS = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")


class World:
    """A folder, and what a process makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.observed: list[Catalog] = []
        self.write("1")

    def write(self, description: str) -> None:
        """Change the one route."""
        (self.path / "new").write_text(json.dumps({**READ, "description": description}))
        (self.path / "new").replace(self.path / "a.json")

    def open(self) -> Policies:
        """A process's policies."""
        return Policies(Folder(self.path, LIMITS), time.time_ns, self.observed.append)

    def says(self, policies: Policies) -> str:
        """What the route says of itself."""
        return policies().route("a").document.description


@pytest.fixture
def world(tmp_path) -> World:
    """A folder of one route."""
    return World(tmp_path)


def threads() -> list[threading.Thread]:
    """The threads that look at folders."""
    return [thread for thread in threading.enumerate() if thread.name == "policies"]


def test_no_thread_before_the_first_ask(world):
    """Loading starts no thread, so that a process may fork; the first ask starts one, and the others no more."""
    before = len(threads())
    policies = world.open()
    assert len(threads()) == before
    for _ in range(3):
        policies()
    assert len(threads()) == before + 1
    assert all(thread.daemon for thread in threads())  # else the process would never end


def test_first_asks_at_once(world):
    """However many ask first, one after another looks, and one thread follows the folder."""
    before = len(threads())
    inside, overlaps, arrived = threading.Lock(), [], threading.Semaphore(0)

    def clock_ns() -> int:
        if not inside.acquire(blocking=False):
            overlaps.append(1)
            return time.time_ns()
        for _ in range(8):
            arrived.acquire(timeout=1)
        inside.release()
        arrived.release(8)
        return time.time_ns()

    policies = Policies(Folder(world.path, LIMITS), clock_ns, world.observed.append)

    def ask(number: int) -> str:
        arrived.release()
        return world.says(policies)

    assert Threads(8, ask).join() == ["1"] * 8
    assert (len(threads()), overlaps) == (before + 1, [])


def test_first_asks_after_a_pause(world):
    """Who asks while the first ask looks waits for what it finds: what was loaded may be hours old."""
    looking, go_on = threading.Event(), threading.Event()

    def clock_ns() -> int:
        looking.set()
        assert go_on.wait(10)
        return time.time_ns()

    policies = Policies(Folder(world.path, LIMITS), clock_ns, world.observed.append)
    world.write("2")

    def ask(number: int) -> str:
        if number:
            assert looking.wait(10)
            threading.Timer(0.05, go_on.set).start()
        return world.says(policies)

    assert Threads(2, ask).join() == ["2", "2"]


def test_thread_that_has_looked(world):
    """A thread that has looked holds nothing that nobody else uses: it ends, too."""
    looked = threading.Event()
    before = set(threads())

    def clock_ns() -> int:
        if threading.current_thread().name == "policies":
            looked.set()
        return time.time_ns()

    policies = Policies(Folder(world.path, LIMITS), clock_ns, world.observed.append)
    policies()
    [thread] = set(threads()) - before
    assert looked.wait(3)
    del policies
    gc.collect()
    thread.join(3)
    assert not thread.is_alive()


def test_once_a_second(world):
    """What a process has to do from time to time, asked or not, is done by the thread that looks."""
    done = threading.Event()
    policies = Policies(Folder(world.path, LIMITS), time.time_ns, world.observed.append, done.set)
    policies()
    assert done.wait(5)


def test_mistake_alone(world, caplog):
    """A mistake that changes no route is told once, to who watches, too; so is its end."""
    caplog.set_level(logging.INFO, logger="broker.policies")
    policies = world.open()
    (world.path / "b.json").write_text("{")
    policies.refresh()
    world.write("2")
    policies.refresh()
    (world.path / "b.json").unlink()
    policies.refresh()
    assert [(one.generation, len(one.problems)) for one in world.observed] == [(1, 0), (1, 1), (2, 1), (2, 0)]
    assert [(one.levelname, one.getMessage().partition(":")[0]) for one in caplog.records] == [
        ("WARNING", "not served as it stands"),
        ("INFO", "policies changed, generation 2"),
        ("INFO", "the policy folder is sound again"),
    ]


def test_first_ask(world):
    """The first ask looks by itself: it may come long after the load."""
    policies = world.open()
    world.write("2")
    assert world.says(policies) == "2"


def test_change(world):
    """A change is live within two seconds without anybody's doing, and told to who watches."""
    policies = world.open()
    assert world.says(policies) == "1"
    world.write("2")
    changed_at = time.monotonic()
    while world.says(policies) != "2":
        assert time.monotonic() < changed_at + 2
        time.sleep(0.005)
    assert [catalog.generation for catalog in world.observed] == [1, 2]
    assert POLL_SECONDS <= 1


def test_thread_ends_with_its_policies(world):
    """What nobody uses any longer is not looked at any longer."""
    policies = world.open()
    policies()
    (thread,) = (thread for thread in threads() if thread is policies._thread)
    gone = weakref.ref(policies)
    del policies
    gc.collect()
    assert gone() is None
    thread.join(2 * POLL_SECONDS + 1)
    assert not thread.is_alive()


def test_forked_child(world):
    """A forked child looks for itself, whatever its parent did."""
    policies = world.open()
    assert world.says(policies) == "1"
    reader, writer = os.pipe()
    world.write("2")
    child = os.fork()
    if child == 0:
        os.write(writer, world.says(policies).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 9) == b"2"
    os.close(reader)
    os.close(writer)


def test_fork_during_a_look(world):
    """A child that was forked while the parent looked does not wait for a lock that nobody holds any more."""
    policies = world.open()
    looking, forked = threading.Event(), threading.Event()
    clock = policies._clock_ns

    def slow() -> int:
        looking.set()
        forked.wait(10)
        return clock()

    policies._clock_ns = slow
    thread = threading.Thread(target=policies.refresh)
    thread.start()
    assert looking.wait(5)
    reader, writer = os.pipe()
    world.write("2")
    child = os.fork()
    if child == 0:
        policies._clock_ns = clock
        os.write(writer, world.says(policies).encode())
        os._exit(0)
    try:
        ready, _, _ = select.select([reader], [], [], 5)
        assert ready
        assert os.read(reader, 9) == b"2"
    finally:
        forked.set()
        thread.join()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_first_asks_together(world):
    """While the first ask looks, others do not wait: they have what was loaded, as a moment ago."""
    policies = world.open()
    looking, done = threading.Event(), threading.Event()
    clock = policies._clock_ns

    def slow() -> int:
        looking.set()
        done.wait(10)
        return clock()

    policies._clock_ns = slow
    first = threading.Thread(target=policies)
    first.start()
    assert looking.wait(5)
    world.write("2")
    assert world.says(policies) == "1"
    done.set()
    first.join()
    assert world.says(policies) == "2"


def test_failed_first_look(world):
    """A first look that fails as nobody foresaw does not keep the next from being made."""
    policies = world.open()
    clock = policies._clock_ns

    def broken() -> int:
        policies._clock_ns = clock
        raise RuntimeError("unforeseen")

    policies._clock_ns = broken
    with pytest.raises(RuntimeError):
        policies()
    assert world.says(policies) == "1"
    assert policies._thread.is_alive()


def test_mistake_of_ours(world, caplog):
    """Even a look that fails as nobody foresaw does not end the looking; it is told as the mistake that it is."""
    policies = world.open()
    policies()
    failed = threading.Event()
    clock = policies._clock_ns

    def broken() -> int:
        policies._clock_ns = clock
        failed.set()
        raise RuntimeError("unforeseen")

    policies._clock_ns = broken
    assert failed.wait(3)
    world.write("2")
    deadline = time.monotonic() + 3
    while world.says(policies) != "2":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    [told] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (told.name, told.exc_info is not None) == ("broker.policies", True)


def test_log(world, caplog):
    """Changes, mistakes and their end are told once each, with file, line and field, and what becomes of the route."""
    caplog.set_level(logging.INFO, logger="broker.policies")
    policies = world.open()
    (world.path / "b.json").write_text(json.dumps(READ))
    policies.refresh()
    (world.path / "a.json").write_text(json.dumps({**READ, "region": "x"}, indent=1))
    (world.path / "b.json").unlink()
    for _ in range(3):
        policies.refresh()
    world.write("2")
    policies.refresh()
    lines = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "broker.policies"]
    assert lines == [
        ("INFO", "policies changed, generation 2: added b"),
        ("INFO", "policies changed, generation 3: removed b"),
        (
            "WARNING",
            f"not served as it stands: {world.path}/a.json:9: region: must be a region such as ap-guangzhou, got 'x'",
        ),
        ("INFO", "policies changed, generation 4: changed a"),
        ("INFO", "the policy folder is sound again"),
    ]
