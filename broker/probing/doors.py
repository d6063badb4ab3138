"""The ways in that a route offers, each with what it permits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.cos import signing
from broker.policy.asks import Ask
from broker.policy.operations import CREDENTIALS, Operation
from broker.policy.routes import Order, Route
from broker.policy.templates import ProvenClaims
from broker.policy.uuids import fresh_uuid
from broker.probing import asking
from broker.probing.asking import Given

WRITES = frozenset({"PUT", "POST", "DELETE"})
_LEAST_BYTES = 1  # of an object that comes in parts


@dataclass(frozen=True, slots=True)
class Door:
    """One way in, ready to be tried.

    `permitted` holds for each method that the credential permits the request as the policy has it; `reach` is the key,
    or the prefix and `*`, that the credential is for. `token` stands in the name of everything the probe makes up, so
    that nobody else has it. `size`: bytes of the object that a form or a multipart upload makes.
    """

    name: str
    ask: Ask
    order: Order
    permitted: Mapping[str, signing.Request]
    reach: str
    token: str
    size: int = 0

    @property
    def vend(self) -> str:
        """Which vend it is one of."""
        return self.order.vend

    @property
    def key(self) -> str:
        """The key that is asked for; empty for the bucket itself."""
        return next(iter(self.permitted.values())).key

    @property
    def spare(self) -> str:
        """Another key inside the reach, which nobody has; the same if the credential reaches one object alone."""
        return f"{self.reach[:-1]}{self.token}-2" if self.reach.endswith("/*") else self.key

    @property
    def another(self) -> str:
        """Another key, which nobody has: inside the reach if there is one."""
        return self.spare if self.spare != self.key else self.token

    @property
    def writes(self) -> bool:
        """Whether the credential may change objects."""
        return not WRITES.isdisjoint(self.permitted)


def doors(route: Route, claims: ProvenClaims, given: Given, now: int) -> list[Door]:
    """Every door of a route. Raises RequestError, and ConfigurationError without inputs or with what nobody takes."""
    asking.refuse_unused(route, given)
    return [
        _keys(route, claims, given, now) if operation is None else _door(route, claims, given, now, vend, operation)
        for vend in route.document.vends
        for operation in _operations(route, vend)
    ]


def _operations(route: Route, vend: str) -> Iterator[Operation | None]:
    if vend == CREDENTIALS:
        yield None
    elif vend in ("form", "confirm"):
        yield route.others[vend]
    elif vend == "multipart":
        yield route.others["initiate"]
    else:
        for method in ["GET"] if vend == "download-url" else route.document.methods or []:
            yield route.operations[method]


def _door(route: Route, claims: ProvenClaims, given: Given, now: int, vend: str, operation: Operation) -> Door:
    token, size = _token(), 0
    ask = asking.ask(route, operation, claims, given, now, token, vend)
    if vend == "multipart":
        size = asking.size(route, given.headers, _LEAST_BYTES, least=_LEAST_BYTES)
        ask = ask._replace(step="initiate", size=size)
    elif vend == "form":
        most = min(route.content.max_bytes or asking.BODY_BYTES, asking.BODY_BYTES)
        size = asking.size(route, given.headers, len(asking.PICTURE), most=most)
    order = route.order(ask, claims, now)
    request = _request(route, order)
    reach = f"{request.params['prefix']}*" if operation.permission.listing else route.reached(claims, request.key)
    name = f"{vend} {operation.method}" if vend in asking.SIGNED else vend
    return Door(name, ask, order, {operation.method: request}, reach, token, size)


def _request(route: Route, order: Order) -> signing.Request:
    if order.request is not None:
        return order.request
    if order.step is not None:
        return order.step.requests[0].request
    assert order.form is not None  # noqa: S101  only keys have none of these
    return signing.Request("POST", order.base_url, order.form.key, {"Host": route.endpoint.host}, {})


def _keys(route: Route, claims: ProvenClaims, given: Given, now: int) -> Door:
    ask, token = Ask(CREDENTIALS), _token()
    order = route.order(ask, claims, now)
    permitted: dict[str, signing.Request] = {}
    for method in route.document.methods or []:
        uploads = asking.content_headers(route, given.headers) if method == "PUT" else {}
        headers = {"Host": route.endpoint.host, **uploads}
        permitted[method] = signing.Request(method, route.endpoint.base_url, order.key_prefix + token, headers, {})
    return Door(CREDENTIALS, ask, order, permitted, f"{order.key_prefix}*", token)


def _token() -> str:
    return f"cos-broker-probe-{fresh_uuid()}"
