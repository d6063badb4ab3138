"""What a credential must not do: every foreign request of a door, as data. Nothing is sent here.

Each goes to a key that nobody has, or to the one that the probe may write: what a too wide credential lets through
does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator

from broker.policy.document import PolicyDocument
from broker.policy.operations import declared
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.probing import uploading
from broker.probing.doors import Door
from broker.probing.foreign import (
    LIST_SHORTLY,
    Foreign,
    bare,
    listing,
    other_acl,
    other_keys,
    other_methods,
    other_type,
    with_header,
)

_VERSION = "MTg0NDUwNDcxOTY4NzQ3OTg5NzE"  # in the form of COS's own; no object has it
_SUB_RESOURCES = ("acl", "versions", "uploads", "policy", "cors", "lifecycle")


def foreign(route: Route, claims: ProvenClaims, door: Door) -> list[Foreign]:
    """Everything that a door's credential must be refused."""
    if not door.key:
        return list(_of_bucket(route, door))
    if door.vend == "form":
        return list(uploading.of_form(route, claims, door))
    if door.vend == "multipart":
        return list(uploading.of_multipart(route, claims, door))
    upload = door.permitted.get("PUT")
    return [
        *_elsewhere(route, claims, door),
        listing(route, door),
        *_versions(route.document, door),
        *other_methods(route, door, None if upload is None else upload.headers),
        *_uploads(route.document, door),
    ]


def _elsewhere(route: Route, claims: ProvenClaims, door: Door) -> Iterator[Foreign]:
    for key, where in other_keys(route, claims, door).items():
        for method, request in door.permitted.items():
            yield Foreign(f"{where}, {method} {key}", request._replace(key=key))


def _versions(document: PolicyDocument, door: Door) -> Iterator[Foreign]:
    rule = declared(document.params, "versionid")
    if rule is not None and rule.pattern is not None and door.vend != "confirm":
        return  # the policy leaves it open
    for method, request in door.permitted.items():
        if method in ("GET", "HEAD", "DELETE"):
            params = {name: value for name, value in request.params.items() if name.lower() != "versionid"}
            asked = request._replace(key=door.spare, params={**params, "versionId": _VERSION})
            yield Foreign(f"another version, {method} ?versionId", asked)


def _uploads(document: PolicyDocument, door: Door) -> Iterator[Foreign]:
    if "PUT" not in door.permitted:
        return
    upload = door.permitted["PUT"]._replace(key=door.spare)
    if (acl := other_acl(document)) is not None:
        yield Foreign(f"another ACL, x-cos-acl: {acl}", with_header(upload, "x-cos-acl", acl))
    types, max_bytes = (document.content.types, document.content.max_bytes) if document.content else (None, None)
    if types:
        other = other_type(types)
        yield Foreign(f"another type, Content-Type: {other}", with_header(upload, "Content-Type", other))
    if max_bytes is not None:
        longer = with_header(upload, "Content-Length", str(max_bytes + 1))
        name = f"a byte more, Content-Length: {max_bytes + 1}"
        yield Foreign(name, longer, lengthy=True, size=max_bytes + 1)


def _of_bucket(route: Route, door: Door) -> Iterator[Foreign]:
    """Of the bucket, nothing is written: only what reads it is tried, and objects that nobody has."""
    prefix = door.reach.removesuffix("*")
    # With the prefix that is permitted, so that the condition on it does not hide the action.
    kept = {"prefix": prefix} if prefix else {}
    if "GET" in door.permitted:
        yield from _prefixes(route, door, prefix)
    else:
        yield Foreign("listing the bucket", bare(route, "GET", "", LIST_SHORTLY))
    if "HEAD" not in door.permitted:
        yield Foreign("another method, HEAD of the bucket", bare(route, "HEAD", "", kept))
    for name in _SUB_RESOURCES:
        yield Foreign(f"another sub-resource, GET ?{name}", bare(route, "GET", "", {name: "", **kept}))
    below = f"{prefix}{door.token}"
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        yield Foreign(f"an object, {method} {below}", bare(route, method, below, kept))


def _prefixes(route: Route, door: Door, prefix: str) -> Iterator[Foreign]:
    others = {
        f"{door.token}/": "another prefix",
        f"{prefix[:-1]}0-{door.token}/": "a sibling of the prefix",
        prefix[:-1]: "the prefix without its slash",
    }
    for other, where in others.items():
        params = {"prefix": other, **LIST_SHORTLY}
        yield Foreign(f"{where}, GET ?prefix={other}", bare(route, "GET", "", params))
    yield Foreign("no prefix, GET", bare(route, "GET", "", LIST_SHORTLY))
