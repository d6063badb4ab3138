"""What the benchmarks of the cache ask for, and what they get: a policy, demands by it, credentials of real size."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from broker.credentials.cache import CredentialCache
from broker.credentials.credential import Credential
from broker.credentials.demand import Demand
from broker.credentials.minting import Mint
from broker.credentials.scope import Scope
from broker.credentials.store import CredentialStore
from broker.identity.principals import Principal
from broker.limits import Budgets
from broker.policy import catalog
from broker.policy.asks import Ask
from broker.policy.limits import Limits
from broker.policy.routes import Route

ASK = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "1000"}}
ROUTE = "pictures"
LIFE_SECONDS = 1800
_TYPES = "png jpeg webp gif avif heic tiff bmp apng jxl".split()


def write_policies(folder: Path) -> Path:
    """A folder with one policy: `avatars`, for two minutes at most, and for more types: its document has 700 bytes."""
    policy = json.loads(Path("policies/avatars.json").read_text())
    policy["content"]["types"] = [f"image/{name}" for name in _TYPES]
    policy["expires"] = {"default_seconds": 60, "max_seconds": 120}
    policies = folder / "policies"
    policies.mkdir()
    (policies / f"{ROUTE}.json").write_text(json.dumps(policy))
    return policies


def pictures(folder: Path) -> Route:
    """The route of that policy."""
    limits = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")
    return catalog.load(write_policies(folder), limits).route(ROUTE)


def demand(route: Route, number: int) -> Demand:
    """What the ask of one of many users needs."""
    principal = Principal(MappingProxyType({"sub": str(uuid.UUID(int=number)), "scope": "avatars:write"}))
    ask = Ask("url", inputs=ASK["inputs"], headers=ASK["headers"])
    return route.order(ask, route.admit(principal), 0).demand


def credential(now: int) -> Credential:
    """A new credential in the sizes of real ones."""
    return Credential(
        secret_id="AKID" + secrets.token_urlsafe(48),
        secret_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        session_token=secrets.token_urlsafe(420),
        issued_at=now,
        expires_at=now + LIFE_SECONDS,
        request_id=str(uuid.uuid4()),
    )


def clock() -> int:
    """Now, in Unix seconds."""
    return int(time.time())


class Issuer:
    """Makes credentials at once."""

    def source_fingerprint(self, scope: Scope) -> str:
        """What failures of the source would be kept under."""
        return "source-benchmark"

    def fingerprint(self, scope: Scope) -> str:
        """As the real one's."""
        return scope.fingerprint("AKIDBENCHMARK", "https://sts.tencentcloudapi.com")

    def issue(self, scope: Scope, permit: Callable[[], None]) -> Credential:
        """A new credential."""
        permit()
        return credential(clock())


def open_cache(store: CredentialStore | None = None) -> CredentialCache:
    """A cache as a process has it, with STS at no distance."""
    mint = Mint(Issuer(), store, Budgets(10**9, None), clock, time.monotonic, time.sleep)
    return CredentialCache(mint, store, clock, time.monotonic)
