"""A visit: one call, from its arrival to its grant or refusal."""

from __future__ import annotations

from dataclasses import dataclass

from broker.identity.principals import Principal
from broker.policy.asks import Ask

BATCH = "batch"


@dataclass(slots=True)
class Visit:
    """One call as far as it is known; each step adds what it has found out.

    `now` is in Unix seconds, `began` of the monotonic clock. `route` is the name of one that exists; `path` and
    `client` are told of refusals over HTTP, `key_id` of an API key that was refused before there was a principal.
    """

    now: int
    began: float
    request_id: str | None = None
    principal: Principal | None = None
    route: str | None = None
    vend: str | None = None
    ask: Ask | None = None
    path: str | None = None
    client: str | None = None
    key_id: str | None = None
