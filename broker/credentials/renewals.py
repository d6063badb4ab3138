"""Renewals: work in the background, a few at a time, on threads that exist only while there is some.

No thread is started before the first renewal is due, so none is lost in a fork. At the end of the process the renewals
in progress are finished (each has a deadline), so that the rest of the fleet need not wait for their leases to lapse;
those still waiting their turn are dropped.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

AT_ONCE = 8

Work = Callable[[], None]
logger = logging.getLogger("broker.credentials")


class Renewals:
    """Does what is requested, for each subject once at a time, `at_once` side by side."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Hashable, Work] = OrderedDict()
        self._working: set[Hashable] = set()
        self._threads = 0

    def request(self, subject: Hashable, work: Work) -> None:
        """Have `work` done soon, unless there is some for the subject already."""
        with self._lock:
            if subject in self._working or subject in self._waiting:
                return
            self._waiting[subject] = work
            if self._threads >= self._at_once:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._run, name="broker-renewal", daemon=False).start()
        except RuntimeError:  # no more threads, or the process ends
            with self._lock:
                self._threads -= 1
                self._waiting.pop(subject, None)

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            subject, work = turn
            try:
                work()
            except Exception:  # whatever it is, the others in the queue have a right to their turn
                logger.exception("bug: work in the background failed")
            finally:
                with self._lock:
                    self._working.discard(subject)

    def _next(self) -> tuple[Hashable, Work] | None:
        with self._lock:
            if not self._waiting or not threading.main_thread().is_alive():
                self._threads -= 1
                return None
            subject, work = self._waiting.popitem(last=False)
            self._working.add(subject)
            return subject, work
