"""Uploads that are more than one PUT, and what comes of them: `form`, `multipart`, `confirm`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from broker.emulator.faults import Fault
from broker.local import send
from tests.conftest import BUCKET
from tests.web.conftest import Door

MIB = 2**20
UPLOAD = {
    "vends": ["form", "multipart", "confirm", "url"],
    "methods": ["PUT"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "clips/{principal.sub}/{uuid}.{ext}",
    "inputs": {"ext": {"enum": ["mp4", "png"]}},
    "content": {"types": ["video/mp4", "image/png"], "max_bytes": 5 * MIB, "part_bytes": 2 * MIB},
    "headers": {
        "x-cos-forbid-overwrite": {"const": "true"},
        "x-cos-meta-owner": {"const": "{principal.sub}"},
        "Cache-Control": {"const": "no-store"},
        "Content-Language": {"enum": ["de", "en"]},
    },
}
PNG = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png"}}
CLIP = {"step": "initiate", "inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}, "size": 5 * MIB}


@pytest.fixture
def open_with(open_door: Callable[..., Door], tmp_path: Path) -> Callable[..., Door]:
    """A broker with one policy, `r`, changed."""

    def make(**changes: Any) -> Door:
        whole = {name: value for name, value in {**UPLOAD, **changes}.items() if value is not None}
        (tmp_path / "r.json").write_text(json.dumps(whole))
        return open_door(BROKER_POLICIES=str(tmp_path))

    return make


@pytest.fixture
def door(open_with: Callable[..., Door]) -> Door:
    """A broker with the policy as it is."""
    return open_with()


def post(form: dict[str, Any], body: bytes, **changes: str | None) -> requests.Response:
    """What COS answers to a form, some of its fields changed or, with None, left out."""
    fields = {name: value for name, value in {**form["fields"], **changes}.items() if value is not None}
    parts = [(name, (None, value)) for name, value in fields.items()]
    return requests.post(form["url"], files=[*parts, ("file", ("a.png", body, "text/html"))], timeout=10)


def sent(request: dict[str, Any], body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What COS answers to one request of a step."""
    return send(request["method"], request["url"], {**request["headers"], **headers}, body)


