"""What a benchmark found, as a row of the table and as JSON; and on what machine."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis

from broker.local import redis_server

_WIDTHS = "{:<86}  {:>12}  {:<10}  {}"
HEADINGS = _WIDTHS.format("what", "figure", "unit", "wanted")


class Figure(NamedTuple):
    """One figure; what is wanted of it, if anything, is that it be at most or at least so much."""

    what: str
    unit: str
    figure: float
    at_most: float | None = None
    at_least: float | None = None

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

    def row(self) -> str:
        """A line of the table."""
        digits = 0 if self.figure >= 1000 or float(self.figure).is_integer() else 2
        missed = "" if self.met else "  MISSED"
        return _WIDTHS.format(self.what, f"{self.figure:.{digits}f}", self.unit, self.wanted + missed).rstrip()

    def record(self) -> dict[str, Any]:
        """A member of the JSON file."""
        found = {"what": self.what, "unit": self.unit, "figure": round(self.figure, 4)}
        return {**found, "wanted": self.wanted, "met": self.met} if self.wanted else found


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code. Nothing here names the machine or a place on it."""
    with redis_server() as server, redis.Redis.from_url(server.url) as client:
        facts = client.info("server")
    kind = "valkey" if "valkey_version" in facts else "redis"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis": f"{kind} {facts[f'{kind}_version']}",
    }
