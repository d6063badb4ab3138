"""The emulator's own paths, for tests: what was asked of it, faults on order, and a fresh start.

    GET  /_emulator/stats    {"sts": {ACTION: n}, "cos": {ACTION: n}}
    POST /_emulator/faults   {"target": "sts"|"cos", "code"?, "delay_seconds"?, "count"}
    POST /_emulator/reset

A request is counted as soon as its action is known, before its signature is looked at: refused ones count too, and so
do those that run into a fault. A loopback Host and no Origin keep web pages out, which could otherwise reach it.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from broker.emulator import faults
from broker.emulator.faults import Faults

PREFIX = "/_emulator/"


class Stats:
    """How often each action was asked for, per target."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self.clear()

    def count(self, target: str, action: str) -> None:
        """One more."""
        with self._lock:
            self._counts[target][action] += 1

    def clear(self) -> None:
        """Start from nothing."""
        with self._lock:
            self._counts = {target: Counter() for target in faults.TARGETS}

    def snapshot(self) -> dict[str, dict[str, int]]:
        """The counts now, as `/_emulator/stats` shows them."""
        with self._lock:
            return {target: dict(counter) for target, counter in self._counts.items()}


class Control:
    """The three paths."""

    def __init__(self, stats: Stats, faults: Faults, reset: Callable[[], None]) -> None:
        self._stats = stats
        self._faults = faults
        self._reset = reset

    def answer(self, request: Request, path: str) -> Response:
        """The response to a request below PREFIX."""
        if "Origin" in request.headers or not is_loopback(_hostname(request.headers.get("Host", ""))):
            return _json({"error": f"{PREFIX} needs a loopback Host and no Origin"}, 403)
        match request.method, path.removeprefix(PREFIX):
            case "GET", "stats":
                return _json(self._stats.snapshot())
            case "POST", "faults":
                return self._order(request)
            case "POST", "reset":
                self._reset()
                return _json({})
        return _json({"error": f"{PREFIX} has GET stats, POST faults and POST reset"}, 404)

    def _order(self, request: Request) -> Response:
        try:
            self._faults.order(faults.parse(json.loads(request.get_data())))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json({})


def is_loopback(hostname: str) -> bool:
    """Whether a host name can only mean this machine."""
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname.lower() == "localhost"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")
