"""However many ask at once: one call of STS for the fleet, and one answer for everybody."""

from __future__ import annotations

import itertools

import pytest

from broker.emulator.faults import Fault
from tests.chaos.fleet import eventually, sts_calls, together

ASKERS = 40


def test_cold_scope(fleet, emulator):
    """Asks for one cold scope over two brokers and three workers: one call, and the same credential for all."""
    emulator.order_fault(Fault("sts", 1, delay_seconds=0.5))
    answers = together(ASKERS, lambda number: fleet.ask(number, "cold"))
    assert [answer.status for answer in answers] == [200] * ASKERS
    assert len({answer.secret_id for answer in answers}) == 1
    assert sts_calls(emulator) == 1


def test_many_cold_scopes(fleet, emulator):
    """Asks for several cold scopes at once: one call for each, and nobody gets another's credential."""
    answers = together(ASKERS, lambda number: fleet.ask(number // 2, f"many-{number % 8}"))
    assert [answer.status for answer in answers] == [200] * ASKERS
    whose = {(number % 8, answer.secret_id) for number, answer in enumerate(answers)}
    assert (len(whose), len({secret_id for _, secret_id in whose})) == (8, 8)
    assert sts_calls(emulator) == 8


def test_without_redis(own_cloud, start):
    """Without Redis each worker is a fleet of its own: at most one call for each of them."""
    broker = start(own_cloud, None, workers=3)
    own_cloud.order_fault(Fault("sts", 3, delay_seconds=0.5))
    answers = together(ASKERS, lambda number: broker.ask("cold"))
    assert [answer.status for answer in answers] == [200] * ASKERS
    assert len({answer.secret_id for answer in answers}) == sts_calls(own_cloud) <= 3


class TestRefusal:
    """A leader that fails tells everybody."""

    def test_permanent(self, fleet, emulator):
        """A refusal that asking again does not change: 502 for all after one call, and none in the next minute."""
        emulator.order_fault(Fault("sts", 1, "InvalidParameter.StrategyFormatError", 0.5))
        answers = together(ASKERS, lambda number: fleet.ask(number, "refused"))
        assert {(answer.status, answer.code) for answer in answers} == {(502, "sts_refused")}
        later = together(ASKERS, lambda number: fleet.ask(number, "refused"))
        assert {(answer.status, answer.code) for answer in later} == {(502, "sts_refused")}
        assert sts_calls(emulator) == 1
        # It was about one scope.
        assert fleet.ask(0, "another").status == 200

    def test_passing(self, fleet, emulator):
        """A refusal that may pass: 503 for all after three tries, no call for two seconds, then served."""
        emulator.order_fault(Fault("sts", 3, "RequestLimitExceeded", 0.2))
        answers = together(ASKERS, lambda number: fleet.ask(number, "throttled"))
        assert {(answer.status, answer.code) for answer in answers} == {(503, "sts_unavailable")}
        assert {answer.headers["retry-after"] for answer in answers} <= {"1", "2"}
        assert sts_calls(emulator) == 3
        ended = max(answer.began + answer.seconds for answer in answers)
        later = together(ASKERS, lambda number: fleet.ask(number, "throttled"))
        assert {(answer.status, answer.code) for answer in later} == {(503, "sts_unavailable")}
        assert sts_calls(emulator) == 3
        # Asking as often as one can would spend a caller's share of new credentials.
        turns = itertools.count()
        served = eventually(lambda: (answer := fleet.ask(0, f"later-{next(turns)}")).status == 200 and answer, 5)
        assert 1 < served.began + served.seconds - ended < 4
        assert sts_calls(emulator) == 4

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "InternalError"])
    def test_passed(self, fleet, emulator, code):
        """A refusal that passes with the second try: nobody hears of it."""
        emulator.order_fault(Fault("sts", 1, code, 0.2))
        answers = together(ASKERS, lambda number: fleet.ask(number, f"lucky-{code}"))
        assert [answer.status for answer in answers] == [200] * ASKERS
        assert len({answer.secret_id for answer in answers}) == 1
        assert sts_calls(emulator) == 2
