"""The socket side: one listener on loopback, a thread per connection, HTTP/1.1 with keep-alive.

Werkzeug's own handler closes after each answer, because a body that nobody read would be taken for the next request.
This one reads such bodies to their end, leaves `Date` to the application, and logs no query strings: they hold
signatures and tokens.
"""

from __future__ import annotations

import logging
import socket
import threading
from io import RawIOBase
from typing import IO, Any, cast

from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response
from werkzeug.wsgi import LimitedStream

from broker.errors import ConfigurationError, Problem

logger = logging.getLogger("broker.emulator")

_IDLE_SECONDS = 60
_BLOCK_BYTES = 1 << 16


class Listener:
    """A WSGI application on a port; bound when made, serving from `start` to `stop`."""

    def __init__(self, host: str, port: int, app: Any) -> None:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            bound = socket.create_server((host, port), family=family)
        except OSError as error:
            problem = Problem("emulator", "port", f"cannot listen on {host}:{port}: {error.strerror}")
            raise ConfigurationError([problem]) from error
        with bound:  # the server keeps a duplicate
            self._server = _Server(host, port, app, handler=_Handler, fd=bound.fileno())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="emulator", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; answers in the making are cut off."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.hang_up()


class _Server(ThreadedWSGIServer):
    """Knows its connections, since an idle one would outlive the listener and still be served."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def hang_up(self) -> None:
        with self._changed:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was first
                    continue
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.exception("a connection failed")

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: these messages quote request lines."""


class _Answer(Response):
    default_mimetype = None  # what the application left out stays out


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        # The standard library has folded leading slashes; COS signs them.
        environ["RAW_URI"] = self.requestline.split()[1]
        body = environ["wsgi.input"]
        if not environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"] = LimitedStream(cast(IO[bytes], self.rfile), self._length())
        response = _Answer.from_app(self.server.app, environ)
        try:
            self._send(response)
            _drain(body)
        except (OSError, HTTPException):  # the client left, or sent less than it said
            self.close_connection = True
        finally:
            response.close()

    def _send(self, response: Response) -> None:
        logger.debug("%s %s %d", self.command, self.path.partition("?")[0], response.status_code)
        self.send_response_only(response.status_code)
        for name, value in response.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            for block in response.iter_encoded():
                self.wfile.write(block)
        self.wfile.flush()

    def _length(self) -> int:
        declared = self.headers.get("Content-Length", "0")
        if declared.isascii() and declared.isdigit():
            return int(declared)
        self.close_connection = True  # nobody knows where the next request begins
        return 0

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: these messages quote request lines."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing, for the same reason."""


def _drain(body: RawIOBase) -> None:
    while body.read(_BLOCK_BYTES):
        pass
