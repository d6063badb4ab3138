"""Many URLs in one answer: a batch of 1,000 asks, and 10,000 parts of a multipart upload, over HTTP."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker import local
from tests.bench import contenders, processes
from tests.bench.contenders import Server
from tests.bench.figures import Figure

_ASKS, _PARTS, _ROUNDS = 1_000, 10_000, 25
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


def measure(rounds: int = _ROUNDS) -> list[Figure]:
    """Medians of rounds; the server has one core, we the other."""
    with (
        tempfile.TemporaryDirectory() as folder,
        processes.one_core_each() as (core, _),
        contenders.place(write_policies(Path(folder))) as place,
        contenders.broker(place.environ) as server,
    ):
        processes.pin(server.pid, core)
        token = place.identities.token("u1", int(time.time()))
        seconds(server, "batch", token, asks(_ASKS), 1)  # the first gets the credential
        batch, computed = seconds(server, "batch", token, asks(_ASKS), rounds)
        step = {"step": "parts", "key": "files/u1/a", "upload_id": "1", "size": _PARTS * _MIB}
        parts, _ = seconds(server, "multipart", token, {**step, "parts": {"from": 1, "to": _PARTS}}, rounds)
    return [
        Figure(f"URLs of a batch of {_ASKS}", "URLs/s", _ASKS / batch, at_least=60_000),
        Figure("the same, per second of CPU", "URLs/s", _ASKS / computed, at_least=60_000),
        Figure(f"{_PARTS} part URLs in one answer", "s", parts, at_most=0.5),
    ]


def write_policies(folder: Path) -> Path:
    """A folder with the one route that is asked."""
    (folder / "files.json").write_text(json.dumps(POLICY))
    return folder


def asks(count: int) -> dict[str, Any]:
    """The body of a batch."""
    return {"asks": [{"vend": "url", "key": f"files/u1/picture-{number}.png"} for number in range(count)]}


def seconds(server: Server, vend: str, token: str, ask: Mapping[str, Any], rounds: int) -> tuple[float, float]:
    """Seconds until the answer, and of the server's CPU, of one call."""
    url = f"http://127.0.0.1:{server.port}/v1/files/{vend}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body, taken = json.dumps(ask).encode(), []
    before = processes.cpu_seconds(server.pid)
    for _ in range(rounds):
        begun = time.perf_counter()
        status, _, answer = local.send("POST", url, headers, body)
        taken.append(time.perf_counter() - begun)
        if status != 200 or b'"problem"' in answer:
            raise RuntimeError(f"expected grants, got {status} {answer[:200]!r}")
    return statistics.median(taken), (processes.cpu_seconds(server.pid) - before) / rounds
