"""Fields of policies, from the file to what COS says: conditions, windows, endpoints, variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.emulator.server import Emulator
from broker.local import send
from tests.conftest import ACCOUNT, BUCKET
from tests.web.conftest import Door

READ = {
    "vends": ["url", "download-url", "signature"],
    "methods": ["GET"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{name}",
    "inputs": {"name": {}},
}
WRITE = {**READ, "vends": ["url"], "methods": ["PUT"]}
ASK = {"inputs": {"name": "a"}}


@pytest.fixture
def open_with(open_door: Callable[..., Door], tmp_path: Path) -> Callable[..., Door]:
    """A broker with one policy, `r`: a base and changes."""

    def make(base: dict[str, Any], changes: dict[str, Any], **environ: str) -> Door:
        (tmp_path / "r.json").write_text(json.dumps({**base, **changes}))
        return open_door(BROKER_POLICIES=str(tmp_path), **environ)

    return make


def use(grant: dict[str, Any], body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What COS says to a grant, used with further headers."""
    return send(grant["method"], grant["url"], {**grant["headers"], **headers}, body)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"ip_equal": {"qcs:ip": ["127.0.0.0/8", "203.0.113.0/24"]}}, 404),
        ({"ip_equal": {"qcs:ip": "203.0.113.0/24"}}, 403),
        ({"ip_not_equal": {"qcs:ip": "203.0.113.0/24"}}, 404),
        ({"ip_not_equal": {"qcs:ip": "127.0.0.1"}}, 403),
        ({"bool_equal": {"cos:secure-transport": "false"}}, 404),
        ({"bool_equal": {"cos:secure-transport": "true"}}, 403),
        ({"numeric_greater_than_equal": {"cos:tls-version": "1.2"}}, 403),
        ({"string_equal": {"vpc:requester_vpc": "vpc-1a2b3c4d"}}, 403),
    ],
)
def test_condition(open_with, condition, status):
    """COS holds what a policy adds; a request without the value does not satisfy it."""
    grant = open_with(READ, {"condition": condition}).grant("r/url", ASK)
    assert use(grant)[0] == status


def test_storage_class(open_with):
    """The holder of a URL chooses the storage class, unless a condition holds it."""
    kept = {"string_equal_if_exist": {"cos:x-cos-storage-class": ["STANDARD", "STANDARD_IA"]}}
    for condition, archive in (({}, 200), (kept, 403)):
        grant = open_with(WRITE, {"condition": condition}).grant("r/url", ASK)
        assert use(grant, b"x")[0] == 200
        assert use(grant, b"x", **{"x-cos-storage-class": "STANDARD_IA"})[0] == 200
        assert use(grant, b"x", **{"x-cos-storage-class": "ARCHIVE"})[0] == archive


def test_page_that_is_read(open_with):
    """A page is saved as a file: whoever has a URL that reads it cannot have it shown."""
    attached = {"const": "attachment"}
    pages = {
        "methods": ["PUT", "GET"],
        "content": {"types": ["text/html"]},
        "headers": {"Content-Disposition": attached},
        "params": {"response-content-disposition": attached},
    }
    door = open_with(WRITE, pages)
    put = door.grant("r/url", {**ASK, "method": "PUT", "headers": {"Content-Type": "text/html"}})
    assert use(put, b"<script>")[0] == 200
    get = door.grant("r/url", {**ASK, "method": "GET"})
    assert use(get)[1]["content-disposition"] == "attachment"
    inline = get["url"].replace("response-content-disposition=attachment", "response-content-disposition=inline")
    assert inline != get["url"]
    assert use({**get, "url": inline})[0] == 403
    assert use({**get, "url": f"{get['url']}&response-content-disposition=inline"})[0] == 400


def test_window(open_with, clock):
    """Within a window equal asks get equal bytes, which COS serves, with leave to keep the object."""
    clock.now = clock.now // 600 * 600 + 1
    expires = {"default_seconds": 60, "max_seconds": 900, "window_seconds": 600}
    with Emulator(ACCOUNT, clock=clock, buckets={BUCKET: "ap-guangzhou"}) as cloud:
        where = {"BROKER_STS_ENDPOINT": cloud.url, "BROKER_COS_ENDPOINT": cloud.url}
        assert use(open_with(WRITE, {}, **where).grant("r/url", ASK), b"kept")[0] == 200
        door = open_with(READ, {"expires": expires}, **where)
        first = door.grant("r/download-url", ASK)
        clock.tick(300)
        second = door.grant("r/download-url", ASK)
        assert (first["url"], first["expires_at"]) == (second["url"], second["expires_at"])
        assert (first["expires_in"], second["expires_in"]) == (659, 359)
        status, headers, body = use(first)
        assert (status, body, headers["cache-control"]) == (200, b"kept", "private, max-age=600")
        clock.tick(359)
        assert use(first)[0] == 200
        clock.tick(1)
        assert use(first)[0] == 403
    assert door.client.get("/v1", headers=door.bearer()).json["routes"][0]["expires"] == {**expires, "max_seconds": 300}


def test_window_and_expires_in(open_with):
    """The window counts: no more may be asked for than what is left of `max_seconds`."""
    door = open_with(READ, {"expires": {"default_seconds": 60, "max_seconds": 900, "window_seconds": 600}})
    assert door.ask("r/url", {**ASK, "expires_in": 300}).status_code == 200
    refused = door.ask("r/url", {**ASK, "expires_in": 301}).json
    assert (refused["code"], "1..300" in refused["detail"]) == ("expires_too_long", True)


def test_endpoint(open_with):
    """A route's own endpoint is in the URL, and signed."""
    door = open_with(READ, {"endpoint": "https://{bucket}.cos.accelerate.myqcloud.com"})
    url = door.grant("r/url", ASK)["url"]
    assert url.startswith(f"https://{BUCKET}.cos.accelerate.myqcloud.com/files/u1/a?")
    assert "q-header-list=host" in url
    assert door.grant("r/signature", ASK)["url"] == f"https://{BUCKET}.cos.accelerate.myqcloud.com/files/u1/a"


def test_variable(open_with):
    """A variable of the environment is in what is signed."""
    changes = {"bucket": "${POLICY_BUCKET}", "key": "${POLICY_FOLDER:-files}/{principal.sub}/{name}"}
    assert open_with(READ, changes, POLICY_BUCKET=BUCKET).grant("r/url", ASK)["key"] == "files/u1/a"
    other = open_with(READ, changes, POLICY_BUCKET=BUCKET, POLICY_FOLDER="drafts").grant("r/url", ASK)
    assert (other["bucket"], other["key"]) == (BUCKET, "drafts/u1/a")
