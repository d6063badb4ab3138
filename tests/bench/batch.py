"""Many URLs in one answer: a batch of 1,000 asks, and 10,000 parts of a multipart upload, over HTTP."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker import local
from tests.bench import processes
from tests.bench.figures import Figure

_ASKS, _PARTS, _ROUNDS = 1_000, 10_000, 15
_MIB = 2**20
POLICY = {
    "vends": ["url", "multipart"],
    "methods": ["GET"],
    "bucket": "examplebucket-1250000000",
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z0-9./-]{1,64}"}},
    "content": {"max_bytes": _PARTS * _MIB, "part_bytes": _MIB},
}


def measure() -> list[Figure]:
    """Medians of rounds; the server has one core, we the other."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "files.json").write_text(json.dumps(POLICY))
        with local.world(Path(folder), local.free_port(), 0, BROKER_LOG_LEVEL="error") as world:
            for process in processes.family(world.broker.pid):
                for thread in Path(f"/proc/{process}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), [cores[0]])
            os.sched_setaffinity(0, cores[-1:])
            try:
                token = world.identities.token("u1", int(time.time()))
                asks = [{"vend": "url", "key": f"files/u1/picture-{number}.png"} for number in range(_ASKS)]
                batch = _seconds(f"{world.url}/v1/files/batch", token, {"asks": asks})
                step = {"step": "parts", "key": "files/u1/a", "upload_id": "1", "size": _PARTS * _MIB}
                parts = _seconds(f"{world.url}/v1/files/multipart", token, {**step, "parts": {"from": 1, "to": _PARTS}})
            finally:
                os.sched_setaffinity(0, cores)
    return [
        Figure(f"URLs of a batch of {_ASKS}", "URLs/s", _ASKS / batch, at_least=30_000),
        Figure(f"{_PARTS} part URLs in one answer", "s", parts, at_most=0.5),
    ]


def _seconds(url: str, token: str, ask: Mapping[str, Any]) -> float:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body, taken = json.dumps(ask).encode(), []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        status, _, answer = local.send("POST", url, headers, body)
        taken.append(time.perf_counter() - begun)
        if status != 200 or b'"problem"' in answer:
            raise RuntimeError(f"expected grants, got {status} {answer[:200]!r}")
    return statistics.median(taken)
