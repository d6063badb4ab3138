"""Connecting by a deadline. How answers are read by one, tests/identity/test_key_sources.py and test_sts.py show."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from broker.deadlines import connect
from broker.local import free_port
from tests.doubles import Deaf


def found(*addresses: tuple[str, int]) -> list[tuple[Any, ...]]:
    """Addresses as the resolver tells them."""
    return [one for host, port in addresses for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def test_first_that_takes_one():
    """An address that refuses, and one that is silent, leave time for the next; what is left is for the answer."""
    with Deaf() as deaf, socket.create_server(("127.0.0.1", 0)) as server:
        addresses = found(("127.0.0.1", free_port()), deaf.address, server.getsockname())
        with connect(addresses, time.monotonic() + 1) as sock:
            assert sock.getpeername() == server.getsockname()
            assert 0 < sock.gettimeout() <= 0.51


def test_silent():
    """Silent addresses take no longer together than one may."""
    with Deaf() as deaf:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(found(deaf.address, deaf.address, deaf.address), began + 0.3)
        assert 0.2 < time.monotonic() - began < 0.6


def test_nobody_listens():
    """The trouble of the last address is what is told."""
    with pytest.raises(ConnectionRefusedError):
        connect(found(("127.0.0.1", free_port())), time.monotonic() + 5)


def test_too_late():
    """Past the deadline nothing is tried."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TimeoutError):
        connect(found(server.getsockname()), time.monotonic())
