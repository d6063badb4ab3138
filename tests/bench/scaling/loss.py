"""After Redis has lost everything: new scopes come faster than the budget lets them have credentials, so some wait.

All at once every scope in use is unknown, in Redis and in the memory of processes, too: that is also the first hour of
a new fleet. Those who are active go on asking at their rate; who is refused comes again every few seconds until it is
served. Renewals of what has been made since are due after their time, and take their part of the budget.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from broker.limits import for_one_kind
from tests.bench.scaling.closed_forms import renewal_seconds
from tests.bench.scaling.days import Load
from tests.bench.scaling.traffic import BUSIEST, HOUR_SECONDS

_PATIENCE_SECONDS = 4 * HOUR_SECONDS


class Moment(NamedTuple):
    """One second: callers that have been refused and come again, how long the next one waits, who has not come yet."""

    waiting: float
    wait_seconds: float
    absent: float


def after_loss(load: Load, budget: int) -> list[Moment]:
    """Second by second until nearly all are served, or for four hours."""
    groups = [
        (band.count * band.presence[BUSIEST] * load.objects, band.asks[BUSIEST] / HOUR_SECONDS / load.objects)
        for band in load.bands
    ]
    mean_gap = sum(count for count, _ in groups) / sum(count * rate for count, rate in groups)
    again = round(renewal_seconds(load.terms) + mean_gap)
    limit, waiting = for_one_kind(budget), 0.0
    made: list[float] = []
    moments: list[Moment] = []
    total = absent = sum(count for count, _ in groups)
    while len(made) < _PATIENCE_SECONDS and absent + waiting > total / 100:
        second = len(made)
        still_absent = sum(count * math.exp(-rate * (second + 1)) for count, rate in groups)
        due = made[second - again] if second >= again else 0.0
        most = max(min(limit, budget - due), 0)
        served = min(most, waiting + absent - still_absent)
        waiting, absent = waiting + absent - still_absent - served, still_absent
        made.append(served + min(due, budget))
        moments.append(Moment(waiting, waiting / most if most else math.inf, absent))
    return moments
