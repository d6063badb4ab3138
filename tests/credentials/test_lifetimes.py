"""Arithmetic on lifetimes: boundaries in pairs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.credentials.lifetimes import FRESH_SECONDS, SPREAD, expiry, fresh, renewal_at, usable

NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("expired_time", "expected"),
    [(NOW + 1799, NOW + 1799), (NOW + 1800, NOW + 1800), (NOW + 1801, NOW + 1800), (NOW - 5, NOW - 5)],
)
def test_expiry(expired_time, expected):
    """The smaller of what STS says and what was asked for."""
    assert expiry(expired_time, NOW, 1800) == expected


@pytest.mark.parametrize(("left", "expected"), [(359, False), (360, True), (361, True), (0, False), (-1, False)])
def test_usable(left, expected):
    """Exactly the required seconds are enough."""
    assert usable(NOW + left, 360, NOW) is expected


@pytest.mark.parametrize(
    ("age", "expected"), [(-1, False), (0, True), (FRESH_SECONDS - 1, True), (FRESH_SECONDS, False)]
)
def test_fresh(age, expected):
    """Issued within the last minute, and not in the future."""
    assert fresh(NOW - age, NOW) is expected


@pytest.mark.parametrize(
    ("life", "need", "spread", "left"),
    [
        (1800, 360, 0.0, 900),  # half the life
        (1800, 360, SPREAD, 990),
        (1800, 360, -SPREAD, 810),
        (1800, 960, 0.0, 1195),  # the need, an eighth of the life and ten seconds
        (1800, 960, SPREAD, 1195),
        (1800, 1790, 0.0, 1575),  # never more than seven eighths
        (500, 180, 0.0, 252),
        (400, 180, 0.0, 240),
        (200, 180, 0.0, 175),
        (7200, 360, 0.0, 3600),
    ],
)
def test_renewal(life, need, spread, left):
    """Renewal starts while the longest ask is still served for an eighth of the life, and not before an eighth."""
    assert renewal_at(NOW, NOW + life, need, spread) == NOW + life - left


@settings(derandomize=True, database=None)
@given(st.integers(1, 129_600), st.integers(61, 50_000), st.floats(-SPREAD, SPREAD))
def test_time_to_renew(life, need, spread):
    """Where need leaves room, an eighth of the life passes between renewal and the first ask that would wait."""
    due = renewal_at(NOW, NOW + life, need, spread)
    assert NOW + life // 8 <= due <= NOW + life
    if need + life / 8 + 10 <= life * 7 / 8:
        assert (NOW + life - need) - due >= life // 8
