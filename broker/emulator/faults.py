"""Failures on order: the next COUNT requests to STS or COS are late, refused with a given code, or both."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker.emulator import refusals

TARGETS = ("sts", "cos")
MAX_DELAY_SECONDS = 600


class InvalidFault(ValueError):
    """An order for a fault that cannot be carried out; the message says what would be legal."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls the next `count` requests to a target: `delay_seconds`, then an error with `code` (None: none)."""

    target: str
    count: int
    code: str | None = None
    delay_seconds: float = 0


class Faults:
    """The orders not yet used up, carried out in turn. `wait` sleeps, and may return early when the server stops."""

    def __init__(self, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int]] = []

    def order(self, fault: Fault) -> None:
        """Queue a fault behind the others."""
        with self._lock:
            self._left.append((fault, fault.count))

    def clear(self) -> None:
        """Forget all orders."""
        with self._lock:
            self._left.clear()

    def meet(self, target: str) -> str | None:
        """Let one request run into what is ordered for its target: wait, then the code to refuse it with."""
        fault = self._next(target)
        if fault is None:
            return None
        if fault.delay_seconds:
            self._wait(fault.delay_seconds)
        return fault.code

    def _next(self, target: str) -> Fault | None:
        with self._lock:
            for index, (fault, count) in enumerate(self._left):
                if fault.target == target:
                    self._left[index : index + 1] = [(fault, count - 1)] if count > 1 else []
                    return fault
        return None


def parse(order: Any) -> Fault:
    """The fault that a JSON order describes. Raises InvalidFault."""
    members = ("target", "code", "delay_seconds", "count")
    if not isinstance(order, dict) or not {"target", "count"} <= order.keys():
        raise InvalidFault(f"a fault is an object of {', '.join(members)}; target and count are required")
    if unknown := [name for name in order if name not in members]:
        raise InvalidFault(f"unknown member {unknown[0]!r}; a fault has {', '.join(members)}")
    if order["target"] not in TARGETS:
        raise InvalidFault(f"target must be one of {', '.join(TARGETS)}, got {order['target']!r}")
    if not isinstance(order["count"], int) or isinstance(order["count"], bool) or order["count"] < 1:
        raise InvalidFault(f"count must be a positive integer, got {order['count']!r}")
    return Fault(order["target"], order["count"], _code(order), _delay(order))


def _code(order: dict[str, Any]) -> str | None:
    code = order.get("code")
    if code is None:
        if "delay_seconds" not in order:
            raise InvalidFault("a fault needs code, delay_seconds or both")
        return None
    if order["target"] == "cos" and code not in refusals.STATUS:
        raise InvalidFault(f"code must be one of {', '.join(refusals.STATUS)}, got {code!r}")
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+)*", code):
        raise InvalidFault(f"code must be an STS error code such as RequestLimitExceeded, got {code!r}")
    return code


def _delay(order: dict[str, Any]) -> float:
    delay = order.get("delay_seconds", 0)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= MAX_DELAY_SECONDS:
        raise InvalidFault(f"delay_seconds must be a number from 0 to {MAX_DELAY_SECONDS}, got {delay!r}")
    return float(delay)
