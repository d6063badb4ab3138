"""create_app: the one place where every part meets; and `Broker`, which mounts the API in somebody else's Flask app."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from broker import logs, parts, vending
from broker.audit.outcomes import Audit
from broker.audit.visits import BATCH
from broker.batching import Outcome, vend_many
from broker.credentials.cache import CredentialCache
from broker.credentials.issuing import Issuer
from broker.credentials.minting import Mint
from broker.credentials.renewals import Renewals
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore
from broker.credentials.timekeeping import Timekeeper
from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.identity.principals import Principal
from broker.limits import Budgets, Rates
from broker.metrics import Metrics
from broker.policy.admission import Admission
from broker.policy.asks import parse_batch, parse_named_ask
from broker.policy.catalog import Catalog
from broker.reloading import Policies
from broker.settings import Settings
from broker.web import documentation, operations, problems, scripts, vend
from broker.web.application import Application
from broker.web.cross_origin import Sharing
from broker.web.views import Views

if TYPE_CHECKING:
    from broker.console.tally import Tally


def system_clock() -> int:
    """Now, in Unix seconds."""
    return int(time.time())


def create_app(
    settings: Settings | None = None,
    clock: parts.Clock = system_clock,
    monotonic: Callable[[], float] = time.monotonic,
    *,
    replacing: bool = False,
    draining: Callable[[], bool] = lambda: False,
) -> Flask:
    """The broker as an application of its own. Raises ConfigurationError with all that keeps it from starting.

    `replacing`: for a worker in the place of another, which policy files that have become unsound do not stop.
    `draining`: whether its server is about to end, and is therefore not ready.
    """
    settings = settings or parts.settings_of_environment()
    handler = logs.configure(settings.log_level, settings.log_format)
    broker = Broker(settings=settings, clock=clock, monotonic=monotonic, replacing=replacing, draining=draining)
    handler.lost = broker.metrics.lines_lost
    app = Application("broker")
    broker.init_app(app)
    problems.register(app, broker.audit)
    app.compile_paths()
    if settings.tracing:
        from broker import tracing  # with libraries that are an extra

        tracing.trace(app)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0, x_prefix=0)  # type: ignore[method-assign]
    return app


class Broker:
    """All parts of one broker, wired; as a Flask extension it touches only its own blueprint.

    Raises ConfigurationError with everything that keeps it from starting.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        settings: Settings | None = None,
        url_prefix: str | None = None,
        clock: parts.Clock = system_clock,
        monotonic: Callable[[], float] = time.monotonic,
        replacing: bool = False,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        settings = settings or parts.settings_of_environment()
        self._draining = draining
        whole = parts.assemble(settings, monotonic, replacing=replacing)
        self._key_set, self._api_keys, self._authenticator = whole.key_set, whole.api_keys, whole.authenticator
        self._anonymous, self._cors_origins = settings.anonymous, settings.cors_origins
        self._viewers, self._cos_endpoint = whole.viewers, settings.cos_endpoint
        self._tally: Tally | None = None
        self.metrics = metrics = Metrics(settings.metrics_folder)
        self.audit = Audit(metrics, time.time, monotonic)
        self._policies = Policies(whole.policies, time.time_ns, metrics.policies, metrics.settle)
        timekeeper = Timekeeper(clock, monotonic, metrics.clock_skew)
        connection = None
        if settings.redis_url:
            connection = Connection(
                topology.parse(settings.redis_url), monotonic, metrics.redis_trouble, metrics.redis_broken
            )
        self._store = store = CredentialStore(connection, Sealer(settings.cache_keys)) if connection else None
        self._issuer = Issuer(
            whole.source,
            settings.sts_endpoint,
            settings.sts_region,
            timekeeper,
            monotonic=monotonic,
            count=self._counting(clock, connection),
        )
        mint = Mint(
            self._issuer,
            store,
            Budgets(settings.sts_budget, connection, monotonic),
            timekeeper,
            monotonic,
            time.sleep,
            found=metrics.found,
            broken=metrics.sts_broken,
        )
        cache = CredentialCache(
            mint, store, timekeeper, monotonic, count=metrics.renewal, found=metrics.found, waiting=metrics.waiting
        )
        background = Renewals(at_once=1)
        timekeeper.asks(lambda: background.request("the time", self._issuer.ask_time))
        self._desk = vending.Desk(self._policies, cache, Rates(connection, monotonic), timekeeper)
        if app is not None:
            self.init_app(app, url_prefix)

    def init_app(self, app: Flask, url_prefix: str | None = None) -> None:
        """Mount the API in an application; `app.extensions["broker"]` is this broker."""

        def authenticate(environ: dict[str, Any]) -> Principal:
            return vend.enter(environ, self._authenticator, self.audit, self._desk.clock())[1]

        blueprint = Blueprint("broker", __name__, url_prefix=url_prefix)
        views = Views(blueprint, self.audit, Sharing(self._cors_origins) if self._cors_origins else None)
        vend.register(views, self._desk, self._authenticator)
        operations.register(views, self.readiness, self.metrics.exposition, authenticate)
        scripts.register(views)
        documentation.register(views, self._desk, authenticate, anonymous=self._anonymous)
        problems.register(blueprint, self.audit)
        app.register_blueprint(blueprint)
        if self._viewers is not None:
            self._mount_console(app, self._viewers, authenticate, url_prefix)
        app.extensions["broker"] = self

    def _counting(self, clock: parts.Clock, connection: Connection | None) -> Callable[[str], None]:
        """What is told of each call of STS. With a console, it is counted by the minute, too."""
        if self._viewers is None:
            return self.metrics.sts_call
        from broker.console.tally import Tally  # whoever does without the console pays nothing for it

        self._tally = tally = Tally(connection, clock)

        def count(outcome: str) -> None:
            self.metrics.sts_call(outcome)
            tally.count()

        return count

    def _mount_console(
        self,
        app: Flask,
        viewers: Admission,
        authenticate: Callable[[dict[str, Any]], Principal],
        url_prefix: str | None,
    ) -> None:
        from broker.console import views
        from broker.console.shelf import Shelves

        assert self._tally is not None  # noqa: S101  there are viewers
        console = views.Console(
            self._desk,
            authenticate,
            viewers,
            self._cos_endpoint,
            Shelves(self._store, self._desk.cache, self._issuer.fingerprint),
            self._tally,
            self.readiness,
            self.metrics.figures,
        )
        blueprint = views.blueprint(console, url_prefix or "")
        problems.register(blueprint, self.audit)
        app.register_blueprint(blueprint)

    @property
    def policies(self) -> Catalog:
        """The routes of now."""
        return self._policies()

    def refresh_policies(self) -> None:
        """Look at the policy folder now. Nobody needs to: every process does so once a second."""
        self._policies.refresh()

    def vend(self, route: str, ask: Mapping[str, Any], principal: Principal) -> vending.Vended:
        """A grant for a principal that the caller has authenticated; every other check applies.

        `ask` is what a request's body would hold, and `vend`: `{"vend": "url", "inputs": {"ext": "png"}}`. Raises
        RequestError or UpstreamError.
        """
        desk = self._desk
        visit = self.audit.visit(desk.clock(), principal=principal)
        with self.audit.refusals(visit):
            visit.ask = asked = parse_named_ask(ask)
            visit.vend = asked.vend
            visit.route = desk.find(route, principal).name
            grant = desk.vend(route, asked, principal)
        self.audit.granted(visit, grant)
        return grant

    def vend_many(self, route: str, asks: Sequence[Mapping[str, Any]], principal: Principal) -> list[Outcome]:
        """A grant or a refusal for each of up to 1,000 asks, in their order. Raises RequestError for the whole."""
        desk = self._desk
        visit = self.audit.visit(desk.clock(), principal=principal)
        visit.vend = BATCH
        with self.audit.refusals(visit):
            found = desk.find(route, principal)
            visit.route = found.name
            claims, parsed = found.admit(principal), parse_batch({"asks": list(asks)})
            outcomes = vend_many(desk, found, parsed, claims, principal, visit.now)
        self.audit.settled(visit, parsed, outcomes)
        return outcomes

    def readiness(self) -> operations.Readiness:
        """What `/readyz` tells. The first starts what the first ask would: loading the JWKS, asking STS the time."""
        if self._key_set is not None:
            self._key_set.ensure_loading()
        self._desk.clock()
        catalog = self._policies()
        return operations.Readiness(
            ready=not self._draining() and (self._key_set is None or self._key_set.loaded),
            redis=self._store is None or self._store.ping(),
            sts=self._issuer.serving,
            reload=not catalog.problems and (self._api_keys is None or self._api_keys.sound()),
            policies_generation=catalog.generation,
        )
