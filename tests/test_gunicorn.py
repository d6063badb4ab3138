"""gunicorn's worker model: threads in forked workers, the application loaded before or after the fork."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from broker.emulator.faults import Fault
from broker.local import free_port, redis_server, send
from tests.conftest import REPOSITORY

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def until(reached, process: subprocess.Popen[bytes]) -> None:
    """Wait for something that the server is about to do."""
    deadline = time.monotonic() + 20
    while not reached():
        assert (process.poll(), time.monotonic() < deadline) == (None, True)
        time.sleep(0.01)


def listens(port: int) -> bool:
    """Whether somebody takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("preload", [False, True])
def test_forked_workers(process_environ, identities, emulator, preload):
    """Workers share one STS call per scope and end well, whether they were forked with the application or without."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4",
        "--worker-class", "gthread", "--log-level", "error", *(["--preload"] if preload else []),
    ]  # fmt: skip
    bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}", "Content-Type": "application/json"}
    with redis_server() as redis:
        environ = process_environ(BROKER_REDIS_URL=redis.url, BROKER_CACHE_KEYS=KEY, BROKER_LOG_LEVEL="error")
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stderr=subprocess.PIPE)
        try:
            until(lambda: listens(port), process)
            emulator.order_fault(Fault("sts", 1, delay_seconds=0.3))
            url = f"http://127.0.0.1:{port}/v1/avatars/url"
            answers = [send("POST", url, bearer, json.dumps(AVATAR).encode()) for _ in range(20)]
            assert [status for status, _, _ in answers] == [200] * 20
            assert emulator.stats()["sts"] == {"GetFederationToken": 1}
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=20)
    assert (process.returncode, told.decode()) == (0, "")
