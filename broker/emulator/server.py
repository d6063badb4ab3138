"""One loopback server that behaves like STS and COS: where the emulator's parts meet.

A request below `/_emulator/` is for the emulator itself; one to `/` that looks like an API call, on a host that names
no bucket, is for STS; everything else is for COS.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from werkzeug.http import http_date
from werkzeug.wrappers import Request, Response

from broker.emulator import callers
from broker.emulator.buckets import Buckets, named_by
from broker.emulator.connections import Listener
from broker.emulator.control import PREFIX, Control, Stats, is_loopback
from broker.emulator.cors import EVERYTHING, Rules
from broker.emulator.cos import Cos
from broker.emulator.documents import buckets as buckets_of
from broker.emulator.faults import Fault, Faults
from broker.emulator.objects import Objects
from broker.emulator.received import target
from broker.emulator.sessions import Sessions
from broker.emulator.sts import Sts
from broker.emulator.uploads import Uploads
from broker.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger("broker.emulator")


class Emulator:
    """STS and COS for one account; a WSGI application, and a server between `start` and `stop`.

    `account` is the permanent key, (SecretId, SecretKey). `clock` gives Unix seconds, for every expiry and `Date`.
    `data_dir` keeps objects and uploads; None: memory. `buckets` exist from the start, {name: region}. `port` 0 is any
    free one.
    `lifetime` says how many seconds STS gives of those asked for, since the real one may give fewer. `rules` tells the
    CORS rules of every bucket.
    """

    def __init__(
        self,
        account: tuple[str, str],
        *,
        clock: Callable[[], float] = time.time,
        data_dir: Path | None = None,
        buckets: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        lifetime: Callable[[int], int] = lambda asked: asked,
        rules: Rules = lambda: (EVERYTHING,),
    ) -> None:
        if not is_loopback(host):
            problem = Problem(
                "emulator", "host", f"must be a loopback address, 127.0.0.1, ::1 or localhost, got {host}"
            )
            raise ConfigurationError([problem])
        self._address = (host, port)
        self._clock = clock
        self._stopped = threading.Event()
        self._listener: Listener | None = None
        self._sessions = Sessions(*account)
        self._objects = Objects(data_dir)
        self._uploads = Uploads(data_dir)
        self._buckets = Buckets(buckets or {})
        self._buckets.learn((bucket, None) for bucket in [*self._objects.buckets(), *self._uploads.buckets()])
        self._stats = Stats()
        self._faults = Faults(self._stopped.wait)
        self._control = Control(self._stats, self._faults, self.reset)
        self._sts = Sts(self._sessions, self._buckets, clock, lambda action: self._arrive("sts", action), lifetime)
        parts = (self._sessions, self._buckets, self._objects, self._uploads)
        self._cos = Cos(*parts, clock, lambda action: self._arrive("cos", action), rules)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        response = self._answer(Request(environ, populate_request=False))
        response.headers["Date"] = http_date(self._clock())
        return response(environ, start_response)

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on; known once started."""
        if self._listener is None:
            raise RuntimeError("the emulator is not started")
        return self._listener.port

    @property
    def url(self) -> str:
        """Scheme and authority; known once started."""
        host = self._address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Listen and serve in the background. Raises ConfigurationError if the port is taken."""
        if self._listener is None:
            self._stopped.clear()
            self._listener = Listener(*self._address, self)
            self._listener.start()

    def stop(self) -> None:
        """Close the port and all connections, delayed answers included."""
        if self._listener is not None:
            self._stopped.set()
            self._listener.stop()
            self._listener = None

    def stats(self) -> dict[str, dict[str, int]]:
        """How often each action was asked for, refused requests included: {"sts": {ACTION: n}, "cos": {ACTION: n}}."""
        return self._stats.snapshot()

    def order_fault(self, fault: Fault) -> None:
        """Let the next requests fail or wait."""
        self._faults.order(fault)

    def reset(self) -> None:
        """Forget objects, uploads, counts and faults. What STS has issued stays valid, and its buckets exist."""
        self._objects.clear()
        self._uploads.clear()
        self._stats.clear()
        self._faults.clear()
        self._buckets.forget()
        for session in self._sessions.live(self._clock()):
            for document in session.documents:
                self._buckets.learn(buckets_of(document))

    def _arrive(self, kind: str, action: str) -> str | None:
        self._stats.count(kind, action)
        return self._faults.meet(kind)

    def _answer(self, request: Request) -> Response:
        path, _ = target(request)
        try:
            if path.startswith(PREFIX):
                return self._control.answer(request, path)
            bucket, _ = named_by(request.headers.get("Host", ""))
            if bucket is None and callers.is_call(request):
                return self._sts.answer(request)
            return self._cos.answer(request)
        except Exception:  # a bug of its own: the caller gets an answer, and the emulator goes on
            logger.exception("the emulator failed")
            return Response("the emulator failed", status=500)
