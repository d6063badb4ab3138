"""A load generator: keep-alive connections in one epoll loop, light enough to keep up with any server here."""

from __future__ import annotations

import re
import selectors
import socket
import time

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def rate(port: int, request: bytes, connections: int, seconds: float) -> float:
    """Answers per second of a server that is asked the same thing over and over. Raises if one is not 200."""
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    try:
        pending = dict.fromkeys(sockets, b"")
        for one in sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ)
            one.sendall(request)
        answers, begun = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            for key, _ in selector.select(1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                pending[one] += one.recv(65_536)
                if _whole(pending[one]):
                    answers += 1
                    pending[one] = b""
                    one.sendall(request)
        return answers / elapsed
    finally:
        for one in sockets:
            one.close()


def _whole(data: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"expected 200, got {data[:400]!r}")
    length = _LENGTH.search(head)
    return length is not None and len(body) >= int(length[1])
