"""Two hundred callers who ask for the same new scope at once: what STS sees of them, and how long they wait."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from broker import local
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from tests.bench import loader, processes, samples
from tests.bench.figures import Figure, percentile

CALLERS, WORKERS, STS_SECONDS = 200, 4, 0.2
_ROUNDS, _WARM_ROUNDS = 15, 3


def measure() -> list[Figure]:
    """Medians of rounds, each with a scope of its own; the workers have served another one before."""
    with (
        tempfile.TemporaryDirectory() as text,
        local.redis_server() as redis,
        Emulator(processes.ACCOUNT) as emulator,
    ):
        folder, port = Path(text), local.free_port()
        policies = samples.write_policies(folder)
        environ, identities = processes.environment(emulator.url, redis.url, folder, policies)

        def ask(sub: str) -> bytes:
            return loader.post(f"/v1/{samples.ROUTE}/url", identities.token(sub, int(time.time())), samples.ASK)

        emulator.order_fault(Fault("sts", 10**6, delay_seconds=STS_SECONDS))
        with local.serving(environ, port, "--workers", str(WORKERS)):
            processes.await_workers(port, WORKERS)
            with loader.connected(port, CALLERS) as callers:
                for _ in range(_WARM_ROUNDS):
                    warm = loader.burst(callers, ask("warm"))
                calls, rounds = [], []
                for number in range(_ROUNDS):
                    before = _calls(emulator)
                    rounds.append(loader.burst(callers, ask(f"herd-{number}")))
                    calls.append(_calls(emulator) - before)
    latencies = [percentile(one, 99) for one in rounds]
    what = f"{CALLERS} cold asks at once, {WORKERS} workers, STS takes {STS_SECONDS * 1000:.0f} ms"
    return [
        Figure(f"{what}: most calls of a round", "calls", max(calls), at_most=1),
        Figure("p99", "ms", statistics.median(latencies) * 1000),
        Figure("p99 / time of STS", "times", statistics.median(latencies) / STS_SECONDS, at_most=1.5),
        Figure("p99 / time of STS, worst round", "times", max(latencies) / STS_SECONDS),
        Figure("fastest answer / time of STS", "times", statistics.median(map(min, rounds)) / STS_SECONDS),
        Figure("p99 of the same asks for a scope in memory", "ms", percentile(warm, 99) * 1000),
    ]


def _calls(emulator: Emulator) -> int:
    return sum(emulator.stats()["sts"].values())
