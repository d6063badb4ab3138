"""What `serve` must find whole before anything starts: settings, routes, identities, the key for STS.

Flask and Redis are not needed for that and not imported: what is unsound is told sooner.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.credentials.sts import SourceKey, source_key
from broker.errors import ConfigurationError, Problem
from broker.identity.api_keys import ApiKeys
from broker.identity.jwks import KeySet
from broker.identity.jwt import JwtVerifier
from broker.identity.key_sources import KeySourceError, fetch_url, read_file
from broker.identity.principals import Authenticator
from broker.identity.public_keys import KeySetError, parse_key_set
from broker.policy.admission import Admission
from broker.policy.catalog import Folder
from broker.policy.limits import Limits
from broker.policy.viewers import viewers
from broker.settings import JwtSettings, Settings

Clock = Callable[[], int]
Monotonic = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Parts:
    """The broker without its edges. `key_set` is None without JWTs, `api_keys` without a file of them.

    `source` is the key that asks STS. `viewers`: who may see the console; None without one.
    """

    policies: Folder
    key_set: KeySet | None
    api_keys: ApiKeys | None
    authenticator: Authenticator
    source: SourceKey
    viewers: Admission | None = None


def settings_of_environment() -> Settings:
    """The environment's settings. Raises ConfigurationError with everything that is wrong with them or any part."""
    settings, problems = Settings.read()
    if problems:
        assemble(settings, time.monotonic, problems)
    return settings


def assemble(
    settings: Settings, monotonic: Monotonic, problems: Sequence[Problem] = (), *, replacing: bool = False
) -> Parts:
    """All parts, or everything that is wrong with any, after `problems` known before. Raises ConfigurationError.

    `monotonic` is a clock that is never set. `replacing`: for a worker in the place of another, which policy files that
    have become unsound do not stop.
    """
    found = list(problems)
    told = {problem.field for problem in problems}
    key_set = _collected(found, lambda: _key_set(settings.jwt, monotonic))
    api_keys = _collected(found, lambda: _api_keys(settings.api_keys, monotonic) if settings.api_keys else None)
    source = None
    if told.isdisjoint({"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"}):
        source = _collected(found, lambda: source_key(settings.secret_id, settings.secret_key))
    role_required = source is not None and bool(source.token)
    policies = _collected(found, lambda: _policies(settings, role_required, replacing))
    claims = settings.console_claims
    seen_by = _collected(found, lambda: viewers(claims)) if claims is not None else None
    if found or source is None:
        raise ConfigurationError(found)
    verifier = _verifier(settings.jwt, key_set)
    return Parts(policies, key_set, api_keys, Authenticator(verifier, api_keys, settings.anonymous), source, seen_by)


def limits(settings: Settings, *, role_required: bool = False) -> Limits:
    """What the settings say about policy files; `role_required`: the key for STS is itself temporary."""
    return Limits(settings.policy_bytes, settings.cos_endpoint, settings.policy_variables, role_required)


def _policies(settings: Settings, role_required: bool, replacing: bool) -> Folder:
    with _naming("BROKER_POLICIES", str(settings.policies)):
        return Folder(settings.policies, limits(settings, role_required=role_required), tolerant=replacing)


def _api_keys(path: Path, monotonic: Monotonic) -> ApiKeys:
    with _naming("BROKER_API_KEYS", str(path)):
        return ApiKeys(path, monotonic)


@contextlib.contextmanager
def _naming(variable: str, path: str) -> Iterator[None]:
    """Problems with a path itself name the setting that it is; those in its files are found by file and field."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(
            [
                Problem("environment", variable, str(one))
                if (one.source, one.field, one.line) == (path, "", None)
                else one
                for one in error.problems
            ]
        ) from None


def _collected(found: list[Problem], part: Callable[[], Any]) -> Any:
    try:
        return part()
    except ConfigurationError as error:
        found += error.problems
        return None


def _key_set(settings: JwtSettings | None, monotonic: Monotonic) -> KeySet | None:
    if settings is None:
        return None
    if "://" in settings.jwks:
        return KeySet(fetch_url(settings.jwks), monotonic)
    fetch = read_file(settings.jwks)
    try:
        parse_key_set(fetch())
    except (KeySourceError, KeySetError) as error:
        raise ConfigurationError([Problem("environment", "BROKER_JWT_JWKS", f"{settings.jwks}: {error}")]) from None
    return KeySet(fetch, monotonic)


def _verifier(settings: JwtSettings | None, key_set: KeySet | None) -> JwtVerifier | None:
    if settings is None or key_set is None:
        return None
    return JwtVerifier(key_set, settings.issuer, settings.audience, settings.algorithms)
