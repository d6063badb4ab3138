"""What can be computed without a simulation: asks of one scope at random (Poisson), at the same rate for ever.

Each process draws for itself from which age of a credential on it starts the renewal, and makes the next credential
at the first ask that comes to it after that; so it is either way, by a renewal if the credential still serves, by a
call that is waited for if not. Of `processes` that share a Redis the first to do so does it for all, and where it
has the credential from, memory or Redis, does not matter. `rate` is in asks per second of the whole fleet.

The fleet is asked as one: a process that remembers the credential before the last, and comes late, may renew a little
earlier than it would have drawn. That is not in here.
"""

from __future__ import annotations

import math

from broker.credentials.lifetimes import SPREAD, renewal_at
from tests.bench.scaling.lives import Terms

_STEPS = 200


def renewal_seconds(terms: Terms, spread: float = 0.0) -> int:
    """Seconds from a credential's start to its renewal's."""
    return renewal_at(0, terms.life_seconds, terms.need_seconds, spread)


def calls_per_second(rate: float, terms: Terms, processes: int = 1) -> float:
    """Calls of STS for one scope: one for each time that a credential is the newest."""
    return 1 / _newest_seconds(rate, terms, processes, math.inf)


def renewed_share(rate: float, terms: Terms, processes: int = 1) -> float:
    """Which part of the calls are renewals, so that nobody waited: an ask came between renewal's moment and the end."""
    return 1 - _newest_share(rate, terms, processes, _last(terms))


def served_share(rate: float, terms: Terms, processes: int = 1) -> float:
    """Which part of the asks finds a credential that serves it."""
    waited = _newest_share(rate, terms, processes, _last(terms))
    return 1 - waited * calls_per_second(rate, terms, processes) / rate


def live_share(rate: float, terms: Terms, processes: int = 1) -> float:
    """Which part of the time a credential of the scope is alive, and in Redis."""
    alive = _newest_seconds(rate, terms, processes, terms.life_seconds)
    return alive * calls_per_second(rate, terms, processes)


def _newest_seconds(rate: float, terms: Terms, processes: int, until: float) -> float:
    """How long a credential is the newest, on average; of which, only what is before its age is `until`."""
    ages = _ages(terms)
    first, last = ages[0], ages[-1]
    step = (last - first) / _STEPS
    between = sum(_newest_share(rate, terms, processes, first + step * (n + 0.5)) for n in range(_STEPS)) * step
    # After that all processes would renew, and the next ask of any does.
    after = _newest_share(rate, terms, processes, last) * -math.expm1(-rate * (until - last)) / rate
    return first + between + after


def _newest_share(rate: float, terms: Terms, processes: int, age: float) -> float:
    """Which part of the credentials is still the newest at that age: no ask came to a process that would renew."""
    ages = _ages(terms)
    of_one = sum(math.exp(-rate / processes * max(age - due, 0)) for due in ages) / len(ages)
    return float(of_one**processes)


def _last(terms: Terms) -> int:
    """The age up to which a credential serves."""
    return terms.life_seconds - terms.required_seconds


def _ages(terms: Terms) -> list[int]:
    """Ages at which the next credential is due, over the spread of that moment."""
    if not terms.ahead:
        return [_last(terms)]
    spreads = (SPREAD * (1 - 2 * (step + 0.5) / _STEPS) for step in range(_STEPS))
    return [renewal_seconds(terms, spread) for spread in spreads]
