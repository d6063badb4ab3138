"""A broker and an emulator on one clock that runs fast: what takes ten minutes is over in half of one.

`python -m tests.bench.hurried broker|emulator PORT`. Both read the clock from BENCH_CLOCK. The emulator's STS takes a
while, gives less than it is asked for, and writes the instant of each answer (of the real monotonic clock) to the file
BENCH_CALLS.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from flask import Flask

from broker.app import create_app
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.serving import run
from tests.bench.processes import ACCOUNT

WORKERS, THREADS = 2, 8
STS_SECONDS = 0.05
LIVES_SECONDS = (400, 600)
_BEGINNING = 1_700_000_000


class Hurry(NamedTuple):
    """A clock that goes `speed` times as fast as the real one since `began`, an instant of the real monotonic clock."""

    began: float
    speed: int

    @classmethod
    def from_environ(cls) -> Hurry:
        """The one that all processes share."""
        began, speed = os.environ["BENCH_CLOCK"].split()
        return cls(float(began), int(speed))

    def text(self) -> str:
        """The value of BENCH_CLOCK."""
        return f"{self.began!r} {self.speed}"

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.began + (time.monotonic() - self.began) * self.speed

    def clock(self) -> float:
        """Unix seconds."""
        return _BEGINNING + self.monotonic() - self.began


def load_app(draining: Callable[[], bool]) -> Flask:
    """The broker of one worker."""
    hurry = Hurry.from_environ()
    return create_app(clock=lambda: int(hurry.clock()), monotonic=hurry.monotonic, draining=draining)


def emulate(port: int) -> None:
    """The emulator, until SIGTERM."""
    os.nice(10)  # STS is elsewhere in earnest: its work delays nobody
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before there are threads, which inherit it
    with open(os.environ["BENCH_CALLS"], "a", buffering=1) as calls:

        def lifetime(asked: int) -> int:
            calls.write(f"{time.monotonic()!r}\n")
            return min(asked, random.randint(*LIVES_SECONDS))

        with Emulator(ACCOUNT, clock=Hurry.from_environ().clock, port=port, lifetime=lifetime) as emulator:
            emulator.order_fault(Fault("sts", 10**9, delay_seconds=STS_SECONDS))
            signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    if sys.argv[1] == "emulator":
        emulate(int(sys.argv[2]))
    else:
        run(load_app, "127.0.0.1", int(sys.argv[2]), WORKERS, THREADS)
