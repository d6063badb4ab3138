"""The simulation of fleets behaves as the engine does, and as what can be computed says."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import cache, partial
from random import Random

import pytest

from broker.credentials.lifetimes import SPREAD
from broker.limits import for_one_kind
from tests.bench.scaling import closed_forms, counted, routes, traffic
from tests.bench.scaling.days import Day, Load, day, idle_seconds
from tests.bench.scaling.fleets import load
from tests.bench.scaling.lives import (
    CALLS,
    COLD,
    FROM_REDIS,
    MEMORY,
    MEMORY_RENEWS,
    OUTCOMES,
    REDIS_RENEWS,
    RENEWALS,
    Fleet,
    Life,
)
from tests.bench.scaling.loss import after_loss
from tests.bench.scaling.traffic import HOUR_SECONDS, HOURS, Traffic
from tests.conftest import REPOSITORY

EXPIRES = {"default_seconds": 300, "max_seconds": 900, "duration_seconds": 1800}
# Short enough that half the life decides when a renewal is due, and so what is drawn.
SPREAD_COUNTS = {**EXPIRES, "max_seconds": 300}
# Everybody asks at the same rate all day and night: what the closed forms are about.
EVEN = Traffic(2_000, busy_share=1 / HOURS, active_share=1.0)


def even(asks_per_hour: float, scope: str = "principal", **expires: int) -> Load:
    """Principals that ask so often, at random, for ever."""
    return load(EVEN._replace(asks_per_day=asks_per_hour * HOURS), scope, **{**EXPIRES, **expires})


@pytest.mark.parametrize("draw", [0.0, SPREAD, -SPREAD], ids=["middle", "early", "late"])
@pytest.mark.parametrize(("processes", "shared"), [(1, False), (1, True), (3, False), (3, True)])
def test_same_asks(processes, shared, draw):
    """Asked the same, simulation and engine serve every ask from the same place, and call STS at the same asks."""
    asked = load(Traffic(30), "principal", **SPREAD_COUNTS)
    asks = counted.trace(asked, processes, days=1, seed=7)
    demand = cache(lambda number: routes.demand("principal", number, **SPREAD_COUNTS))
    real = counted.count(asks, demand, processes, shared=shared, draw=lambda: draw)
    lives = {number: Life(asked.terms, Fleet(processes, shared), lambda: draw) for _, number, _ in asks}
    simulated = [lives[number].ask(process, at) for at, number, process in asks]
    assert simulated == real
    # Nothing of what is compared is missing.
    assert set(real) == set(OUTCOMES) - (set() if shared and processes > 1 else set(FROM_REDIS))


def test_objects():
    """The same for objects, whose credentials are not renewed ahead."""
    asked = load(Traffic(30), "object", **EXPIRES)
    asks = counted.trace(asked, 2, days=1, seed=7)
    demand = cache(lambda number: routes.demand("object", number, **EXPIRES))
    real = counted.count(asks, demand, 2, shared=True, draw=lambda: 0.0)
    lives = {number: Life(asked.terms, Fleet(2, shared=True), lambda: 0.0) for _, number, _ in asks}
    assert [lives[number].ask(process, at) for at, number, process in asks] == real
    assert not set(RENEWALS) & set(real)


@pytest.mark.parametrize("asks_per_hour", [0.5, 2, 10, 30])
@pytest.mark.parametrize(
    ("scope", "expires"),
    [
        ("principal", {}),
        ("principal", {"duration_seconds": 7200}),
        ("principal", {"max_seconds": 300}),
        ("principal", {"max_seconds": 1100}),
        ("object", {}),
    ],
)
@pytest.mark.parametrize("processes", [1, 5, 10**6])
def test_processes_together(asks_per_hour, scope, expires, processes):
    """Calls, waits and live credentials of a fleet with Redis are what Poisson says, within 2 % of asks or calls."""
    asked, rate = even(asks_per_hour, scope, **expires), asks_per_hour / HOUR_SECONDS
    result = day(asked, processes, sample=round(1000 / asks_per_hour), entries=10**6)
    hours = {outcome: sum(result.served[outcome]) / HOURS / EVEN.principals for outcome in OUTCOMES}
    calls, renewals = (sum(hours[outcome] for outcome in outcomes) for outcomes in (CALLS, RENEWALS))
    of_all = rate, asked.terms, processes
    assert sum(hours.values()) == pytest.approx(rate, rel=0.03)
    assert calls == pytest.approx(closed_forms.calls_per_second(*of_all), rel=0.02)
    assert renewals / calls == pytest.approx(closed_forms.renewed_share(*of_all), abs=0.02)
    served = 1 - hours[COLD] / sum(hours.values())
    assert served == pytest.approx(closed_forms.served_share(*of_all), abs=0.02)
    live = sum(result.live) / HOURS / EVEN.principals
    assert live == pytest.approx(closed_forms.live_share(*of_all), abs=0.02)


def test_processes_apart():
    """Without Redis, each of n processes asks STS as one that has an n-th of the asks."""
    asked, rate = even(10), 10 / HOUR_SECONDS
    result = day(asked, 5, shared=False, sample=EVEN.principals, entries=10**6)
    calls = result.calls_in_all / HOURS / HOUR_SECONDS / EVEN.principals
    assert calls == pytest.approx(5 * closed_forms.calls_per_second(rate / 5, asked.terms), rel=0.02)


@pytest.mark.parametrize("processes", [1, 3, 10**6])
@pytest.mark.parametrize("spread", [SPREAD, -SPREAD])
@pytest.mark.parametrize("expires", [EXPIRES, SPREAD_COUNTS, {**EXPIRES, "duration_seconds": 7200}])
def test_nobody_waits(processes, spread, expires):
    """With an ask in each eighth of a credential's life, of any processes, the first waits and no other."""
    terms, random = routes.terms("principal", **expires), Random(1)
    life = Life(terms, Fleet(processes, shared=True), lambda: spread)
    asks = range(0, 20 * terms.life_seconds, terms.life_seconds // 8)
    served = [life.ask(random.randrange(processes), at) for at in asks]
    assert served[0] == COLD
    assert COLD not in served[1:]
    assert served.count(REDIS_RENEWS) > 0 or processes == 1


def test_hours():
    """Most calls are those of the hour with most calls, shares those of the hour with most asks."""
    served = {outcome: [0.0] * HOURS for outcome in OUTCOMES}
    served[MEMORY][traffic.BUSIEST], served[COLD][traffic.BUSIEST] = 9.0, 1.0
    served[COLD][3], served[MEMORY_RENEWS][4], served[REDIS_RENEWS][4] = 2.0, 1.0, 4.0
    result = Day(served, [0.0] * HOURS)
    assert (result.cold, result.calls, result.share(COLD)) == (2.0, 5.0, 0.1)
    assert result.calls_in_all == 8 * HOUR_SECONDS


def test_small_memory():
    """A memory that is too small serves about as much as the engine's does: within 2 % of all asks."""
    few = Traffic(200)
    asked = load(few, "principal", **EXPIRES)
    asks = counted.trace(asked, 1, days=2, seed=3)
    demand = cache(lambda number: routes.demand("principal", number, **EXPIRES))
    real = counted.count(asks, demand, 1, shared=True, draw=lambda: 0.0, entries=20)
    fleet = Fleet(1, True, idle_seconds(asked, 1, entries=20))
    lives = {number: Life(asked.terms, fleet, lambda: 0.0) for _, number, _ in asks}
    simulated = [lives[number].ask(process, at) for at, number, process in asks]
    for outcome in OUTCOMES:
        assert simulated.count(outcome) / len(asks) == pytest.approx(real.count(outcome) / len(asks), abs=0.02)
    assert sum(real.count(outcome) for outcome in FROM_REDIS) > len(asks) / 10


def test_route():
    """With scope route, a thousand times the principals cost as many calls: one for each half of a life, about."""
    calls = []
    for principals in (10**5, 10**8):
        asked = load(Traffic(principals), "route", **EXPIRES)
        result = day(asked, 4)
        calls.append(result.calls_in_all)
        assert result.scopes == 1
        assert result.asks(*OUTCOMES) == pytest.approx(Traffic(principals).asks_per_second, rel=0.02)
    shortest, longest = (closed_forms.renewal_seconds(asked.terms, spread) for spread in (SPREAD, -SPREAD))
    assert all(HOURS * HOUR_SECONDS / (longest + 20) <= one <= 1 + HOURS * HOUR_SECONDS / shortest for one in calls)


def test_activity_by_rank():
    """However unequal principals are, there are as many, and they ask as much as they were said to."""
    for zipf in (0.0, 0.8, 1.0, 1.2):
        asked = Traffic(10**6, zipf=zipf)
        bands = traffic.principals(asked)
        assert sum(band.count for band in bands) == asked.principals
        busiest = sum(band.count * band.presence[traffic.BUSIEST] * band.asks[traffic.BUSIEST] for band in bands)
        assert busiest / HOUR_SECONDS == pytest.approx(asked.asks_per_second)
    assert sum(asked.hourly_shares()) == pytest.approx(1)


def test_after_loss():
    """Those who wait are gone when the budget has served as many as have come: as the closed form says, within 2 %."""
    asked = load(Traffic(10**6), "principal", **EXPIRES)
    (band,) = asked.bands
    active, rate = band.count * band.presence[traffic.BUSIEST], band.asks[traffic.BUSIEST] / HOUR_SECONDS
    moments = after_loss(asked, 400)
    last = max(second for second, moment in enumerate(moments) if moment.waiting >= 1)
    assert active * -math.expm1(-rate * last) == pytest.approx(for_one_kind(400) * last, rel=0.02)
    assert max(moment.wait_seconds for moment in moments) > 30


def test_no_loss_to_notice():
    """Whose asks all together are fewer than the budget never wait for it."""
    asked = load(Traffic(5 * 10**5), "principal", **EXPIRES)
    assert max(moment.wait_seconds for moment in after_loss(asked, 400)) < 1


run = partial(subprocess.run, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_the_same_seed():
    """The same seed gives the same figures, another one others."""
    command = [sys.executable, "-m", "tests.bench.simulate", "--principals", "1e4", "--sample", "500"]
    first, second, other = (run([*command, "--seed", seed], check=True).stdout for seed in ("5", "5", "6"))
    assert first == second != other
    assert "calls of STS in all" in first


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-seconds", "1800"], "needs credential.duration_seconds of at least 2640, got 1800"),
        (["--busy-share", "0.5"], "the busiest hour has 0.0417 to 0.0833 of the day's asks, got 0.5"),
        (["--processes", "0"], "must be 1 to 1e+12, got 0"),
        (["--plots", "build/none", "--scope", "route"], "--plots has its own scope: leave it out"),
        (["--counted", "--asks-per-day", "3"], "--counted has its own asks per day: leave it out"),
        (["--objects", "3"], "--objects goes with --scope object"),
        (["--active-share", "0"], "the share of active principals is above 0 and at most 1, got 0"),
    ],
)
def test_impossible(options, told):
    """What no policy and no day can be is refused, in the words of the broker where it is the broker's to say."""
    refused = run([sys.executable, "-m", "tests.bench.simulate", *options])
    assert refused.returncode == 2
    assert told in refused.stderr
    assert refused.stdout == ""


def test_without_matplotlib(tmp_path):
    """Who wants plots without what draws them is told what to install."""
    blocked = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['simulate', '--plots', sys.argv[1]]"
    script = f"{blocked}; from tests.bench.simulate import main; main()"
    refused = run([sys.executable, "-c", script, str(tmp_path / "images")])
    assert refused.returncode == 1
    assert refused.stderr == "plots need matplotlib: pip install '.[plots]'\n"
    assert not (tmp_path / "images").exists()
