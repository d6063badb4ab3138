"""The servers of these tests end with the tests, whatever ends those."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.servers import HOST, server, until

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from tests.fleet.servers import server
with server() as one, server(tcp=False) as other:
    other.hang()
    print(one.pid, other.pid, one.folder, other.folder, flush=True)
    sys.stdin.read()
"""


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_tests_end(end: signal.Signals) -> None:
    """Servers end and their folders go when the process of the tests is ended, even one that hangs."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as tests:
        assert tests.stdout is not None
        *pids, one, other = tests.stdout.readline().split()
        assert all(runs(int(pid)) for pid in pids)
        tests.send_signal(end)
        tests.communicate()
    until(lambda: not any(runs(int(pid)) for pid in pids), "the servers have ended")
    until(lambda: not Path(one).exists() and not Path(other).exists(), "their folders are gone")


def test_test_ends() -> None:
    """A server ends with its block, and its port is free again."""
    with server() as started:
        assert started.accepts()
        assert started.url == f"redis://{HOST}:{started.port}"
    assert not started.accepts()
    assert not started.folder.exists()
