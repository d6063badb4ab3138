"""The policies of now: every process follows the folder by itself, without a restart.

A thread looks once a second. It starts with the first ask, never before a fork, and that ask looks by itself first: so
a process that nobody has asked for hours is as up to date as the others. It ends with the object it works for.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable

from broker.policy.catalog import Catalog, Folder

POLL_SECONDS = 1.0
_logger = logging.getLogger("broker.policies")


class Policies:
    """What a folder's routes are now. `clock_ns` is the file system's clock; `observe` is told every new catalog.

    `beside` is what the thread does besides, once a second.
    """

    def __init__(
        self,
        folder: Folder,
        clock_ns: Callable[[], int],
        observe: Callable[[Catalog], None],
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._clock_ns = clock_ns
        self._observe = observe
        self.beside = beside
        self._catalog = folder.catalog
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        _all.add(self)
        for problem in self._catalog.problems:
            _logger.warning("not served: %s", problem)
        observe(self._catalog)

    def __call__(self) -> Catalog:
        """The catalog of now, at most POLL_SECONDS and one reading old."""
        thread = self._thread
        if thread is None or not thread.is_alive():  # in a forked child it is not
            self._follow()
        return self._catalog

    def refresh(self) -> None:
        """Read what has changed since the last time; a sound change is served from now on."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        before, after = self._catalog, self._folder.refresh(self._clock_ns())
        if after is not before:
            self._catalog = after
            _tell(before, after)
            self._observe(after)

    def _follow(self) -> None:
        # Who comes meanwhile waits, too: what was loaded may be hours old. But not for a folder that hangs.
        if not self._lock.acquire(timeout=POLL_SECONDS):
            return
        try:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=_look, args=(weakref.ref(self),), name="policies", daemon=True)
                try:
                    self._refresh()
                finally:
                    thread.start()
                    self._thread = thread
        finally:
            self._lock.release()

    def _forget_parent(self) -> None:
        # The parent's thread may have been looking.
        self._lock = threading.Lock()
        self._thread = None


# A child inherits locks as they were at the fork, held or not.
_all: weakref.WeakSet[Policies] = weakref.WeakSet()


def _forget_parents() -> None:
    for policies in _all:
        policies._forget_parent()


os.register_at_fork(after_in_child=_forget_parents)


def _look(reference: weakref.ref[Policies]) -> None:
    pause = threading.Event()
    while not pause.wait(POLL_SECONDS):
        policies = reference()
        if policies is None:
            return
        try:
            policies.beside()
            policies.refresh()
        except Exception:  # a mistake of ours must not end reloading for good
            _logger.exception("what is done once a second failed; the policies stay as they were")
        del policies


def _tell(before: Catalog, after: Catalog) -> None:
    old, new = before.routes, after.routes
    changes = {
        "added": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and new[name] is not old[name]],
        "removed": [name for name in old if name not in new],
    }
    told = "; ".join(f"{what} {', '.join(names)}" for what, names in changes.items() if names)
    if told:
        _logger.info("policies changed, generation %d: %s", after.generation, told)
    for problem in after.problems:
        if problem not in before.problems:
            _logger.warning("not served as it stands: %s", problem)
    if before.problems and not after.problems:
        _logger.info("the policy folder is sound again")
