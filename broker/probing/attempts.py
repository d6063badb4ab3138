"""What a credential must not do: every foreign request of a door, as data. Nothing is sent here.

Each goes to a key that nobody has, or to the one that the probe may write: what a too wide credential lets through
does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.cos import requests
from broker.cos.signing import Request
from broker.policy.document import PolicyDocument
from broker.policy.operations import declared
from broker.policy.routes import Route
from broker.policy.templates import Claim, ProvenClaims
from broker.probing.doors import WRITES, Door

NOT_SERVED = frozenset({405})
_VERSION = "MTg0NDUwNDcxOTY4NzQ3OTg5NzE"  # in the form of COS's own; no object has it
_ACLS = ("public-read", "private")
_TYPES = ("text/html", "application/x-cos-broker-probe", "x-cos-broker/probe")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A request that must be refused. `refusals` say no beside 403; `lengthy`: its body is longer than permitted."""

    name: str
    request: Request
    refusals: frozenset[int] = frozenset()
    lengthy: bool = False

    @property
    def writes(self) -> bool:
        """Whether it would change an object, if it were let through."""
        return self.request.method in WRITES

    @property
    def length(self) -> int:
        """Bytes that it declares."""
        return int(self.request.headers.get("Content-Length", 0))


def foreign(route: Route, claims: ProvenClaims, door: Door) -> list[Foreign]:
    """Everything that a door's credential must be refused."""
    return [
        *_elsewhere(door, _other_keys(route, claims, door)),
        _listing(route, door),
        *_versions(route.document, door),
        *_other_methods(route, door),
        *_uploads(route.document, door),
    ]


def _elsewhere(door: Door, keys: Mapping[str, str]) -> Iterator[Foreign]:
    for key, where in keys.items():
        for method, request in door.permitted.items():
            yield Foreign(f"{where}, {method} {key}", request._replace(key=key))


def _other_keys(route: Route, claims: ProvenClaims, door: Door) -> dict[str, str]:
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


def _listing(route: Route, door: Door) -> Foreign:
    params = {"prefix": door.reach.removesuffix("*"), "max-keys": "1"}
    return Foreign("listing the bucket", _bare(route, "GET", "")._replace(params=params), NOT_SERVED)


def _versions(document: PolicyDocument, door: Door) -> Iterator[Foreign]:
    rule = declared(document.params, "versionid")
    if rule is not None and rule.pattern is not None:
        return  # the policy leaves it open
    for method, request in door.permitted.items():
        if method in ("GET", "HEAD", "DELETE"):
            params = {name: value for name, value in request.params.items() if name.lower() != "versionid"}
            asked = request._replace(key=door.spare, params={**params, "versionId": _VERSION})
            yield Foreign(f"another version, {method} ?versionId", asked)


def _other_methods(route: Route, door: Door) -> Iterator[Foreign]:
    upload = door.permitted.get("PUT")
    for method in requests.METHODS:
        if method not in door.permitted:
            asked = _bare(route, method, door.spare)
            if method == "POST" and upload is not None:
                asked = asked._replace(headers=upload.headers)  # so that conditions on uploads do not hide the action
            yield Foreign(f"another method, {method}", asked, NOT_SERVED)


def _uploads(document: PolicyDocument, door: Door) -> Iterator[Foreign]:
    if "PUT" not in door.permitted:
        return
    upload = door.permitted["PUT"]._replace(key=door.spare)
    rule = declared(document.headers, "x-cos-acl")
    listed = [] if rule is None else [rule.const] if rule.const is not None else rule.enum or []
    for acl in [acl for acl in _ACLS if acl not in listed][:1]:
        yield Foreign(f"another ACL, x-cos-acl: {acl}", _with(upload, "x-cos-acl", acl))
    types, max_bytes = (document.content.types, document.content.max_bytes) if document.content else (None, None)
    if types:
        other = next(one for one in _TYPES if not _admitted(one, types))
        yield Foreign(f"another type, Content-Type: {other}", _with(upload, "Content-Type", other))
    if max_bytes is not None:
        longer = str(max_bytes + 1)
        yield Foreign(f"a byte more, Content-Length: {longer}", _with(upload, "Content-Length", longer), lengthy=True)


def _admitted(one: str, types: Sequence[str]) -> bool:
    return any(one == other or (other.endswith("/*") and one.startswith(other[:-1])) for other in types)


def _bare(route: Route, method: str, key: str) -> Request:
    return Request(method, route.endpoint.base_url, key, {"Host": route.endpoint.host}, {})


def _with(request: Request, name: str, value: str) -> Request:
    kept = {one: text for one, text in request.headers.items() if one.lower() != name.lower()}
    return request._replace(headers={**kept, name: value})
