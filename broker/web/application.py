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

_KNOWN_PATHS, _KNOWN_CHARACTERS = 1024, 256  # strangers' paths are known, too
# Of all that Flask tells while it answers a request: who listens.
_RECEIVERS = (
    signals.appcontext_pushed.receivers,
    signals.request_started.receivers,
    signals.request_finished.receivers,
    signals.request_tearing_down.receivers,
    signals.appcontext_tearing_down.receivers,
    signals.appcontext_popped.receivers,
)


class Application(Flask):
    """Goes straight to views, unless somebody wants to know of requests: then Flask's way, as to all other pages."""

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        # The same few paths come again and again, and matching one costs as much as signing.
        self._known: dict[tuple[str, str], tuple[str, Mapping[str, str]]] = {}
        self._hooks = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.url_value_preprocessors,
        )

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
            if len(asked[0]) <= _KNOWN_CHARACTERS:
                if len(self._known) >= _KNOWN_PATHS:
                    self._known.clear()
                self._known[asked] = found
        return found

    def _watched(self, blueprint: str) -> bool:
        """Whether anything is to be done around the requests of a blueprint, or anybody listens to all."""
        if any(self._hooks) and any(None in hooks or blueprint in hooks for hooks in self._hooks):
            return True
        return any(_RECEIVERS) or bool(self.teardown_appcontext_funcs)

    def compile_paths(self) -> None:
        """Take the first look at paths, which compiles their patterns, before there is a request."""
        self.url_map.bind("").test("/v1/route/url", "POST")

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The router of one request."""
        return self._router(request) if request is not None else None

    def _router(self, request: Request) -> MapAdapter:
        # No URL is built from the Host, and no route depends on it: it is not looked at.
        return MapAdapter(self.url_map, "", request.root_path, "", request.scheme, request.path, request.method)
