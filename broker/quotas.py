"""Quotas: what a name may have in a sliding window, counted in Redis for the fleet, and in memory while there is none.

A count is an estimate: of the window before, the share that the sliding window still covers, and all of the present
one. A window begins when its name is first asked for. No window holds more than the rate says; a stretch across the
border of two holds at most twice that, if everything came late in the one and as early as may be in the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import NamedTuple

from cachetools import LRUCache
from limits.storage import RedisStorage

from broker.fleet.connection import Client, Connection, Unavailable
from broker.rates import Rate

IN_MEMORY = 100_000  # windows; beyond them the ones that were asked for longest ago are forgotten

# The library's script, which tells beside its yes when the window ends that the units came from: the instant at which
# its key expires, in milliseconds of Redis's clock. That stays with the window when it becomes the one before.
_TAKE = f"""
local function taken()
{RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()}
end
if not taken() then return false end
local now = redis.call('time')
return now[1] * 1000 + math.floor(now[2] / 1000) + redis.call('pttl', KEYS[2])
"""
# Windows of a name end whole windows apart. One that is over for good has nothing that could be given back.
_GIVE_BACK = """
local ends, expiry, amount = tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000, ARGV[3]
local now = redis.call('time')
for _, key in ipairs(KEYS) do
    local left = redis.call('pttl', key)
    if left > 0 and math.abs(now[1] * 1000 + math.floor(now[2] / 1000) + left - ends) < expiry / 2 then
        redis.call('decrby', key, amount)
    end
