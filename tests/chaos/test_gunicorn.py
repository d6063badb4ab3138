"""The same under gunicorn's threads in forked workers, the application loaded before the fork or after it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from broker.emulator.faults import Fault
from tests.chaos.fleet import Ask, People, Served, end, environ_of, eventually, quiet_port, sts_calls, together
from tests.conftest import REPOSITORY


@contextlib.contextmanager
def under_gunicorn(environ: dict[str, str], people: People, folder: Path, *more: str) -> Iterator[Served]:
    """A broker of two workers with eight threads each."""
    port = quiet_port()
    options = [
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "2",
        "--threads",
        "8",
        "--worker-class",
        "gthread",
        *more,
    ]
    log = folder / "gunicorn.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "wsgi:app", *options],
            cwd=REPOSITORY, env=environ, stdout=stderr, stderr=stderr, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: log.read_text().count("Booting worker") == 2 or process.poll() is not None, 30)
        yield Served(port, process, log, people, workers=2, ready=True)
    finally:
        end(process)


@pytest.mark.parametrize("more", [[], ["--preload"]])
def test_forked_workers(own_cloud, own_redis, identities, policies, people, tmp_path, more):
    """One call for a cold scope of both workers; SIGTERM lets a cold ask end well."""
    environ = environ_of(own_cloud, identities, policies, own_redis)
    with under_gunicorn(environ, people, tmp_path, *more) as broker:
        own_cloud.order_fault(Fault("sts", 1, delay_seconds=0.5))
        answers = together(24, lambda number: broker.ask("u1"))
        assert [answer.status for answer in answers] == [200] * 24
        assert (len({answer.secret_id for answer in answers}), sts_calls(own_cloud)) == (1, 1)

        own_cloud.order_fault(Fault("sts", 1, delay_seconds=1))
        ask = Ask(broker, "last")
        eventually(lambda: sts_calls(own_cloud) == 2)
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(10) == 0
        assert ask.result().status == 200
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.keys("broker:{*}:lease") == []
