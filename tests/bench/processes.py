"""What the benchmarks start: processes that are waited for and ended, and the environment of a broker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from broker import local

ACCOUNT = ("AKIDBENCHMARK0000000000000000000000", "PermanentKeyOfTheBenchmarks00000")
_START_SECONDS = 20
_POLL_SECONDS = 0.01


@contextlib.contextmanager
def started(
    module: str, *arguments: str, environ: Mapping[str, str], ready: str, stderr: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m MODULE ARGUMENTS` from when the URL `ready` is answered with 200; ended with the block.

    Raises RuntimeError if that does not happen in time.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, env=dict(environ), stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        _await(lambda: _answers(ready), ready, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(cloud: str, redis_url: str, folder: Path, policies: Path) -> tuple[dict[str, str], local.Identities]:
    """The variables of a broker between an emulator at `cloud` and a Redis, and who may call it.

    `folder` is where the keys of those callers are written.
    """
    identities = local.Identities(folder)
    return {
        **local.inherited(),
        "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
        "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
        "BROKER_STS_ENDPOINT": cloud,
        "BROKER_COS_ENDPOINT": cloud,
        "BROKER_POLICIES": str(policies),
        "BROKER_REDIS_URL": redis_url,
        "BROKER_CACHE_KEYS": "YmVuY2htYXJrc2JlbmNobWFya3NiZW5jaG1hcmtzYWE=",
        "BROKER_JWT_JWKS": str(identities.jwks),
        "BROKER_JWT_ISSUER": local.ISSUER,
        "BROKER_JWT_AUDIENCE": local.AUDIENCE,
        "BROKER_JWT_ALGORITHMS": "ES256",
        "BROKER_LOG_LEVEL": "error",
    }, identities


def await_workers(port: int, count: int) -> None:
    """Wait until so many workers listen on a port: to be ready, one is enough."""
    _await(lambda: _listeners(port) >= count, f"{count} workers")


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


@contextlib.contextmanager
def one_core_each() -> Iterator[tuple[int, int]]:
    """(the servers' core, ours): what this process starts begins on ours, until it is moved by `pin`."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    try:
        yield cores[0], cores[-1]
    finally:
        os.sched_setaffinity(0, cores)


def pin(pid: int, *cores: int) -> None:
    """Move a process, all below it and their threads."""
    for one in family(pid):
        for thread in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(pid: int) -> float:
    """What the threads of a process and of all below it have used of a processor, by the scheduler's books."""
    threads = (thread for one in family(pid) for thread in Path(f"/proc/{one}/task").iterdir())
    nanoseconds = 0
    for thread in threads:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def resident_bytes(pid: int | str = "self") -> int:
    """Memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _await(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise RuntimeError(f"waited for {what} in vain")
        time.sleep(_POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        return local.send("GET", url, {})[0] == 200
    except OSError:
        return False


def _listeners(port: int) -> int:
    # `sl local_address rem_address st ...`, in hex; 0A is LISTEN.
    rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(state == "0A" and int(here.rpartition(":")[2], 16) == port for here, _, state in rows)
