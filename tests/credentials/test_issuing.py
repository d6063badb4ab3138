"""How patient the issuer is: tries, pauses, and the time it takes in all."""

from __future__ import annotations

import pytest

from broker.credentials.issuing import Issuer
from broker.credentials.refusals import Refusal, refusal
from broker.credentials.scope import Scope
from broker.credentials.sts import Answer, source_key
from broker.credentials.timekeeping import Timekeeper
from broker.errors import UpstreamError, UpstreamUnavailable
from tests.doubles import NOW, Clock

SCOPE = Scope("{}", 1800)
WHOLE = Answer("AKID1", "KEY1", "TOKEN1", NOW + 1800, "request-1")
HANGS = "hangs"


class StsDouble:
    """Answers as scripted and keeps how long each try was given; a try that hangs takes all of it."""

    def __init__(self, clock: Clock, script: list[str | Answer]) -> None:
        self.clock = clock
        self.script = script
        self.given: list[float] = []

    def call(self, scope: Scope, timeout_seconds: float) -> Answer:
        """The next answer."""
        self.given.append(round(timeout_seconds, 3))
        answer = self.script.pop(0)
        if answer is HANGS:
            self.clock.tick(timeout_seconds)
            raise refusal("ClientNetworkError", None)
        if isinstance(answer, str):
            raise refusal(answer, "request-0")
        return answer


class Patience:
    """An issuer in front of an StsDouble, with everything that it did."""

    def __init__(self, *script: str | Answer, draw: float = 1.0) -> None:
        self.clock = Clock()
        self.paused: list[float] = []
        self.outcomes: list[str] = []
        self.permits = 0
        self.issuer = Issuer(
            source_key("AKID", "KEY"),
            "https://sts.test",
            "ap-guangzhou",
            Timekeeper(self.clock, self.clock.monotonic),
            monotonic=self.clock.monotonic,
            sleep=self.sleep,
            draw=lambda most: most * draw,
            count=self.outcomes.append,
        )
        self.sts = self.issuer._sts = StsDouble(self.clock, list(script))

    def sleep(self, seconds: float) -> None:
        """Let the pause pass."""
        self.paused.append(seconds)
        self.clock.tick(seconds)

    def permit(self) -> None:
        """Count a permission."""
        self.permits += 1

    def issue(self):
        """What comes of it, an error included."""
        try:
            return self.issuer.issue(SCOPE, self.permit)
        except UpstreamError as error:
            return error


@pytest.mark.parametrize(
    ("script", "tries", "outcomes"),
    [
        ([WHOLE], 1, ["issued"]),
        (["RequestLimitExceeded", WHOLE], 2, ["throttled", "issued"]),
        (["InvalidParameter.OverLimit", "InternalError.DbError", WHOLE], 3, ["throttled", "unavailable", "issued"]),
        (["ServerNetworkError", "ClientNetworkError", "ResourceUnavailable"], 3, ["unavailable"] * 3),
        (["AuthFailure.SignatureExpire", WHOLE], 2, ["unavailable", "issued"]),
        (["AuthFailure.SignatureExpire", "AuthFailure.SignatureExpire"], 2, ["unavailable"] * 2),
        (["AuthFailure.SecretIdNotFound"], 1, ["refused"]),
        (["InvalidParameter.PolicyTooLong"], 1, ["refused"]),
        (["InternalError.IllegalRole"], 1, ["refused"]),
        (["SomethingNew"], 1, ["unavailable"]),
        (["RequestLimitExceeded", "InvalidParameter.StrategyInvalid"], 2, ["throttled", "refused"]),
    ],
)
def test_tries(script, tries, outcomes):
    """At most two more tries, for what may pass alone; a success after a failure is a success."""
    patience = Patience(*script)
    given = patience.issue()
    assert (len(patience.sts.given), patience.permits, patience.outcomes) == (tries, tries, outcomes)
    assert getattr(given, "secret_id", None) == ("AKID1" if script[-1] is WHOLE else None)


@pytest.mark.parametrize(("draw", "paused"), [(0.0, [0, 0]), (0.5, [0.25, 0.5]), (1.0, [0.5, 1.0])])
def test_full_jitter(draw, paused):
    """All of a pause is drawn, and the second may be twice as long as the first."""
    patience = Patience("InternalError", "InternalError", WHOLE, draw=draw)
    assert patience.issue().secret_id == "AKID1"
    assert patience.paused == paused


@pytest.mark.parametrize(
    ("script", "draw", "given", "seconds"),
    [
        ([HANGS, WHOLE], 1.0, [7, 0.5], 7.5),
        ([HANGS, HANGS, WHOLE], 0.0, [7, 1], 8),
        (["InternalError", HANGS, WHOLE], 1.0, [7, 7], 7.5),
        (["InternalError", HANGS, HANGS], 0.5, [7, 7, 0.25], 8),
    ],
)
def test_time_in_all(script, draw, given, seconds):
    """Seven seconds a try, eight in all; a try that could not end well is not begun."""
    patience = Patience(*script, draw=draw)
    began = patience.clock.monotonic()
    patience.issue()
    assert patience.sts.given == given
    assert patience.clock.monotonic() - began == pytest.approx(seconds)


def test_not_permitted():
    """What the permission raises ends the matter, before the first try and before any other."""

    class Denied(Exception):
        pass

    def deny() -> None:
        raise Denied

    patience = Patience(WHOLE)
    with pytest.raises(Denied):
        patience.issuer.issue(SCOPE, deny)
    assert patience.sts.given == []


@pytest.mark.parametrize(
    ("code", "error", "about", "tries", "answered"),
    [
        ("AuthFailure.SignatureFailure", UpstreamError, "source", 1, False),
        ("UnauthorizedOperation", UpstreamError, "source", 1, False),
        ("FailedOperation.TempKeyNotAllowed", UpstreamError, "source", 1, False),
        ("InvalidParameter.AccessKeyNotSupport", UpstreamError, "source", 1, False),
        ("InvalidParameter.StrategyFormatError", UpstreamError, "scope", 1, True),
        ("InvalidParameter.GrantOtherResource", UpstreamError, "scope", 1, True),
        ("ResourceNotFound.RoleNotFound", UpstreamError, "scope", 1, True),
        ("MissingParameter", UpstreamError, "scope", 1, True),
        ("RequestLimitExceeded", UpstreamUnavailable, "source", 3, False),
        ("InvalidParameter.OverLimit", UpstreamUnavailable, "source", 3, False),
        ("ClientNetworkError", UpstreamUnavailable, "network", 3, False),
        ("InternalError.DbError", UpstreamUnavailable, "scope", 3, False),
        ("AuthFailure.SignatureExpire", UpstreamUnavailable, "network", 2, False),
        ("RequestLimitExceededX", UpstreamUnavailable, "scope", 1, False),
        ("AuthFailureX", UpstreamUnavailable, "scope", 1, False),
    ],
)
def test_codes(code, error, about, tries, answered):
    """What a code means: for good or not, about the source or the scope, worth how many tries."""
    found = refusal(code, "r-1")
    assert isinstance(found, Refusal)
    assert (type(found.error), found.error.about) == (error, about)
    assert (found.tries, found.answered) == (tries, answered)
    assert f"{code}, RequestId r-1" in found.error.detail
    assert "RequestId" not in refusal(code, None).error.detail
