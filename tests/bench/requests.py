"""Requests per second of a warm `/url` beside a bare Flask route; start-up time and memory of a worker."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from broker import local
from tests.bench import loader, processes, samples
from tests.bench.figures import Figure

ROUNDS, SECONDS, CONNECTIONS = 7, 2.0, 8


def measure() -> list[Figure]:
    """Medians of rounds that alternate between the two servers, one core for them, one for us."""
    cores = sorted(os.sched_getaffinity(0))
    with local.world(Path("policies"), local.free_port(), 0, BROKER_LOG_LEVEL="error") as world, pinned(cores):
        token = world.identities.token("u1", int(time.time()))
        request = loader.post("/v1/avatars/url", token, samples.ASK)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        ask = json.dumps(samples.ASK).encode()
        status, _, body = local.send("POST", f"{world.url}/v1/avatars/url", headers, ask)
        if status != 200:
            raise RuntimeError(f"expected a grant, got {status} {body!r}")
        port = int(world.url.rpartition(":")[2])
        with _bare(body) as (bare_port, bare_process):
            for process in (world.broker.pid, bare_process):
                pin(process, cores[0])
            pairs = [
                (
                    loader.rate(bare_port, request, CONNECTIONS, SECONDS),
                    loader.rate(port, request, CONNECTIONS, SECONDS),
                )
                for _ in range(ROUNDS)
            ]
        memory = max(processes.resident_bytes(pid) for pid in processes.family(world.broker.pid)) / 2**20
    plain, vended = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        Figure("bare Flask route, same bytes, same server", "requests/s", plain),
        Figure("warm /url (JWT)", "requests/s", vended),
        Figure("warm /url / bare route", "%", 100 * statistics.median(ours / theirs for theirs, ours in pairs)),
        Figure("`serve` to ready", "s", statistics.median(_starts(5))),
        Figure("resident memory of the worker", "MiB", memory),
    ]


@contextlib.contextmanager
def _bare(body: bytes) -> Iterator[tuple[int, int]]:
    """The port and the process id of the bare route."""
    port = local.free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        environ = {**os.environ, "BENCH_BODY": file.name}
        ready = f"http://127.0.0.1:{port}/readyz"
        with processes.started("tests.bench.bare", str(port), environ=environ, ready=ready) as process:
            yield port, process.pid


def _starts(times: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        identities = local.Identities(Path(folder))
        environ = {
            **local.inherited(),
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


@contextlib.contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """We ourselves on the last core."""
    os.sched_setaffinity(0, cores[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def pin(pid: int, core: int) -> None:
    """A process and all below it on one core."""
    for one in processes.family(pid):
        for thread in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(thread.name), [core])
