"""A load generator: keep-alive connections in one epoll loop, light enough to keep up with any server here."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_DEADLINE_SECONDS = 15
_BLOCK_BYTES = 65_536
_SAMPLED_EVERY = 500


class Answer(NamedTuple):
    """One answer. `due_at`: when its request was to be sent, by the monotonic clock; `seconds` count from then."""

    due_at: float
    seconds: float
    status: int


def post(path: str, token: str, ask: Any) -> bytes:
    """The bytes of one ask by the bearer of a JWT."""
    body = json.dumps(ask).encode()
    headers = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@contextlib.contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections to a port of this machine, closed again."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_SECONDS))
            one.settimeout(None)  # it is only read when there is something
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(one)
        yield sockets


class Load(NamedTuple):
    """What a server did under a load: answers per second, seconds of each from its sending, and some bodies."""

    per_second: float
    seconds: list[float]
    bodies: list[bytes]


def load(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """A server that is asked the same thing over and over on each of the connections. Raises if one is not 200."""
    taken: list[float] = []
    bodies: list[bytes] = []
    with connected(port, connections) as sockets, selectors.DefaultSelector() as selector:
        pending, sent = dict.fromkeys(sockets, b""), dict.fromkeys(sockets, 0.0)
        begun = time.perf_counter()
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
            sent[one] = time.perf_counter()
            one.sendall(request)
        while (now := time.perf_counter()) < begun + seconds:
            for key, _ in selector.select(1):
                one = _socket(key)
                data = pending[one] + _received(one)
                pending[one] = data
                if _whole(data):
                    _check(data)
                    now = time.perf_counter()
                    taken.append(now - sent[one])
                    if len(taken) % _SAMPLED_EVERY == 1:
                        bodies.append(data.partition(b"\r\n\r\n")[2])
                    pending[one], sent[one] = b"", now
                    one.sendall(request)
        return Load(len(taken) / (now - begun), taken, bodies)


def rate(port: int, request: bytes, connections: int, seconds: float) -> float:
    """Answers per second of such a server."""
    return load(port, request, connections, seconds).per_second


def burst(sockets: Sequence[socket.socket], *requests: bytes) -> list[float]:
    """Seconds from sending to the whole answer, for one request on every connection at once. Raises if not 200.

    The connections take the requests in turn.
    """
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        pending = dict.fromkeys(sockets, b"")
        sent: dict[socket.socket, float] = {}
        taken: list[float] = []
        for one, request in zip(sockets, itertools.cycle(requests), strict=False):
            sent[one] = time.perf_counter()
            one.sendall(request)
        deadline = time.perf_counter() + _DEADLINE_SECONDS
        while len(taken) < len(sockets):
            ready = selector.select(max(deadline - time.perf_counter(), 0))
            if not ready:
                raise RuntimeError(f"{len(taken)} answers of {len(sockets)} within {_DEADLINE_SECONDS} s")
            for key, _ in ready:
                one = _socket(key)
                pending[one] += _received(one)
                if _whole(pending[one]):
                    taken.append(time.perf_counter() - sent[one])
                    _check(pending[one])
        return taken


def steady(sockets: Sequence[socket.socket], requests: Sequence[bytes], per_second: int, seconds: int) -> list[Answer]:
    """The answers to requests that come at a fixed rate, in turn, however long the ones before take."""
    # Not epoll, whose time-outs are whole milliseconds.
    with selectors.SelectSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        idle, pending, due = deque(sockets), dict.fromkeys(sockets, b""), dict.fromkeys(sockets, 0.0)
        answers: list[Answer] = []
        begun, asked, asks = time.monotonic(), 0, per_second * seconds
        while len(answers) < asks:
            now = time.monotonic()
            if now > begun + seconds + _DEADLINE_SECONDS:
                raise RuntimeError(f"{len(answers)} answers of {asks} within {seconds + _DEADLINE_SECONDS} s")
            while asked < asks and idle and now >= begun + asked / per_second:
                one = idle.popleft()
                due[one] = begun + asked / per_second
                one.sendall(requests[asked % len(requests)])
                asked += 1
            next_due = begun + asked / per_second if asked < asks and idle else now + 1
            for key, _ in selector.select(max(next_due - time.monotonic(), 0)):
                one = _socket(key)
                pending[one] += _received(one)
                if _whole(pending[one]):
                    status = int(pending[one].split(b" ", 2)[1])
                    answers.append(Answer(due[one], time.monotonic() - due[one], status))
                    pending[one] = b""
                    idle.append(one)
        return answers


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def _received(one: socket.socket) -> bytes:
    block = one.recv(_BLOCK_BYTES)
    if not block:
        raise RuntimeError("the server closed a connection")
    return block


def _whole(data: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head) if found else None
    return length is not None and len(body) >= int(length[1])


def _check(data: bytes) -> None:
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"expected 200, got {data[:400]!r}")
