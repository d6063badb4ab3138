"""A broker in another time, as `serve` runs it: `python -m tests.chaos.timelapse --port P --workers N --threads M`.

TIMELAPSE_BEGAN is the Unix second since which both of its clocks run TIMELAPSE_SPEED times as fast as real ones, and
TIMELAPSE_STEP a file that says by how many seconds its wall clock is set wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker import serving

if TYPE_CHECKING:
    from flask import Flask


class Timelapse:
    """A time for brokers to live in, whose right clock is `clock`. `folder` keeps the step."""

    def __init__(self, folder: Path, speed: float = 1) -> None:
        began = time.time()
        self.clock = _wall(began, speed)
        self._step = folder / "step"
        self.step(0)
        self.options: dict[str, Any] = {
            "program": ("tests.chaos.timelapse",),
            "TIMELAPSE_BEGAN": str(began),
            "TIMELAPSE_SPEED": str(speed),
            "TIMELAPSE_STEP": str(self._step),
        }

    def step(self, seconds: int) -> None:
        """Set the brokers' clocks wrong by so much."""
        new = self._step.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._step)  # they never read half of it


def _wall(began: float, speed: float) -> Callable[[], float]:
    return lambda: began + (time.time() - began) * speed


def load(draining: Callable[[], bool]) -> Flask:
    """The application of one worker."""
    from broker.app import create_app  # not in the parent, which has no use for it

    speed, step = float(os.environ["TIMELAPSE_SPEED"]), Path(os.environ["TIMELAPSE_STEP"])
    right = _wall(float(os.environ["TIMELAPSE_BEGAN"]), speed)
    app = create_app(
        clock=lambda: int(right() + int(step.read_text())),
        monotonic=lambda: time.monotonic() * speed,
        draining=draining,
    )
    logging.getLogger("broker.timelapse").info("Started worker")  # in the words of Granian, which is silent here
    return app


if __name__ == "__main__":
    from tests.chaos import timelapse

    parser = argparse.ArgumentParser()
    for option in ("--port", "--workers", "--threads", "--drain-delay"):
        parser.add_argument(option, type=int)
    asked = parser.parse_args()
    serving.run(timelapse.load, "127.0.0.1", asked.port, asked.workers, asked.threads, asked.drain_delay)
