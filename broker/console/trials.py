"""What it takes to try a route: its vends, the fields of an ask, and what may be done with the answer."""

from __future__ import annotations

from dataclasses import dataclass

from broker.console import forms
from broker.policy.catalog import Catalog
from broker.policy.operations import CREDENTIALS
from broker.policy.routes import Route
from broker.policy.uploads import largest_upload

_SIGNING = ("url", "signature")
_ONE_REQUEST_BYTES = 5 * 2**30  # the most that COS takes in one PUT or POST


@dataclass(frozen=True, slots=True)
class Trial:
    """One vend of one route, for one method where it has several.

    `takes_file`: a file goes with it, of at most `most_bytes`. `reader` vends links to what it uploads; `confirms`
    says whether it is there.
    """

    route: Route
    vend: str
    method: str
    methods: tuple[str, ...]
    claims: tuple[forms.Field, ...]
    fields: tuple[forms.Field, ...]
    added: tuple[tuple[str, str], ...]
    takes_file: bool
    most_bytes: int
    types: str
    reader: str
    confirms: bool


def trial(catalog: Catalog, route: Route, vend: str, method: str) -> Trial:
    """What it takes to try a vend and a method of a route; one that it does not have is its first."""
    vends = route.document.vends
    chosen = vend if vend in vends else vends[0]
    methods = tuple(route.document.methods or ()) if chosen in _SIGNING else ()
    which = method if method in methods else next(iter(methods), "")
    uploads = chosen in ("form", "multipart") or which == "PUT"
    asked = "initiate" if chosen == "multipart" else which
    content = route.document.content
    return Trial(
        route,
        chosen,
        which or {"download-url": "GET", "form": "POST"}.get(chosen, ""),
        methods,
        forms.claim_fields(route),
        forms.ask_fields(route, chosen, asked),
        () if chosen == CREDENTIALS else forms.added(route, chosen, asked),
        uploads,
        _most_bytes(route, chosen) if uploads else 0,
        ",".join((content.types if content is not None else None) or ()),
        _reader(catalog, route) if uploads else "",
        "confirm" in vends,
    )


def _most_bytes(route: Route, vend: str) -> int:
    """The largest file that goes up this way."""
    content = route.document.content
    if vend == "multipart":
        return largest_upload(content)
    return min(
        content.max_bytes if content is not None and content.max_bytes else _ONE_REQUEST_BYTES, _ONE_REQUEST_BYTES
    )


def _reader(catalog: Catalog, route: Route) -> str:
    """The name of a route that vends links to what another uploads; empty if there is none."""
    wanted = route.document
    for name, other in catalog.routes.items():
        document = other.document
        same = (document.bucket, document.key) == (wanted.bucket, wanted.key)
        if same and "download-url" in document.vends:
            return name
    return ""
