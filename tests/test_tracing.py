"""Traces are wanted or not; wanted and impossible is no start."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from broker.local import free_port, send, serving

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# `python -m broker …` where there is no such library.
WITHOUT_LIBRARIES = """
import runpy, sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
runpy.run_module("broker", run_name="__main__", alter_sys=True)
"""


def test_not_installed(process_environ):
    """The variable without the libraries is refused with what to do; it is never ignored."""
    environ = process_environ(**{ENDPOINT: "http://127.0.0.1:4318"})
    command = [sys.executable, "-c", WITHOUT_LIBRARIES, "serve", "--port", str(free_port())]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ENDPOINT in ended.stderr
    assert ".[otel]" in ended.stderr


def test_spans(process_environ, identities):
    """With them, requests of the API are sent on as spans, without what was sent along; probes are not."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=collector.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    secret = f"Bearer {identities.token('u1', 1_800_000_000)}"
    environ = process_environ(
        **{ENDPOINT: f"http://127.0.0.1:{collector.server_port}", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    )
    port = free_port()
    try:
        with serving(environ, port):
            send("POST", f"http://127.0.0.1:{port}/v1/avatars/url", {"Authorization": secret}, b"{}")
            send("GET", f"http://127.0.0.1:{port}/healthz", {})
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    told = b"".join(received)
    assert b"/v1/avatars/url" in told or b"/v1/<route_name>/<vend_name>" in told
    assert [text for text in (b"healthz", b"readyz", secret[7:].encode()) if text in told] == []
