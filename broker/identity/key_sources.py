"""Where a key set is read from: a URL or a file, with a bound on time and on size.

`http.client` rather than `urllib`: no redirects, no proxies from the environment, and a socket whose every read can
be given the time that is left, so that an answer dripping one byte a second ends as early as a silent one.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from broker.deadlines import DatedSocket
from broker.errors import ConfigurationError, Problem

Fetch = Callable[[], bytes]

_SETTING = "BROKER_JWT_JWKS"
_TIMEOUT_SECONDS = 3.0
_MAX_BYTES = 256 * 1024


class KeySourceError(Exception):
    """The key set could not be read now; the message quotes nothing of an answer."""


def fetch_url(url: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> Fetch:
    """A reader of `url`, which must be https (or http on loopback); a bad URL is a ConfigurationError here and now."""
    parts, port = _checked(url)
    host = cast(str, parts.hostname)  # the check refuses a URL without one
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection_class = HTTPSConnection if parts.scheme == "https" else HTTPConnection

    def fetch() -> bytes:
        connection = connection_class(host, port, timeout=timeout_seconds)
        try:
            return _answer(connection, target, time.monotonic() + timeout_seconds)
        except TimeoutError:
            raise KeySourceError(f"expected a whole answer within {timeout_seconds:g} s, got none") from None
        except OSError as error:
            raise KeySourceError(f"the connection to {host} failed: {error}") from error
        except (HTTPException, ValueError) as error:
            # The text of these may quote the answer.
            raise KeySourceError(f"expected an HTTP answer, got something else ({type(error).__name__})") from None
        finally:
            connection.close()

    return fetch


def read_file(path: str | os.PathLike[str]) -> Fetch:
    """A reader of the file at `path`, opened anew each time, so that a replaced file is seen."""

    def fetch() -> bytes:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise KeySourceError("expected a regular file, got something else")
            with open(path, "rb") as file:
                return _bounded(file.read(_MAX_BYTES + 1))
        except OSError as error:
            raise KeySourceError(f"the file cannot be read: {error}") from error

    return fetch


def _checked(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("a URL whose port is between 1 and 65535", "something else") from None
    if not parts.hostname:
        raise _refused("a URL with a host", "none")
    if parts.username is not None or parts.password is not None:
        raise _refused("a URL without user name and password", "one with them")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise _refused("https://, or http:// on loopback", "another scheme or host")
    return parts, port


def _refused(expected: str, got: str) -> ConfigurationError:
    return ConfigurationError([Problem(_SETTING, "", f"expected {expected}, got {got}")])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(connection: HTTPConnection, target: str, deadline: float) -> bytes:
    connection.connect()

    def response(sock: socket.socket, *args: Any, **kwargs: Any) -> HTTPResponse:
        return HTTPResponse(cast(socket.socket, DatedSocket(sock, deadline)), *args, **kwargs)

    connection.response_class = cast(type[HTTPResponse], response)
    connection.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise KeySourceError(f"expected status 200, got {answer.status}")
    return _bounded(answer.read(_MAX_BYTES + 1))


def _bounded(data: bytes) -> bytes:
    if len(data) > _MAX_BYTES:
        raise KeySourceError(f"expected at most {_MAX_BYTES} bytes, got more")
    return data
