"""Which of several faults an ask is refused for: the first in the contract's order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.emulator.faults import Fault
from tests.conftest import BUCKET
from tests.web.conftest import Door

RATE = 3
LOOSE = {
    "vends": ["multipart"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "loose/{principal.sub}/{name}",
    "inputs": {"name": {}},
    "headers": {"x-cos-meta-*": {"pattern": "[a-z]+"}},
}
ASK = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}


@dataclass
class Asked:
    """One request, before it is sent."""

    known: bool = True
    claims: dict[str, Any] = field(default_factory=dict)
    route: str = "avatars"
    vend: str = "url"
    ask: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(ASK)))
    tail: bytes = b""
    content_type: str = "application/json"
    sts_fails: bool = False
    rate_is_spent: bool = False


# In the contract's order: (what makes an ask faulty, the code it is refused with).
STEPS: dict[str, tuple[Callable[[Asked], Any], str]] = {
    "authentication": (lambda asked: setattr(asked, "known", False), "unauthenticated"),
    "route": (lambda asked: setattr(asked, "route", "nope"), "route_not_found"),
    "principals": (lambda asked: asked.claims.update(scope="none"), "principal_not_allowed"),
    "size": (lambda asked: setattr(asked, "tail", asked.tail + b" " * 1024 * 1024), "request_too_large"),
    "media type": (lambda asked: setattr(asked, "content_type", "text/plain"), "unsupported_media_type"),
    "JSON": (lambda asked: setattr(asked, "tail", b"}" + asked.tail), "malformed_json"),
    "shape": (lambda asked: asked.ask.update(unknown=1), "invalid_request"),
    "key and inputs": (lambda asked: asked.ask.update(key="x"), "invalid_request"),
    "vend": (lambda asked: setattr(asked, "vend", "download-url"), "vend_not_allowed"),
    "method": (lambda asked: asked.ask.update(method="DELETE"), "method_not_allowed_by_policy"),
    "bucket": (lambda asked: asked.ask.update(bucket="other-1250000000"), "bucket_not_allowed"),
    "inputs": (lambda asked: asked.ask["inputs"].update(ext="gif"), "input_not_allowed"),
    "content": (lambda asked: asked.ask["headers"].update({"Content-Type": "a/b"}), "content_type_not_allowed"),
    "headers": (lambda asked: asked.ask["headers"].update({"X-Other": "1"}), "header_not_allowed"),
    "params": (lambda asked: asked.ask.update(params={"x": "1"}), "param_not_allowed"),
    "expires_in": (lambda asked: asked.ask.update(expires_in=901), "expires_too_long"),
    "rate": (lambda asked: setattr(asked, "rate_is_spent", True), "rate_limited"),
    "credential": (lambda asked: setattr(asked, "sts_fails", True), "sts_refused"),
}
NAMES = list(STEPS)


def code_of(door: Any, *steps: str) -> str:
    """The code that an ask with these faults is refused with."""
    asked = Asked()
    for step in steps:
        STEPS[step][0](asked)
    if asked.rate_is_spent:
        door.ask("avatars/batch", {"asks": [{"vend": "url", **ASK}] * RATE})
    door.emulator.reset()
    if asked.sts_fails:
        door.emulator.order_fault(Fault("sts", 1, "UnauthorizedOperation"))
    answer = door.ask(
        f"{asked.route}/{asked.vend}",
        by=door.bearer(**asked.claims) if asked.known else {},
        data=json.dumps(asked.ask).encode() + asked.tail,
        content_type=asked.content_type,
    )
    assert (door.sts_calls() == 0) == (steps[0] != "credential")
    return answer.json["code"]


@pytest.fixture
def door(open_door: Callable[..., Door], policies: Path, tmp_path: Path) -> Door:
    """A broker that signs so many requests for each who uploads avatars, and has a route of loose uploads."""
    folder = shutil.copytree(policies, tmp_path / "policies")
    avatars = json.loads((folder / "avatars.json").read_text())
    (folder / "avatars.json").write_text(json.dumps({**avatars, "rate": f"{RATE}/hour"}))
    (folder / "loose.json").write_text(json.dumps(LOOSE))
    return open_door(BROKER_POLICIES=str(folder))


@pytest.mark.parametrize("first", NAMES)
def test_two_faults(door, first):
    """Of two faults the one that comes first in the contract is told, whichever the other is."""
    alone = code_of(door, first)
    pairs = {later: code_of(door, first, later) for later in NAMES[NAMES.index(first) + 1 :]}
    expected = STEPS[first][1]
    assert alone == expected
    assert {later: code for later, code in pairs.items() if code != expected} == {}


def test_all_faults(door):
    """With everything wrong the caller is told to say who they are."""
    assert code_of(door, *NAMES) == "unauthenticated"


LONG = {"inputs": {"name": "a"}, "params": {f"p{index}": "x" * 1000 for index in range(8)}}


class TestLengthOfTheUrl:
    """A step of its own between `expires_in` and the credential."""

    def test_after_expires_in(self, door):
        """A lifetime that is too long is told first."""
        assert door.ask("wide/url", {**LONG, "expires_in": 901}).json["code"] == "expires_too_long"
        assert door.ask("wide/url", {**LONG, "expires_in": 900}).json["code"] == "url_too_long"

    def test_before_the_credential(self, door):
        """STS is not asked for a URL that would be too long."""
        door.emulator.order_fault(Fault("sts", 1, "UnauthorizedOperation"))
        assert door.ask("wide/url", LONG).json["code"] == "url_too_long"
        assert door.sts_calls() == 0
        assert door.ask("wide/url", {"inputs": {"name": "a"}}).json["code"] == "sts_refused"


CLIP = {"step": "initiate", "inputs": {"ext": "mp4"}, "size": 1, "headers": {"Content-Type": "video/mp4"}}
# In the contract's order; what uploads in parts declare as their size is part of the content.
FAULTS: dict[str, dict[str, Any]] = {
    "input_not_allowed": {"inputs": {"ext": "exe"}},
    "content_too_large": {"size": 2**31 + 1},
    "header_not_allowed": {"headers": {"Content-Type": "video/mp4", "X-Other": "1"}},
    "expires_too_long": {"expires_in": 3601},
}


class TestMultipart:
    """Uploads in parts, which declare their size beside the headers."""

    @pytest.mark.parametrize("first", FAULTS)
    def test_two_faults(self, door, first):
        """Of two faults the one that comes first in the contract is told."""
        names = list(FAULTS)
        for later in names[names.index(first) :]:
            ask = {**CLIP, **FAULTS[later], **FAULTS[first]}
            assert door.ask("videos/multipart", ask).json["code"] == first
        assert door.sts_calls() == 0

    def test_type_and_size(self, door):
        """What is wrong with both is told at once."""
        ask = {**CLIP, "size": 2**31 + 1, "headers": {"Content-Type": "text/html"}}
        problem = door.ask("videos/multipart", ask).json
        assert problem["code"] == "content_type_not_allowed"
        assert [error["field"] for error in problem["errors"]] == ["headers.Content-Type", "size"]

    def test_size_of_any_type(self, door):
        """Where the policy lists no types, the size is told before the headers, too."""
        ask = {"step": "initiate", "inputs": {"name": "a"}, "size": 80_000 * 2**20 + 1, "headers": {"X-Other": "1"}}
        assert door.ask("loose/multipart", ask).json["code"] == "content_too_large"
        assert door.ask("loose/multipart", {**ask, "size": 1}).json["code"] == "header_not_allowed"

    def test_length_of_the_url(self, door):
        """A lifetime that is too long is told before the URL is, and that before STS is asked."""
        headers = {f"x-cos-meta-{number:064}": "a" for number in range(100)}
        ask = {"step": "initiate", "inputs": {"name": "a"}, "size": 1, "headers": headers}
        assert door.ask("loose/multipart", {**ask, "expires_in": 901}).json["code"] == "expires_too_long"
        assert door.ask("loose/multipart", {**ask, "expires_in": 900}).json["code"] == "url_too_long"
        assert door.sts_calls() == 0


PATHS = [
    "/v1", "/v1/", "/v1/avatars", "/v1/avatars/", "/v1/avatars/url", "/v1/avatars/url/", "/v1/avatars/url/more",
    "/v1/nope/url", "/v1//url", "/v1/avatars//url", "/v1/downloads/nope", "/v1/avatars/form", "/v1/%FF/url",
    "/v1/.../...", "/v1/nope",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "ANY"]


class TestStrangers:
    """Whoever has no credential learns nothing of what is below /v1."""

    @pytest.mark.parametrize("path", PATHS)
    def test_any_path_and_method(self, door, path):
        """401 for every path and every method."""
        statuses = {method: door.client.open(path, method=method, json={}).status_code for method in METHODS}
        assert {method: status for method, status in statuses.items() if status != 401} == {}

    @pytest.mark.parametrize("path", PATHS)
    def test_bad_credential(self, door, path):
        """The same with a credential that is none."""
        by = {"Authorization": "Bearer bff.wrong"}
        statuses = {method: door.client.open(path, method=method, headers=by).status_code for method in METHODS}
        assert {method: status for method, status in statuses.items() if status != 401} == {}

    def test_large_body(self, door):
        """A stranger's body is not even read."""
        assert door.ask("avatars/url", by={}, data=b"x" * 2**21).status_code == 401


