"""`serve`: real processes, real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from broker.emulator.faults import Fault
from broker.local import free_port, send, serving
from tests.doubles import Threads

REPOSITORY = Path(__file__).resolve().parent.parent
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
MEBIBYTE = 1024 * 1024


@dataclass
class Served:
    """A broker that listens on a port."""

    port: int
    process: subprocess.Popen[bytes]
    bearer: dict[str, str]

    def ask(self, path: str, body: object = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of one POST below /v1 on a connection of its own."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.bearer, **headers}
        return send("POST", f"http://127.0.0.1:{self.port}/v1/{path}", sent, data)

    @property
    def listens(self) -> bool:
        """Whether somebody takes connections on the port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def served(process_environ, identities, emulator) -> Iterator[Served]:
    """`serve` with two workers, ready."""
    port = free_port()
    bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}"}
    with serving(process_environ(BROKER_LOG_LEVEL="error"), port, "--workers", "2", "--threads", "4") as process:
        yield Served(port, process, bearer)


def run_serve(environ: dict[str, str], port: int, *options: str) -> subprocess.CompletedProcess[str]:
    """`serve` to its end, which must come by itself."""
    command = [sys.executable, "-m", "broker", "serve", "--port", str(port), *options]
    return subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=20, check=False)


def chunked(served: Served, size: int) -> tuple[int, bytes]:
    """(status, body) of an ask whose body of `size` bytes comes without a length."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    body = json.dumps(AVATAR).encode().ljust(size)
    headers = {"Content-Type": "application/json", **served.bearer}
    try:
        blocks = (body[start : start + 65536] for start in range(0, size, 65536))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer may come before the end is sent
            connection.request("POST", "/v1/avatars/url", blocks, headers, encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_requests(served, process_environ):
    """A served broker answers as its application does, and its port is its own."""
    status, headers, body = served.ask("avatars/url", AVATAR)
    grant = json.loads(body)
    assert (status, headers["cache-control"], headers["content-type"]) == (200, "no-store", "application/json")
    assert send("PUT", grant["url"], grant["headers"], b"x" * 9)[0] == 200

    # Chunked bodies are whole or refused, never cut.
    assert chunked(served, 500)[0] == 200
    assert chunked(served, MEBIBYTE)[0] == 200
    status, body = chunked(served, MEBIBYTE + 1)
    assert (status, json.loads(body)["code"]) == (413, "request_too_large")

    # A declared length is refused before any of the body has come.
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    headers = {**served.bearer, "Content-Type": "application/json", "Content-Length": str(MEBIBYTE + 1)}
    connection.request("POST", "/v1/avatars/url", headers=headers)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "request_too_large")
    connection.close()

    # Two values of one identity header are one value that nobody has.
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.putrequest("POST", "/v1/avatars/url")
    for value in (served.bearer["Authorization"], "Bearer a.b.c"):
        connection.putheader("Authorization", value)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()

    # The path is not normalised into somebody else's.
    assert served.ask("avatars/../downloads/download-url", {"inputs": {"file": "a"}})[0] == 404
    assert served.ask("avatars%2Furl", AVATAR)[0] in (404, 405, 200)
    assert send("GET", f"http://127.0.0.1:{served.port}/healthz", {"X-Request-Id": "a-1"})[1]["x-request-id"] == "a-1"

    # A second broker on the port would take half of the traffic.
    second = run_serve(process_environ(), served.port)
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) == 1
    assert str(served.port) in second.stderr
    assert served.process.poll() is None


def test_audit_lines(process_environ, identities, emulator, tmp_path):
    """A thousand asks of two workers, many at once, leave a thousand lines, and none is torn."""
    port, read = free_port(), tmp_path / "lines"
    token = f"Bearer {identities.token('u1', int(time.time()))}"
    environ = process_environ(BROKER_LOG_LEVEL="info")
    keys = [f"files/u1/{'ä' * 80}-{number}" for number in range(1000)]
    asks = [{"vend": "url", "method": "GET", "key": f"files/u1/batch-{number}"} for number in range(100)]

    def ask(thread: int) -> None:
        headers = {"Content-Type": "application/json", "Authorization": token}
        for key in keys[thread::10]:
            body = json.dumps({"method": "GET", "key": key}).encode()
            assert send("POST", f"http://127.0.0.1:{port}/v1/private-files/url", headers, body)[0] == 200
        body = json.dumps({"asks": asks}).encode()
        assert send("POST", f"http://127.0.0.1:{port}/v1/private-files/batch", headers, body)[0] == 200

    with read.open("wb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as pipe:
        with serving(environ, port, "--workers", "2", stderr=pipe.stdin):
            assert [found for found in Threads(10, ask).join(60) if found is not None] == []
        pipe.stdin.close()
    lines = [json.loads(line) for line in read.read_text().splitlines()]
    granted = [line for line in lines if line["logger"] == "broker.audit"]
    assert sorted(line["key"] for line in granted if "item" not in line) == sorted(keys)
    assert sorted(line["item"] for line in granted if "item" in line) == sorted(list(range(100)) * 10)


def test_sigterm(served, emulator):
    """SIGTERM: what is in flight is finished, nothing new is taken, and the process ends well."""
    emulator.order_fault(Fault("sts", 1, delay_seconds=1))
    answers: list[tuple[int, dict[str, str], bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(served.ask("avatars/url", AVATAR)))
    asking.start()
    deadline = time.monotonic() + 5
    while not emulator.stats()["sts"]:
        assert time.monotonic() < deadline
    served.process.send_signal(signal.SIGTERM)
    asking.join(10)
    assert [answer[0] for answer in answers] == [200]
    assert served.process.wait(10) == 0
    assert not served.listens


class TestRefusedStart:
    """What is not whole does not start."""

    def test_settings(self, process_environ):
        """Every wrong setting is told at once, and nothing listens."""
        port = free_port()
        environ = process_environ(BROKER_LOG_FORMAT="x", BROKER_COLOUR="blue", BROKER_CONSOLE="0", BROKER_API_KEYS=None)
        ended = run_serve(environ, port)
        assert (ended.returncode, ended.stdout) == (1, "")
        named = [line.split(": ")[2] for line in ended.stderr.splitlines()]
        assert named == ["BROKER_LOG_FORMAT", "BROKER_CONSOLE", "BROKER_COLOUR"]

    def test_no_authentication(self, process_environ):
        """A broker that would serve anybody does not start."""
        names = (
            "BROKER_API_KEYS",
            "BROKER_JWT_JWKS",
            "BROKER_JWT_ISSUER",
            "BROKER_JWT_AUDIENCE",
            "BROKER_JWT_ALGORITHMS",
        )
        ended = run_serve(process_environ(**dict.fromkeys(names)), free_port())
        assert ended.returncode == 1
        assert "BROKER_ANONYMOUS=1" in ended.stderr

    def test_policies_and_keys(self, process_environ, tmp_path):
        """Every wrong policy file and both files of keys are told at once, without a traceback."""
        (tmp_path / "one.json").write_text("{}")
        (tmp_path / "two.json").write_text('{"vends": ["nope"]}')
        (tmp_path / "UPPER.json").write_text("[")
        absent = {"BROKER_API_KEYS": str(tmp_path / "absent-keys"), "BROKER_JWT_JWKS": str(tmp_path / "absent-jwks")}
        environ = process_environ(BROKER_POLICIES=str(tmp_path), **absent)
        ended = run_serve(environ, port := free_port())
        assert (ended.returncode, ended.stdout) == (1, "")
        for name in (
            "one.json:1: vends",
            "one.json:1: bucket",
            "two.json:1: vends[0]",
            "UPPER.json",
            "absent-keys",
            "absent-jwks",
        ):
            assert name in ended.stderr
        assert all(line.startswith("error: ") for line in ended.stderr.splitlines())
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0

    @pytest.mark.parametrize("host", ["203.0.113.1", "x" * 70, "no.such.host.invalid"])
    def test_host(self, process_environ, host):
        """An address that is not this machine's is one line."""
        ended = run_serve(process_environ(), free_port(), "--host", host)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
        assert host[:20] in ended.stderr


