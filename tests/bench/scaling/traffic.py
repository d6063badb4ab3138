"""The traffic model: who asks when, in numbers that a reader can replace by their own.

A principal is active in some hours and not in others; in an hour in which it is active, its asks come at random
(Poisson). The day has a curve: the busiest hour has `busy_share` of the day's asks, the hours around it less, in the
form of a cosine. More principals are active then, not more asks each: `active_share` of them in the busiest hour. With
`zipf` above 0, the principal of rank k asks in proportion to k ** -zipf.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

HOURS, HOUR_SECONDS = 24, 3600
BUSIEST = 20  # o'clock


class Traffic(NamedTuple):
    """What is asked on a day. Raises ValueError from `check` if it cannot be."""

    principals: int
    asks_per_day: float = 20.0
    busy_share: float = 0.08
    active_share: float = 0.2
    zipf: float = 0.0

    def check(self) -> Traffic:
        """Itself."""
        if self.principals < 1 or self.asks_per_day <= 0 or self.zipf < 0:
            raise ValueError("expected at least one principal, some asks a day and no negative zipf")
        if not 1 / HOURS <= self.busy_share <= 2 / HOURS:
            raise ValueError(f"the busiest hour has 0.0417 to 0.0833 of the day's asks, got {self.busy_share:g}")
        if not 0 < self.active_share <= 1:
            raise ValueError(f"the share of active principals is above 0 and at most 1, got {self.active_share:g}")
        return self

    def hourly_shares(self) -> list[float]:
        """Which part of the day's asks each hour has."""
        swing = HOURS * self.busy_share - 1
        return [(1 + swing * math.cos(math.tau * (hour - BUSIEST) / HOURS)) / HOURS for hour in range(HOURS)]

    @property
    def asks_per_second(self) -> float:
        """In the busiest hour."""
        return self.principals * self.asks_per_day * self.busy_share / HOUR_SECONDS


class Band(NamedTuple):
    """Askers of about the same activity: how many there are.

    For each hour of the day, the chance that one is active, and the asks that one makes then.
    """

    count: float
    presence: list[float]
    asks: list[float]


def principals(traffic: Traffic) -> list[Band]:
    """All principals; with `zipf` in bands of ranks, each twice as wide as the one before it."""
    shares = traffic.hourly_shares()
    presence = [traffic.active_share * share / traffic.busy_share for share in shares]
    bands = []
    for count, weight in _weights(traffic):
        per_active_hour = traffic.asks_per_day * weight * traffic.busy_share / traffic.active_share
        bands.append(Band(count, presence, [per_active_hour] * HOURS))
    return bands


def together(traffic: Traffic) -> list[Band]:
    """One asker that asks for everybody."""
    asks_per_day = traffic.principals * traffic.asks_per_day
    return [Band(1, [1.0] * HOURS, [asks_per_day * share for share in traffic.hourly_shares()])]


def instants(band: Band, days: int, most_per_hour: float, random: Random) -> Iterator[int]:
    """The seconds at which one asker asks; of an hour with more asks than `most_per_hour`, so many."""
    for hour in range(days * HOURS):
        per_second = min(band.asks[hour % HOURS], most_per_hour) / HOUR_SECONDS
        if random.random() >= band.presence[hour % HOURS]:
            continue
        at, end = hour * HOUR_SECONDS + random.expovariate(per_second), (hour + 1) * HOUR_SECONDS
        while at < end:
            yield int(at)
            at += random.expovariate(per_second)


def _weights(traffic: Traffic) -> list[tuple[int, float]]:
    """Sizes of the bands, and by how much one in it asks more than the mean."""
    if not traffic.zipf:
        return [(traffic.principals, 1.0)]
    sums = []
    first = 1
    while first <= traffic.principals:
        last = min(2 * first - 1, traffic.principals)
        sums.append((last - first + 1, _power_sum(first, last, traffic.zipf)))
        first = last + 1
    mean = sum(part for _, part in sums) / traffic.principals
    return [(count, part / count / mean) for count, part in sums]


def _power_sum(first: int, last: int, zipf: float) -> float:
    """About the sum of k ** -zipf from `first` to `last`: the first as it is, the others as an integral."""
    low, high = first + 0.5, last + 0.5
    area = math.log(high / low) if zipf == 1 else (high ** (1 - zipf) - low ** (1 - zipf)) / (1 - zipf)
    return first**-zipf + area
