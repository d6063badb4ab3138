"""Arithmetic on seconds, with boundaries in pairs."""

import pytest

from broker.credentials import lifetimes

NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("remaining", "required", "is_usable"),
    [
        (960, 960, True),
        (959, 960, False),
        (961, 960, True),
        (1, 1, True),
        (0, 1, False),
        (-1, 1, False),
        (1800, 1801, False),
    ],
)
def test_usable(remaining, required, is_usable):
    """Exactly the required life is enough, one second less is not."""
    assert lifetimes.usable(NOW + remaining, required, NOW) == is_usable


@pytest.mark.parametrize(("age", "is_fresh"), [(0, True), (59, True), (60, False), (-1, False), (3600, False)])
def test_fresh(age, is_fresh):
    """For a minute, asking again gives the same; a credential from the future is not fresh."""
    assert lifetimes.fresh(NOW - age, NOW) == is_fresh


@pytest.mark.parametrize(
    ("expired_time", "expected"),
    [
        (NOW + 1800, NOW + 1800),
        (NOW + 1799, NOW + 1799),
        (NOW + 1801, NOW + 1800),
        (NOW + 7200, NOW + 1800),
        (NOW - 5, NOW - 5),
    ],
)
def test_expiry(expired_time, expected):
    """A credential dies when STS says, and never later than asked for: a longer promise is not believed."""
    assert lifetimes.expiry(expired_time, NOW, 1800) == expected
