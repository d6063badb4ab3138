"""Requests per second on one core: a warm `/url` beside a bare Flask route and beside what people write today.

The servers have one core, the load and STS another. Eight callers keep each server busy in its turn, so that one which
waits 50 ms for STS in each request answers 160 a second at most; with 32 callers, as many as it has threads, its core
is the limit. Where others compute on the same core, the rates are theirs, too: hence the same once more for each second
that the server itself has computed.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench import checking, contenders, loader, processes
from tests.bench.contenders import Place, Server
from tests.bench.figures import Figure, medians, ratio

ROUNDS, SECONDS, CALLERS, MANY_CALLERS = 7, 1.5, 8, 32
STS_SECONDS = 0.05
_WARM_SECONDS = 0.3

_OURS, _BARE, _UNREAD = "warm /url (JWT)", "bare Flask route, same bytes, same server", "the same, reading nothing"
_EACH, _KEPT = "by hand, an STS call each", "by hand, credentials in a dict"
_SLOW = f"by hand, an STS call of {STS_SECONDS * 1000:.0f} ms each"


class _Turn(NamedTuple):
    rate: float
    per_cpu_second: float
    busy: float  # its part of a core


class _Contender(NamedTuple):
    name: str
    server: Server
    request: bytes
    callers: int = CALLERS

    def turn(self, seconds: float, bodies: list[bytes] | None = None) -> _Turn:
        """Its requests per second, and some of its answers."""
        before = processes.cpu_seconds(self.server.pid)
        load = loader.load(self.server.port, self.request, self.callers, seconds)
        used = processes.cpu_seconds(self.server.pid) - before
        if bodies is not None:
            bodies += load.bodies
        return _Turn(load.per_second, len(load.seconds) / used, used / seconds)


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Medians of rounds, in each of which every server has its turn."""
    with processes.one_core_each() as (core, _), contextlib.ExitStack() as stack:
        place = stack.enter_context(contenders.place())
        ours = _Contender(_OURS, stack.enter_context(contenders.broker(place.environ)), place.request())
        bare = stack.enter_context(contenders.bare(place.answer(f"http://127.0.0.1:{ours.server.port}")))
        quick = [
            ours,
            _Contender(_BARE, bare, place.request()),
            _Contender(_UNREAD, bare, place.request(path="/unread/avatars/url")),
            *_by_hand(stack, place, _EACH, cached=False),
            *_by_hand(stack, place, _KEPT, cached=True),
        ]
        waiting = _by_hand(stack, place, _SLOW, cached=False, sts_seconds=STS_SECONDS)
        slow = [
            ours,
            *(
                one._replace(name=f"{one.name}, {n} callers", callers=n)
                for n in (CALLERS, MANY_CALLERS)
                for one in waiting
            ),
        ]
        for one in (*quick, *waiting):
            processes.pin(one.server.pid, core)
            one.turn(_WARM_SECONDS)
        bodies: list[bytes] = []
        turns = [[one.turn(SECONDS, bodies if one is ours else None) for one in quick] for _ in range(rounds)]
        slow_turns = [[one.turn(SECONDS) for one in slow] for _ in range(rounds)]
        checked = checking.check(bodies, place.environ)
    return [
        *_figures(quick, turns),
        Figure("what warm /url had of its core", "%", 100 * statistics.median(one[0].busy for one in turns)),
        *_figures(slow, slow_turns)[2:],  # ours is above
        Figure("answers under load that the official SDK signs alike, byte for byte", "URLs", checked, at_least=10),
    ]


def _by_hand(
    stack: contextlib.ExitStack, place: Place, name: str, *, cached: bool, sts_seconds: float = 0
) -> list[_Contender]:
    """On both servers, each with an STS of its own."""
    found = []
    for engine in ("Granian", "gunicorn"):
        cloud = stack.enter_context(contenders.cloud(sts_seconds))
        start = contenders.by_hand(place, cloud, cached=cached, granian=engine == "Granian")
        found.append(_Contender(f"{name}, {engine}", stack.enter_context(start), place.request()))
    return found


def _figures(them: Sequence[_Contender], turns: Sequence[Sequence[_Turn]]) -> list[Figure]:
    """Rates, then ours through each of the others; the first of them is ours."""
    rates = [[turn.rate for turn in one] for one in turns]
    computed = [[turn.per_cpu_second for turn in one] for one in turns]
    figures = []
    for one, rate, core in zip(them, medians(rates), medians(computed), strict=True):
        figures.append(Figure(one.name, "requests/s", rate, curve="rates"))
        if not one.name.startswith(_SLOW):
            figures.append(Figure(f"{one.name}, per second of CPU", "requests", core, curve="computed"))
    for at, one in enumerate(them[1:], 1):
        factor, unit = (100, "%") if one.name in (_BARE, _UNREAD) else (1, "times")
        what = f"warm /url / {one.name}"
        figures.append(Figure(what, unit, factor * ratio(rates, 0, at), at_least=_wanted(one)))
        if not one.name.startswith(_SLOW):  # which does not compute, but wait
            figure = factor * ratio(computed, 0, at)
            figures.append(Figure(f"{what}, per second of CPU", unit, figure, at_least=_wanted(one)))
    return figures


def _wanted(one: _Contender) -> float | None:
    if one.name == _BARE:
        return 80
    if one.name.startswith(_EACH):
        return 10
    return 50 if one.name.startswith(_SLOW) and one.callers == CALLERS else None
