"""The one place that sends to COS: what it reads, and what it does not do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from broker.cos import client
from broker.cos.client import Answer, NoAnswer

DENIED = b"<?xml version='1.0'?>\n<Error>\n\t<Code>AccessDenied</Code>\n\t<Message>Access Denied.</Message>\n</Error>"


class Bucket(BaseHTTPRequestHandler):
    """Answers by path, and keeps what it was asked: (method, target, headers, body)."""

    def do_GET(self) -> None:
        """Every method."""
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length) if self.path != "/waits" else b""
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        path = self.path.partition("?")[0]
        if path == "/silent":
            self.server.over.wait(10)
            return
        status, told = {
            "/moved": (307, b""),
            "/denied": (403, DENIED),
            "/waits": (403, DENIED),
            "/late": (200, DENIED),
        }.get(path, (200, b"x"))
        self.send_response(status)
        self.send_header("X-Cos-Request-Id", "one")
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_PUT = do_POST = do_HEAD = do_GET  # noqa: N815  the standard library's names

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def bucket() -> Iterator[ThreadingHTTPServer]:
    """A server of such answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.asked, server.over = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_answer(bucket):
    """Status and headers by lower-case name; what was asked arrived as it was signed."""
    answer = client.send("PUT", f"{bucket.url}/a%20b/.%2Fc?q-sign-time=1%3B2&p", {"X-A": "a"}, b"body")
    assert (answer.status, answer.headers["x-cos-request-id"], answer.code) == (200, "one", "")
    [(method, target, headers, body)] = bucket.asked
    assert (method, target, body) == ("PUT", "/a%20b/.%2Fc?q-sign-time=1%3B2&p", b"body")
    assert (headers["Host"], headers["X-A"], headers["Content-Length"]) == (bucket.url[7:], "a", "4")


@pytest.mark.parametrize(("method", "code"), [("GET", "AccessDenied"), ("HEAD", "")])
def test_error_code(bucket, method, code):
    """The code of a refusal is read from its XML; HEAD has none."""
    answer = client.send(method, f"{bucket.url}/denied", {})
    assert (answer.status, answer.code) == (403, code)


@pytest.mark.parametrize(
    ("path", "reads", "body", "code"),
    [
        ("/", False, b"", ""),
        ("/", True, b"x", ""),
        ("/late", False, b"", ""),
        ("/late", True, DENIED, "AccessDenied"),
        ("/denied", False, b"", "AccessDenied"),
        ("/denied", True, DENIED, "AccessDenied"),
    ],
)
def test_body(bucket, path, reads, body, code):
    """What a success says is read when it is asked for; it may be an error after all."""
    answer = client.send("POST", f"{bucket.url}{path}", {}, reads=reads)
    assert (answer.body, answer.code) == (body, code)


def test_redirect(bucket):
    """A redirect is an answer; nobody follows it with a signature in hand."""
    assert client.send("GET", f"{bucket.url}/moved", {}).status == 307
    assert len(bucket.asked) == 1


def test_proxy(bucket, monkeypatch):
    """A proxy of the environment is not used."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert client.send("GET", f"{bucket.url}/a", {}).status == 200


def test_length_alone(bucket):
    """A length may be declared without its body, to see whether the headers are refused."""
    assert client.send("PUT", f"{bucket.url}/waits", {"Content-Length": "1000"}).code == "AccessDenied"


def test_localhost(bucket):
    """Names below localhost are this machine, and stay in Host."""
    assert client.send("GET", f"http://bucket-1.localhost:{bucket.server_port}/a", {}).status == 200
    assert bucket.asked[0][2]["Host"] == f"bucket-1.localhost:{bucket.server_port}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a?q-signature=secret", "https://{here}/a?q-signature=secret"])
def test_nobody_there(bucket, url):
    """Neither a closed port nor a server without TLS is an answer, and the error does not quote the URL."""
    with pytest.raises(NoAnswer, match=r"no answer of 127\.0\.0\.1") as raised:
        client.send("GET", url.format(here=bucket.url[7:]), {})
    assert "secret" not in str(raised.value)


def test_time_out(bucket):
    """Silence ends."""
    with pytest.raises(NoAnswer, match="TimeoutError"):
        client.send("GET", f"{bucket.url}/silent", {}, timeout_seconds=0.1)


def test_no_secrets_to_show():
    """An answer shows nothing of the request."""
    assert repr(Answer(200, {}, "", b"<UploadId>1</UploadId>")) == "Answer(status=200, headers={}, code='')"
