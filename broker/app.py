"""create_app: the one place where every part meets; and `Broker`, which mounts the API in somebody else's Flask app."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from broker import logs, vending
from broker.credentials.cache import CredentialCache
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore, connect
from broker.credentials.sts import Issuer, source_key
from broker.errors import ConfigurationError, Problem
from broker.identity.api_keys import ApiKeys
from broker.identity.jwks import KeySet
from broker.identity.jwt import JwtVerifier
from broker.identity.key_sources import fetch_url, read_file
from broker.identity.principals import Authenticator, Principal
from broker.policy import catalog
from broker.policy.checks import Limits
from broker.policy.routes import Ask, Route
from broker.settings import JwtSettings, Settings
from broker.web import operations, problems, vend

Clock = Callable[[], int]


def system_clock() -> int:
    """Now, in Unix seconds."""
    return int(time.time())


def create_app(settings: Settings | None = None, clock: Clock = system_clock) -> Flask:
    """The broker as an application of its own. Raises ConfigurationError with all that keeps it from starting."""
    settings = settings or Settings.from_environ()
    logs.configure(settings.log_level, settings.log_format)
    broker = Broker(settings=settings, clock=clock)
    app = Flask("broker", static_folder=None)
    broker.init_app(app)
    app.after_request(problems.finish)
    problems.register(app)
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
        clock: Clock = system_clock,
    ) -> None:
        settings = settings or Settings.from_environ()
        found: list[Problem] = []
        self._catalog: catalog.Catalog = _collected(found, lambda: load_policies(settings))
        self._key_set = _collected(found, lambda: _key_set(settings.jwt, clock))
        api_keys = _collected(found, lambda: ApiKeys(settings.api_keys, clock) if settings.api_keys else None)
        source = _collected(found, lambda: source_key(settings.secret_id, settings.secret_key))
        if found:
            raise ConfigurationError(found)
        self._issuer = Issuer(source, settings.sts_endpoint, settings.sts_region)
        self._store = _store(settings)
        _check_source(self._issuer, self._catalog)
        verifier = _verifier(settings.jwt, self._key_set)
        self._authenticator = Authenticator(verifier, api_keys, settings.anonymous)
        self._desk = vending.Desk(lambda: self._catalog, CredentialCache(self._issuer, self._store, clock), clock)
        if app is not None:
            self.init_app(app, url_prefix)

    def init_app(self, app: Flask, url_prefix: str | None = None) -> None:
        """Mount the API in an application; `app.extensions["broker"]` is this broker."""
        blueprint = Blueprint("broker", __name__, url_prefix=url_prefix)
        vend.register(blueprint, self._desk, self._authenticator)
        operations.register(blueprint, self.readiness)
        blueprint.after_request(problems.finish)
        problems.register(blueprint)
        app.register_blueprint(blueprint)
        app.extensions["broker"] = self

    def route(self, name: str) -> Route:
        """A route by name. Raises NotFound."""
        return self._catalog.route(name)

    def vend(self, route: str, ask: Ask, principal: Principal) -> vending.Grant:
        """A grant for a principal that the caller has authenticated; every other check applies."""
        return self._desk.vend(route, ask, principal)

    def readiness(self) -> operations.Readiness:
        """What `/readyz` tells. The first question starts the first load of the JWKS."""
        if self._key_set is not None:
            self._key_set.ensure_loading()
        return operations.Readiness(
            ready=self._key_set is None or self._key_set.loaded,
            redis=self._store is None or self._store.ping(),
            sts=self._issuer.serving,
            reload=True,
            policies_generation=self._catalog.generation,
        )


def load_policies(settings: Settings) -> catalog.Catalog:
    """The routes of the configured folder. Raises ConfigurationError."""
    return catalog.load(settings.policies, Limits(settings.policy_bytes, settings.cos_endpoint))


def _collected(found: list[Problem], part: Callable[[], Any]) -> Any:
    try:
        return part()
    except ConfigurationError as error:
        found += error.problems
        return None


def _key_set(settings: JwtSettings | None, clock: Clock) -> KeySet | None:
    if settings is None:
        return None
    fetch = fetch_url(settings.jwks) if "://" in settings.jwks else read_file(settings.jwks)
    return KeySet(fetch, clock)


def _verifier(settings: JwtSettings | None, key_set: KeySet | None) -> JwtVerifier | None:
    if settings is None or key_set is None:
        return None
    return JwtVerifier(key_set, settings.issuer, settings.audience, settings.algorithms)


def _store(settings: Settings) -> CredentialStore | None:
    if not settings.redis_url:
        return None
    return CredentialStore(connect(settings.redis_url), Sealer(settings.cache_keys))


def _check_source(issuer: Issuer, routes: catalog.Catalog) -> None:
    if not issuer.temporary:
        return
    unfit = [name for name, route in routes.routes.items() if route.document.credential.role_arn is None]
    if unfit:
        message = (
            "the key for STS is itself temporary, and STS lets such a key only assume a role: set it on this route"
        )
        raise ConfigurationError(Problem(f"route {name}", "credential.role_arn", message) for name in unfit)