class TestAnonymous:
    """With BROKER_ANONYMOUS=1 whoever has no credential may use open routes, and learns nothing of others."""

    @pytest.fixture
    def door(self, open_door):
        """A broker that admits callers without credentials."""
        return open_door(BROKER_ANONYMOUS="1")

    def test_open_route(self, door):
        """An open route serves everybody."""
        grant = door.grant("downloads/download-url", {"inputs": {"file": "a.zip"}}, by={})
        assert grant["key"] == "downloads/a.zip"
        door.grant("downloads/download-url", {"inputs": {"file": "a.zip"}})

    def test_list(self, door):
        """The list holds the open routes alone."""
        assert [route["route"] for route in door.client.get("/v1").json["routes"]] == ["downloads"]

    def test_open_routes_of_a_closed_broker(self, open_door):
        """Without BROKER_ANONYMOUS an open route wants a credential like any other."""
        answer = open_door().ask("downloads/download-url", {"inputs": {"file": "a.zip"}}, by={})
        assert answer.json["code"] == "unauthenticated"

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("vend", ["url", "download-url", "credentials", "form", "nope", ""])
    def test_closed_route(self, door, method, vend):
        """A closed route and one that does not exist look the same, whatever is asked of them."""
        answers = [door.client.open(f"/v1/{route}/{vend}", method=method, json={}) for route in ("avatars", "nope")]
        seen = [
            (answer.status_code, answer.headers.get("Allow"), {**(answer.json or {}), "request_id": ""})
            for answer in answers
            if method != "HEAD"
        ]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert seen[:1] == seen[1:]

    @pytest.mark.parametrize("authorization", ["Bearer bff.wrong", "Bearer a.b.c", "Basic dTpw", "", "Bearer "])
    def test_bad_credential(self, door, authorization):
        """A bad credential is 401, never anonymous."""
        by = {"Authorization": authorization}
        answer = door.ask("downloads/download-url", {"inputs": {"file": "a.zip"}}, by=by)
        assert answer.json["code"] == "unauthenticated"

    def test_name_without_key(self, door):
        """Nobody names somebody else without a key."""
        answer = door.ask("downloads/download-url", {"inputs": {"file": "a.zip"}}, by={"X-Principal": "u1"})
        assert answer.json["code"] == "principal_not_allowed"
