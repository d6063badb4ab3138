"""Asks of one route as JSON Schema: whatever a schema refuses the route refuses, and what it can say it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from broker.errors import RequestError
from broker.identity.principals import Principal
from broker.policy import catalog, route_schemas
from broker.policy.ask_schemas import ask
from broker.policy.asks import ASKS, parse_ask
from broker.policy.limits import Limits
from broker.policy.routes import Route
from tests.conftest import BUCKET, REPOSITORY
from tests.doubles import NOW

U1 = Principal({"sub": "u1", "scope": "avatars:write folder:keys", "tenant": "acme", "role": "owner"})
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
PNG = {"Content-Type": "image/png", "Content-Length": "9"}
FULL = {"inputs": {"ext": "png"}, "headers": PNG}
LIST = {
    "vends": ["url"], "methods": ["GET", "HEAD"], "key": "/",
    "params": {"prefix": {"const": "files/{principal.sub}/"}, "max-keys": {"pattern": "[0-9]{1,3}"}},
}  # fmt: skip
SHARED = {
    "vends": ["url", "form"], "methods": ["PUT", "GET"], "key": "drop/{uuid}.{ext}",
    "inputs": {"ext": {"enum": ["png"]}},
    "content": {"types": ["image/png", "audio/*"], "max_bytes": 100}, "credential": {"shared_writes": True},
}  # fmt: skip
FIXED = {"vends": ["url"], "methods": ["GET"], "key": "fixed.txt"}
DATED = {
    "vends": ["url"], "methods": ["GET"], "key": "log/{date:%Y/%m/%d}/{name}.txt",
    "inputs": {"name": {"enum": ["a-b_c"]}}
}  # fmt: skip
WORDS = {
    "vends": ["url"], "methods": ["GET"], "key": "words/{a}/{b}",
    "inputs": {"a": {"pattern": "(?i)[a-z]+"}, "b": {"pattern": "a|b", "max_length": 8}},
}  # fmt: skip


@pytest.fixture(scope="module")
def routes(policies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Route]:
    """The samples, the odd ones, and some with keys of other forms."""
    limits, folder = Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com"), tmp_path_factory.mktemp("forms")
    for name, policy in {"list": LIST, "shared": SHARED, "dated": DATED, "fixed": FIXED, "words": WORDS}.items():
        whole = {"bucket": BUCKET, "region": "ap-guangzhou", **policy}
        (folder / f"{name}.json").write_text(json.dumps(whole))
    return {**catalog.load(policies, limits).routes, **catalog.load(folder, limits).routes}


def granted(route: Route, vend: str, unverified: Any) -> bool:
    """Whether the route takes an ask."""
    try:
        route.order(parse_ask(unverified, vend), route.admit(U1), NOW)
    except RequestError:
        return False
    return True


SAMPLES = sorted(set((REPOSITORY / "policies").glob("*.json")) - {REPOSITORY / "policies" / "policy.schema.json"})

# Route, vend, ask: taken.
TAKEN = [
    ("avatars", "url", FULL), ("avatars", "signature", FULL), ("avatars", "url", {**FULL, "method": "PUT"}),
    ("avatars", "url", {**FULL, "method": None, "key": None, "expires_in": None, "bucket": None}),
    ("avatars", "url", {"key": f"avatars/u1/{UUID}.png", "inputs": None, "headers": PNG}),
    ("avatars", "url", {**FULL, "headers": {**PNG, "Cache-Control": "no-store"}, "params": {}, "expires_in": 900}),
    ("avatars", "url", {**FULL, "bucket": BUCKET, "headers": {**PNG, "Content-Length": "5242880"}}),
    ("private-files", "url", {"method": "HEAD", "inputs": {"path": "ä/b"}, "headers": {"Range": "bytes=0-"}}),
    ("private-files", "download-url", {"key": "files/u1/a", "filename": "ä b.txt", "method": "GET"}),
    ("reports", "download-url", {
        "inputs": {"month": "2026-01"}, "params": {"response-content-type": "application/pdf"}}),
    ("needs", "url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}, "params": {"page": "1"}}),
    ("anything", "url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"X-Cos-Meta-A": "b"}}),
    ("anything", "url", {"method": "DELETE", "key": "any/u1/a"}),
    ("user-folder", "credentials", {}), ("user-folder", "credentials", {"bucket": BUCKET}),
    ("list", "url", {"method": "GET", "params": {"max-keys": "9"}}), ("list", "url", {"method": "HEAD", "key": "/"}),
    ("list", "url", {"method": "GET", "inputs": {}}),
    ("shared", "url", {"method": "PUT", **FULL}), ("shared", "url", {"method": "GET", "key": f"drop/{UUID}.png"}),
    ("shared", "form", {"inputs": {"ext": "png"}, "headers": {"Content-Type": "audio/ogg"}}),
    ("fixed", "url", {}), ("fixed", "url", {"key": "fixed.txt"}), ("fixed", "url", {"inputs": {}}),
    ("words", "url", {"inputs": {"a": "AbC", "b": "a"}}), ("dated", "url", {"key": "log/2026/01/31/a-b_c.txt"}),
    ("videos", "form", {"inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}, "expires_in": 3600}),
    ("videos", "confirm", {"key": f"videos/u1/{UUID}.mp4"}),
    ("videos", "multipart", {
        "step": "initiate", "inputs": {"ext": "mp4"}, "size": 2**31, "headers": {"Content-Type": "video/mp4"}}),
    ("videos", "multipart", {
        "step": "parts", "key": f"videos/u1/{UUID}.mp4", "size": 9, "upload_id": "a", "parts": {"from": 1, "to": 1}}),
    ("videos", "multipart", {"step": "abort", "key": f"videos/u1/{UUID}.mp4", "upload_id": "a", "size": None}),
]  # fmt: skip
# Route, vend, ask: refused by the schema, too.
REFUSED = [
    ("avatars", "url", {}), ("avatars", "url", {"inputs": {"ext": "png"}}), ("avatars", "url", {"headers": PNG}),
    ("avatars", "url", {**FULL, "key": f"avatars/u1/{UUID}.png"}), ("avatars", "url", {**FULL, "nope": 1}),
    ("avatars", "url", {**FULL, "inputs": {"ext": "gif"}}),
    ("avatars", "url", {**FULL, "inputs": {"ext": "png", "a": ""}}),
    ("avatars", "url", {**FULL, "method": "GET"}), ("avatars", "url", {**FULL, "bucket": "b-1250000000"}),
    ("avatars", "url", {**FULL, "expires_in": 901}), ("avatars", "url", {**FULL, "expires_in": 0}),
    ("avatars", "url", {**FULL, "expires_in": "60"}), ("avatars", "url", {**FULL, "headers": None}),
    ("avatars", "url", {**FULL, "params": None}), ("avatars", "url", {**FULL, "params": {"a": "b"}}),
    ("avatars", "url", {**FULL, "headers": {**PNG, "Content-Type": "text/html"}}),
    ("avatars", "url", {**FULL, "headers": {**PNG, "Content-Length": "52428800"}}),
    ("avatars", "url", {**FULL, "headers": {**PNG, "Content-Length": "09"}}),
    ("avatars", "url", {**FULL, "headers": {**PNG, "Cache-Control": "no-cache"}}),
    ("avatars", "url", {**FULL, "filename": "a"}), ("avatars", "url", []), ("avatars", "url", None),
    ("private-files", "url", {"inputs": {"path": "a"}}),
    ("private-files", "url", {"method": None, "key": "files/u1/a"}),
    ("private-files", "url", {"method": "GET"}), ("private-files", "url", {"method": "GET", "inputs": {"path": ""}}),
    ("private-files", "url", {"method": "GET", "inputs": {"path": "a" * 257}}),
    ("private-files", "url", {"method": "GET", "key": "files/u1/a", "headers": {"Range": "bytes=a"}}),
    ("private-files", "url", {"method": "GET", "key": ""}),
    ("private-files", "url", {"method": "GET", "key": "a" * 851}),
    ("private-files", "download-url", {"key": "files/u1/a", "filename": "a/b"}),
    ("private-files", "download-url", {"key": "files/u1/a", "filename": ""}),
    ("private-files", "download-url", {"key": "files/u1/a", "method": "HEAD"}),
    ("avatar-download", "download-url", {"inputs": {"ext": "png"}}),
    ("needs", "url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}}),
    ("needs", "url", {"inputs": {"name": "a"}, "params": {"page": "1"}}),
    ("needs", "url", {"inputs": {"name": "A"}, "headers": {"Content-Language": "de"}, "params": {"page": "1"}}),
    ("anything", "url", {"method": "DELETE", "key": "any/u1/a", "headers": {"Content-Language": "de"}}),
    ("anything", "url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": "B"}}),
    ("user-folder", "credentials", {"key": "files/u1/a"}), ("user-folder", "credentials", {"bucket": "b-1250000000"}),
    ("list", "url", {"method": "GET", "key": "files/u1/"}),
    ("list", "url", {"method": "HEAD", "params": {"max-keys": "9"}}),
    ("shared", "url", {"method": "PUT", "key": f"drop/{UUID}.png", "headers": PNG}),
    ("shared", "url", {"method": "GET", "inputs": {"ext": "png"}}),
    ("shared", "form", {"inputs": {"ext": "png"}, "headers": {"Content-Type": "audio/*"}}),
    ("avatars", "url", {"key": "avatars/u1/a.png", "headers": PNG}), ("fixed", "url", {"key": "fixedxtxt"}),
    ("avatars", "url", {"key": f"avatars/u1/{UUID}.gif", "headers": PNG}),
    ("avatars", "url", {"key": f"avatars/u1/a/{UUID}.png", "headers": PNG}),
    ("private-files", "url", {"method": "GET", "key": "files/u1/"}),
    ("dated", "url", {"key": "log/2026/1/31/a-b_c.txt"}), ("dated", "url", {"key": "log/2026/01/31/a-bXc.txt"}),
    ("fixed", "url", {"inputs": {"a": "b"}}), ("words", "url", {"inputs": {"a": "a", "b": "c"}}),
    ("videos", "confirm", {}), ("videos", "multipart", {"step": "initiate"}), ("videos", "multipart", {"step": "nope"}),
    ("videos", "multipart", {
        "step": "initiate", "inputs": {"ext": "mp4"}, "size": 2**31 + 1, "headers": {"Content-Type": "video/mp4"}}),
    ("videos", "multipart", {"step": "parts", "key": f"videos/u1/{UUID}.mp4", "size": 9, "upload_id": "a"}),
    ("videos", "multipart", {"step": "list", "key": f"videos/u1/{UUID}.mp4", "upload_id": "a", "headers": {}}),
    ("videos", "multipart", {"step": "list", "key": f"videos/u1/{UUID}.mp4", "upload_id": "a b"}),
    ("videos", "multipart", {"step": "list", "inputs": {"ext": "mp4"}, "upload_id": "a"}),
]  # fmt: skip
# Route, vend, ask: what no schema can say.
UNSAID = [
    ("avatars", "url", {**FULL, "headers": {**PNG, "Content-Length": "5242881"}}),
    ("private-files", "url", {"method": "GET", "key": "files/u10/a"}),
    ("private-files", "url", {"method": "GET", "inputs": {"path": "../a"}}),
    ("private-files", "url", {"method": "GET", "inputs": {"path": "ä" * 129}}),
    ("words", "url", {"inputs": {"a": "1", "b": "a"}}), ("dated", "url", {"key": "log/2026/02/31/a-b_c.txt"}),
    ("videos", "multipart", {
        "step": "parts", "key": f"videos/u1/{UUID}.mp4", "size": 9, "upload_id": "a", "parts": {"from": 2, "to": 1}}),
]  # fmt: skip


def valid(route: Route, vend: str, value: Any) -> bool:
    """Whether the schema of one route takes an ask."""
    schema = route_schemas.ask_of(route, vend)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(("name", "vend", "value"), TAKEN)
def test_taken(routes, name, vend, value):
    """What a route takes is of its schema, and of the one for any route."""
    assert granted(routes[name], vend, value)
    assert valid(routes[name], vend, value)
    assert Draft202012Validator(ask(vend)).is_valid(value)


@pytest.mark.parametrize(("name", "vend", "value"), REFUSED)
def test_refused(routes, name, vend, value):
    """What a schema refuses its route refuses."""
    assert not granted(routes[name], vend, value)
    assert not valid(routes[name], vend, value)


@pytest.mark.parametrize(("name", "vend", "value"), UNSAID)
def test_unsaid(routes, name, vend, value):
    """The rest is the route's own to refuse."""
    assert not granted(routes[name], vend, value)
    assert valid(routes[name], vend, value)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_examples_of_policies(routes, path):
    """Every ask that a sample's own tests have granted is of the schema."""
    route = routes[path.stem]
    for example in route.document.tests:
        body = {name: value for name, value in example.ask.items() if name != "vend"}
        if example.expect == "granted":
            assert valid(route, example.ask["vend"], body), example


@pytest.mark.parametrize("vend", ASKS)
def test_members(vend):
    """The schema for any route names every member of a vend's ask."""
    schema = ask(vend)
    for one in schema.get("oneOf", [schema]):
        assert set(one["properties"]) | {"headers"} == set(ASKS[vend]) | {"headers"}
        assert one["additionalProperties"] is False


def test_odd_pattern(routes):
    """A pattern that other engines read otherwise is told in words."""
    told = route_schemas.ask_of(routes["words"], "url")["properties"]["inputs"]["anyOf"][0]["properties"]
    assert "pattern" not in told["a"]
    assert "(?i)[a-z]+" in told["a"]["description"]
    assert told["b"]["pattern"] == "^(?:a|b)$"
