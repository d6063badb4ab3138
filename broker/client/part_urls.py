"""Signed requests for parts: asked for several at a time, since each ask is a round trip to the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from broker.client.answers import SignedRequest
from broker.client.errors import RateLimited


class PartUrls:
    """Signed requests for parts, asked for several at a time; each is handed out once."""

    def __init__(self, ask: Callable[[int, int], list[SignedRequest]], numbers: Iterable[int], at_once: int) -> None:
        self._ask = ask
        self._wanted = set(numbers)
        self._at_once = at_once
        self._lock = threading.Lock()
        self._held: dict[int, SignedRequest] = {}

    def take(self, number: int) -> SignedRequest:
        """The request for one part. Raises BrokerClientError."""
        with self._lock:
            if number not in self._held:
                last = number
                while last + 1 in self._wanted and last + 1 not in self._held and last + 1 - number < self._at_once:
                    last += 1
                for signed in self._asked(number, last):
                    self._held[signed.part_number or 0] = signed
                    self._wanted.discard(signed.part_number or 0)
            return self._held.pop(number)

    def _asked(self, first: int, last: int) -> list[SignedRequest]:
        try:
            return self._ask(first, last)
        except RateLimited:
            if first == last:
                raise
        return self._ask(first, first)  # a rate may never have room for several at once
