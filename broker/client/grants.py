"""Typed grants for files on their way: what uploads and downloads ask the broker for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from broker.client import reading
from broker.client.answers import Confirmation, Form, MultipartStep, RouteDescription, SignedUrl
from broker.client.asking import Asker

_DESCRIBED_SECONDS = 60.0  # a route changes seldom; what is out of date is refused by the broker, not granted


class Grants:
    """Asks the broker; route descriptions are kept for a minute of `clock` (seconds, never set back)."""

    def __init__(self, asker: Asker, clock: Callable[[], float]) -> None:
        self._asker = asker
        self._clock = clock
        self._lock = threading.Lock()
        self._described: dict[str, RouteDescription] = {}
        self._fresh_until = float("-inf")

    def ask(self, route: str, vend: str, ask: Mapping[str, Any]) -> Any:
        """The JSON that an ask brings, members that are None left out. Raises BrokerClientError."""
        return self._asker.ask(route, vend, {name: value for name, value in ask.items() if value is not None})

    def routes(self) -> tuple[RouteDescription, ...]:
        """The routes that this principal may use."""
        return reading.read(reading.routes, self._asker.routes())

    def description(self, route: str) -> RouteDescription | None:
        """One route, None if this principal may not use it."""
        with self._lock:
            if self._clock() >= self._fresh_until or route not in self._described:
                self._described = {one.route: one for one in self.routes()}
                self._fresh_until = self._clock() + _DESCRIBED_SECONDS
            return self._described.get(route)

    def url(self, route: str, **ask: Any) -> SignedUrl:
        """A signed URL."""
        return reading.read(reading.signed_url, self.ask(route, "url", ask))

    def download_url(self, route: str, **ask: Any) -> SignedUrl:
        """A signed URL that downloads."""
        return reading.read(reading.signed_url, self.ask(route, "download-url", ask))

    def form(self, route: str, **ask: Any) -> Form:
        """A form to post."""
        return reading.read(reading.form, self.ask(route, "form", ask))

    def multipart(self, route: str, step: str, **ask: Any) -> MultipartStep:
        """The signed requests of one step: at least one."""
        return reading.read(_with_requests, self.ask(route, "multipart", {"step": step, **ask}))

    def confirm(self, route: str, key: str) -> Confirmation:
        """An object as COS has it."""
        return reading.read(reading.confirmation, self.ask(route, "confirm", {"key": key}))


def _with_requests(raw: Any) -> MultipartStep:
    step = reading.multipart(raw)
    if not step.requests or step.part_bytes < 1:
        raise ValueError
    return step
