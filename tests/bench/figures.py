"""What a benchmark found, as a row of the table and as JSON; and on what machine."""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import redis

from broker.local import redis_server

_PACKAGES = ("flask", "granian", "gunicorn", "redis", "pyjwt", "cos-python-sdk-v5", "qcloud-python-sts")

_WIDTHS = "{:<86}  {:>12}  {:<10}  {}"
HEADINGS = _WIDTHS.format("what", "figure", "unit", "wanted")


class Figure(NamedTuple):
    """One figure; what is wanted of it, if anything, is that it be at most or at least so much.

    `curve` names the curve of a chart that it is a point of, and `at` where.
    """

    what: str
    unit: str
    figure: float
    at_most: float | None = None
    at_least: float | None = None
    curve: str = ""
    at: float | None = None

    @property
    def wanted(self) -> str:
        """The target in words; empty if there is none."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool:
        """Whether it is as wanted."""
        least = -math.inf if self.at_least is None else self.at_least
        return least <= self.figure <= (math.inf if self.at_most is None else self.at_most)

    @property
    def text(self) -> str:
        """The figure, with as many digits as say something."""
        return f"{self.figure:,.0f}" if self.figure >= 1000 or float(self.figure).is_integer() else f"{self.figure:.2f}"

    def row(self) -> str:
        """A line of the table."""
        missed = "" if self.met else "  MISSED"
        return _WIDTHS.format(self.what, self.text, self.unit, self.wanted + missed).rstrip()

    def record(self) -> dict[str, Any]:
        """A member of the JSON file."""
        found = {"what": self.what, "unit": self.unit, "figure": round(self.figure, 4)}
        if self.wanted:
            found |= {"wanted": self.wanted, "met": self.met}
        return {**found, "curve": self.curve, "at": self.at} if self.curve else found


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def ratio(rounds: Sequence[Sequence[float]], above: int, below: int) -> float:
    """The median, over rounds in which the same things were measured in turn, of one of them through another."""
    return statistics.median(one[above] / one[below] for one in rounds)


def medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of each thing that was measured in every round."""
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code. Nothing here names the machine or a place on it."""
    with redis_server() as server, redis.Redis.from_url(server.url) as client:
        facts = client.info("server")
    kind = "valkey" if "valkey_version" in facts else "redis"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load of others": round(os.getloadavg()[0], 1),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server of Redis": f"{kind} {facts[f'{kind}_version']}",
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown"
