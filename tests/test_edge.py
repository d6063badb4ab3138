"""What comes to a real socket that no well-behaved client sends, or in numbers that none should."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from broker.local import free_port, send, serving
from tests.conftest import REPOSITORY

AVATAR = json.dumps(
    {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
).encode()
THREADS = 4
CONNECTIONS = 1000
HEADER_SECONDS = 0.3


@dataclass
class Edge:
    """A broker that listens on a port, and somebody who may ask it."""

    port: int
    token: str

    def head(self, *more: str) -> bytes:
        """The head of an ask."""
        lines = ["POST /v1/avatars/url HTTP/1.1", "Host: broker", f"Authorization: Bearer {self.token}"]
        return "\r\n".join([*lines, "Content-Type: application/json", *more, "", ""]).encode()

    def connect(self) -> socket.socket:
        """A connection that does not wait for ever."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def exchange(self, *parts: bytes, ends: bool = False) -> bytes:
        """All that comes back for bytes on a connection of their own; `ends`: they are the last that is sent."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):  # it may answer, and close, before all is sent
                for part in parts:
                    connection.sendall(part)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
            return received(connection)

    @property
    def serves(self) -> bool:
        """Whether an ask is granted."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return send("POST", f"http://127.0.0.1:{self.port}/v1/avatars/url", headers, AVATAR)[0] == 200