def test_environ_of_a_request(process_environ, identities, emulator):
    """A request's environ holds none of the process's secrets, and no variable poses as a header."""
    secret = "hunter2-of-the-process"
    environ = process_environ(
        HTTP_PROXY=f"http://{secret}@127.0.0.1:9", HTTP_X_PRINCIPAL="r00t-by-env", REMOTE_USER="r00t-by-env",
        BROKER_CACHE_KEYS="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", BROKER_REDIS_URL=f"redis://:{secret}@127.0.0.1:9",
        NO_PROXY="*",
    )  # fmt: skip
    port = free_port()
    command = [sys.executable, "-m", "tests.web.environ_probe", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stderr=subprocess.DEVNULL)
    try:
        seen = None
        deadline = time.monotonic() + 15
        while seen is None:
            assert (process.poll(), time.monotonic() < deadline) == (None, True)
            try:
                seen = send("GET", f"http://127.0.0.1:{port}/environ", {"X-Request-Id": "a"})[2].decode()
            except OSError:
                time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(15)
    held = json.loads(seen)
    hidden = [secret, environ["TENCENTCLOUD_SECRET_KEY"], environ["BROKER_CACHE_KEYS"], "r00t-by-env"]
    assert [text for text in hidden if text in seen] == []
    assert [name for name in held if name.startswith(("BROKER_", "TENCENTCLOUD_SECRET"))] == []
    assert {name for name in held if name.startswith("HTTP_")} <= {
        "HTTP_HOST", "HTTP_X_REQUEST_ID", "HTTP_ACCEPT_ENCODING"
    }  # fmt: skip