class TestForm:
    """`form`."""

    def test_upload(self, door):
        """The form uploads the object it is for, with its type and all that the policy adds."""
        form = door.grant("r/form", {**PNG, "headers": {**PNG["headers"], "Content-Language": "de"}})
        assert re.fullmatch(r"clips/u1/[0-9a-f-]{36}\.png", form["key"])
        assert set(form) == {"url", "fields", "key", "expires_at"}
        answer = post(form, b"mine")
        assert (answer.status_code, answer.text) == (204, "")
        url = door.grant("r/confirm", {"key": form["key"]})
        assert (url["content_type"], url["content_length"], url["satisfies"]) == ("image/png", 4, True)

    def test_policy(self, door):
        """The signed policy pins bucket, key, length, type, ACL, status and every header of the policy file."""
        form = door.grant("r/form", PNG)
        fields = form["fields"]
        policy = json.loads(base64.b64decode(fields["policy"]))
        assert policy["expiration"] == form["expires_at"].replace("Z", ".000Z")
        pinned = {name: value for one in policy["conditions"] if isinstance(one, dict) for name, value in one.items()}
        assert pinned == {
            "q-sign-algorithm": "sha1", "q-ak": fields["q-ak"], "q-sign-time": fields["q-key-time"], "bucket": BUCKET,
            "Content-Type": "image/png", "acl": "default", "success_action_status": "204", "Cache-Control": "no-store",
            "x-cos-forbid-overwrite": "true", "x-cos-meta-owner": "u1",
        }  # fmt: skip
        assert ["eq", "$key", form["key"]] in policy["conditions"]
        assert ["content-length-range", 0, 5 * MIB] in policy["conditions"]
        assert next(iter(fields)) == "key"
        assert set(pinned) - {"bucket", "q-sign-time"} <= set(fields)

    @pytest.mark.parametrize(
        "changes",
        [
            {"key": "clips/u2/a.png"}, {"key": "clips/u1/other.png"}, {"acl": "public-read"}, {"acl": None},
            {"Content-Type": "text/html"}, {"Cache-Control": "public"}, {"x-cos-meta-owner": "u2"},
            {"success_action_status": "200"}, {"x-cos-security-token": "other"}, {"x-cos-security-token": None},
            {"policy": base64.b64encode(b'{"expiration":"2099-01-01T00:00:00Z","conditions":[]}').decode()},
            {"q-signature": "0" * 40}, {"q-key-time": "1;2"}, {"q-ak": "AKIDOTHER"},
        ],
    )  # fmt: skip
    def test_changed(self, door, changes):
        """Nothing of it can be changed; as it came it works."""
        form = door.grant("r/form", PNG)
        assert post(form, b"mine", **changes).status_code in (400, 403)
        assert post(form, b"mine").status_code == 204

    @pytest.mark.parametrize(("length", "status"), [(1000, 204), (1001, 400)])
    def test_length(self, open_with, length, status):
        """COS takes as much as the policy allows, and not a byte more."""
        door = open_with(content={"types": ["image/png"], "max_bytes": 1000})
        answer = post(door.grant("r/form", PNG), b"x" * length)
        assert (answer.status_code, "EntityTooLarge" in answer.text) == (status, status == 400)

    def test_expiry(self, door, clock):
        """It ends when it says."""
        form = door.grant("r/form", {**PNG, "expires_in": 60})
        policy = json.loads(base64.b64decode(form["fields"]["policy"]))
        assert form["fields"]["q-key-time"] == f"{clock.now - 60};{clock.now + 60}"
        assert policy["expiration"].startswith(form["expires_at"][:-1])

    @pytest.mark.parametrize(
        ("ask", "code"),
        [
            ({"inputs": {"ext": "png"}}, "header_required"),
            ({**PNG, "headers": {"Content-Type": "text/html"}}, "content_type_not_allowed"),
            ({**PNG, "headers": {**PNG["headers"], "Content-Length": "5"}}, "header_not_allowed"),
            ({**PNG, "headers": {**PNG["headers"], "x-cos-acl": "public-read"}}, "header_not_allowed"),
            ({**PNG, "headers": {**PNG["headers"], "success_action_redirect": "https://a"}}, "header_not_allowed"),
            ({**PNG, "inputs": {"ext": "exe"}}, "input_not_allowed"),
            ({**PNG, "inputs": None, "key": "clips/u2/a.png"}, "key_not_allowed"),
            ({**PNG, "bucket": "other-1250000000"}, "bucket_not_allowed"),
            ({**PNG, "expires_in": 901}, "expires_too_long"),
            ({**PNG, "key": "a"}, "invalid_request"),
            ({**PNG, "params": {}}, "invalid_request"),
            ({**PNG, "method": "POST"}, "invalid_request"),
        ],
    )
    def test_refused(self, door, ask, code):
        """What the policy does not allow is refused before STS is asked."""
        assert (door.ask("r/form", ask).json["code"], door.sts_calls()) == (code, 0)

    def test_redirect(self, open_with):
        """Where the browser goes afterwards is the policy file's word alone."""
        headers = {"success_action_redirect": {"const": "https://app.example/done"}}
        door = open_with(vends=["form"], methods=None, headers=headers, content={"types": ["image/png"]})
        form = door.grant("r/form", PNG)
        assert "success_action_status" not in form["fields"]
        assert form["fields"]["success_action_redirect"] == "https://app.example/done"

    def test_acl(self, open_with):
        """An ACL that the policy fixes is the form's."""
        form = open_with(headers={"x-cos-acl": {"const": "public-read"}}).grant("r/form", PNG)
        assert (form["fields"]["acl"], "x-cos-acl" in form["fields"]) == ("public-read", False)

    def test_in_a_batch(self, door):
        """Forms may stand in a batch; uploads in parts and confirmations may not."""
        asks = [{"vend": "form", **PNG}, {"vend": "multipart", **CLIP}, {"vend": "confirm", "key": "clips/u1/a"}]
        found = door.grant("r/batch", {"asks": asks})["results"]
        assert [one["status"] for one in found] == [200, 400, 400]
        assert post(found[0]["grant"], b"x").status_code == 204


