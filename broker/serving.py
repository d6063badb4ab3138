"""`serve`: the broker under Granian, with the settings that keep it safe behind a proxy.

The parent checks everything and starts nothing that is not whole; each worker builds its own application. On Linux
workers are forked from a parent that has imported all that they need: they start in a third of the time, and share it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import logging
import math
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from broker.draining import Drain, politely
from broker.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from flask import Flask

# Idle keep-alive connections are closed after this: a proxy in front must close its own sooner.
_HEADER_READ_SECONDS = 30
_HEADER_BYTES = 32_768
# From SIGTERM to the end, and of it at least for what came last: as long as STS may take.
_DRAIN_SECONDS, _LAST_SECONDS = 10, 8
# Connections of one worker, idle ones too; and its files beside them.
_CONNECTIONS, _OTHER_FILES = 4096, 128
_YOUNG_OBJECTS = 10_000  # Python's own 700 are less than one batch of ten makes


def serve(host: str, port: int, workers: int, threads: int, drain_delay: float) -> None:
    """Serve until SIGTERM (`drain_delay` seconds after it) or SIGINT.

    Raises ConfigurationError before anything is started.
    """
    from broker import parts

    settings = parts.settings_of_environment()
    parts.assemble(settings, lambda: 0)
    check_port(host, port)
    log_config = _logging(settings.log_level, settings.log_format)
    with _shared_metrics(settings.metrics_folder):
        # For the workers; and not before, since prometheus-client looks at the environment when it is imported.
        importlib.import_module("broker.app")
        run(load_app, host, port, workers, threads, drain_delay, log_config, settings.log_level)


@contextlib.contextmanager
def _shared_metrics(given: str) -> Iterator[None]:
    """A folder in which the workers add up their metrics, unless the environment names one."""
    if given:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="broker-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def run(
    load: Callable[[Callable[[], bool]], Flask],
    host: str,
    port: int,
    workers: int,
    threads: int,
    drain_delay: float = 0,
    log_config: dict[str, Any] | None = None,
    log_level: str = "error",
    header_read_seconds: float = _HEADER_READ_SECONDS,
) -> None:
    """Granian, until SIGTERM or SIGINT.

    `load` builds the application of one worker, which it is told whether to drain. It must be importable by name, where
    workers are spawned.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    # The parent has no threads but those that wait for its workers, and nothing open but what it listens to. Elsewhere
    # the system's own libraries do not survive a fork.
    multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)
    _settle()
    server = Server(
        "broker",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # `auto` never times out a connection that sends nothing
        websockets=False,
        workers=workers,
        blocking_threads=threads,
        backlog=1024,
        backpressure=_connections(),  # what comes beyond waits until another connection ends
        respawn_failed_workers=True,
        workers_kill_timeout=max(_LAST_SECONDS, _DRAIN_SECONDS - math.ceil(drain_delay)),
        http1_settings=HTTP1Settings(int(header_read_seconds * 1000), max_buffer_size=_HEADER_BYTES),
        log_access=False,
        log_level=LogLevels(log_level),
        log_dictconfig=log_config,
    )
    drain = Drain()
    # Not before: starting up, Granian takes SIGTERM for itself.
    server.on_startup(lambda: drain.announce_sigterm(drain_delay))
    server.serve(target_loader=functools.partial(_in_worker, load, drain), wrap_loader=False)


def _in_worker(load: Callable[[Callable[[], bool]], Flask], draining: Callable[[], bool]) -> Flask:
    """What `load` makes, in a process that ends as a worker must, however it was started."""
    # Ctrl-C reaches the whole process group, but ending workers is the parent's: told twice, Granian's hang. Until
    # Granian handles the others, they end the process: a fork has the parent's handlers, which would only take note.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if multiprocessing.get_start_method() == "fork":
        # It would end without what is to be done at exit: what is from now on shall be, what the parent's is shall not.
        atexit._clear()
        Finalize(None, atexit._run_exitfuncs, exitpriority=0)
    return load(draining)


def _connections() -> int:
    """How many connections a worker takes, so that files are left for its own. Granian has raised that limit."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(_CONNECTIONS, files - _OTHER_FILES))


def load_app(draining: Callable[[], bool]) -> Flask:
    """The application of one worker. Then its environment is cleared of what no request should see.

    Granian starts every request's WSGI environ from the process's: a secret there would be one `request.environ` away,
    and HTTP_PROXY would arrive as a header.
    """
    from broker.app import create_app

    # The parent has seen that all is sound. A worker that takes another's place later must not end the rest for a
    # policy file that has become unsound: it serves the others.
    app = create_app(replacing=True, draining=draining)
    app.wsgi_app = politely(app.wsgi_app, draining)  # type: ignore[assignment,method-assign]
    for name in list(os.environ):
        if name.startswith(("HTTP_", "REMOTE_", "BROKER_", "TENCENTCLOUD_SECRET_")):
            del os.environ[name]
    _settle()
    return app


def _settle() -> None:
    """Give back what the start needed, and look less for garbage: among what stays never, for the rest less often.

    Cycles are few, since most of an ask ends by itself; looking for them took a quarter of a batch's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    # Imports free a tenth of a worker's memory again, and glibc keeps it; other C libraries have no such call.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class NotAboutThreads(logging.Filter):
    """Drops Granian's advice to use fewer threads: their number was chosen by measuring."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep a line."""
        return "Python threads" not in record.getMessage()


def check_port(host: str, port: int) -> None:
    """Raises ConfigurationError if nothing can listen there."""
    # Granian opens it shared: a second broker would start silently and take half of the traffic.
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:  # a name that is too long for DNS is a UnicodeError
        reason = getattr(error, "strerror", None) or "no such host name"
        problem = Problem("serve", "--host and --port", f"cannot listen on {host[:64]}:{port}: {reason}")
        raise ConfigurationError([problem]) from None


def _logging(level: str, form: str) -> dict[str, Any]:
    formatter = {"json": "broker.logs.JsonFormatter", "console": "broker.logs.ConsoleFormatter"}[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "broker.logs.Handler", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "filters": {"chosen": {"()": "broker.serving.NotAboutThreads"}},
        "loggers": {"_granian": {"filters": ["chosen"]}},
    }
