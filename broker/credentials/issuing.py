"""Issuer: scope -> new credential, with the patience that STS deserves and no more.

What one call is and how it can fail is in `sts`; who may ask, and when, in `minting`.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable

from broker.credentials import lifetimes
from broker.credentials.credential import Credential
from broker.credentials.refusals import Refusal
from broker.credentials.scope import Scope
from broker.credentials.sts import SourceKey, Sts
from broker.credentials.timekeeping import Timekeeper

TRY_SECONDS = 7.0
TOTAL_SECONDS = 8.0
TRIES = 3
_LEAST_TRY_SECONDS = 0.25  # a try that could not end well is not begun
_PAUSE_SECONDS = 0.5  # before the second try, at most: all of it is drawn; twice as much before the third
_TEMPORARY = "temporary"


class Issuer:
    """STS, asked with one source key. `endpoint` is scheme and authority; `region` any valid one, STS is global.

    `sleep` and `draw` (a number below its argument) are for the pauses between tries; `count` is told the outcome of
    every try.
    """

    def __init__(
        self,
        source: SourceKey,
        endpoint: str,
        region: str,
        timekeeper: Timekeeper,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float], float] = lambda most: random.uniform(0, most),  # noqa: S311  no secret
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._source = source
        self._endpoint = endpoint
        self._timekeeper = timekeeper
        self._monotonic = monotonic
        self._sleep = sleep
        self._draw = draw
        self._count = count
        self._sts = Sts(source, endpoint, region, timekeeper, monotonic)
        self._serving = True

    @property
    def temporary(self) -> bool:
        """Whether the source key is itself temporary: then STS grants it AssumeRole alone."""
        return bool(self._source.token)

    @property
    def serving(self) -> bool:
        """Whether the last call got an answer (a refusal of what was asked for is one)."""
        return self._serving

    def source_fingerprint(self, scope: Scope) -> str:
        """What failures of the source itself are kept under: the key that asks, in the role that a scope assumes.

        STS has one code for a key that may do nothing and for one that may not assume this very role.
        """
        terms = (self._source_name, self._endpoint, scope.role_arn or "", scope.external_id or "")
        return f"source-{hashlib.sha256(' '.join(terms).encode()).hexdigest()}"

    def fingerprint(self, scope: Scope) -> str:
        """What a scope's credential is kept under: the same only for the same call by the same source."""
        return scope.fingerprint(self._source_name, self._endpoint)

    def issue(self, scope: Scope, permit: Callable[[], None]) -> Credential:
        """A new credential, in at most three tries and 8 s.

        `permit` is called before every try; what it raises ends the matter. Raises UpstreamError (sts_refused) or
        UpstreamUnavailable (sts_unavailable).
        """
        deadline = self._monotonic() + TOTAL_SECONDS
        tries = 0
        while True:
            permit()
            tries += 1
            try:
                return self._try(scope, min(TRY_SECONDS, deadline - self._monotonic()))
            except Refusal as refusal:
                self._serving = refusal.answered
                self._count(refusal.outcome)
                pause = self._draw(_PAUSE_SECONDS * 2 ** (tries - 1))
                last = tries >= min(refusal.tries, TRIES)
                if last or self._monotonic() + pause + _LEAST_TRY_SECONDS > deadline:
                    raise refusal.error from None
                self._sleep(pause)

    def ask_time(self) -> None:
        """Have STS tell the timekeeper what time it is, if it answers."""
        self._sts.ask_time()

    @property
    def _source_name(self) -> str:
        return _TEMPORARY if self.temporary else self._source.secret_id

    def _try(self, scope: Scope, timeout_seconds: float) -> Credential:
        began, skew = self._timekeeper(), self._timekeeper.skew_seconds
        answer = self._sts.call(scope, timeout_seconds)
        # Counted from before the call, on STS's clock as its answer has just told it.
        asked_at = int(began + self._timekeeper.skew_seconds - skew)
        self._serving = True
        self._count("issued")
        return Credential(
            secret_id=answer.secret_id,
            secret_key=answer.secret_key,
            session_token=answer.session_token,
            issued_at=asked_at,
            expires_at=lifetimes.expiry(answer.expired_time, asked_at, scope.duration_seconds),
            request_id=answer.request_id,
            fingerprint=self.fingerprint(scope),
        )
