"""The one place that sends HTTP: one request, one answer or a NetworkError.

`requests` was chosen over `http.client` because callers can hand in a Session of their own, with proxies,
certificates and adapters; it pools connections, streams both ways and has time-outs. Three of its habits are
switched off: redirects (they would carry tokens elsewhere), credentials from a .netrc, and decoding of bodies that
are files. No text of its exceptions is passed on: they quote URLs and header values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from broker.client.errors import NetworkError
from broker.client.quiet import quiet
from broker.client.slices import Slice

Response = requests.Response
Session = requests.Session

BLOCK_BYTES = 1 << 16
_POOL_CONNECTIONS = 32  # to one host; parts are sent in parallel
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError)
T = TypeVar("T")


class Sender:
    """A session and the time-out, in seconds, of each step: connecting, and every wait for bytes."""

    def __init__(self, session: Session | None, timeout_seconds: float) -> None:
        self.session = session or _new_session()
        self.timeout_seconds = timeout_seconds

    def send(
        self,
        party: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Slice = b"",
        *,
        stream: bool = False,
        within_seconds: float | None = None,
    ) -> Response:
        """The answer to one request; with `stream` its body is still to be read. Raises NetworkError.

        `within_seconds` shortens the time-out. What reading a Slice raises passes as it is.
        """
        timeout = self.timeout_seconds if within_seconds is None else min(self.timeout_seconds, within_seconds)

        def request() -> Response:
            data = body if len(body) else b""
            options: Any = {"timeout": timeout, "stream": stream, "allow_redirects": False, "auth": _as_it_is}
            return self.session.request(method, url, headers=dict(headers), data=data, **options)

        try:
            return _translated(party, request)
        except NetworkError:
            if isinstance(body, Slice) and body.failure is not None:
                raise body.failure from None
            raise


def blocks(party: str, response: Response) -> Iterator[bytes]:
    """The body of a streamed answer as it came, undecoded, in blocks. Raises NetworkError if it breaks off."""
    while block := _translated(party, lambda: response.raw.read(BLOCK_BYTES, decode_content=False)):
        yield block


def _translated(party: str, call: Callable[[], T]) -> T:
    try:
        with quiet():
            return call()
    except _FAILURES as error:
        kind = _kind(error)
    # Outside of the handler, so that the URL in the library's error is not kept as a context.
    raise NetworkError(party, kind)


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _new_session() -> Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_POOL_CONNECTIONS))
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An `auth` that adds nothing; without one, requests would look into a .netrc."""
    return request
