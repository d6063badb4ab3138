"""Arithmetic on lifetimes. All instants are Unix seconds, all durations seconds."""

from __future__ import annotations

# A credential younger than this that is too short anyway is STS's answer, not age: asking again changes nothing.
FRESH_SECONDS = 60
# Renewal ahead of need spreads over this share of half the life, so that a fleet started together does not renew so.
SPREAD = 0.1
# Between the renewal's start and the moment the longest ask would have to wait, beside an eighth of the life.
_SLACK_SECONDS = 10


def expiry(expired_time: int, asked_at: int, duration_seconds: int) -> int:
    """When a credential dies: as STS says, but never later than what was asked for, counted from before the call."""
    return min(expired_time, asked_at + duration_seconds)


def usable(expires_at: int, required_seconds: int, now: int) -> bool:
    """Whether at least `required_seconds` of life are left."""
    return expires_at - now >= required_seconds


def fresh(issued_at: int, now: int) -> bool:
    """Whether a credential was issued just now."""
    return 0 <= now - issued_at < FRESH_SECONDS


def renewal_at(issued_at: int, expires_at: int, need_seconds: int, spread: float) -> int:
    """The instant from which an ask starts the renewal, while the credential still serves.

    Half of the life is left then, give or take (`spread` is -SPREAD..SPREAD); more if the longest ask of the scope,
    `need_seconds`, would otherwise have less than an eighth of the life and some slack; never more than seven eighths,
    so that short credentials are not renewed all the time.
    """
    life = expires_at - issued_at
    left = min(life * 7 / 8, max(life / 2 * (1 + spread), need_seconds + life / 8 + _SLACK_SECONDS))
    return expires_at - int(left)
