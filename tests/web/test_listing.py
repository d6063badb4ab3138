"""Routes on the bucket itself: listing what a policy has listed, and HEAD."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.local import send
from tests.conftest import BUCKET
from tests.web.conftest import Door

LIST = {
    "vends": ["url", "signature"],
    "methods": ["GET", "HEAD"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "/",
    "params": {
        "prefix": {"const": "files/{principal.sub}/"},
        "delimiter": {"const": "/"},
        "max-keys": {"pattern": "[0-9]{1,3}"},
        "marker": {"pattern": ".{1,100}"},
    },
}
WRITE = {
    "vends": ["url"],
    "methods": ["PUT"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{path}",
    "inputs": {"path": {"type": "path"}},
}
GET = {"method": "GET"}


@pytest.fixture
def door(open_door: Callable[..., Door], tmp_path: Path) -> Door:
    """A broker with a route that lists a user's folder, and objects of u1 and u10."""
    (tmp_path / "list.json").write_text(json.dumps(LIST))
    (tmp_path / "write.json").write_text(json.dumps(WRITE))
    made = open_door(BROKER_POLICIES=str(tmp_path))
    for sub in ("u1", "u10"):
        for path in ("a.txt", "deep/b.txt"):
            put = made.grant("write/url", {"inputs": {"path": path}}, by=made.bearer(sub))
            assert send("PUT", put["url"], put["headers"], b"x")[0] == 200
    return made


def keys(body: bytes) -> list[str]:
    """The keys of a listing."""
    return [key.decode() for key in re.findall(rb"<Key>(.+?)</Key>", body)]


def test_own_folder(door):
    """The caller's own folder is listed, and nobody else's, however their name begins."""
    grant = door.grant("list/url", GET)
    assert (grant["method"], grant["key"], grant["headers"]) == ("GET", "/", {})
    status, _, body = send("GET", grant["url"], {})
    assert (status, keys(body)) == (200, ["files/u1/a.txt"])
    assert b"<Prefix>files/u1/deep/</Prefix>" in body
    theirs = door.grant("list/url", GET, by=door.bearer("u10"))
    assert keys(send("GET", theirs["url"], {})[2]) == ["files/u10/a.txt"]


def test_asked_parameters(door):
    """What shapes the listing may be asked for as the policy says; the prefix may not."""
    grant = door.grant("list/url", {**GET, "params": {"max-keys": "1", "marker": "files/u1/a.txt"}})
    assert keys(send("GET", grant["url"], {})[2]) == []
    for params in ({"prefix": "files/u2/"}, {"prefix": ""}, {"uploads": ""}, {"encoding-type": "url"}):
        assert door.ask("list/url", {**GET, "params": params}).json["code"] == "param_not_allowed"


@pytest.mark.parametrize("key", [None, "/"])
def test_key(door, key):
    """The key is the bucket, said or not."""
    assert door.grant("list/url", {**GET, "key": key})["key"] == "/"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        ({**GET, "key": "files/u1/a.txt"}, "key_not_allowed"),
        ({**GET, "key": ""}, "key_not_allowed"),
        ({**GET, "key": "//"}, "key_not_allowed"),
        ({**GET, "inputs": {"a": "b"}}, "input_not_allowed"),
        ({"method": "PUT"}, "method_not_allowed_by_policy"),
        ({**GET, "headers": {"Range": "bytes=0-"}}, "header_not_allowed"),
    ],
)
def test_refused(door, ask, code):
    """Nothing else of the bucket is signed."""
    assert door.ask("list/url", ask).json["code"] == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("prefix=files%2Fu1%2F", "prefix=files%2Fu10%2F"), ("prefix=files%2Fu1%2F", "prefix="),
        ("&prefix=files%2Fu1%2F", ""), ("delimiter=%2F", "delimiter="), ("/?", "/files/u1/a.txt?"), ("/?", "/?acl&"),
        ("/?", "/?versions&"), ("/?", "/?uploads&"),
    ],
)  # fmt: skip
def test_holder(door, old, new):
    """Nothing can be made of the URL but the listing that it is for."""
    url = door.grant("list/url", GET)["url"]
    assert old in url
    assert send("GET", url.replace(old, new, 1), {})[0] == 403
    assert send("GET", url, {})[0] == 200


def test_credentials_apart(door):
    """Each principal lists with a credential of its own; HEAD has another."""
    for ask in (GET, {"method": "HEAD"}, GET):
        door.grant("list/url", ask)
    before = door.sts_calls()
    door.grant("list/url", GET, by=door.bearer("u2"))
    assert door.sts_calls() == before + 1


def test_head(door):
    """Whether the bucket is there."""
    grant = door.grant("list/url", {"method": "HEAD"})
    assert send("HEAD", grant["url"], {})[0] == 200
    assert "prefix" not in grant["url"]


def test_signature(door):
    """The same as an Authorization value."""
    grant: dict[str, Any] = door.grant("list/signature", GET)
    assert send("GET", grant["url"], grant["headers"])[0] == 200


def test_document(door):
    """The credential lists one prefix of the bucket, and reaches no object."""
    order = door.app.extensions["broker"].policies.route("list")
    claims = order.admission.claims_used
    assert claims == ("sub",)
    scope = order.scope(order.operations["GET"].permission, {"sub": "u1"}, "files/u1/")
    assert json.loads(scope.document)["statement"] == [
        {
            "effect": "allow",
            "action": ["name/cos:GetBucket"],
            "resource": [f"qcs::cos:ap-guangzhou:uid/1250000000:{BUCKET}/"],
            "condition": {"string_equal": {"cos:prefix": "files%2Fu1%2F"}},
        }
    ]
