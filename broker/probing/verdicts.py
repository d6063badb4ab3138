"""What an answer of COS proves, and how one attempt is told."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from broker.cos.client import Answer
from broker.cos.signing import Request

ALLOWED, REFUSED = "allowed", "refused"
HARMLESS = "refused or without effect"
# CAM has let through what ends so: there is nothing there, it is there already, or it is not served (501).
_AFTER_CAM = frozenset({304, 404, 409, 412, 416, 501})


class Verdict(Enum):
    """Whether a request was let through. UNTOLD: it failed for a reason that proves neither."""

    ALLOWED = ALLOWED
    REFUSED = REFUSED
    UNTOLD = "could not be told"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing tried: what is promised, whether that held, and what came. `told` is False if nobody can say."""

    name: str
    expectation: str
    held: bool
    got: str
    told: bool = True

    def of(self, door: str) -> Attempt:
        """The same, told of a door."""
        return replace(self, name=f"{door}: {self.name}")

    def line(self) -> str:
        """One line for people."""
        if self.held:
            return f"ok               {self.name}: {self.got}"
        mark = "NOT AS PROMISED" if self.told else "CANNOT BE TOLD "
        return f"{mark}  {self.name}: expected {self.expectation}, got {self.got}"

    def described(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


def verdict(request: Request, answer: Answer, refusals: Set[int | str] = frozenset()) -> Verdict:
    """What an answer proves. `refusals` are the statuses and codes that say no beside 403 AccessDenied."""
    if answer.status in refusals or answer.code in refusals:
        return Verdict.REFUSED
    if answer.status == 403:
        # HEAD brings no code; an expired or wrong signature would be another one elsewhere.
        denied = answer.code == "AccessDenied" or (request.method == "HEAD" and not answer.code)
        return Verdict.REFUSED if denied else Verdict.UNTOLD
    # Without a bucket nobody has asked CAM; HEAD of it brings no code.
    no_bucket = answer.code == "NoSuchBucket" or (answer.status == 404 and not answer.code and not request.key)
    if worked(answer) or (answer.status in _AFTER_CAM and not no_bucket):
        return Verdict.ALLOWED
    return Verdict.UNTOLD


def worked(answer: Answer) -> bool:
    """Whether a request has been done. 303 sends a form's browser on.

    A success with a code is none: what takes long may fail after its status.
    """
    return (200 <= answer.status < 300 and not answer.code) or answer.status == 303


def said(answer: Answer) -> str:
    """An answer in brief: status and code."""
    return f"{answer.status} {answer.code}".rstrip()


def judged(name: str, expectation: str, found: Verdict, what: str) -> Attempt:
    """An attempt whose expectation is `allowed` or `refused`."""
    got = what if found is Verdict.UNTOLD else f"{found.value} ({what})"
    return Attempt(name, expectation, found.value == expectation, got, told=found is not Verdict.UNTOLD)


def untold(name: str, expectation: str, why: str) -> Attempt:
    """An attempt that proves nothing."""
    return Attempt(name, expectation, held=False, got=why, told=False)
