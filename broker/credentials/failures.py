"""Failure: what STS said no to, remembered so that nobody asks it again too soon.

What may pass is remembered for two seconds, what asking again does not change for a minute; a refusal of the key that
asks, or of everybody, for the whole source (that key in the role that it assumes, or in none), any other for the one
scope.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from broker.errors import UpstreamError, UpstreamUnavailable

PASSING_SECONDS = 2
PERMANENT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Failure:
    """One remembered failure. `until` is in Unix seconds; the texts hold nothing secret."""

    code: str
    detail: str
    permanent: bool
    until: int

    def error(self, now: int) -> UpstreamError:
        """What to tell a caller."""
        if self.permanent:
            return UpstreamError(self.code, self.detail)
        return UpstreamUnavailable(self.code, self.detail, min(max(self.until - now, 1), PASSING_SECONDS))

    @property
    def seconds(self) -> int:
        """How long it is remembered."""
        return PERMANENT_SECONDS if self.permanent else PASSING_SECONDS


def failure_of(error: UpstreamError, now: int) -> Failure:
    """What to remember of an error of STS."""
    failure = Failure(error.code, error.detail, not isinstance(error, UpstreamUnavailable), now)
    return replace(failure, until=now + failure.seconds)
