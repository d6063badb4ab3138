"""Requests per second of a warm `/url` beside a bare Flask route; start-up time and memory of a worker."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from broker import local
from tests.bench import loader

ROUNDS, SECONDS, CONNECTIONS = 7, 2.0, 8
_ASK = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "1000"}}


def measure() -> list[tuple[str, str, float]]:
    """(what, unit, figure): medians of rounds that alternate between the two servers, one core for them, one for us."""
    cores = sorted(os.sched_getaffinity(0))
    with local.world(Path("policies"), local.free_port(), 0, BROKER_LOG_LEVEL="error") as world, _pinned(cores):
        request = _request(world)
        status, _, body = local.send("POST", f"{world.url}/v1/avatars/url", _headers(world), json.dumps(_ASK).encode())
        if status != 200:
            raise RuntimeError(f"expected a grant, got {status} {body!r}")
        port = int(world.url.rpartition(":")[2])
        with _bare(body) as bare:
            for process in (world.broker.pid, bare.process.pid):
                _pin(process, cores[0])
            pairs = [
                (
                    loader.rate(bare.port, request, CONNECTIONS, SECONDS),
                    loader.rate(port, request, CONNECTIONS, SECONDS),
                )
                for _ in range(ROUNDS)
            ]
        memory = max(_resident_bytes(pid) for pid in _family(world.broker.pid)) / 2**20
    plain, vended = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        ("bare Flask route, same bytes, same server", "requests/s", plain),
        ("warm /url (JWT)", "requests/s", vended),
        ("warm /url / bare route", "%", 100 * statistics.median(ours / theirs for theirs, ours in pairs)),
        ("`serve` to ready", "s", statistics.median(_starts(5))),
        ("resident memory of the worker", "MiB", memory),
    ]


class _Bare:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process


@contextlib.contextmanager
def _bare(body: bytes) -> Iterator[_Bare]:
    port = local.free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        environ = {**os.environ, "BENCH_BODY": file.name}
        process = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(port)], env=environ)
        try:
            _wait_ready(port)
            yield _Bare(port, process)
        finally:
            process.terminate()
            process.wait()


def _wait_ready(port: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if local.send("GET", f"http://127.0.0.1:{port}/readyz", {})[0] == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nothing ready on port {port}")


def _starts(times: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        identities = local.Identities(Path(folder))
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BROKER_", "TENCENTCLOUD_"))},
            "TENCENTCLOUD_SECRET_ID": "AKIDEXAMPLE",
            "TENCENTCLOUD_SECRET_KEY": "SKEXAMPLE",
            "BROKER_API_KEYS": str(identities.api_keys),
            "BROKER_LOG_LEVEL": "error",
        }
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            with local.serving(environ, local.free_port()):
                taken.append(time.perf_counter() - begun)
        return taken


def _headers(world: local.World) -> dict[str, str]:
    token = world.identities.token("u1", int(time.time()))
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _request(world: local.World) -> bytes:
    body = json.dumps(_ASK).encode()
    headers = {**_headers(world), "Host": "127.0.0.1", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/avatars/url HTTP/1.1\r\n{lines}\r\n".encode() + body


@contextlib.contextmanager
def _pinned(cores: list[int]) -> Iterator[None]:
    os.sched_setaffinity(0, cores[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _pin(pid: int, core: int) -> None:
    for one in _family(pid):
        for thread in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(thread.name), [core])


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
