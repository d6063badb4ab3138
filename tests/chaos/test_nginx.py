"""The proxy that comes with the broker, nginx where there is one: nothing of a restart is seen behind it."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.local import send
from tests.chaos.fleet import (
    AVATARS,
    Answer,
    People,
    Served,
    end,
    environ_of,
    eventually,
    load,
    quiet_port,
    serve,
)
from tests.conftest import REPOSITORY

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CLIENTS = 6


@dataclass
class Behind:
    """Two brokers behind a proxy. `start` starts one again on its port."""

    port: int
    instances: list[Served]
    start: Callable[[int], Served]
    people: People

    def ask(self, _: int) -> Answer:
        """One ask through the proxy."""
        return self.people.ask(self.port, "u1")


def configuration(folder: Path, port: int, instances: list[Served]) -> Path:
    """The configuration that comes with the broker, for these ports, with what nginx needs around it."""
    text = (REPOSITORY / "deploy" / "nginx.conf").read_text().replace("listen 80;", f"listen 127.0.0.1:{port};")
    for number, instance in enumerate(instances, start=1):
        text = text.replace(f"broker-{number}:8000", f"127.0.0.1:{instance.port}")
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in FOLDERS)
    whole = f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    path = folder / "nginx.conf"
    path.write_text(whole)
    return path


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def behind(own_cloud, own_redis, identities, policies, people, tmp_path) -> Iterator[Behind]:
    """Two brokers with forwarded addresses, behind nginx."""
    environ = environ_of(own_cloud, identities, policies, own_redis, BROKER_TRUSTED_PROXIES="1")
    started: list[Served] = []

    def start(port: int | None = None) -> Served:
        started.append(serve(environ, people, tmp_path, workers=2, drain_delay=0, port=port))
        return started[-1]

    instances, port = [start(), start()], quiet_port()
    for instance in instances:
        instance.await_ready()
    path = configuration(tmp_path, port, instances)
    command = [str(NGINX), "-c", str(path), "-e", str(tmp_path / "errors"), "-g", "daemon off;"]
    proxy = subprocess.Popen(command)
    try:
        eventually(lambda: _listens(port))
        yield Behind(port, instances, start, people)
    finally:
        proxy.terminate()
        proxy.wait(15)
        end(*(broker.process for broker in started))


def test_rolling_restart(behind):
    """One instance after the other is ended without any delay and comes back, under load: every ask is granted."""
    with load(*[behind.ask] * CLIENTS, pause_seconds=0.01) as asked:
        asked.await_more(100)
        for old in behind.instances:
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(15) == 0
            asked.await_more(50)
            behind.start(old.port).await_ready()
            asked.await_more(50)
    assert asked.statuses == {200}


def test_what_it_keeps_away(behind):
    """Underscores do not become hyphens, large bodies and stalled ones end at the proxy; a long token passes."""
    bearer = behind.people.bearer("u1")
    url = f"http://127.0.0.1:{behind.port}/v1/{AVATARS}"
    ask = json.dumps(
        {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
    ).encode()
    headers = {"Authorization": bearer, "Content-Type": "application/json"}
    assert send("POST", url, headers, ask)[0] == 200
    assert send("POST", url, {**headers, "X-Principal": "u2"}, ask)[0] == 403
    assert send("POST", url, {**headers, "X_Principal": "u2"}, ask)[0] == 200
    assert send("POST", url, headers, b" " * (1024 * 1024 + 1))[0] == 413
    assert send("POST", url, {**headers, "X-Long": "a" * 8192}, ask)[0] == 200
    stalled = []
    for _ in range(40):  # more than the threads of both
        connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=20)
        connection.putrequest("POST", f"/v1/{AVATARS}")
        for name, value in {**headers, "Content-Length": "100"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"{")
        stalled.append(connection)
    assert [send("POST", url, headers, ask)[0] for _ in range(20)] == [200] * 20
    for connection in stalled:
        connection.close()