def test_wsgi_module(process_environ, emulator):
    """`wsgi:app` is the application, for whatever server imports it; a wrong setting keeps it from being imported."""
    script = (
        "import wsgi; print(type(wsgi.app).__mro__[-2].__name__, wsgi.app.test_client().get('/healthz').status_code)"
    )
    command = [sys.executable, "-c", script]
    good, bad = (
        subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
        for environ in (process_environ(), process_environ(BROKER_COLOUR="blue"))
    )
    assert (good.returncode, good.stdout.split()[-1]) == (0, "200")
    assert (bad.returncode != 0, "BROKER_COLOUR" in bad.stderr) == (True, True)


def test_end_of_a_worker(process_environ, identities, emulator, tmp_path):
    """What is to be done at the end of a worker is done: it enters what it has counted, and leaves the folder alone."""
    port, environ = free_port(), process_environ(BROKER_LOG_LEVEL="error", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    with serving(environ, port, "--workers", "1") as process:
        bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}"}
        assert Served(port, process, bearer).ask("avatars/url", AVATAR)[0] == 200
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))
    assert registry.get_sample_value("broker_grants_total", {"route": "avatars", "vend": "url"}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the children of a process are read from /proc")
def test_shared_folder(process_environ, identities, emulator, tmp_path):
    """Workers share a folder for their metrics, which goes when `serve` ends and not with the first of them."""
    port, environ = free_port(), process_environ(BROKER_LOG_LEVEL="error", TMPDIR=str(tmp_path))
    with serving(environ, port, "--workers", "2", "--drain-delay", "0") as process:
        [worker, _] = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        os.kill(worker, signal.SIGTERM)
        while Path(f"/proc/{worker}").exists():
            time.sleep(0.01)
        assert list(tmp_path.glob("broker-metrics-*/*.db"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_while_it_loads(number):
    """A worker that is told to end before it serves ends: what its parent does at these signals is not its own."""
    program = f"""
import os, signal
from broker import serving
signal.signal({int(number)}, lambda *_: None)
serving._in_worker(lambda draining: os.kill(os.getpid(), {int(number)}), lambda: False)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, check=False)
    assert ended.returncode == -number
