"""Sockets that are read until a deadline: a socket's own time-out is for each read, and begins anew with every byte.

Deadlines are of the clock `time.monotonic`.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Sequence
from typing import Any, Literal


class DatedSocket:
    """The one method of a socket that HTTPResponse uses, with a deadline on everything read through it."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        """The socket as a file, whose reads raise TimeoutError from the deadline on."""
        # The socket's own file keeps the socket open when the connection lets go of it before the body is read.
        return io.BufferedReader(_DatedReader(self._sock, self._sock.makefile(mode, buffering=0), self._deadline))


class _DatedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, stream: socket.SocketIO, deadline: float) -> None:
        self._sock = sock
        self._stream = stream
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        count = self._stream.readinto(buffer)
        if time.monotonic() > self._deadline:  # the process may have stood still, with the bytes at the door
            raise TimeoutError
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def connect(addresses: Sequence[tuple[Any, ...]], deadline: float) -> socket.socket:
    """A connection to the first address that takes one, with the time that is left as its time-out.

    `addresses` are `socket.getaddrinfo`'s. Each has an equal share of the time that is left, so that one which is
    silent leaves some to the next. Raises OSError.
    """
    trouble: OSError = TimeoutError("no time is left")
    for number, (*kind, _, address) in enumerate(addresses):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        try:
            sock = _connected(kind, address, remaining / (len(addresses) - number))
        except OSError as error:
            trouble = error
        else:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))  # 0 would be not to wait at all
            return sock
    raise trouble


def _connected(kind: Sequence[int], address: Any, seconds: float) -> socket.socket:
    sock = socket.socket(*kind)
    try:
        sock.settimeout(seconds)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