def received(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            got += part
    return got


def status(answer: bytes) -> int:
    """The status of the first answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


ALIVE = b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n"


def asked_once(connection: socket.socket) -> None:
    """A connection on which `/healthz` has been asked and answered, and nothing since."""
    connection.sendall(ALIVE)
    got = b""
    while not got.endswith(b'{"status": "ok"}'):
        part = connection.recv(65536)
        assert part, got
        got += part


@pytest.fixture(scope="module")
def edge(cloud, identities, policies, tmp_path_factory) -> Iterator[Edge]:
    """`serve` with one worker of few threads."""
    from tests.chaos.fleet import environ_of  # the whole environment of a broker without Redis

    environ = environ_of(cloud, identities, policies, None, BROKER_LOG_LEVEL="error")
    port = free_port()
    with serving(environ, port, "--workers", "1", "--threads", str(THREADS)):
        yield Edge(port, identities.token("u1", int(time.time())))


def test_headers(edge):
    """Headers of 100 KB, or a hundred and more of them, are refused; the longest token and claims pass."""
    for size, expected in ((100_000, 431), (24_000, 200)):
        answer = edge.exchange(
            edge.head(f"Content-Length: {len(AVATAR)}", f"X-Long: {'a' * size}", "Connection: close") + AVATAR
        )
        assert status(answer) == expected
    many = [f"X-{number}: a" for number in range(120)]
    assert status(edge.exchange(edge.head(*many))) == 431
    assert edge.serves


HALF = b"40\r\n%s\r\n" % AVATAR[:64]
REST = b"%x\r\n%s\r\n" % (len(AVATAR) - 64, AVATAR[64:])
BROKEN = {
    "size that is none": HALF + b"zz\r\n",
    "size too small": b"3\r\n" + AVATAR + b"\r\n0\r\n\r\n",
    "size too large": HALF + b"fffffff\r\n" + AVATAR[64:-1],
    "negative size": HALF + b"-1\r\n\r\n",
    "size beyond 64 bits": HALF + b"fffffffffffffffff\r\n",
    "no end": HALF,
    "no number": b"zz\r\n" + AVATAR + b"\r\n0\r\n\r\n",
    "nothing": b"",
}


class TestBrokenBody:
    """Half a body is no ask, and does not hurt the next one."""

    @pytest.mark.parametrize("chunks", BROKEN.values(), ids=BROKEN)
    def test_chunks(self, edge, chunks):
        """Chunks that break off or are none: 400."""
        answer = edge.exchange(edge.head("Transfer-Encoding: chunked"), chunks, ends=True)
        assert (status(answer), b"malformed_json" in answer) == (400, True)
        assert (
            status(
                edge.exchange(edge.head("Transfer-Encoding: chunked", "Connection: close"), HALF + REST + b"0\r\n\r\n")
            )
            == 200
        )

    def test_shorter_than_said(self, edge):
        """A body that ends before its length: 400."""
        answer = edge.exchange(edge.head(f"Content-Length: {len(AVATAR) + 1}"), AVATAR, ends=True)
        assert (status(answer), b"malformed_json" in answer) == (400, True)
        assert edge.serves

    def test_broken_body_where_none_is_needed(self, edge):
        """An ask that needs no body is not granted for half of one."""
        request = edge.head("Content-Length: 2").replace(b"/avatars/url", b"/user-folder/credentials")
        assert status(edge.exchange(request, b"{", ends=True)) == 400
        assert (
            status(edge.exchange(edge.head("Connection: close").replace(b"/avatars/url", b"/user-folder/credentials")))
            == 200
        )

    @pytest.mark.parametrize(
        "lengths",
        [
            ("Content-Length: 1", "Content-Length: 2"),
            ("Content-Length: +1",),
            ("Content-Length: 1, 2",),
            ("Transfer-Encoding: chunked, identity",),
        ],
    )
    def test_two_lengths(self, edge, lengths):
        """A body of which two servers could think differently is refused before it is read."""
        assert status(edge.exchange(edge.head(*lengths), AVATAR, ends=True)) == 400

    def test_length_beside_chunks(self, edge):
        """Chunks count, and the connection ends: what follows them is nobody's request."""
        head = edge.head("Transfer-Encoding: chunked", "Content-Length: 4")
        answer = edge.exchange(head, HALF + REST + b"0\r\n\r\n", edge.head("Content-Length: 0"))
        assert (status(answer), answer.count(b"HTTP/1.1 ")) == (200, 1)


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files for the tests' own process as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_connections(edge, many_files):
    """A thousand connections that were asked once and then kept do not stop new asks."""
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            asked_once(stack.enter_context(edge.connect()))
        assert all(edge.serves for _ in range(20))


def test_stalled_bodies(edge):
    """Clients that stall in their body hold a thread each; while one is left, the others are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS - 1):
            stack.enter_context(edge.connect()).sendall(edge.head("Content-Length: 100") + b"{")
        assert all(edge.serves for _ in range(20))


@contextlib.contextmanager
def listening(command: list[str], port: int, environ: dict[str, str], token: str) -> Iterator[Edge]:
    """What a command starts, once it listens."""
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stderr=subprocess.DEVNULL)
    edge = Edge(port, token)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), edge.connect():
                break
            assert (process.poll(), time.monotonic() < deadline) == (None, True)
        yield edge
    finally:
        process.terminate()
        process.wait(15)


def test_few_files(process_environ, identities, emulator):
    """However many connect, a process that may open few files keeps some for itself: it can still ask STS."""
    port, token = free_port(), identities.token("u1", int(time.time()))
    script = 'ulimit -n 256 && exec "$0" -m broker serve --port "$1" --drain-delay 0'
    environ = process_environ(BROKER_LOG_LEVEL="error")
    with (
        listening(["sh", "-c", script, sys.executable, str(port)], port, environ, token) as edge,
        contextlib.ExitStack() as stack,
    ):
        asker = stack.enter_context(edge.connect())
        asked_once(asker)
        for _ in range(400):
            stack.enter_context(edge.connect()).sendall(ALIVE)
        asker.sendall(edge.head(f"Content-Length: {len(AVATAR)}", "Connection: close") + AVATAR)
        assert status(received(asker)) == 200


def test_slow_headers(process_environ, identities, emulator):
    """Who does not send its headers, all or none, is cut off in time; others are served meanwhile."""
    port, token = free_port(), identities.token("u1", int(time.time()))
    command = [sys.executable, "-m", "tests.web.impatient", str(port), str(HEADER_SECONDS)]
    with (
        listening(command, port, process_environ(), token) as edge,
        edge.connect() as slow,
        edge.connect() as silent,
    ):
        slow.sendall(edge.head()[:-2])
        assert edge.serves
        assert status(received(slow)) in (0, 408)
        assert received(silent) == b""
