"""Stand-ins that keep what they were asked: a clock that is told, an issuer, threads that start together."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from broker.credentials.cache import CredentialCache
from broker.credentials.credential import Credential
from broker.credentials.demand import Demand
from broker.credentials.minting import Mint
from broker.credentials.scope import Scope
from broker.credentials.store import CredentialStore
from broker.fleet.connection import Connection
from broker.limits import Budgets

NOW = 1_700_000_000


class Clock:
    """Unix seconds that only a test moves; `monotonic` moves along, and `step` sets the one without the other."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.elapsed = 1000.0

    def __call__(self) -> int:
        """The current second."""
        return int(self.now)

    def monotonic(self) -> float:
        """Seconds of a clock that is never set."""
        return self.elapsed

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.elapsed += seconds

    def step(self, seconds: int) -> None:
        """Set the clock without letting time pass."""
        self.now += seconds


class IssuerDouble:
    """Makes credentials as scripted and keeps what it was asked: (scope, when).

    `script` holds the next answers: a lifetime in seconds, or an error to raise; then `lifetime` goes on for ever.
    While `gate` is clear, calls for `held` scopes (None: all) stand still; `arrived` counts a permit for each call.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.calls: list[tuple[Scope, int]] = []
        self.expiries: list[int] = []
        self.script: list[int | BaseException] = []
        self.lifetime = 1800
        self.token = "TOKEN{}"
        self.gate = threading.Event()
        self.gate.set()
        self.held: Scope | None = None
        self.arrived = threading.Semaphore(0)
        self._lock = threading.Lock()

    def source_fingerprint(self, scope: Scope) -> str:
        """As the real one's: what is known of one role says nothing of others."""
        return f"source-double-{scope.role_arn}"

    def fingerprint(self, scope: Scope) -> str:
        """As the real one's, of a fixed source."""
        return scope.fingerprint("AKIDSOURCE", "https://sts.test")

    def issue(self, scope: Scope, permit: Callable[[], None]) -> Credential:
        """The next credential, numbered."""
        permit()
        now = self.clock()
        with self._lock:
            self.calls.append((scope, now))
            number = len(self.calls)
            answer = self.script.pop(0) if self.script else self.lifetime
            self.expiries.append(now + answer if isinstance(answer, int) else now)
        self.arrived.release()
        if self.held is None or self.held == scope:
            assert self.gate.wait(10)
        if isinstance(answer, BaseException):
            raise answer
        secrets = (f"AKID{number}", f"KEY{number}", self.token.format(number))
        dies_at, request_id, fingerprint = now + answer, f"request-{number}", self.fingerprint(scope)
        return Credential(*secrets, now, dies_at, request_id, fingerprint=fingerprint)


class Deaf:
    """A server whose queue is full, so that whoever connects hears nothing until it accepts those before."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address: tuple[str, int] = self._server.getsockname()
        self._sockets = [self._server, *(socket.socket() for _ in range(2))]
        for filling in self._sockets[1:]:
            filling.setblocking(False)
            filling.connect_ex(self.address)

    def accept(self) -> None:
        """Let in who was there first, without a word to anybody."""
        self._sockets += [self._server.accept()[0] for _ in range(2)]

    def __enter__(self) -> Deaf:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()


class Threads:
    """Threads that start together and keep what each of them got."""

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        self.results: list[Any] = [None] * count
        self._barrier = threading.Barrier(count)
        self._work = work
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, n: int) -> None:
        self._barrier.wait(10)
        try:
            self.results[n] = self._work(n)
        except Exception as error:
            self.results[n] = error

    def join(self, seconds: float = 15) -> list[Any]:
        """All results, once all are there."""
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive()
        return self.results


def some_scope(name: str = "u1", **terms: Any) -> Scope:
    """A scope whose document names somebody."""
    resource = f"qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/{name}/*"
    statement = f'{{"action":["name/cos:GetObject"],"effect":"allow","resource":["{resource}"]}}'
    return Scope(f'{{"statement":[{statement}],"version":"2.0"}}', **{"duration_seconds": 1800, **terms})


def some_demand(scope: Scope | None = None, required: int = 960, need: int = 960, *, ahead: bool = True) -> Demand:
    """A demand of fifteen minutes and the margin."""
    return Demand(scope or some_scope(), required, need, ahead)


def open_cache(
    issuer: Any, clock: Clock, store: CredentialStore | None = None, connection: Connection | None = None, **more: Any
) -> CredentialCache:
    """A cache of one process on the test's clock. Waiting for another process lets no time of that clock pass.

    `tells` is what tells Tencent's time, the clock itself by default.
    """
    tells = more.pop("tells", clock)
    budgets = Budgets(more.pop("per_second", 10_000), connection)
    pause = threading.Event()
    wait = more.pop("wait", lambda seconds: pause.wait(min(seconds, 0.01)))
    mint = Mint(issuer, store, budgets, tells, clock.monotonic, wait)
    return CredentialCache(mint, store, tells, clock.monotonic, **{"draw": lambda: 0.0, **more})
