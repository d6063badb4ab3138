"""A day of a fleet: lives of sampled scopes, counted by the hour and multiplied by how many are like them."""

from __future__ import annotations

import math
from collections import defaultdict
from random import Random
from typing import NamedTuple

from broker.credentials.cache import ENTRIES
from broker.credentials.lifetimes import SPREAD
from tests.bench.scaling.lives import CALLS, COLD, MEMORY, OUTCOMES, Fleet, Life, Terms
from tests.bench.scaling.traffic import BUSIEST, HOUR_SECONDS, HOURS, Band, instants

SAMPLE = 20_000
_LEAST_OF_A_BAND = 40
_ASKS = 2_700_000  # to be played, at most
# More asks of a scope than one in so long in each process are not played: memory serves them.
_OFTEN_SECONDS = 20.0


class Load(NamedTuple):
    """Who asks, for what; each asker for one of `objects` scopes of its own at a time."""

    bands: list[Band]
    terms: Terms
    objects: int = 1

    @property
    def days(self) -> int:
        """How many to play, so that it does not matter for the last how the first began."""
        return 2 + self.terms.life_seconds // (HOURS * HOUR_SECONDS)


class Day(NamedTuple):
    """For each hour: asks per second by what served them, and scopes with a credential that lives."""

    served: dict[str, list[float]]
    live: list[float]

    @property
    def cold(self) -> float:
        """Calls per second that an ask waits for, in the hour with most: with long lives not the one with most asks."""
        return max(self.served[COLD])

    @property
    def calls(self) -> float:
        """Calls per second, renewals included, in the hour with most."""
        return max(self._calls())

    @property
    def calls_in_all(self) -> float:
        """Calls on the whole day."""
        return sum(self._calls()) * HOUR_SECONDS

    @property
    def scopes(self) -> float:
        """Most scopes that live at once."""
        return max(self.live)

    def asks(self, *outcomes: str) -> float:
        """Asks per second that were served so, in the busiest hour."""
        return sum(self.served[outcome][BUSIEST] for outcome in outcomes)

    def share(self, *outcomes: str) -> float:
        """Which part of the asks of the busiest hour that is."""
        return self.asks(*outcomes) / self.asks(*OUTCOMES)

    def _calls(self) -> list[float]:
        return [sum(calls) for calls in zip(*(self.served[outcome] for outcome in CALLS), strict=True)]


def day(
    load: Load, processes: int, *, shared: bool = True, seed: int = 1, sample: int = SAMPLE, entries: int = ENTRIES
) -> Day:
    """The last of `load.days`."""
    fleet = Fleet(processes, shared, idle_seconds(load, processes, entries))
    result = Day({outcome: [0.0] * HOURS for outcome in OUTCOMES}, [0.0] * HOURS)
    random = Random(seed)
    for band in load.bands:
        alone = load._replace(bands=[band])
        _add(result, alone, fleet, random, sample // len(load.bands), _ASKS // len(load.bands))
    return result


def idle_seconds(load: Load, processes: int, entries: int = ENTRIES) -> tuple[float, ...]:
    """For each hour, how long the memory of a process keeps what nobody asks it for.

    That is the time in which it is asked for as many scopes as it has room for (Che's approximation).
    """
    return tuple(_idle_seconds(load, hour, processes, entries) for hour in range(HOURS))


def _idle_seconds(load: Load, hour: int, processes: int, entries: int) -> float:
    parts = processes * load.objects
    groups = [
        (band.count * band.presence[hour] * load.objects, band.asks[hour] / HOUR_SECONDS / parts) for band in load.bands
    ]

    def distinct(seconds: float) -> float:
        return sum(count * -math.expm1(-rate * seconds) for count, rate in groups)

    low, high = 0.0, float(load.terms.life_seconds)
    if distinct(high) <= entries:
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if distinct(middle) < entries else (low, middle)
    return high


def _add(result: Day, load: Load, fleet: Fleet, random: Random, sample: int, asks: int) -> None:
    """Play so many askers of one band as make no more than so many asks; each counts for others, too."""
    (band,) = load.bands
    often = max(1 / _OFTEN_SECONDS, 4 / min(fleet.idle_seconds))
    most = HOUR_SECONDS * fleet.processes * load.objects * often
    played = load.days * sum(p * min(rate, most) for p, rate in zip(band.presence, band.asks, strict=True))
    wanted = min(max(sample, _LEAST_OF_A_BAND), math.ceil(asks / played))
    number = math.ceil(min(band.count, wanted))
    for _ in range(number):
        _add_one(result, load, fleet, list(instants(band, load.days, most, random)), random, band.count / number)
    for hour in range(HOURS):
        passed_over = band.presence[hour] * max(band.asks[hour] - most, 0)
        result.served[MEMORY][hour] += band.count * passed_over / HOUR_SECONDS


def _add_one(result: Day, load: Load, fleet: Fleet, asks: list[int], random: Random, weight: float) -> None:
    """Play all days of one asker, and count the last."""
    lives: defaultdict[int, Life] = defaultdict(
        lambda: Life(load.terms, fleet, lambda: random.uniform(-SPREAD, SPREAD))
    )
    begins = (load.days - 1) * HOURS
    for now in asks:
        life = lives[random.randrange(load.objects) if load.objects > 1 else 0]
        outcome = life.ask(random.randrange(fleet.processes), now)
        hour = now // HOUR_SECONDS - begins
        if hour >= 0:
            result.served[outcome][hour] += weight / HOUR_SECONDS
    for life in lives.values():
        for hour in _alive(life.calls, load.terms.life_seconds):
            if 0 <= hour - begins < HOURS:
                result.live[hour - begins] += weight


def _alive(calls: list[int], life_seconds: int) -> set[int]:
    """The hours in the middle of which a credential lived."""
    half = HOUR_SECONDS // 2
    return {
        hour
        for made_at in calls
        for hour in range((made_at + half - 1) // HOUR_SECONDS, (made_at + life_seconds + half - 1) // HOUR_SECONDS)
    }
