"""Arithmetic on lifetimes. All instants are Unix seconds, all durations seconds."""

from __future__ import annotations

# A credential younger than this that is too short anyway is STS's answer, not age: asking again changes nothing.
FRESH_SECONDS = 60


def expiry(expired_time: int, asked_at: int, duration_seconds: int) -> int:
    """When a credential dies: as STS says, but never later than what was asked for, counted from before the call."""
    return min(expired_time, asked_at + duration_seconds)


def usable(expires_at: int, required_seconds: int, now: int) -> bool:
    """Whether at least `required_seconds` of life are left."""
    return expires_at - now >= required_seconds


def fresh(issued_at: int, now: int) -> bool:
    """Whether a credential was issued just now."""
    return 0 <= now - issued_at < FRESH_SECONDS
