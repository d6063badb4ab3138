"""How long, and how often, something safe to repeat is tried: full jitter under a total deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from broker.client.errors import BrokerClientError, NetworkError, RateLimited, StoreError, Unavailable

T = TypeVar("T")
_FIRST_SECONDS, _LONGEST_SECONDS = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The terms of retrying. `clock` gives seconds that are never set back, `draw` numbers from 0 to 1."""

    deadline_seconds: float
    tries: int
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    draw: Callable[[], float]

    def ask(self, attempt: Callable[[float], T]) -> T:
        """What an attempt, told how many seconds are left, brings before the deadline; else its last error.

        Repeats after NetworkError, RateLimited and Unavailable, and never sooner than Retry-After says; an error whose
        pause would outlast the deadline is raised at once.
        """
        ends_at = self.clock() + self.deadline_seconds
        failures = 0
        while True:
            try:
                return attempt(max(ends_at - self.clock(), 0.001))
            except (NetworkError, RateLimited, Unavailable) as error:
                pause = self._pause(failures) + getattr(error, "retry_after_seconds", 0)
                if self.clock() + pause >= ends_at:
                    raise
            self.sleep(pause)
            failures += 1

    def persist(self, attempt: Callable[[int], T]) -> T:
        """What an attempt, told its number from 0, brings in at most `tries`; else its last error.

        Repeats after a NetworkError and after what COS calls transient. Attempts ask the broker for a URL of their
        own; the broker's answers pass, since asking has its own patience.
        """
        for number in range(self.tries):
            try:
                return attempt(number)
            except BrokerClientError as error:
                if number + 1 == self.tries or not worth_repeating(error):
                    raise
            self.pause(number)
        raise AssertionError("tries is at least 1")

    def pause(self, failures: int) -> None:
        """Wait before the next attempt after so many failures."""
        self.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        doubled: float = _FIRST_SECONDS * 2 ** min(failures, 10)
        return self.draw() * min(_LONGEST_SECONDS, doubled)


def worth_repeating(error: BrokerClientError) -> bool:
    """Whether a request to COS that failed so may succeed with a new URL."""
    if isinstance(error, StoreError):
        return error.transient
    return isinstance(error, NetworkError) and error.party == "COS"
