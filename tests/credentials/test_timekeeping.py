"""What time it is: measured, bounded, and sceptical of the local clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.credentials.timekeeping import Timekeeper
from tests.doubles import NOW, Clock


@pytest.fixture
def keeper(clock) -> Timekeeper:
    """A timekeeper on the test's clock."""
    return Timekeeper(clock, clock.monotonic)


class TestMeasured:
    """The `Date` of STS's answers."""

    def test_no_answer_yet(self, keeper, clock):
        """Without a measurement the local clock counts."""
        clock.tick(100)
        assert (keeper(), keeper.skew_seconds) == (NOW + 100, 0)

    @pytest.mark.parametrize(("off", "skew"), [(4, 0), (-4, 0), (5, 5), (-5, -5), (3600, 3600), (-3600, -3600)])
    def test_bound(self, keeper, clock, off, skew):
        """Less than five seconds is nothing."""
        keeper.observe(NOW + off, 0)
        assert (keeper.skew_seconds, keeper()) == (skew, NOW + skew)

    def test_round_trip(self, keeper):
        """The answer was dated half a round trip ago."""
        keeper.observe(NOW + 100, 4)
        assert keeper.skew_seconds == 102

    def test_median(self, keeper):
        """One odd answer among five changes nothing, three do."""
        for date in (NOW, NOW + 1, NOW, NOW, NOW + 5000):
            keeper.observe(date, 0)
        assert keeper.skew_seconds == 0
        for _ in range(2):
            keeper.observe(NOW + 5000, 0)
        assert keeper.skew_seconds == 5000

    def test_last_five(self, keeper):
        """Older answers are forgotten."""
        for off in (9000, 9000, 9000, 9000, 9000, 100, 100, 100):
            keeper.observe(NOW + off, 0)
        assert keeper.skew_seconds == 100

    @pytest.mark.parametrize("seconds", [1200, -1200])
    def test_overtaken(self, keeper, clock, seconds):
        """An answer that was on its way while the clock was set tells nothing; the next one does."""
        keeper.observe(NOW, 0)
        sent = keeper.steps
        clock.step(seconds)
        keeper.observe(NOW, 0, sent)
        assert keeper.doubtful
        assert keeper() == NOW + max(seconds, 0)
        keeper.observe(NOW, 0, keeper.steps)
        assert (keeper(), keeper.doubtful) == (NOW, False)

    @pytest.mark.parametrize("seconds", [1200, -1200])
    def test_step_before_the_question(self, keeper, clock, seconds):
        """A step that nobody has seen when the question is sent does not overtake its answer."""
        clock.step(seconds)
        keeper.observe(NOW, 0, keeper.steps)
        assert (keeper(), keeper.doubtful, keeper.steps) == (NOW, False, 1)

    def test_told(self, clock):
        """Whoever wants to know the skew is told each time it is measured."""
        told = []
        keeper = Timekeeper(clock, clock.monotonic, told.append)
        keeper.observe(NOW + 60, 0)
        keeper.observe(NOW, 0)
        assert told == [60, 30]


class TestSteps:
    """Somebody, or something, sets the local clock."""

    @pytest.mark.parametrize("seconds", [4, 5, 3600])
    def test_backwards(self, keeper, clock, seconds):
        """Time does not go back: a set clock is not believed until STS says so."""
        clock.step(-seconds)
        assert NOW - 4 <= keeper() <= NOW
        clock.tick(10)
        assert NOW + 6 <= keeper() <= NOW + 10
        keeper.observe(NOW - seconds + 10, 0)
        assert keeper() == NOW - seconds + 10

    def test_backwards_after_a_measurement(self, keeper, clock):
        """A clock that was an hour ahead and is put right: the measured time goes on."""
        keeper.observe(NOW - 3600, 0)
        assert keeper() == NOW - 3600
        clock.step(-3600)
        assert keeper() == NOW - 3600
        keeper.observe(NOW - 3600, 0)
        assert (keeper(), keeper.skew_seconds) == (NOW - 3600, 0)

    def test_forwards(self, keeper, clock):
        """A step forwards may be a machine that slept: it is believed, until STS says otherwise."""
        for _ in range(5):
            keeper.observe(NOW, 0)
        clock.step(3600)
        assert keeper() == NOW + 3600
        keeper.observe(NOW, 0)
        assert (keeper(), keeper.skew_seconds) == (NOW, -3600)

    def test_there_and_back(self, keeper, clock):
        """A clock that is set back and then right again: nobody knows, and the later time is the safe one."""
        clock.step(-3600)
        assert keeper() == NOW
        clock.step(3600)
        assert keeper() == NOW + 3600
        keeper.observe(NOW, 0)
        assert (keeper(), keeper.skew_seconds) == (NOW, 0)

    @pytest.mark.parametrize(("seconds", "steps"), [(4, 0), (-4, 0), (5, 1), (-5, 1)])
    def test_smallest(self, keeper, clock, seconds, steps):
        """Less than five seconds is no step, in either direction."""
        clock.step(seconds)
        assert (keeper.steps, keeper.steps) == (steps, steps)

    def test_noticed_by_two(self):
        """A step that another thread has noticed in between is counted once."""
        readings = iter([NOW, NOW + 3600, NOW])
        keeper = Timekeeper(lambda: next(readings), lambda: 1000.0)
        assert (keeper.steps, keeper.doubtful, keeper.skew_seconds) == (0, True, 0)

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    def test_noticed_by_an_answer(self, keeper, clock, seconds):
        """An answer that comes right after the step is the one that counts."""
        for _ in range(5):
            keeper.observe(NOW, 0)
        clock.step(seconds)
        keeper.observe(NOW, 0)
        assert keeper() == NOW


class TestDoubt:
    """Nobody has said what time it is."""

    def test_asks(self, keeper, clock):
        """Whoever is asked for the time has STS asked, every two seconds, until it answers."""
        asked = []
        keeper.asks(lambda: asked.append(clock.monotonic() - 1000))
        for _ in range(50):
            keeper()
            clock.tick(0.1)
        assert [round(at, 1) for at in asked] == [0, 2, 4]
        keeper.observe(clock(), 0)
        clock.tick(60)
        keeper()
        assert (len(asked), keeper.doubtful) == (3, False)

    @pytest.mark.parametrize("seconds", [-300, 300])
    def test_step(self, keeper, clock, seconds):
        """A step of the local clock is a new doubt, and is asked about at once."""
        asked = []
        keeper.asks(lambda: asked.append(1))
        keeper(), keeper.observe(NOW, 0)
        clock.step(seconds)
        keeper(), keeper()
        assert (len(asked), keeper.doubtful) == (2, True)
        keeper.observe(NOW, 0)
        assert (keeper(), keeper.doubtful) == (NOW, False)


@settings(derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(["tick", "step", "sleep", "answer"]), st.integers(0, 5000))))
def test_never_late(happenings):
    """Whatever happens to the local clock: what is dead is never thought alive, but for what is ignored."""
    clock, true = Clock(), float(NOW)
    keeper = Timekeeper(clock, clock.monotonic)
    keeper.observe(true, 0)
    for what, seconds in happenings:
        if what == "tick":
            clock.tick(seconds)
            true += seconds
        elif what == "step":
            clock.step(2500 - seconds)
        elif what == "sleep":
            clock.step(seconds)  # the monotonic clock stands still
            true += seconds
        else:
            keeper.observe(true, 0)
        assert keeper() >= true - 10 - 5 * len(happenings)
