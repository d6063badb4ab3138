"""Rates as they are written."""

from __future__ import annotations

import limits
import pytest

from broker import rates
from broker.rates import Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", Rate(60, 60)),
        ("1/second", Rate(1, 1)),
        ("10 per 2 minutes", Rate(10, 120)),
        ("10/2minutes", Rate(10, 120)),
        ("100 per hour", Rate(100, 3600)),
        (" 5 / 3 seconds ", Rate(5, 3)),
        ("1000000/1day", Rate(1_000_000, 86_400)),
        ("5/86400 seconds", Rate(5, 86_400)),
    ],
)
def test_notation(text, rate):
    """It means what the library `limits` reads in it."""
    assert rates.parse(text) == rate
    read = limits.parse(text)
    assert (read.amount, read.get_expiry()) == rate


@pytest.mark.parametrize(
    "text",
    [
        "", "60", "minute", "/minute", "60/", "0/minute", "00/minute", "5/0 minutes", "-1/minute", "1.5/minute",
        "60/minute; 5/second", "60/minute,", "60/fortnight", "5/month", "5/year", "1000001/minute", "5/25 hours",
        "5/86401 seconds", "\u0661/minute", "60/minute\n", "6 0/minute", "9" * 5000 + "/minute", "1" + " " * 100_000,
    ],
)  # fmt: skip
def test_no_rate(text):
    """Nothing, several at once, or too much is no rate, and takes no time to tell."""
    with pytest.raises(ValueError, match="must be one rate such as 60/minute"):
        rates.parse(text)


def test_text():
    """It is told in the same notation."""
    for text in ("60/minute", "1/day", "10 per 120 seconds"):
        assert str(rates.parse(text)) == text


def test_covers():
    """A rate covers another if it permits no less, whether at once or in the long run."""
    assert rates.parse("60/minute").covers(rates.parse("60/minute"))
    assert rates.parse("61/minute").covers(rates.parse("60/minute"))
    assert not rates.parse("60/minute").covers(rates.parse("61/minute"))
    assert not rates.parse("100/hour").covers(rates.parse("60/minute"))
    assert not rates.parse("60/minute").covers(rates.parse("100/hour"))
