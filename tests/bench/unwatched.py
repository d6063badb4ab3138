"""A broker that writes no audit line and counts nothing: the yardstick of what both cost. Wired for this alone."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask

from broker import parts, vending
from broker.app import system_clock
from broker.audit.outcomes import Audit
from broker.audit.visits import Visit
from broker.credentials.cache import CredentialCache
from broker.credentials.issuing import Issuer
from broker.credentials.minting import Mint
from broker.credentials.timekeeping import Timekeeper
from broker.draining import politely
from broker.limits import Budgets, Rates
from broker.metrics import Metrics
from broker.reloading import Policies
from broker.serving import run
from broker.web import problems, vend
from broker.web.answers import Answer
from broker.web.application import Application
from broker.web.views import Views


class Silent(Audit):
    """Neither writes nor counts."""

    def __init__(self) -> None:
        super().__init__(Metrics(""), time.time, time.monotonic)
        self._visit = Visit(0, 0.0)

    def visit(self, now: int, request_id: str | None = None, principal: Any = None) -> Visit:
        """The same for everybody."""
        self._visit.now = now
        return self._visit

    def granted(self, visit: Visit, grant: Any) -> None:
        """Nothing."""

    def refused(self, visit: Visit, status: int, code: str, detail: str) -> None:
        """Nothing."""

    def settled(self, visit: Visit, unverified_asks: Any, outcomes: Any) -> None:
        """Nothing."""


def load_app(draining: Callable[[], bool]) -> Flask:
    """The views of `/v1` with all that is behind them, but for Redis."""
    settings = parts.settings_of_environment()
    whole = parts.assemble(settings, time.monotonic)
    timekeeper = Timekeeper(system_clock, time.monotonic)
    issuer = Issuer(whole.source, settings.sts_endpoint, settings.sts_region, timekeeper)
    mint = Mint(issuer, None, Budgets(settings.sts_budget, None), timekeeper, time.monotonic, time.sleep)
    cache = CredentialCache(mint, None, timekeeper, time.monotonic)
    policies = Policies(whole.policies, time.time_ns, lambda catalog: None)
    app, blueprint, audit = Application("broker"), Blueprint("broker", __name__), Silent()
    views = Views(blueprint, audit, None)
    vend.register(views, vending.Desk(policies, cache, Rates(None), timekeeper), whole.authenticator)
    views.add("/readyz", "readyz", lambda environ: Answer(b"{}"))
    problems.register(blueprint, audit)
    app.register_blueprint(blueprint)
    app.wsgi_app = politely(app.wsgi_app, draining)
    gc.freeze()  # as `serve` does
    return app


if __name__ == "__main__":
    run(load_app, "127.0.0.1", int(sys.argv[1]), 1, 32)
