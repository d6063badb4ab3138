"""Rate: so many units in so many seconds, and how it is written in policy files and in the file of API keys.

The notation is that of the library `limits`, one rate at a time: `60/minute`, `10 per 2 hours`. Read here, because the
library takes `0/minute`, and `5/0 minutes` for five in one minute.
"""

from __future__ import annotations

import re
from typing import NamedTuple

NOTATION = re.compile(r" *([1-9][0-9]{0,6}) *(?:/|per) *([1-9][0-9]{0,4})? *(second|minute|hour|day)s? *")
MOST_UNITS = 1_000_000
LONGEST_SECONDS = 86_400
LEGAL = "one rate such as 60/minute or 10 per 2 hours: 1 to 1,000,000, in 1 second to 1 day"
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Rate(NamedTuple):
    """So many units in any stretch of so many seconds."""

    units: int
    seconds: int

    def covers(self, other: Rate) -> bool:
        """Whether it permits no less than another, at once and in the long run."""
        return self.units >= other.units and self.units * other.seconds >= other.units * self.seconds

    def __str__(self) -> str:
        period = next((name for name, seconds in _SECONDS.items() if seconds == self.seconds), None)
        return f"{self.units}/{period}" if period else f"{self.units} per {self.seconds} seconds"


def parse(text: str) -> Rate:
    """The rate that a text says. Raises ValueError."""
    found = NOTATION.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {LEGAL}")
    units, periods, period = found.groups()
    rate = Rate(int(units), int(periods or 1) * _SECONDS[period])
    if rate.units > MOST_UNITS or rate.seconds > LONGEST_SECONDS:
        raise ValueError(f"must be {LEGAL}")
    return rate
