"""The broker's own application: Flask, and a straight way from a request to its view.

Flask prepares contexts, a session and a request object around each view, looks for what is to be done before and after,
and matches the path anew; for an ask that costs a third of what it takes to answer it. A `View` needs none of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, signals
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from broker.web.views import View

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_KNOWN_PATHS = 1024


class Application(Flask):
    """Goes straight to views, unless somebody wants to know of requests: then Flask's way, as to all other pages."""

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        # The same few paths come again and again, and matching one costs as much as signing.
        self._known: dict[tuple[str, str], tuple[str, Mapping[str, str]]] = {}

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The answer to a request."""
        endpoint, arguments = self._found(environ)
        view = self.view_functions.get(endpoint)
        if isinstance(view, View) and not self._watched(endpoint.rpartition(".")[0]):
            return view.answer(environ, arguments)(environ, start_response)
        return super().wsgi_app(environ, start_response)

    def _found(self, environ: WSGIEnvironment) -> tuple[str, Mapping[str, str]]:
        """Endpoint and arguments of a path and method, an empty endpoint if there is none."""
        asked = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        found: tuple[Any, Mapping[str, str]] | None = self._known.get(asked)
        if found is None:
            try:
                found = self._router(self.request_class(environ, populate_request=False)).match()
            except HTTPException:  # Flask tells
                return "", {}
            if len(self._known) >= _KNOWN_PATHS:
                self._known.clear()
            self._known[asked] = found
        return found

    def _watched(self, blueprint: str) -> bool:
        """Whether anything is to be done around the requests of a blueprint, or anybody listens to all."""
        for wanted in (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.url_value_preprocessors,
        ):
            if wanted and (None in wanted or blueprint in wanted):
                return True
        return bool(
            self.teardown_appcontext_funcs
            or signals.request_started.receivers
            or signals.request_finished.receivers
            or signals.request_tearing_down.receivers
            or signals.appcontext_pushed.receivers
            or signals.appcontext_popped.receivers
            or signals.appcontext_tearing_down.receivers
        )

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The router of one request."""
        return self._router(request) if request is not None else None

    def _router(self, request: Request) -> MapAdapter:
        # No URL is built from the Host, and no route depends on it: it is not looked at.
        return MapAdapter(self.url_map, "", request.root_path, "", request.scheme, request.path, request.method)
