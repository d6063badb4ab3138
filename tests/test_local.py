"""A whole broker on loopback: what its emulator's bucket lets pages do."""

from __future__ import annotations

import json

import pytest

from broker import local
from tests.conftest import BUCKET

PAGE = "https://app.example"
UPLOADS = {
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "vends": ["url"],
    "methods": ["PUT"],
    "key": "a/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z]+"}},
    "headers": {"x-cos-forbid-overwrite": {"const": "true"}},
}
READS = {**UPLOADS, "methods": ["GET"], "headers": {"Range": {"pattern": "bytes=[0-9]+-"}}}


@pytest.fixture
def preflight(tmp_path):
    """The status of a page's preflight, in a world whose only route is one of uploads."""
    (tmp_path / "uploads.json").write_text(json.dumps(UPLOADS))
    with local.world(tmp_path, local.free_port(), 0, BROKER_CORS_ORIGINS=PAGE, BROKER_LOG_LEVEL="error") as world:

        def ask(method, headers, origin=PAGE):
            asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
            return local.send("OPTIONS", f"{world.emulator.url}/a/u1/a", {"Origin": origin, **asked})[0]

        yield ask


def test_cors(preflight, tmp_path):
    """It takes what the rules of the routes take, and no more; a route that is added brings its own."""
    assert preflight("PUT", "content-type,x-cos-forbid-overwrite") == 200
    assert preflight("PUT", "content-type,x-cos-acl") == 403
    assert preflight("PUT", "content-type", "https://evil.example") == 403
    assert preflight("GET", "range") == 403
    (tmp_path / "reads.json").write_text(json.dumps(READS))
    assert preflight("GET", "range") == 200
    assert preflight("PUT", "range") == 403
