"""What the credentials behind forms and multipart uploads must not do, as data."""

from __future__ import annotations

from collections.abc import Iterator

from broker.cos import cam
from broker.cos.signing import Request
from broker.policy.routes import Route
from broker.policy.templates import ProvenClaims
from broker.probing.doors import Door
from broker.probing.foreign import (
    NOT_SERVED,
    Foreign,
    bare,
    listing,
    listing_uploads,
    other_acl,
    other_keys,
    other_methods,
    with_header,
)

UPLOADS = {"uploads": ""}
_NO_UPLOAD = "0" * 64  # what is let through fails for want of it, and makes nothing


def of_form(route: Route, claims: ProvenClaims, door: Door) -> Iterator[Foreign]:
    """Beside forms inside: forms elsewhere, which the credential's holder signs, and everything that is no form."""
    document, form = route.document, door.order.form
    assert form is not None  # noqa: S101  the order is one for a form
    inside = door.permitted["POST"]._replace(key=door.spare)
    # No condition but CAM's is to refuse: the holder of a credential writes the form's policy.
    own = form._replace(key=door.spare, max_bytes=None)
    for key, where in other_keys(route, claims, door).items():
        request = inside._replace(key=key)
        yield Foreign(f"{where}, a form for {key}", request, form=own._replace(key=key), size=door.size)
    yield listing(route, door)
    yield from other_methods(route, door)
    yield Foreign("an upload in parts, initiate", bare(route, "POST", door.spare, UPLOADS), NOT_SERVED)
    if (acl := other_acl(document)) is not None:
        asked = with_header(inside, "x-cos-acl", acl)
        yield Foreign(f"another ACL, x-cos-acl: {acl} beside a form", asked, form=own, size=door.size)
    if form.max_bytes is not None:
        size = form.max_bytes + cam.FORM_OVERHEAD_BYTES  # with its fields it is too long
        yield Foreign(f"a longer form, of a file of {size} bytes", inside, lengthy=True, form=own, size=size)


def of_multipart(route: Route, claims: ProvenClaims, door: Door) -> Iterator[Foreign]:
    """Beside the steps of uploads inside: steps elsewhere, and everything that is no step."""
    initiate = door.permitted["POST"]
    for key, where in other_keys(route, claims, door).items():
        for name, request in _steps(initiate._replace(key=key)):
            yield Foreign(f"{where}, {name} {key}", request)
    yield listing(route, door)
    yield listing_uploads(route, door)
    yield from other_methods(route, door)
    # A POST is permitted, but only as a step.
    yield Foreign("another method, POST", bare(route, "POST", door.spare), NOT_SERVED)
    if (acl := other_acl(route.document)) is not None:
        asked = with_header(initiate._replace(key=door.spare), "x-cos-acl", acl)
        yield Foreign(f"another ACL, initiate with x-cos-acl: {acl}", asked)


def _steps(initiate: Request) -> Iterator[tuple[str, Request]]:
    """All steps of an upload of the key; but for the first they are those of an upload that there is not."""
    upload = {"uploadId": _NO_UPLOAD}
    of_step = initiate._replace(headers={"Host": initiate.headers["Host"]}, params=upload)
    yield "initiate", initiate
    yield "part", of_step._replace(method="PUT", params={"partNumber": "1", **upload})
    yield "list", of_step._replace(method="GET")
    yield "complete", of_step._replace(method="POST")
    yield "abort", of_step._replace(method="DELETE")
