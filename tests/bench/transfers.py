"""A large file through the client for Python: how long, and how much memory the client's process takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from broker import local
from tests.bench.figures import Figure

_BYTES = 1_000_000_000
_POLICY = {
    "vends": ["multipart", "url", "download-url"],
    "methods": ["GET", "HEAD"],
    "bucket": "examplebucket-1250000000",
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z0-9.-]{1,64}"}},
    "content": {"max_bytes": _BYTES},
    "headers": {"Range": {"pattern": "bytes=[0-9]+-"}, "If-Match": {"pattern": '"[0-9a-f-]+"'}},
}
# Prints seconds and the peak of the process's memory in kB, as one JSON list. (ru_maxrss would count its parent's.)
_TRANSFER = """
import json, sys, time
from pathlib import Path
from broker.client import BrokerClient
begun = time.monotonic()
with BrokerClient(sys.argv[1], sys.argv[2]) as client:
    getattr(client, sys.argv[3])("files", *sys.argv[4:5], **json.loads(sys.argv[5]))
seconds = time.monotonic() - begun
print(json.dumps([seconds, int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])]))
"""


def measure() -> list[Figure]:
    """One upload in parts against the emulator, which keeps the object, and one download of it."""
    with tempfile.TemporaryDirectory() as place:
        policies, source, target = (Path(place) / name for name in ("policies", "source", "target"))
        policies.mkdir()
        (policies / "files.json").write_text(json.dumps(_POLICY))
        with source.open("wb") as file:
            file.truncate(_BYTES)
        with local.world(policies, local.free_port(), 0, BROKER_LOG_LEVEL="error") as world:
            token = world.identities.token("u1", int(time.time()))
            up = _run(world.url, token, "upload_file", str(source), {"key": "files/u1/large"})
            down = _run(world.url, token, "download_file", "files/u1/large", {"path": str(target)})
            if target.stat().st_size != _BYTES:
                raise RuntimeError(f"expected {_BYTES} bytes, got {target.stat().st_size}")
    return [
        Figure("memory of a process that uploads 1 GB in parts", "MB", up[1] / 1024, at_most=100),
        Figure("memory of a process that downloads 1 GB", "MB", down[1] / 1024, at_most=100),
        Figure("1 GB up, broker, emulator and client on the same cores", "s", up[0]),
        Figure("1 GB down", "s", down[0]),
    ]


def _run(url: str, token: str, verb: str, what: str, more: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", _TRANSFER, url, token, verb, what, json.dumps(more)]
    seconds, peak = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return seconds, peak
