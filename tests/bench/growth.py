"""What an ask costs as other things grow: routes beside it, asks in a batch, and the session token."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from broker.cos.signing import Request, Signer, Window
from broker.emulator.server import Emulator
from broker.local import Identities
from tests.bench import batch, contenders, policies, presign, processes
from tests.bench.figures import Figure

ROUTES, ASKS = (10, 100, 1_000, 10_000), (1, 3, 10, 30, 100, 300, 1_000)
TOKEN_BYTES = (500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500, 4_096)
_ROUNDS, _SIGNATURES = 7, 5_000
# Enough of each size for the clock of CPU, which counts hundredths of a second.
_BATCHES, _URLS = (20, 1_000), 20_000
_BATCH_CURVES = {"until the answer is there": "", "of the server's CPU": ", per second of CPU"}


def measure() -> list[Figure]:
    """Medians of rounds."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_routes(Path(folder)), *_batches(), *_tokens()]


def _routes(folder: Path) -> list[Figure]:
    figures = []
    for count in ROUTES:
        written = policies.write(folder, count)
        told = subprocess.run(
            [sys.executable, "-m", "tests.bench.loaded", str(written)], capture_output=True, text=True, check=True
        )
        seconds, size = (float(text) for text in told.stdout.split())
        figures += [
            Figure(f"loading {count:,} policy files", "s", seconds, curve="seconds to load", at=count),
            Figure(f"memory of {count:,} routes", "MB", size / 1e6, curve="MB", at=count),
        ]
    with Emulator(policies.ACCOUNT) as cloud:
        identities = Identities(folder)
        asks = {count: policies.asking(folder / str(count), identities, cloud) for count in ROUTES}
        for ask in asks.values():
            ask()
        rounds = [[_seconds(ask) / policies.REQUESTS for ask in asks.values()] for _ in range(_ROUNDS)]
    for count, taken in zip(asks, zip(*rounds, strict=True), strict=True):
        what = f"a warm request beside {count:,} routes, without a server"
        figures.append(Figure(what, "µs", statistics.median(taken) * 1e6, curve="routes", at=count))
    return figures


def _batches() -> list[Figure]:
    with (
        tempfile.TemporaryDirectory() as folder,
        processes.one_core_each() as (core, _),
        contenders.place(batch.write_policies(Path(folder))) as place,
        contenders.broker(place.environ) as server,
    ):
        processes.pin(server.pid, core)
        token = place.identities.token("u1", int(time.time()))
        batch.seconds(server, "batch", token, batch.asks(ASKS[-1]), 1)  # the first gets the credential
        taken = {
            count: batch.seconds(server, "batch", token, batch.asks(count), sorted((*_BATCHES, _URLS // count))[1])
            for count in ASKS
        }
    return [
        Figure(f"URLs of a batch of {count:,}{more}", "URLs/s", count / seconds, curve=curve, at=count)
        for count, both in taken.items()
        for (curve, more), seconds in zip(_BATCH_CURVES.items(), both, strict=True)
    ]


def _tokens() -> list[Figure]:
    request = Request("GET", f"https://{presign.HOST}", presign.KEY, {"Host": presign.HOST}, {})
    window = Window(1_700_000_000, 1_700_000_360)
    figures = []
    for size in TOKEN_BYTES:
        signer = Signer(presign.SECRET_ID, presign.SECRET_KEY, "x" * size)

        def sign() -> None:
            for _ in range(_SIGNATURES):
                signer.presigned_url(request, window)  # noqa: B023  called at once

        taken = statistics.median(_seconds(sign) / _SIGNATURES for _ in range(_ROUNDS))
        figures.append(Figure(f"pre-signed GET, token of {size:,} bytes", "µs", taken * 1e6, curve="token", at=size))
    return figures


def _seconds(work: Callable[[], object]) -> float:
    begun = time.thread_time()  # others may compute on this core, too
    work()
    return time.thread_time() - begun
