"""How `serve` ends so that nobody notices: first not ready, then politely alone, then closed.

A server that closes at SIGTERM loses what was sent to it in that instant, and a balancer goes on sending until it has
asked `/readyz` again. So the parent says it beforehand, and its workers see it at once.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

logger = logging.getLogger("broker.serving")


class Drain:
    """Whether the end has been announced; what the parent says, every worker that it gave this to sees."""

    def __init__(self) -> None:
        self._begun = multiprocessing.get_context("spawn").RawValue(ctypes.c_bool, False)

    def begin(self) -> None:
        """Announce the end."""
        self._begun.value = True

    def __call__(self) -> bool:
        """Whether it has been announced."""
        return bool(self._begun.value)

    def announce_sigterm(self, seconds: float) -> None:
        """From now on SIGTERM begins the drain, and ends the process so many seconds later; a second one at once."""
        end: Any = signal.getsignal(signal.SIGTERM)

        def wait(number: int, frame: FrameType | None) -> None:
            logger.info("Draining: not ready, closing in %g s", seconds)
            time.sleep(seconds)
            end(number, frame)

        def begin(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, end)
            self.begin()
            threading.Thread(target=wait, args=(number, frame), daemon=True).start()

        signal.signal(signal.SIGTERM, begin)


def politely(app: WSGIApplication, draining: Callable[[], bool]) -> WSGIApplication:
    """An application that, while draining, ends each connection with its next answer, so that nobody asks it again."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not draining():
            return app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], exc_info)

        return app(environ, start)

    return answer