class Multipart:
    """One multipart upload of u1's, driven by what the broker vends."""

    def __init__(self, door: Door, data: bytes) -> None:
        self.door, self.data = door, data
        started = door.grant("r/multipart", {**CLIP, "size": len(data)})
        self.key, self.part_bytes = started["key"], started["part_bytes"]
        (request,) = started["requests"]
        status, _, body = sent(request)
        assert status == 200, body
        self.id = re.search(rb"<UploadId>(.+?)</UploadId>", body)[1].decode()

    def step(self, name: str, **more: Any) -> dict[str, Any]:
        """A step's grant."""
        return self.door.grant("r/multipart", {"step": name, "key": self.key, "upload_id": self.id, **more})

    def parts(self, first: int, last: int) -> list[dict[str, Any]]:
        """Signed requests for parts."""
        return self.step("parts", size=len(self.data), parts={"from": first, "to": last})["requests"]

    def put(self, request: dict[str, Any]) -> tuple[int, str]:
        """(status, ETag) of one part, sent."""
        start = (request["part_number"] - 1) * self.part_bytes
        status, headers, _ = sent(request, self.data[start : start + int(request["headers"]["Content-Length"])])
        return status, headers.get("etag", "")

    def complete(self, etags: list[str]) -> tuple[int, dict[str, str], bytes]:
        """What COS answers to the last step."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, start=1)
        )
        (request,) = self.step("complete")["requests"]
        return sent(request, f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())


class TestMultipart:
    """`multipart`."""

    DATA = bytes(range(256)) * (5 * MIB // 256)

    def test_upload(self, door):
        """From the first step to the object, with one credential for all of them."""
        upload = Multipart(door, self.DATA)
        requests_ = upload.parts(1, 3)
        assert [one["part_number"] for one in requests_] == [1, 2, 3]
        assert [one["headers"] for one in requests_] == [{"Content-Length": str(n * MIB)} for n in (2, 2, 1)]
        etags = [upload.put(one) for one in requests_]
        assert {status for status, _ in etags} == {200}
        (listing,) = upload.step("list")["requests"]
        assert sent(listing)[2].count(b"<PartNumber>") == 3
        assert upload.complete([etag for _, etag in etags])[0] == 200
        assert door.sts_calls() == 1
        found = door.grant("r/confirm", {"key": upload.key})
        assert (found["content_length"], found["content_type"], found["satisfies"]) == (5 * MIB, "video/mp4", True)
        assert upload.complete([etag for _, etag in etags])[0] in (404, 409)

    def test_nothing_asked(self, open_with):
        """An ask without a body is an ask without members: none of a step, nor of a key to look at."""
        door = open_with(key="clips/{principal.sub}/one", inputs=None)
        for vend, member in (("multipart", "step"), ("confirm", "key")):
            answer = door.ask(f"r/{vend}")
            assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, member)

    def test_abort(self, door):
        """An upload that is given up leaves nothing."""
        upload = Multipart(door, self.DATA)
        assert upload.put(upload.parts(1, 1)[0])[0] == 200
        (abort,) = upload.step("abort")["requests"]
        assert (abort["method"], sent(abort)[0]) == ("DELETE", 204)
        (listing,) = upload.step("list")["requests"]
        assert sent(listing)[0] == 404
        assert door.ask("r/confirm", {"key": upload.key}).json["code"] == "object_not_found"

    def test_other_length(self, door):
        """A part has the length that is signed for it."""
        upload = Multipart(door, self.DATA)
        request = upload.parts(3, 3)[0]
        assert sent(request, b"x" * (2 * MIB), **{"Content-Length": str(2 * MIB)})[0] == 403
        assert upload.put(request)[0] == 200

    def test_lengths_add_up(self, door):
        """Whatever sizes are declared in however many asks, the parts never add up to more than `max_bytes`."""
        upload = Multipart(door, self.DATA)
        longest: dict[int, int] = {}
        for size in (1, MIB, 2 * MIB, 2 * MIB + 1, 4 * MIB, 5 * MIB - 1, 5 * MIB):
            count = -(-size // (2 * MIB))
            for one in upload.step("parts", size=size, parts={"from": 1, "to": count})["requests"]:
                number, length = one["part_number"], int(one["headers"]["Content-Length"])
                longest[number] = max(longest.get(number, 0), length)
        assert longest == {1: 2 * MIB, 2: 2 * MIB, 3: MIB}

    def test_overwriting(self, door):
        """What must not be overwritten is not, by any step."""
        upload = Multipart(door, b"x" * MIB)
        etag = upload.put(upload.parts(1, 1)[0])[1]
        put = door.grant("r/url", {"key": upload.key, "headers": {"Content-Type": "video/mp4", "Content-Length": "1"}})
        assert send("PUT", put["url"], put["headers"], b"x")[0] == 200
        assert upload.complete([etag])[0] == 409

    @pytest.mark.parametrize(
        ("ask", "code"),
        [
            ({"step": "nope"}, "invalid_request"),
            ({}, "invalid_request"),
            ({**CLIP, "size": None}, "invalid_request"),
            ({**CLIP, "upload_id": "u"}, "invalid_request"),
            ({**CLIP, "size": 5 * MIB + 1}, "content_too_large"),
            ({**CLIP, "headers": {"Content-Type": "text/html"}}, "content_type_not_allowed"),
            ({**CLIP, "headers": {}}, "header_required"),
            ({**CLIP, "inputs": {"ext": "exe"}}, "input_not_allowed"),
            ({**CLIP, "params": {"a": "b"}}, "invalid_request"),
            *(
                ({"step": "parts", "key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4", "upload_id": "u",
                  "size": 5 * MIB, "parts": parts}, "invalid_request")
                for parts in ({"from": 0, "to": 1}, {"from": 1, "to": 10_001}, {"from": 2, "to": 1}, {"from": 1},
                              {"from": 1, "to": 4}, {"from": 1, "to": 2, "by": 1}, [1, 2], {"from": "1", "to": 2})
            ),
            *(
                ({"step": step, "key": "clips/u2/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4", "upload_id": "u", **more},
                 "key_not_allowed")
                for step, more in {"parts": {"size": 1, "parts": {"from": 1, "to": 1}}, "list": {}, "complete": {},
                                   "abort": {}}.items()
            ),
            ({"step": "complete", "upload_id": "u", "inputs": {"ext": "mp4"}}, "invalid_request"),
            ({"step": "complete", "key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4"}, "invalid_request"),
            ({"step": "abort", "key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4", "upload_id": "a b"},
             "invalid_request"),
            ({"step": "abort", "key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4", "upload_id": "u", "size": 1},
             "invalid_request"),
        ],
    )  # fmt: skip
    def test_refused(self, door, ask, code):
        """At every step key, size and parts are checked, before STS is asked."""
        assert (door.ask("r/multipart", ask).json["code"], door.sts_calls()) == (code, 0)

    def test_many_parts(self, open_with):
        """Ten thousand parts in one answer, each with its own length."""
        content = {"types": ["video/mp4"], "max_bytes": 10_000 * MIB, "part_bytes": MIB}
        door = open_with(vends=["multipart"], methods=None, content=content)
        ask = {"step": "parts", "key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4", "upload_id": f"{1:0128x}",
               "size": 10_000 * MIB - 1, "parts": {"from": 1, "to": 10_000}}  # fmt: skip
        found = door.grant("r/multipart", ask)["requests"]
        assert [one["part_number"] for one in found] == list(range(1, 10_001))
        assert {one["headers"]["Content-Length"] for one in found[:-1]} == {str(MIB)}
        assert found[-1]["headers"]["Content-Length"] == str(MIB - 1)

    def test_size_of_an_answer(self, open_with):
        """An answer has at most 32 MiB: more parts are refused, before STS is asked, by how many fit."""
        door = open_with(vends=["multipart"], methods=None, content=None, key="c/{principal.sub}/{n}", inputs={"n": {}})
        ask = {"step": "parts", "key": "c/u1/" + "é" * 64, "upload_id": "%" * 512, "size": 80_000 * MIB}
        answer = door.ask("r/multipart", {**ask, "parts": {"from": 1, "to": 10_000}}).json
        assert (answer["code"], [one["field"] for one in answer["errors"]]) == ("invalid_request", ["parts"])
        fits = int(re.search(r"at most (\d+)", answer["detail"])[1])
        one_more = {"from": 10_000 - fits, "to": 10_000}
        assert door.ask("r/multipart", {**ask, "parts": one_more}).json["code"] == "invalid_request"
        assert door.sts_calls() == 0
        whole = door.ask("r/multipart", {**ask, "parts": {"from": 10_001 - fits, "to": 10_000}})
        urls = [one["url"] for one in whole.json["requests"]]
        # The emulator's tokens are shorter than the 2,048 bytes that are reckoned with.
        missing = 2_048 - len(parse_qs(urlsplit(urls[0]).query)["x-cos-security-token"][0])
        assert 31 * MIB < len(whole.data) + len(urls) * missing <= 32 * MIB

    def test_credential(self, door, emulator):
        """The credential behind it uploads parts and does nothing else: no PUT, no GET, no ACL."""
        upload = Multipart(door, self.DATA)
        request = upload.parts(1, 1)[0]
        for change in ("&acl", "&tagging"):
            assert send("PUT", request["url"] + change, request["headers"], self.data_of(request))[0] == 403
        (start,) = door.grant("r/multipart", CLIP)["requests"]
        assert sent(start, **{"x-cos-acl": "public-read"})[0] == 403
        assert sent(start, **{"x-cos-grant-read": 'id="1"'})[0] == 403

    def data_of(self, request: dict[str, Any]) -> bytes:
        """Bytes of the length that is signed."""
        return b"x" * int(request["headers"]["Content-Length"])


class TestConfirm:
    """`confirm`."""

    def test_what_it_says(self, door):
        """Size, type and ETag of an object of the caller's, and whether they are as the policy wants them."""
        put = door.grant(
            "r/url", {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "4"}}
        )
        assert send("PUT", put["url"], put["headers"], b"mine")[0] == 200
        assert door.grant("r/confirm", {"key": put["key"]}) == {
            "bucket": BUCKET, "key": put["key"], "content_type": "image/png", "content_length": 4,
            "etag": '"918b81db5e91d031548b963c93845e5b"', "satisfies": True, "problems": [],
        }  # fmt: skip

    def test_problems(self, door, open_with):
        """An object that the policy would not have let in is told, with the codes of an upload's refusal."""
        put = door.grant(
            "r/url", {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "4"}}
        )
        assert send("PUT", put["url"], put["headers"], b"mine")[0] == 200
        stricter = open_with(content={"types": ["video/mp4"], "max_bytes": 3})
        found = stricter.grant("r/confirm", {"key": put["key"]})
        assert (found["satisfies"], found["problems"]) == (False, ["content_type_not_allowed", "content_too_large"])

    def test_absent(self, door):
        """An object that is not there is not found."""
        answer = door.ask("r/confirm", {"key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"})
        assert (answer.status_code, answer.json["code"]) == (404, "object_not_found")

    @pytest.mark.parametrize(
        ("ask", "code"),
        [
            ({"key": "clips/u2/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"}, "key_not_allowed"),
            ({"key": "clips/u1/a.png"}, "key_not_allowed"),
            ({}, "invalid_request"),
            ({"inputs": {"ext": "png"}}, "invalid_request"),
            ({"key": "a", "expires_in": 5}, "invalid_request"),
        ],
    )
    def test_refused(self, door, ask, code):
        """Only a key of the caller's is looked at; neither STS nor COS is asked otherwise."""
        assert door.ask("r/confirm", ask).json["code"] == code
        assert door.emulator.stats() == {"sts": {}, "cos": {}}

    @pytest.mark.parametrize("fault", ["AccessDenied", "InternalError"])
    def test_cos_refuses(self, door, emulator, fault):
        """What COS refuses is told as such."""
        emulator.order_fault(Fault("cos", 1, code=fault))
        answer = door.ask("r/confirm", {"key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"})
        assert (answer.status_code, answer.json["code"]) == (502, "cos_refused")

    def test_cos_does_not_answer(self, open_with):
        """So is a COS that cannot be reached; nothing of a URL is told."""
        door = open_with(endpoint="http://127.0.0.1:1")
        answer = door.ask("r/confirm", {"key": "clips/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"})
        assert (answer.status_code, answer.json["code"]) == (502, "cos_refused")
        assert "q-signature" not in answer.text

    def test_opt_in(self, open_with):
        """A route that does not vend it has none."""
        door = open_with(vends=["url"], content={"max_bytes": 5})
        assert door.ask("r/confirm", {"key": "clips/u1/a"}).json["code"] == "vend_not_allowed"
