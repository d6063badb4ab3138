"""`/openapi.json` and `/docs`: the API as it is for whoever asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from broker import vending
from broker.errors import MethodNotAllowed
from broker.identity.principals import Principal
from broker.policy.catalog import Catalog
from broker.web import docs_page, openapi, vend
from broker.web.answers import FIXED, Answer, Headers, fixed_headers
from broker.web.views import Views

_PAGE_TYPE = "text/html; charset=utf-8"
_IDENTITY = ("HTTP_AUTHORIZATION", "HTTP_X_PRINCIPAL", "HTTP_X_PRINCIPAL_CLAIMS")
_KEPT = 16

Write = Callable[[Mapping[str, Any]], bytes]
Show = Callable[[dict[str, Any]], Answer]


class _Texts:
    """What was written for callers of the same routes, until the policies change: 500 routes take 40 ms."""

    def __init__(self, write: Write, prefix: str, *, anonymous: bool) -> None:
        self._write, self._prefix, self._anonymous = write, prefix, anonymous
        self._known: tuple[Catalog | None, dict[tuple[str, ...], bytes]] = (None, {})

    def of_routes(self, catalog: Catalog, names: tuple[str, ...]) -> bytes:
        """The text for a caller of these routes."""
        known, texts = self._known
        if known is not catalog or len(texts) > _KEPT:
            self._known = (catalog, texts := {})
        if names not in texts:
            routes = [catalog.routes[name] for name in names]
            texts[names] = self._write(openapi.of_routes(routes, self._prefix, anonymous=self._anonymous))
        return texts[names]


def register(
    views: Views, desk: vending.Desk, authenticate: Callable[[dict[str, Any]], Principal], *, anonymous: bool
) -> None:
    """Add `/openapi.json` and `/docs`; `anonymous`: callers without credentials are let in."""
    prefix = views.blueprint.url_prefix or ""
    generic = openapi.generic(prefix, anonymous=anonymous)

    def view(write: Write, content_type: str, fixed: Headers, stranger: bytes) -> Show:
        texts = _Texts(write, prefix, anonymous=anonymous)

        def show(environ: dict[str, Any]) -> Answer:
            if not any(name in environ for name in _IDENTITY):
                return Answer(stranger, content_type=content_type, fixed=fixed)
            principal = authenticate(environ)
            catalog = desk.catalog()
            names = tuple(name for name, route in catalog.routes.items() if vend.admits(route, principal))
            return Answer(texts.of_routes(catalog, names), content_type=content_type, fixed=fixed)

        return show

    document = view(_as_json, "application/json", FIXED, _as_json(generic))
    page = view(docs_page.own, _PAGE_TYPE, fixed_headers(docs_page.POLICY), docs_page.stranger(generic))

    def only_read(environ: dict[str, Any]) -> Answer:
        raise MethodNotAllowed("GET, HEAD", "OPTIONS")

    views.add("/openapi.json", "openapi", document, shared=True)
    if views.sharing is not None:  # for preflights
        views.add("/openapi.json", "openapi_options", only_read, "OPTIONS", shared=True)
    views.add("/docs", "docs", page)


def _as_json(description: Mapping[str, Any]) -> bytes:
    return json.dumps(description).encode()
