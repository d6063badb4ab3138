"""Reading a key set from a URL or a file, whatever the other side does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from broker.errors import ConfigurationError
from broker.identity.key_sources import KeySourceError, fetch_url, read_file

LIMIT = 256 * 1024


class Site:
    """An HTTP server on loopback that answers as `reply` says, and keeps the paths it was asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reply: Callable[[BaseHTTPRequestHandler], None] = lambda handler: answer(handler, b"{}")
        self.ended = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.calls.append(self.path)
                with contextlib.suppress(OSError):  # the reader may have left
                    site.reply(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys?v=1"


def answer(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    """A running server; whatever it still hangs in ends with the test."""
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    site.ended.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join(5)


def test_good_answer(site: Site) -> None:
    """The body arrives as it was sent, for the path and query of the URL."""
    site.reply = lambda handler: answer(handler, b'{"keys": []}')
    assert fetch_url(site.url)() == b'{"keys": []}'
    assert site.calls == ["/keys?v=1"]


def test_answer_that_ends_with_the_connection(site: Site) -> None:
    """An answer without a length, sent in pieces, is read to its end."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"a" * 70_000)
        handler.wfile.write(b"b" * 70_000)

    site.reply = reply
    assert fetch_url(site.url)() == b"a" * 70_000 + b"b" * 70_000


def test_redirect(site: Site) -> None:
    """A redirect is refused, and its target never asked."""
    site.reply = lambda handler: answer(handler, b"", 302, Location="/elsewhere")
    with pytest.raises(KeySourceError, match="expected status 200, got 302"):
        fetch_url(site.url)()
    assert site.calls == ["/keys?v=1"]


@pytest.mark.parametrize("status", [201, 204, 404, 500])
def test_other_status(site: Site, status: int) -> None:
    """Only 200 carries keys."""
    site.reply = lambda handler: answer(handler, b"", status)
    with pytest.raises(KeySourceError, match=f"got {status}"):
        fetch_url(site.url)()


def test_size_of_an_answer(site: Site) -> None:
    """256 KiB are read, one byte more is refused, whatever length is declared."""
    site.reply = lambda handler: answer(handler, b"x" * LIMIT)
    assert len(fetch_url(site.url)()) == LIMIT
    site.reply = lambda handler: answer(handler, b"x" * (LIMIT + 1))
    with pytest.raises(KeySourceError, match="at most 262144 bytes"):
        fetch_url(site.url)()


def test_endless_answer(site: Site) -> None:
    """An answer without an end is refused once it is too long."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while not site.ended.is_set():
            handler.wfile.write(b"x" * 65536)

    site.reply = reply
    with pytest.raises(KeySourceError, match="at most 262144 bytes"):
        fetch_url(site.url)()


def drip(site: Site, start: bytes, piece: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """A reply that never stays silent for long and never ends."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        while not site.ended.wait(0.02):
            handler.wfile.write(piece)

    return reply


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.0 200 OK\r\nX-Slow: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b""),
    ],
    ids=["body", "headers", "continue", "chunks", "silence"],
)
def test_slow_answer(site: Site, start: bytes, piece: bytes) -> None:
    """The time is for the whole answer: one that drips ends when one that is silent does."""
    site.reply = drip(site, start, piece)
    began = time.monotonic()
    with pytest.raises(KeySourceError, match=r"within 0\.2 s"):
        fetch_url(site.url, timeout_seconds=0.2)()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("raw", [b"hunter2\r\n\r\n", b"HTTP/1.0 hunter2\r\n\r\n", b""])
def test_answer_that_is_no_http(site: Site, raw: bytes) -> None:
    """Another protocol is one failure among others, and its bytes enter no message."""
    site.reply = lambda handler: handler.wfile.write(raw) and None
    with pytest.raises(KeySourceError) as caught:
        fetch_url(site.url)()
    assert "hunter2" not in str(caught.value)


def test_nobody_listens(site: Site) -> None:
    """A refused connection is a failure with a reason."""
    with pytest.raises(KeySourceError, match=r"the connection to 127\.0\.0\.1 failed"):
        fetch_url("http://127.0.0.1:1/keys")()


def test_plain_http_where_tls_is_expected(site: Site) -> None:
    """An https URL is never answered in clear."""
    with pytest.raises(KeySourceError, match=r"the connection to 127\.0\.0\.1 failed"):
        fetch_url(site.url.replace("http:", "https:"))()
    assert site.calls == []


@pytest.mark.parametrize(
    ("refused", "allowed"),
    [
        ("http://issuer.test/keys", "https://issuer.test/keys"),
        ("http://10.0.0.1/keys", "http://127.0.0.1/keys"),
        ("http://127.0.0.1.issuer.test/", "http://localhost/"),
        ("http://[::2]/", "http://[::1]/"),
        ("ftp://localhost/keys", "http://localhost/keys"),
        ("file:///etc/passwd", "https://issuer.test/etc/passwd"),
        ("https://me:hunter2@issuer.test/", "https://issuer.test/me:hunter2@"),
        ("https:///keys", "https://keys"),
        ("https://issuer.test:99999/", "https://issuer.test:9999/"),
        ("https://[::1/", "https://[::1]/"),
        ("issuer.test/keys", "https://issuer.test/keys"),
    ],
)
def test_where_keys_may_come_from(refused: str, allowed: str) -> None:
    """Https anywhere, http on loopback, nothing else; refused when configured, not when first asked."""
    with pytest.raises(ConfigurationError) as caught:
        fetch_url(refused)
    assert "hunter2" not in str(caught.value)
    assert caught.value.problems[0].source == "BROKER_JWT_JWKS"
    fetch_url(allowed)


def test_file(tmp_path: Path) -> None:
    """A file is read anew each time."""
    path = tmp_path / "keys.json"
    path.write_bytes(b"one")
    fetch = read_file(path)
    assert fetch() == b"one"
    path.write_bytes(b"two")
    assert fetch() == b"two"


def test_size_of_a_file(tmp_path: Path) -> None:
    """Files have the same bound as answers."""
    path = tmp_path / "keys.json"
    path.write_bytes(b"x" * LIMIT)
    assert len(read_file(path)()) == LIMIT
    path.write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(KeySourceError, match="at most 262144 bytes"):
        read_file(path)()


def test_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe (which would hang) are failures with a reason."""
    os.mkfifo(tmp_path / "pipe")
    for name, reason in [("none", "cannot be read"), (".", "regular file"), ("pipe", "regular file")]:
        with pytest.raises(KeySourceError, match=reason):
            read_file(tmp_path / name)()
