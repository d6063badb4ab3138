"""`demo` and `dev`: what they print is true."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from broker import demo
from broker.local import free_port, send

REPOSITORY = Path(__file__).resolve().parent.parent
STOPPED_WITHIN_SECONDS = 20
PAGE = "http://localhost:5173"


def environ(**changes: str) -> dict[str, str]:
    """The environment of a shell, with variables that neither verb may look at."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**inherited, "TENCENTCLOUD_SECRET_ID": "AKIDREAL", "TENCENTCLOUD_SECRET_KEY": "real-key", **changes}


def test_demo():
    """Every step goes as promised, the forbidden things are refused, and no secret is printed whole."""
    command = [sys.executable, "-m", "broker", "demo"]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environ(BROKER_LOG_LEVEL="nonsense"), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    told = ended.stdout
    assert re.search(r"\n12 of 12 steps as promised, in [0-9.]+ s\.\n$", told)
    assert "NOT AS PROMISED" not in told
    assert [told.count(text) for text in ("Forbidden 1", "Forbidden 2", "Forbidden 3", "the bytes are the same")] == [
        1
    ] * 4
    assert ("key_not_allowed" in told, "SignatureDoesNotMatch" in told, "AccessDenied" in told) == (True, True, True)
    assert "{'GetFederationToken': 3}" in told
    # The longest secret-like runs that may stand: a scheme and authority, a UUID, a URN, a list of signed names.
    runs = set(re.findall(r"[A-Za-z0-9+/=_-]{41,}", told))
    assert {run for run in runs if re.search(r"[A-Z]", run) and re.search(r"[0-9]", run)} == set()
    for name in ("q-signature=", "x-cos-security-token=", "q-ak="):
        values = re.findall(rf"{name}([^&\s\"]+)", told)
        assert values
        assert [value for value in values if len(value) > 20] == []
    for name in ("tmpSecretKey", "sessionToken"):
        values = re.findall(rf'"{name}": "([^"]+)"', told)
        assert values
        assert [value for value in values if "…" not in value] == []
    assert "real-key" not in told


@pytest.mark.parametrize("secret", ["qUVmpKIngac9FKzDMu/ICiN2Vnarwsf8xxY8fFen3hU=", "a/b+" * 10 + "c===", "x" * 32])
@pytest.mark.parametrize("name", ["tmpSecretKey", "sessionToken", "tmpSecretId"])
def test_shortened(name, secret):
    """What stands behind a secret's name is cut, whichever characters it has."""
    told = demo.shortened(json.dumps({name: secret, "key": "avatars/u1/0b6c1b2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b.png"}))
    assert secret not in told
    assert "…" in told


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[list[str]]:
    """`dev` on free ports, running; the blocks of commands that it printed."""
    ports = ["--port", str(free_port()), "--emulator-port", str(free_port())]
    command = [sys.executable, "-m", "broker", "dev", *ports]
    errors = (tmp_path / "stderr").open("w+")
    env = environ(BROKER_CORS_ORIGINS=f"{PAGE}, https://app.example", BROKER_LOG_LEVEL="nonsense")
    process = subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    told: list[str] = []
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            told.append(line)
            if "/console#key=" in line:
                break
        errors.seek(0)
        assert process.poll() is None, errors.read()
        yield "".join(told).rstrip("\n").split("\n\n")[1:]
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_WITHIN_SECONDS) == 0
        assert "stopped" in process.stdout.read()
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()
        errors.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed commands need curl, which a slim image lacks")
def test_dev(dev, tmp_path):
    """Every block of commands works when it is pasted into a shell, one after the other."""
    blocks = [block for block in dev if block.startswith("#")]
    assert len(blocks) == 8
    script = tmp_path / "pasted.sh"
    script.write_text("\n".join(f"{block}\necho; echo '=== end of block'" for block in blocks))
    ended = subprocess.run(
        ["bash", str(script)], cwd=REPOSITORY, env=environ(NO_PROXY="*"), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    listed, uploaded, again, keys, refused, stats, metrics, console = ended.stdout.split("=== end of block")[:-1]
    assert "avatars" in [route["route"] for route in json.loads(listed)["routes"]]
    assert "200 OK" in uploaded.strip().splitlines()[0]
    assert "409" in again.partition("HTTP/1.1")[2].splitlines()[0]
    assert "FileAlreadyExists" in again
    assert json.loads(keys)["key_prefix"] == "files/u1/"
    assert json.loads(refused)["code"] == "key_not_allowed"
    assert json.loads(stats)["cos"] == {"PutObject": 2}
    assert 'broker_grants_total{route="avatars",vend="url"} 1.0' in metrics
    assert console.strip() == ""


def test_dev_ends_with_the_console(dev):
    """The last line leads to the page, with a key that acts for anybody with any claim, which is never sent."""
    address, _, key = re.search(r"(http://\S+/console)#key=(\S+)$", dev[-1]).group(0).partition("#key=")
    status, headers, page = send("GET", address, {})
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"avatars" in page
    claims = base64.urlsafe_b64encode(b'{"role": "owner", "tenant": "anybody"}').decode()
    by = {"Authorization": f"Bearer {key}", "X-Principal": "someone", "X-Principal-Claims": claims}
    ask = {"Content-Type": "application/json"}
    told = b'{"inputs": {"month": "2026-01"}}'
    status, _, answer = send("POST", address.replace("/console", "/v1/reports/download-url"), {**by, **ask}, told)
    assert (status, json.loads(answer)["key"]) == (200, "reports/anybody/2026-01.pdf")


def test_pages_of_dev(dev):
    """The bucket lets in pages of the broker and of BROKER_CORS_ORIGINS, and no others, as a real one would."""
    cos = re.search(r"(http://\S+)/_emulator/stats", "".join(dev)).group(1)
    own = re.search(r"(http://\S+)/console#", dev[-1]).group(1)
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    origins = [own, own.replace("127.0.0.1", "localhost"), PAGE, "https://app.example", "https://evil.example"]
    told = [send("OPTIONS", f"{cos}/avatars/u1/a.png", {"Origin": origin, **asked})[0] for origin in origins]
    assert told == [200, 200, 200, 200, 403]
    assert send("GET", f"{own}/openapi.json", {"Origin": PAGE})[1]["access-control-allow-origin"] == PAGE


def test_taken_port(tmp_path):
    """Somebody else's server on the port is not taken for ours, even one that answers as a broker does."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """As `/readyz` of a broker."""
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Ready) as stranger:
        port = stranger.server_port
        threading.Thread(target=stranger.serve_forever, args=(0.02,), daemon=True).start()
        command = [sys.executable, "-m", "broker", "dev", "--port", str(port), "--emulator-port", str(free_port())]
        ended = subprocess.run(command, cwd=REPOSITORY, env=environ(), capture_output=True, text=True, timeout=60)
        stranger.shutdown()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
