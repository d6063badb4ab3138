"""Troubles that last, each told once: one line and one count when it begins, one line when it is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

# A trouble that nothing ends is over when it has not been met for so long.
QUIET_SECONDS = 60


class Episodes:
    """The troubles of one dependency, by kind. `count` is told each kind that begins."""

    def __init__(
        self, logger: logging.Logger, monotonic: Callable[[], float], count: Callable[[str], None] = lambda kind: None
    ) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._count = count
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def met(self, kind: str, message: str) -> None:
        """A trouble of this kind begins, or goes on; `message` holds no secret and no address."""
        now = self._monotonic()
        with self._lock:
            last = self._last.get(kind)
            self._last[kind] = now
        if last is None or now - last >= QUIET_SECONDS:
            self._count(kind)
            self._logger.warning("%s", message)

    def lasts(self, kind: str) -> bool:
        """Whether a trouble of this kind has begun and nobody has said that it is over."""
        return kind in self._last

    def over(self, kind: str, message: str) -> None:
        """The trouble of this kind is over, if there was one."""
        with self._lock:
            ended = self._last.pop(kind, None) is not None
        if ended:
            self._logger.info("%s", message)
