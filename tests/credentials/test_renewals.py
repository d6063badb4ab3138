"""Work in the background: bounded, once at a time, and no longer than there is some."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from broker.credentials.renewals import Renewals

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Work:
    """Work that a test holds up, and counts."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done: list[int] = []

    def __call__(self, item: int) -> None:
        """Wait for the gate."""
        self.begun.release()
        assert self.gate.wait(10)
        self.done.append(item)


def until_idle(renewals: Renewals) -> None:
    """Wait for the last thread to end."""
    deadline = time.monotonic() + 10
    while renewals._threads:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_side_by_side():
    """So many at once, the others in their turn, none lost."""
    work = Work()
    renewals = Renewals(at_once=3)
    for number in range(10):
        renewals.request(f"s{number}", partial(work, number))
    for _ in range(3):
        assert work.begun.acquire(timeout=10)
    assert not work.begun.acquire(timeout=0.05)
    work.gate.set()
    until_idle(renewals)
    assert sorted(work.done) == list(range(10))


def test_once_at_a_time():
    """A subject that waits or is worked on is not requested twice; afterwards it may be again."""
    work = Work()
    renewals = Renewals(at_once=1)
    for number in range(5):
        renewals.request("a", partial(work, number))
        renewals.request("b", partial(work, 100 + number))
    assert work.begun.acquire(timeout=10)
    renewals.request("a", partial(work, 7))
    work.gate.set()
    until_idle(renewals)
    renewals.request("a", partial(work, 8))
    until_idle(renewals)
    assert work.done == [0, 100, 8]


def test_bug():
    """Work that fails stops nobody else's."""
    done = []

    def work(item: int) -> None:
        if item == 0:
            raise RuntimeError("a bug")
        done.append(item)

    renewals = Renewals(at_once=1)
    renewals.request("a", partial(work, 0))
    renewals.request("b", partial(work, 1))
    until_idle(renewals)
    assert done == [1]


def test_no_thread_without_work():
    """Nothing is started before there is something to do, and nothing is left afterwards."""
    before = threading.active_count()
    work = Work()
    work.gate.set()
    renewals = Renewals()
    assert threading.active_count() == before
    renewals.request("a", partial(work, 1))
    until_idle(renewals)
    assert work.done == [1]


@pytest.mark.parametrize("ending", ["end of the script", "sys.exit(0)"])
def test_end_of_the_process(ending):
    """A renewal in progress is finished, those that wait are dropped, and the process ends by itself."""
    script = f"""
import sys, threading, time
from broker.credentials.renewals import Renewals
begun = threading.Event()
def work(item):
    begun.set()
    time.sleep(0.3)
    print("done", item, flush=True)
renewals = Renewals(at_once=1)
for number in range(5):
    renewals.request(number, lambda number=number: work(number))
begun.wait()
{ending if "exit" in ending else ""}
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=True
    )
    assert (ended.stdout, ended.stderr) == ("done 0\n", "")
