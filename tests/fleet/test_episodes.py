"""Troubles that last: one line and one count when they begin, one line when they are over."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from broker.fleet.episodes import QUIET_SECONDS, Episodes
from tests.doubles import Clock, Threads


@dataclass
class Told:
    """What the episodes of a logger of the test's own have told."""

    caplog: pytest.LogCaptureFixture
    clock: Clock = field(default_factory=Clock)
    counted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caplog.set_level(logging.DEBUG, logger="tests.episodes")
        self.episodes = Episodes(logging.getLogger("tests.episodes"), self.clock.monotonic, self.counted.append)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Level and text of every line."""
        return [(one.levelname, one.getMessage()) for one in self.caplog.records if one.name == "tests.episodes"]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """Episodes that have met no trouble yet."""
    return Told(caplog)


def test_begins(told: Told) -> None:
    """A trouble that begins is one warning and one count, however often and by however many it is met."""
    Threads(8, lambda n: told.episodes.met("down", "100 % down")).join()
    told.episodes.met("down", "still down")
    assert told.lines == [("WARNING", "100 % down")]
    assert told.counted == ["down"]


def test_over(told: Told) -> None:
    """Its end is one line, however many notice."""
    told.episodes.met("down", "down")
    assert told.episodes.lasts("down")
    Threads(8, lambda n: told.episodes.over("down", "up again")).join()
    assert told.lines == [("WARNING", "down"), ("INFO", "up again")]
    assert told.counted == ["down"]
    assert not told.episodes.lasts("down")


def test_no_trouble(told: Told) -> None:
    """Nothing is over that has not begun."""
    told.episodes.over("down", "up again")
    assert told.lines == []
    assert not told.episodes.lasts("down")


def test_begins_again(told: Told) -> None:
    """The next trouble after the end is told and counted anew."""
    for number in range(2):
        told.episodes.met("down", f"down {number}")
        told.episodes.over("down", f"up {number}")
    assert [line for _, line in told.lines] == ["down 0", "up 0", "down 1", "up 1"]
    assert told.counted == ["down", "down"]


@pytest.mark.parametrize(("quiet", "times"), [(QUIET_SECONDS - 0.001, 1), (QUIET_SECONDS, 2)])
def test_quiet(told: Told, quiet: float, times: int) -> None:
    """A trouble that nothing ends is over when it has not been met for a minute."""
    told.episodes.met("refuses", "full")
    told.clock.tick(quiet)
    told.episodes.met("refuses", "full")
    assert told.lines == [("WARNING", "full")] * times
    assert told.counted == ["refuses"] * times


def test_goes_on(told: Told) -> None:
    """As long as it is met again and again, it is the same one, for hours."""
    for _ in range(200):
        told.episodes.met("refuses", "full")
        told.clock.tick(QUIET_SECONDS - 1)
    assert told.lines == [("WARNING", "full")]
    assert told.counted == ["refuses"]


def test_kinds(told: Told) -> None:
    """Troubles of different kinds begin and end each for itself."""
    told.episodes.met("down", "down")
    told.episodes.met("refuses", "full")
    told.episodes.over("down", "up again")
    told.episodes.met("refuses", "full")
    assert [line for _, line in told.lines] == ["down", "full", "up again"]
    assert told.counted == ["down", "refuses"]
    assert (told.episodes.lasts("down"), told.episodes.lasts("refuses")) == (False, True)
