"""A request that must be refused, as data, and what such requests are made of. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.cos import requests
from broker.cos.forms import Form
from broker.cos.signing import Request
from broker.policy.document import PolicyDocument
from broker.policy.operations import declared
from broker.policy.routes import Route
from broker.policy.templates import Claim, ProvenClaims
from broker.probing.doors import WRITES, Door

NOT_SERVED: frozenset[int | str] = frozenset({405})
LIST_SHORTLY = {"max-keys": "1"}
_ACLS = ("public-read", "private")
_TYPES = ("text/html", "application/x-cos-broker-probe", "x-cos-broker/probe")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A request that must be refused. `refusals` (statuses, codes) say no beside 403 AccessDenied.

    `lengthy`: its body is longer than permitted. With a `form` it is that form, of a file of `size` bytes.
    """

    name: str
    request: Request
    refusals: frozenset[int | str] = frozenset()
    lengthy: bool = False
    form: Form | None = None
    size: int = 0

    @property
    def writes(self) -> bool:
        """Whether it would change an object, if it were let through."""
        return self.request.method in WRITES


def bare(route: Route, method: str, key: str, params: Mapping[str, str] | None = None) -> Request:
    """A request that carries nothing but its Host."""
    return Request(method, route.endpoint.base_url, key, {"Host": route.endpoint.host}, params or {})


def with_header(request: Request, name: str, value: str) -> Request:
    """The same request with a header of this value, whatever it had before."""
    kept = {one: text for one, text in request.headers.items() if one.lower() != name.lower()}
    return request._replace(headers={**kept, name: value})


def other_keys(route: Route, claims: ProvenClaims, door: Door) -> dict[str, str]:
    """Keys outside the reach, and where each is."""
    found = {door.token: "outside the prefix"}
    if door.reach.endswith("/*"):
        found[f"{door.reach[:-2]}0-{door.token}/x"] = "a sibling of the prefix"
    else:
        found[f"{door.reach}0-{door.token}"] = "the key with more behind it"
    names = [part.name for part in route.template.parts if isinstance(part, Claim)]
    # In route scope others' folders are inside the reach: the URL alone keeps them apart.
    if names and route.scope_name != "route":
        other = ProvenClaims({**claims, names[-1]: f"{claims[names[-1]]}0-{door.token}"})
        prefix = route.template.prefix(other)
        if prefix != route.template.prefix(claims):
            found.setdefault(f"{prefix}{'x' if prefix.endswith('/') else ''}", f"another {names[-1]}")
    return found


def listing(route: Route, door: Door) -> Foreign:
    """Listing what is below the reach."""
    params = {"prefix": door.reach.removesuffix("*"), **LIST_SHORTLY}
    return Foreign("listing the bucket", bare(route, "GET", "", params), NOT_SERVED)


def listing_uploads(route: Route, door: Door) -> Foreign:
    """Listing the unfinished uploads below the reach."""
    params = {"uploads": "", "prefix": door.reach.removesuffix("*"), "max-uploads": "1"}
    return Foreign("listing the bucket's uploads", bare(route, "GET", "", params), NOT_SERVED)


def other_methods(route: Route, door: Door, headers: Mapping[str, str] | None = None) -> Iterator[Foreign]:
    """Every method that is not permitted; POST with these headers, so that conditions do not hide the action."""
    for method in requests.METHODS:
        if method not in door.permitted:
            asked = bare(route, method, door.spare)
            if method == "POST" and headers is not None:
                asked = asked._replace(headers=headers)
            yield Foreign(f"another method, {method}", asked, NOT_SERVED)


def other_acl(document: PolicyDocument) -> str | None:
    """An ACL that the policy does not list, if there is one."""
    rule = declared(document.headers, "x-cos-acl")
    listed = [] if rule is None else [rule.const] if rule.const is not None else rule.enum or []
    return next((acl for acl in _ACLS if acl not in listed), None)


def other_type(types: Sequence[str]) -> str:
    """A type that the policy does not admit."""
    return next(one for one in _TYPES if not _admitted(one, types))


def _admitted(one: str, types: Sequence[str]) -> bool:
    return any(one == other or (other.endswith("/*") and one.startswith(other[:-1])) for other in types)