end
"""


@dataclass(frozen=True)
class Quota:
    """What one name may have. Another rate of the same name is counted anew."""

    name: str
    rate: Rate

    @cached_property
    def key(self) -> str:
        """What it is counted under."""
        return f"{self.name}/{self.rate.units}/{self.rate.seconds}"


class Reading(NamedTuple):
    """A count: units of the window before and of the present one, and for how many seconds either still matters."""

    previous: int
    previous_seconds: float
    current: int
    current_seconds: float

    def room(self, rate: Rate) -> int:
        """How many units there are to be had."""
        return rate.units - self.current - floor(self.previous * self.previous_seconds / rate.seconds)

    def wait_seconds(self, rate: Rate, units: int) -> int:
        """The first whole second, from 1, after which so many units (at most the rate's) are to be had."""
        begins, held, left, room = 0.0, self.previous, self.previous_seconds, rate.units - units - self.current
        if room < 0:
            # Not before the present window is the one before.
            begins, held = max(self.current_seconds - rate.seconds, 0), self.current
            left, room = rate.seconds, rate.units - units
        fades = left - (room + 1) * rate.seconds / held if held > 0 else 0
        return floor(begins + max(fades, 0)) + 1


class Quotas:
    """Units of many quotas, taken whole or not at all. `prefix` begins the names of their keys in Redis."""

    def __init__(self, prefix: str, connection: Connection | None, monotonic: Callable[[], float]) -> None:
        self._prefix = prefix
        self._connection = connection
        self._monotonic = monotonic
        self._memory = _Memory()
        self._storages: dict[Client, _SharedStorage] = {}  # each node of a cluster has a client of its own

    def take(self, units: int, *quotas: Quota) -> bool:
        """Take so many units of each quota, or of none."""
        if self._connection is not None:
            try:
                return self._take_shared(self._connection, units, quotas)
            except Unavailable:
                pass  # counted by every process for itself meanwhile
        return self._memory.take(units, quotas, self._monotonic())

    def read(self, quota: Quota) -> Reading:
        """How a quota stands."""
        key, seconds = quota.key, quota.rate.seconds
        if self._connection is not None:
            try:
                return self._connection.run(
                    self._name(key), lambda client: Reading(*self._storage(client).get_sliding_window(key, seconds))
                )
            except Unavailable:
                pass
        return self._memory.read(quota, self._monotonic())

    def _take_shared(self, connection: Connection, units: int, quotas: tuple[Quota, ...]) -> bool:
        taken: list[tuple[Quota, int]] = []
        for quota in quotas:
            ends = self._hit(connection, units, quota)
            if ends is None:
                # They may be on different nodes, where nothing is done to both at once: meanwhile, for a round trip,
                # others may be refused these units.
                for other, window in taken:
                    self._give_back(connection, units, other, window)
                return False
            taken.append((quota, ends))
        return True

    def _hit(self, connection: Connection, units: int, quota: Quota) -> int | None:
        """When the window ends that the units were taken from; None if there are not so many."""
        return connection.run(self._name(quota.key), lambda client: self._storage(client).take(units, quota))

    def _give_back(self, connection: Connection, units: int, quota: Quota, ends: int) -> None:
        connection.run(self._name(quota.key), lambda client: self._storage(client).give_back(units, quota, ends))

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{{{key}}}"  # as the library makes it: both windows of a key are on one node

    def _storage(self, client: Client) -> _SharedStorage:
        return self._storages.get(client) or self._storages.setdefault(client, _SharedStorage(client, self._prefix))


class _SharedStorage(RedisStorage):
    """The library's storage on the connection that we have: a count is one call of a script."""

    STORAGE_SCHEME = None  # type: ignore[assignment]  # registered under no URL
    base_exceptions = ()  # none are wrapped: the connection knows them

    def __init__(self, client: Client, prefix: str) -> None:
        self.key_prefix = prefix
        self.storage = client
        self.initialize_storage("")
        self._take, self._give_back = client.register_script(_TAKE), client.register_script(_GIVE_BACK)

    def take(self, units: int, quota: Quota) -> int | None:
        """The end of the window that so many units were taken from; None if there are not so many."""
        ends: int | None = self._take(self._windows(quota), [*quota.rate, units])
        return ends

    def give_back(self, units: int, quota: Quota, ends: int) -> None:
        """Put units back into the window that ends then, and into no other."""
        self._give_back(self._windows(quota), [ends, quota.rate.seconds, units])

    def _windows(self, quota: Quota) -> list[str]:
        names = self._previous_window_key(quota.key), self._current_window_key(quota.key)
        return [self.prefixed_key(name) for name in names]


@dataclass(slots=True)
class _Window:
    begun_at: float
    previous: int = 0
    current: int = 0

    def room(self, rate: Rate, now: float) -> int:
        if not self.previous:
            return rate.units - self.current
        return _reading(self, rate, now).room(rate)


class _Memory:
    """Counts of one process, by the same rule.

    The library's own looks through all its keys a hundred times a second, in a thread, and keeps every one until it
    lapses.
    """

    def __init__(self) -> None:
        self._windows: LRUCache[str, _Window] = LRUCache(IN_MEMORY)
        self._lock = threading.Lock()

    def take(self, units: int, quotas: tuple[Quota, ...], now: float) -> bool:
        with self._lock:
            windows = []
            for quota in quotas:
                window = self._window(quota, now)
                if window.room(quota.rate, now) < units:
                    return False
                windows.append(window)
            for window in windows:
                window.current += units
            return True

    def read(self, quota: Quota, now: float) -> Reading:
        with self._lock:
            return _reading(self._window(quota, now), quota.rate, now)

    def _window(self, quota: Quota, now: float) -> _Window:
        key, seconds = quota.key, quota.rate.seconds
        try:
            window = self._windows[key]  # `get` would look twice
        except KeyError:
            window = None
        if window is None or now >= window.begun_at + 2 * seconds:
            window = self._windows[key] = _Window(now)
        elif now >= window.begun_at + seconds:
            window.begun_at += seconds
            window.previous, window.current = window.current, 0
        return window


def _reading(window: _Window, rate: Rate, now: float) -> Reading:
    left = window.begun_at + rate.seconds - now
    return Reading(window.previous, left, window.current, left + rate.seconds)
