"""What time it is on Tencent's clocks, by the local clock and by what STS's answers say.

Signatures and lifetimes are judged by Tencent's clocks, so a local clock that is off would sign what COS refuses, and
keep what is dead. The skew is measured from the `Date` of STS's answers, never from a credential's expiry, which may
simply be a shorter lifetime; a process that lives on what Redis holds asks STS for the time alone. Between measurements
a step of the local clock is noticed by the monotonic one. A step forwards is believed (the machine may have slept, and
what would be dead must not be served), one backwards is not (time does not go back); whichever was wrong, the next
answer of STS corrects it.
"""

from __future__ import annotations

import math
import statistics
import threading
from collections import deque
from collections.abc import Callable

# Below this, a difference is the resolution of `Date` and the network's doing.
IGNORED_SECONDS = 5
_SAMPLES = 5
# How often STS is asked for the time while it does not tell.
_ASKING_SECONDS = 2.0


class Timekeeper:
    """Tells Tencent's time. `clock` is the local one in Unix seconds, `monotonic` one that is never set.

    `tell` gets the skew in seconds whenever it has been measured.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        tell: Callable[[float], None] = lambda skew: None,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._offset = clock() - monotonic()
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._doubtful = True
        self._ask: Callable[[], None] | None = None
        self._asked_at = -math.inf
        self._skew = 0.0
        self._steps = 0

    @property
    def steps(self) -> int:
        """How often the local clock has been seen to be set, a step that nobody has seen yet included."""
        self._check()
        return self._steps

    @property
    def skew_seconds(self) -> float:
        """By how much Tencent's clocks are ahead of the local one, as far as it is known."""
        return self._skew

    @property
    def doubtful(self) -> bool:
        """Whether nobody has said what time it is since the start, or since the local clock was set."""
        return self._doubtful

    def asks(self, ask: Callable[[], None]) -> None:
        """Have `ask`, which returns at once, see to an answer of STS whenever the time is told in doubt."""
        self._ask = ask

    def __call__(self) -> int:
        """Now, in Unix seconds."""
        local = self._check()
        if self._doubtful and self._ask is not None:
            self._wonder(self._ask)
        return int(local + self._skew)

    def observe(self, date: float, round_trip_seconds: float, since: int | None = None) -> None:
        """Take note of the `Date` (Unix seconds) of an answer that has just come after so long a round trip.

        `since` is what `steps` was when the question was sent: an answer that a step overtook tells nothing.
        """
        local = self._check()
        with self._lock:
            if since is not None and since != self._steps:
                return
            if self._doubtful:
                self._samples.clear()
                self._doubtful = False
            self._samples.append(date - (local - round_trip_seconds / 2))
            median = statistics.median(self._samples)
            self._skew = 0.0 if abs(median) < IGNORED_SECONDS else median
        self._tell(self._skew)

    def _check(self) -> float:
        """The local time; a step is noticed."""
        local = self._clock()
        if not -IGNORED_SECONDS < local - self._monotonic() - self._offset < IGNORED_SECONDS:
            self._stepped()
        return local

    def _wonder(self, ask: Callable[[], None]) -> None:
        now = self._monotonic()
        if now - self._asked_at >= _ASKING_SECONDS:
            self._asked_at = now
            ask()

    def _stepped(self) -> None:
        with self._lock:
            step = self._clock() - self._monotonic() - self._offset
            if -IGNORED_SECONDS < step < IGNORED_SECONDS:
                return  # another thread has noticed
            self._offset += step
            self._steps += 1
            self._skew -= min(step, 0.0)
            self._doubtful = True
            self._asked_at = -math.inf
