"""How often STS was asked, minute by minute: by the whole fleet, counted in Redis, or by this process.

    broker:{console}:sts:MINUTE   a number; two hours

Calls are rare, so a count for each costs nothing that anybody would notice; only brokers with a console count.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from broker.fleet.connection import Client, Connection, Unavailable

MINUTES = 60
_KEPT_SECONDS = 7200


@dataclass(frozen=True, slots=True)
class Hour:
    """Calls of each minute, the last one first left; `fleet`: of all processes."""

    minutes: tuple[int, ...]
    fleet: bool


class Tally:
    """Counts calls of STS. `clock` tells Unix seconds."""

    def __init__(self, connection: Connection | None, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock
        self._own: Counter[int] = Counter()
        self._lock = threading.Lock()

    def count(self) -> None:
        """One call, now."""
        minute = self._clock() // 60
        with self._lock:
            self._own[minute] += 1
            for old in [one for one in self._own if one <= minute - MINUTES]:
                del self._own[old]
        if self._connection is not None:
            name = _name(minute)
            with contextlib.suppress(Unavailable):  # it is in our own count
                self._connection.run(name, lambda client: _counted(client, name))

    def hour(self) -> Hour:
        """The last hour, the present minute last."""
        now = self._clock() // 60
        minutes = range(now - MINUTES + 1, now + 1)
        if self._connection is not None:
            names = [_name(minute) for minute in minutes]
            try:
                found = self._connection.run(names[0], lambda client: client.mget(names))
                return Hour(tuple(int(one) if one and one.isdigit() else 0 for one in found), fleet=True)
            except Unavailable:
                pass
        return Hour(tuple(self._own[minute] for minute in minutes), fleet=False)


def _counted(client: Client, name: str) -> None:
    pipeline = client.pipeline(transaction=False)
    pipeline.incr(name)
    pipeline.expire(name, _KEPT_SECONDS)
    pipeline.execute()


def _name(minute: int) -> str:
    return f"broker:{{console}}:sts:{minute}"  # one slot of a cluster for all
