"""Flask without what the broker never uses and every request would pay for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, appcontext_tearing_down, request_tearing_down
from flask.sessions import SecureCookieSession, SessionInterface
from werkzeug.routing import Map, MapAdapter

_KNOWN_PATHS = 1024


class _Request(Request):
    """A request whose body is read by nobody but us: Flask need not look for files to close."""

    def close(self) -> None:
        """Nothing."""


class _NoSessions(SessionInterface):
    """The broker sets no cookies; Flask's default prepares a session for every request."""

    _none = SecureCookieSession()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        return self._none

    def is_null_session(self, obj: object) -> bool:
        return True


class _Router(MapAdapter):
    """A router that remembers: the same few paths come again and again, and matching costs as much as signing."""

    def __init__(self, known: dict[tuple[str, str], Any], request: Request, url_map: Map) -> None:
        # No URL is built from the Host, and no route depends on it: it is not looked at.
        super().__init__(url_map, "", request.root_path, "", request.scheme, request.path, request.method)
        self._known = known

    def match(self, *args: Any, **kwargs: Any) -> Any:
        """(rule, arguments) of the request's path. Raises as MapAdapter does."""
        asked = (self.path_info, self.default_method)
        found = self._known.get(asked)
        if found is None:
            found = super().match(*args, **kwargs)
            if len(self._known) >= _KNOWN_PATHS:
                self._known.clear()
            self._known[asked] = found
        rule, arguments = found
        return rule, dict(arguments)


class Application(Flask):
    """The broker's own application: no sessions, no look at the Host, paths matched once, no `after_this_request`."""

    request_class = _Request
    session_interface = _NoSessions()

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self._known: dict[tuple[str, str], Any] = {}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """A view as it is: none is a coroutine, and looking for one costs each request a microsecond."""
        return func

    # Around each request Flask looks for what was registered for it, blueprint by blueprint. Mostly that is nothing.

    def preprocess_request(self) -> Any:
        """Whatever is to be done before a request."""
        return super().preprocess_request() if self.before_request_funcs or self.url_value_preprocessors else None

    def process_response(self, response: Response) -> Response:
        """Whatever is to be done to an answer; there is no session to be saved."""
        return super().process_response(response) if self.after_request_funcs else response

    def do_teardown_request(self, *args: Any) -> None:
        """Whatever is to be done when a request is over."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(*args)

    def do_teardown_appcontext(self, *args: Any) -> None:
        """Whatever is to be done when its application's context is over."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(*args)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The router of one request."""
        return _Router(self._known, request, self.url_map) if request is not None else None
