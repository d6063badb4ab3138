"""Traces are wanted or not; wanted and impossible is no start."""

from __future__ import annotations

import importlib.util
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from broker.errors import ConfigurationError
from broker.local import free_port, send, serving
from broker.settings import Settings

INSTALLED = importlib.util.find_spec("opentelemetry") is not None
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.skipif(INSTALLED, reason="the extra otel is installed")
def test_not_installed(environ):
    """The variable without the libraries is refused with what to do; it is never ignored."""
    assert not Settings.from_environ(environ).tracing
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ({**environ, ENDPOINT: "http://127.0.0.1:4318"})
    (problem,) = refused.value.problems
    assert (problem.field, "cos-broker[otel]" in problem.message) == (ENDPOINT, True)


@pytest.mark.skipif(not INSTALLED, reason="the extra otel is not installed")
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
