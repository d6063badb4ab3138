"""What came of each ask: written, and counted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from broker.audit import lines, writing
from broker.audit.visits import BATCH, Visit
from broker.audit.writing import logger
from broker.batching import Outcome
from broker.credentials.credential import Credential
from broker.errors import BrokerError
from broker.identity.principals import Principal
from broker.metrics import Metrics
from broker.vending import Vended


@dataclass(slots=True)
class _Lot:
    """The grants of a batch that have vend and credential in common, and how their lines begin."""

    vend: str
    credential: Credential
    begun: str
    count: int = 0


class Audit:
    """Writes and counts outcomes. `clock` tells the time of lines in Unix seconds, `monotonic` how long asks took."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic

    def visit(self, now: int, request_id: str | None = None, principal: Principal | None = None) -> Visit:
        """A call that begins now."""
        return Visit(now, self._monotonic(), request_id, principal)

    @contextlib.contextmanager
    def refusals(self, visit: Visit) -> Iterator[None]:
        """Leaves a line of whatever is raised, and lets it pass."""
        try:
            yield
        except BrokerError as error:
            self.refused(visit, error.status, error.code, error.detail)
            raise
        except Exception:  # a bug is told like a refusal, and passes on to whoever called
            self.refused(visit, 500, "internal_error", "a bug")
            raise

    def granted(self, visit: Visit, grant: Vended) -> None:
        """A single ask was granted; the visit knows route and vend."""
        route, vend, credential = visit.route or "", visit.vend or "", grant.credential
        seconds = self._monotonic() - visit.began
        self._metrics.granted(route, vend, seconds, visit.now, credential.expires_at - visit.now)
        if logger.isEnabledFor(logging.INFO):
            writing.write(lines.granted(lines.begun(visit, vend, credential, self._clock(), seconds), grant))

    def refused(self, visit: Visit, status: int, code: str, detail: str) -> None:
        """An ask was refused, or a batch as a whole."""
        seconds = self._monotonic() - visit.began
        self._metrics.refused(visit.route, code)
        if visit.route and visit.vend:
            self._metrics.answered(visit.route, visit.vend, seconds)
        if logger.isEnabledFor(lines.level(status)):
            asked = visit.ask._asdict() if visit.ask else {}
            writing.write(lines.refused(visit, status, code, detail, self._clock(), seconds, asked))

    def settled(self, visit: Visit, unverified_asks: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
        """Each ask of a batch was granted or refused: a line for each, written together."""
        route, seconds, instant = visit.route or "", self._monotonic() - visit.began, self._clock()
        self._metrics.answered(route, BATCH, seconds)
        granted_told = logger.isEnabledFor(logging.INFO)
        lots: dict[tuple[str, int], _Lot] = {}
        told = []
        for item, (unverified, outcome) in enumerate(zip(unverified_asks, outcomes, strict=True)):
            if isinstance(outcome, BrokerError):
                self._metrics.refused(route, outcome.code)
                if logger.isEnabledFor(lines.level(outcome.status)):
                    told.append(_refused_item(visit, unverified, outcome, instant, seconds, item))
                continue
            credential, vend = outcome.credential, unverified["vend"]
            lot = lots.get((vend, id(credential)))  # by identity: to compare two costs as much as a line
            if lot is None:
                begun = lines.begun(visit, vend, credential, instant, seconds)
                lot = lots[vend, id(credential)] = _Lot(vend, credential, begun)
            lot.count += 1
            if granted_told:
                told.append(lines.granted(lot.begun, outcome, f', "item": {item}'))
        for lot in lots.values():
            remaining_seconds = lot.credential.expires_at - visit.now
            self._metrics.granted_many(route, lot.vend, lot.count, visit.now, remaining_seconds)
        writing.write_many(told)


def _refused_item(visit: Visit, unverified: Any, error: BrokerError, instant: float, seconds: float, item: int) -> str:
    asked = unverified if isinstance(unverified, dict) else {}
    return lines.refused(visit, error.status, error.code, error.detail, instant, seconds, asked, item)
