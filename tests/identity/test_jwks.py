"""The issuer's keys over time: first load, refresh, outages, unknown names."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import UpstreamUnavailable
from broker.identity.jwks import KeySet
from broker.identity.key_sources import KeySourceError

DAY = 24 * 3600


class SourceDouble:
    """Gives `answer` or raises it; a flight stays in the air while `gate` is closed."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.calls = 0
        self.in_the_air = 0
        self.called = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> bytes:
        """One fetch."""
        self.calls += 1
        answer = self.answer
        self.in_the_air += 1
        self.called.release()
        opened = self.gate.wait(10)
        self.in_the_air -= 1
        assert opened
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def source(issuer: Any) -> SourceDouble:
    """A source of the keys p256 and ed."""
    return SourceDouble(issuer.jwks("p256", "ed"))


@pytest.fixture
def key_set(source: SourceDouble, clock: Any) -> KeySet:
    """A set of these keys, not yet asked."""
    return KeySet(source, clock)


def kids(key_set: KeySet, kid: str | None = None) -> list[str | None]:
    """The names of the keys that an ask for `kid` finds."""
    return [key.kid for key in key_set.keys(kid)]


def settled(key_set: KeySet) -> None:
    """Waits for the background to land, by joining its thread."""
    for thread in threading.enumerate():
        if thread.name == "key-set":
            thread.join(5)


def test_nothing_happens_before_the_first_ask(key_set: KeySet, source: SourceDouble) -> None:
    """A set that nobody asks reads nothing and has no thread."""
    assert (source.calls, key_set.loaded) == (0, False)
    assert not [thread for thread in threading.enumerate() if thread.name == "key-set"]


def test_first_ask(key_set: KeySet, source: SourceDouble) -> None:
    """The first ask loads the set; the next ones use it."""
    assert kids(key_set, "p256") == ["p256"]
    assert kids(key_set) == ["p256", "ed"]
    assert (source.calls, key_set.loaded) == (1, True)


def test_loading_ahead_of_the_first_ask(key_set: KeySet, source: SourceDouble) -> None:
    """ensure_loading starts one load and does not wait for it."""
    source.gate.clear()
    key_set.ensure_loading()
    key_set.ensure_loading()
    assert not key_set.loaded
    source.gate.set()
    settled(key_set)
    key_set.ensure_loading()
    assert (source.calls, key_set.loaded) == (1, True)


def test_concurrent_askers_share_a_fetch(key_set: KeySet, source: SourceDouble) -> None:
    """Ten threads that meet a cold set cause one fetch and all get its keys."""
    source.gate.clear()
    found: list[list[str | None]] = []
    barrier = threading.Barrier(10)

    def ask() -> None:
        barrier.wait(5)
        found.append(kids(key_set, "ed"))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert source.called.acquire(timeout=5)
    source.gate.set()
    for thread in threads:
        thread.join(5)
    assert (found, source.calls) == ([["ed"]] * 10, 1)


def test_first_load_that_hangs(source: SourceDouble, clock: Any) -> None:
    """Callers wait their time and no longer, then 503; the keys serve once they are there."""
    key_set = KeySet(source, clock, wait_seconds=0.05)
    source.gate.clear()
    with pytest.raises(UpstreamUnavailable) as caught:
        key_set.keys("ed")
    assert (caught.value.status, caught.value.code) == (503, "identity_unavailable")
    assert caught.value.retry_after_seconds >= 1
    source.gate.set()
    settled(key_set)
    assert kids(key_set, "ed") == ["ed"]
    assert source.calls == 1


def test_later_asker_waits_for_the_rest(source: SourceDouble, clock: Any) -> None:
    """Who meets a fetch that is older than the wait does not wait at all."""
    key_set = KeySet(source, clock, wait_seconds=20)
    source.gate.clear()
    key_set.ensure_loading()
    assert source.called.acquire(timeout=5)
    clock.tick(20)
    with pytest.raises(UpstreamUnavailable):
        key_set.keys("ed")
    assert source.in_the_air == 1
    source.gate.set()


def test_first_load_that_fails(key_set: KeySet, source: SourceDouble, clock: Any, issuer: Any) -> None:
    """A failed first load is tried again after 1 s, not at every ask."""
    source.answer = KeySourceError("down")
    for at, calls in [(0, 1), (0.9, 1), (1, 2)]:
        clock.now = 1000 + at
        with pytest.raises(UpstreamUnavailable):
            key_set.keys("ed")
        assert source.calls == calls
    source.answer = issuer.jwks("ed")
    clock.tick(1)
    assert kids(key_set, "ed") == ["ed"]


def test_refresh_at_half_life(key_set: KeySet, source: SourceDouble, clock: Any, issuer: Any) -> None:
    """From half-life on, the first ask is served what is there and starts one fetch in the background."""
    kids(key_set)
    source.answer = issuer.jwks("p256", "ed", "rsa")
    clock.tick(149)
    assert kids(key_set) == ["p256", "ed"]
    assert source.calls == 1
    source.gate.clear()
    clock.tick(1)
    assert kids(key_set) == kids(key_set) == ["p256", "ed"]
    assert source.called.acquire(timeout=5)
    source.gate.set()
    settled(key_set)
    assert kids(key_set) == ["p256", "ed", "rsa"]
    assert source.calls == 2


def test_ask_after_a_long_silence(key_set: KeySet, source: SourceDouble, clock: Any, issuer: Any) -> None:
    """Past its lifetime a set is not served while a newer one can be had: a revoked key ends there."""
    kids(key_set)
    source.answer = issuer.jwks("ed")
    clock.tick(300)
    assert kids(key_set) == ["ed"]


