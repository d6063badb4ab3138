"""Breaker: after a failure nobody calls for a while, then one call finds out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable


class Breaker:
    """Lets calls through until one fails; from then on one probe at a time. Instants are of a monotonic clock.

    The first probe comes `pause_seconds` after the failure; one that says nothing counts as lost after `probe_seconds`.
    A failure is forgotten after `memory_seconds`. No lock is held while a call is made. `tell` is told True when it
    opens and False when it closes.
    """

    def __init__(
        self,
        pause_seconds: float,
        probe_seconds: float,
        memory_seconds: float = math.inf,
        tell: Callable[[bool], object] = lambda opened: None,
    ) -> None:
        self._pause_seconds = pause_seconds
        self._probe_seconds = probe_seconds
        self._memory_seconds = memory_seconds
        self._tell = tell
        self._forgotten_at = 0.0
        self._lock = threading.Lock()
        self._next_probe: float | None = None

    @property
    def closed(self) -> bool:
        """Whether calls go through: the last one did not fail."""
        return self._next_probe is None

    def lasts(self, now: float) -> bool:
        """Whether there was a failure, and nothing better since."""
        return self._next_probe is not None and now < self._forgotten_at

    def waits(self, now: float) -> bool:
        """Whether it would not admit a call now."""
        next_probe = self._next_probe
        return next_probe is not None and now < min(next_probe, self._forgotten_at)

    def admits(self, now: float) -> bool:
        """Whether to call now. The call must be followed by `failed` or `succeeded`."""
        if self._next_probe is None or now >= self._forgotten_at:
            return True
        with self._lock:
            if self._next_probe is None:
                return True
            if now < self._next_probe:
                return False
            self._next_probe = now + self._probe_seconds
            return True

    def failed(self, now: float) -> None:
        """A call has failed."""
        with self._lock:
            if self._next_probe is None:
                self._tell(True)
            self._next_probe = now + self._pause_seconds
            self._forgotten_at = now + self._memory_seconds

    def succeeded(self) -> None:
        """A call has been answered."""
        if self._next_probe is not None:
            with self._lock:
                if self._next_probe is not None:
                    self._tell(False)
                self._next_probe = None
