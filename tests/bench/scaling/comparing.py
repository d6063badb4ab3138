"""The simulation beside the real engine, as the table of docs/scaling.md."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from random import Random
from typing import NamedTuple

from broker.credentials.cache import ENTRIES
from broker.credentials.demand import Demand
from broker.credentials.lifetimes import SPREAD
from tests.bench.scaling import counted, routes
from tests.bench.scaling.counted import Asked
from tests.bench.scaling.days import Load, day, idle_seconds
from tests.bench.scaling.fleets import load
from tests.bench.scaling.lives import CALLS, COLD, FROM_MEMORY, FROM_REDIS, OUTCOMES, RENEWALS, Fleet, Life
from tests.bench.scaling.traffic import HOUR_SECONDS, HOURS, Traffic

PRINCIPALS, DAYS = 2_000, 2
Served = dict[str, float]  # asks by what served them
_EXPIRES = {"default_seconds": 300, "max_seconds": 900}


class Case(NamedTuple):
    """One fleet and the credentials it asks for."""

    what: str
    processes: int
    shared: bool
    duration_seconds: int = 1800
    entries: int = ENTRIES


CASES = (
    Case("1 process, no Redis", 1, shared=False),
    Case("4 processes, no Redis", 4, shared=False),
    Case("4 processes and Redis", 4, shared=True),
    Case("4 processes and Redis, credentials of 7,200 s", 4, shared=True, duration_seconds=7200),
    Case("1 process with room for 100 scopes, and Redis", 1, shared=True, entries=100),
)


def table(seed: int) -> Iterator[str]:
    """Three rows for each case, as they are ready: what happened on the last day.

    Counted; simulated with the very same asks; and simulated with others of the same traffic, as in all other figures.
    """
    yield "| fleet | | asks | memory | Redis | wait for STS | renewals | calls of STS | calls for an ask, to counted |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in CASES:
        asks = counted.trace(_load(case), case.processes, DAYS, seed)
        real = _last_day(asks, _counted(case, asks, Random(seed)))
        yield _row(case.what, "counted", real, real)
        yield _row("", "the same asks", _last_day(asks, _replayed(case, asks, Random(seed + 1))), real)
        yield _row("", "other asks", _simulated(case, seed + 1), real)


def _row(fleet: str, how: str, served: Served, real: Served) -> str:
    numbers = [_sum(served, *outcomes) for outcomes in (OUTCOMES, FROM_MEMORY, FROM_REDIS, (COLD,), RENEWALS, CALLS)]
    ratio = _calls_for_an_ask(served) / _calls_for_an_ask(real)
    return " | ".join([f"| {fleet}", how, *(f"{number:,.0f}" for number in numbers), f"{ratio:.3f} |"])


def _sum(served: Served, *outcomes: str) -> float:
    return sum(served[outcome] for outcome in outcomes)


def _calls_for_an_ask(served: Served) -> float:
    return _sum(served, *CALLS) / _sum(served, *OUTCOMES)


def _load(case: Case) -> Load:
    return load(Traffic(PRINCIPALS), "principal", duration_seconds=case.duration_seconds, **_EXPIRES)


def _counted(case: Case, asks: list[Asked], random: Random) -> list[str]:
    @cache
    def demand(number: int) -> Demand:
        return routes.demand("principal", number, duration_seconds=case.duration_seconds, **_EXPIRES)

    draw = partial(random.uniform, -SPREAD, SPREAD)
    return counted.count(asks, demand, case.processes, shared=case.shared, draw=draw, entries=case.entries)


def _replayed(case: Case, asks: list[Asked], random: Random) -> list[str]:
    asked = _load(case)
    fleet = Fleet(case.processes, case.shared, idle_seconds(asked, case.processes, case.entries))
    lives = [Life(asked.terms, fleet, partial(random.uniform, -SPREAD, SPREAD)) for _ in range(PRINCIPALS)]
    return [lives[number].ask(process, at) for at, number, process in asks]


def _simulated(case: Case, seed: int) -> Served:
    result = day(_load(case), case.processes, shared=case.shared, seed=seed, entries=case.entries)
    return {outcome: sum(hours) * HOUR_SECONDS for outcome, hours in result.served.items()}


def _last_day(asks: list[Asked], outcomes: list[str]) -> Served:
    begins = (DAYS - 1) * HOURS * HOUR_SECONDS
    last = [outcome for (at, _, _), outcome in zip(asks, outcomes, strict=True) if at >= begins]
    return {outcome: last.count(outcome) for outcome in OUTCOMES}