@pytest.mark.parametrize(
    "failure",
    [KeySourceError("down"), b"not json", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}', KeyError()],
)
def test_outage(
    key_set: KeySet, source: SourceDouble, clock: Any, failure: bytes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """While the source fails or sends no usable set, the last good one serves for 24 h, with one line a try."""
    kids(key_set)
    source.answer = failure
    clock.tick(300)
    with caplog.at_level(logging.WARNING, "broker.identity"):
        assert kids(key_set, "ed") == ["ed"]
        clock.tick(29)
        assert kids(key_set, "ed") == ["ed"]
    assert len(caplog.records) == 1
    assert "the last good ones stay" in caplog.text
    clock.tick(DAY - 330)
    assert kids(key_set, "ed") == ["ed"]
    settled(key_set)
    clock.tick(1)
    with pytest.raises(UpstreamUnavailable):
        key_set.keys("ed")
    assert key_set.loaded


def test_nobody_waits_for_a_known_outage(source: SourceDouble, clock: Any) -> None:
    """After a failure, an ask past the lifetime is served at once, while the next try hangs."""
    key_set = KeySet(source, clock, wait_seconds=20)
    good = source.answer
    kids(key_set)
    source.answer = KeySourceError("down")
    clock.tick(150)
    kids(key_set)
    settled(key_set)
    source.gate.clear()
    source.answer = good
    clock.tick(200)
    while source.called.acquire(blocking=False):
        pass
    assert kids(key_set, "ed") == ["ed"]
    assert source.called.acquire(timeout=5)
    assert source.in_the_air == 1
    source.gate.set()


def test_recovery(key_set: KeySet, source: SourceDouble, clock: Any, issuer: Any) -> None:
    """The first good set after an outage replaces the old one."""
    kids(key_set)
    source.answer = KeySourceError("down")
    clock.tick(300)
    kids(key_set)
    source.answer = issuer.jwks("rsa")
    clock.tick(30)
    kids(key_set)
    settled(key_set)
    assert kids(key_set) == ["rsa"]


def test_unknown_kid(key_set: KeySet, source: SourceDouble, clock: Any, issuer: Any) -> None:
    """An unknown name causes a fetch at most every 30 s, and finds a key that was added."""
    kids(key_set)
    source.answer = issuer.jwks("p256", "ed", "rsa")
    clock.tick(29)
    assert kids(key_set, "rsa") == []
    assert source.calls == 1
    clock.tick(1)
    assert kids(key_set, "rsa") == ["rsa"]
    assert kids(key_set, "no-such") == []
    assert source.calls == 2


def test_unknown_kid_while_the_source_hangs(source: SourceDouble, clock: Any) -> None:
    """Strangers who invent names hold up nobody who has a known one."""
    key_set = KeySet(source, clock, wait_seconds=20)
    kids(key_set)
    clock.tick(30)
    source.gate.clear()
    stranger = threading.Thread(target=key_set.keys, args=("invented",))
    stranger.start()
    assert source.called.acquire(timeout=5)
    assert source.called.acquire(timeout=5)
    assert kids(key_set, "ed") == ["ed"]
    assert source.in_the_air == 1
    source.gate.set()
    stranger.join(5)


def test_fetch_that_never_returns(source: SourceDouble, clock: Any) -> None:
    """A fetch that is stuck (name resolution has no time-out) is given up after 30 s and another one flies."""
    stuck, released = threading.Event(), threading.Event()

    def fetch() -> bytes:
        if not stuck.is_set():
            stuck.set()
            released.wait(10)
        return source()

    key_set = KeySet(fetch, clock, wait_seconds=5)
    key_set.ensure_loading()
    assert stuck.wait(5)
    clock.tick(30)
    assert kids(key_set, "ed") == ["ed"]
    released.set()
    settled(key_set)
    assert kids(key_set, "ed") == ["ed"]


def test_clock_that_steps_back(key_set: KeySet, source: SourceDouble, clock: Any) -> None:
    """A set from the future counts as old."""
    kids(key_set)
    clock.tick(-3600)
    kids(key_set)
    assert source.calls == 2


def test_log_holds_no_contents(
    key_set: KeySet, source: SourceDouble, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says what went wrong and nothing of what was read."""
    for answer in (b'{"keys": [{"kty": "oct", "k": "hunter2"}]}', b"hunter2", ValueError("hunter2")):
        source.answer = answer
        with caplog.at_level(logging.WARNING, "broker.identity"), pytest.raises(UpstreamUnavailable):
            key_set.keys(None)
        clock.tick(1)
    assert [record.getMessage().count("no keys are loaded") for record in caplog.records] == [1, 1, 1]
    assert "hunter2" not in caplog.text


def in_child(ask: Callable[[], bool]) -> bool:
    """Whether `ask` is true in a forked process."""
    process = os.fork()
    if process == 0:
        passed = False
        try:
            passed = ask()
        finally:
            os._exit(0 if passed else 1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside a thread is the point
def test_fork_during_the_first_load(issuer: Any, clock: Any) -> None:
    """A child does not wait for a fetch that only its parent makes."""
    parent, called, release = os.getpid(), threading.Event(), threading.Event()

    def fetch() -> bytes:
        called.set()
        if os.getpid() == parent:
            release.wait(10)
        return bytes(issuer.jwks("ed"))

    key_set = KeySet(fetch, clock)
    key_set.ensure_loading()
    assert called.wait(5)
    assert in_child(lambda: kids(key_set, "ed") == ["ed"])
    release.set()
    assert kids(key_set, "ed") == ["ed"]
