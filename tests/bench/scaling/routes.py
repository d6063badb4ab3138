"""The terms of a scope, taken from a real route: the policy file is loaded, checked and asked as the broker does."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import MappingProxyType

from broker.credentials.demand import Demand
from broker.errors import ConfigurationError
from broker.identity.principals import Principal
from broker.policy import catalog
from broker.policy.asks import Ask
from broker.policy.limits import Limits
from broker.policy.routes import Route
from tests.bench.scaling.lives import Terms

_NAME = "scaled"
# By what one credential reaches: the key template, and the scope where the key alone does not say it.
_KEYS = {
    "route": ("pictures/{name}", "route"),
    "principal": ("users/{principal.sub}/{name}", "principal"),
    "object": ("users/{principal.sub}/{name}", "object"),
}
SCOPES = tuple(_KEYS)


def demand(scope: str, number: int, *, default_seconds: int, max_seconds: int, duration_seconds: int) -> Demand:
    """What one ask for a URL of so many seconds needs. Raises ValueError for what no policy may say."""
    key, scope_name = _KEYS[scope]
    policy = {
        "vends": ["url"],
        "methods": ["GET"],
        "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou",
        "key": key,
        "inputs": {"name": {"pattern": "[a-z0-9]+"}},
        "expires": {"default_seconds": default_seconds, "max_seconds": max_seconds},
        "credential": {"scope": scope_name, "duration_seconds": duration_seconds},
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{_NAME}.json").write_text(json.dumps(policy))
        route = _route(Path(folder))
    principal = Principal(MappingProxyType({"sub": f"u{number}"}))
    return route.order(Ask("url", inputs={"name": "a1"}), route.admit(principal), 0).demand


def terms(scope: str, **expires: int) -> Terms:
    """The same in numbers."""
    asked = demand(scope, 1, **expires)
    return Terms(asked.scope.duration_seconds, asked.required_seconds, asked.need_seconds, asked.ahead)


def _route(folder: Path) -> Route:
    try:
        return catalog.load(folder, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")).route(_NAME)
    except ConfigurationError as error:
        raise ValueError("; ".join(f"{problem.field}: {problem.message}" for problem in error.problems)) from None
