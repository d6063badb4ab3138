"""How the broker is doing, in figures: what the page of credentials says beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.console.tally import Hour
from broker.web.operations import Readiness

_LAYERS = (("memory", "memory"), ("flight", "another's search"), ("redis", "Redis"), ("sts", "STS"))
_HEIGHT = 40


@dataclass(frozen=True, slots=True)
class State:
    """One thing that can be well or not."""

    name: str
    well: bool
    told: str


@dataclass(frozen=True, slots=True)
class Health:
    """What is well, what was counted since the start, and the bars of an hour: (x, y, height, calls, minutes ago)."""

    states: tuple[State, ...]
    counts: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    bars: tuple[tuple[int, int, int, int, int], ...]
    calls: int
    fleet: bool


def health(readiness: Readiness, figures: Mapping[str, Mapping[str, float]], hour: Hour, *, redis: bool) -> Health:
    """All of it. `figures` are the metrics; `redis`: there is one configured."""
    skew = figures.get("clock_skew_seconds", {}).get("", 0.0)
    troubles = sum(figures.get("redis_troubles", {}).values())
    told = (
        f"answers; {_times(troubles)} in trouble so far" if readiness.redis else "does not answer: served from memory"
    )
    states = (
        State("Redis", readiness.redis, told if redis else "none: each process has its own memory"),
        State("STS", readiness.sts, "answers" if readiness.sts else "does not answer: what is cached is served on"),
        State("Breakers", *_breakers(figures.get("breakers_open"))),
        State(
            "Clock",
            skew == 0,
            f"Tencent's is {skew:+.0f} s off, which is corrected" if skew else "agrees with Tencent's",
        ),
        State("Policies", readiness.reload, "as in their folder" if readiness.reload else "mistakes keep a change out"),
    )
    counts = tuple(
        (title, tuple((label, int(found.get(name, 0))) for name, label in parts))
        for title, source, parts in _COUNTED
        if (found := figures.get(source)) is not None
    )
    return Health(states, counts, _bars(hour), sum(hour.minutes), hour.fleet)


_COUNTED = (
    ("Credentials found in", "cache_hits", _LAYERS),
    ("Renewals ahead of need", "renewals", (("renewed", "done"), ("left", "left to another"), ("failed", "failed"))),
    (
        "Tries of STS",
        "sts_calls",
        (("issued", "issued"), ("refused", "refused"), ("throttled", "throttled"), ("unavailable", "no answer")),
    ),
)


def _breakers(opened: Mapping[str, float] | None) -> tuple[bool, str]:
    names = [name for name, count in (opened or {}).items() if count > 0]
    return not names, f"open for {', '.join(names)}" if names else "closed"


def _bars(hour: Hour) -> tuple[tuple[int, int, int, int, int], ...]:
    most = max(*hour.minutes, 1)
    last = len(hour.minutes) - 1
    tall = [(-(-count * _HEIGHT // most), count) for count in hour.minutes]
    return tuple((5 * at, _HEIGHT - height, height, count, last - at) for at, (height, count) in enumerate(tall))


def _times(count: float) -> str:
    return {0: "never", 1: "once"}.get(int(count), f"{int(count)} times")
