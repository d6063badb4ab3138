"""Every refusal of the contract, each beside a twin that differs in one thing and is granted."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.local import free_port
from tests.conftest import ACCOUNT, BUCKET

MEBIBYTE = 1024 * 1024
PNG = {"Content-Type": "image/png", "Content-Length": "9"}
AVATAR = {"inputs": {"ext": "png"}, "headers": PNG}
UUID = "0b6c1b2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"
MARKER = "seCret-vaLue-17"


def avatar(**changes: Any) -> dict[str, Any]:
    """The ask for an avatar's upload, with other members."""
    return {**AVATAR, **changes}


def headed(**changes: str | None) -> dict[str, Any]:
    """The same with other headers; None takes one away."""
    merged = {**PNG, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return avatar(headers={name: value for name, value in merged.items() if value is not None})


def assert_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer, after a look at everything that all of them share."""
    problem = answer.json
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert list(problem) == ["type", "title", "status", "code", "detail", "errors", "request_id"]
    assert (problem["type"], problem["status"]) == (f"urn:cos-broker:{code}", status)
    assert problem["title"]
    assert problem["detail"]
    assert all(sorted(error) == ["field", "message"] for error in problem["errors"])
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"] == problem["request_id"]
    return problem


# situation: (path, refused, granted, code, fields in errors, what the detail tells of both sides)
POLICY = {
    "method": (
        "avatars/url", avatar(method="GET"), avatar(method="PUT"), "method_not_allowed_by_policy", ["method"],
        ["PUT", "GET"],
    ),
    "vend": ("avatars/download-url", AVATAR, None, "vend_not_allowed", [], ["url, signature", "download-url"]),
    "vend credentials": ("avatars/credentials", {}, None, "vend_not_allowed", [], ["url, signature", "credentials"]),
    "bucket": (
        "avatars/url", avatar(bucket="examplebucket-1250000001"), avatar(bucket=BUCKET), "bucket_not_allowed",
        ["bucket"], [BUCKET],
    ),
    "bucket of keys": (
        "user-folder/credentials", {"bucket": "x-1250000000"}, {"bucket": BUCKET}, "bucket_not_allowed", ["bucket"],
        [BUCKET],
    ),
    "other user's key": (
        "private-files/download-url", {"key": "files/u2/a"}, {"key": "files/u1/a"}, "key_not_allowed", ["key"],
        ["files/{principal.sub}/{path}", "files/u2/a"],
    ),
    "longer name": (
        "private-files/download-url", {"key": "files/u10/a"}, {"key": "files/u1/0a"}, "key_not_allowed", ["key"],
        ["files/u10/a"],
    ),
    "upwards": (
        "private-files/download-url", {"key": "files/u1/../u2/a"}, {"key": "files/u1/.../u2/a"}, "key_not_allowed",
        ["key"], ["'..'"],
    ),
    "doubled slash": (
        "private-files/download-url", {"key": "files/u1//a"}, {"key": "files/u1/a"}, "key_not_allowed", ["key"],
        ["segment"],
    ),
    "leading slash": (
        "private-files/download-url", {"key": "/files/u1/a"}, {"key": "files/u1/a"}, "key_not_allowed", ["key"],
        ["'/'"],
    ),
    "wildcard": (
        "private-files/download-url", {"key": "files/u1/*"}, {"key": "files/u1/x"}, "key_not_allowed", ["key"],
        ["'*'"],
    ),
    "folder": (
        "private-files/download-url", {"key": "files/u1/"}, {"key": "files/u1/x"}, "key_not_allowed", ["key"],
        ["segment"],
    ),
    "decomposed": (
        "private-files/download-url", {"key": "files/u1/u\u0308"}, {"key": "files/u1/\u00fc"}, "key_not_allowed",
        ["key"], ["NFC"],
    ),
    "bell": (
        "private-files/download-url", {"key": "files/u1/\a"}, {"key": "files/u1/a"}, "key_not_allowed", ["key"],
        ["U+0007"],
    ),
    "long key": (
        "private-files/download-url", {"key": "files/u1/" + "/".join(["x" * 99] * 9)}, {"key": "files/u1/x"},
        "key_not_allowed", ["key"], ["850"],
    ),
    "no uuid": (
        "avatar-download/download-url", {"key": "avatars/u1/x.png"}, {"key": f"avatars/u1/{UUID}.png"},
        "key_not_allowed", ["key"], ["{uuid}"],
    ),
    "upper-case uuid": (
        "avatar-download/download-url", {"key": f"avatars/u1/{UUID.upper()}.png"}, {"key": f"avatars/u1/{UUID}.png"},
        "key_not_allowed", ["key"], ["{uuid}"],
    ),
    "input": (
        "avatars/url", avatar(inputs={"ext": "gif"}), AVATAR, "input_not_allowed", ["inputs.ext"],
        ["png, jpg, webp", "gif"],
    ),
    "input missing": ("avatars/url", avatar(inputs={}), AVATAR, "input_not_allowed", ["inputs.ext"], ["required"]),
    "input undeclared": (
        "avatars/url", avatar(inputs={"ext": "png", "size": "1"}), AVATAR, "input_not_allowed", ["inputs.size"],
        ["ext"],
    ),
    "input pattern": (
        "downloads/download-url", {"inputs": {"file": "A.zip"}}, {"inputs": {"file": "a.zip"}}, "input_not_allowed",
        ["inputs.file"], ["[a-z0-9]", "A.zip"],
    ),
    "input with a slash": (
        "needs/url", {"inputs": {"name": "a/b"}}, None, "input_not_allowed", ["inputs.name"], ["'/'"],
    ),
    "input too long": (
        "reports/download-url", {"inputs": {"month": "2026-100"}}, {"inputs": {"month": "2026-10"}},
        "input_not_allowed", ["inputs.month"], ["7 bytes", "2026-100"],
    ),
    "two inputs": (
        "avatars/url", avatar(inputs={"ext": "gif", "a": "1"}), AVATAR, "input_not_allowed",
        ["inputs.a", "inputs.ext"], ["1 more"],
    ),
    "header": (
        "avatars/url", headed(X_Other=MARKER), AVATAR, "header_not_allowed", ["headers.X-Other"], ["Cache-Control"],
    ),
    "header fixed": (
        "avatars/url", headed(Cache_Control=MARKER), headed(Cache_Control="no-store"), "header_not_allowed",
        ["headers.Cache-Control"], ["fixed"],
    ),
    "header twice": (
        "avatars/url", headed(Cache_Control="no-store", cache_control="no-store"), AVATAR, "header_not_allowed",
        ["headers.cache-control"], ["twice"],
    ),
    "type twice": (
        "avatars/url", headed(content_type="image/png"), AVATAR, "header_not_allowed", ["headers.Content-Type"],
        ["twice"],
    ),
    "header reserved": (
        "avatars/url", headed(Authorization=MARKER), AVATAR, "header_not_allowed", ["headers.Authorization"], [],
    ),
    "header of another method": (
        "anything/url", {"method": "GET", "inputs": {"path": "a"}, "headers": {"Content-Language": "de"}},
        {"method": "PUT", "inputs": {"path": "a"}, "headers": {"Content-Language": "de"}}, "header_not_allowed",
        ["headers.Content-Language"], ["Range"],
    ),
    "header with a line": (
        "anything/url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": f"a\r\nx: {MARKER}"}},
        {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": "a"}}, "header_not_allowed",
        ["headers.x-cos-meta-a"], ["printable"],
    ),
    "header pattern": (
        "anything/url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": MARKER}},
        {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": MARKER.lower()}}, "header_not_allowed",
        ["headers.x-cos-meta-a"], ["[a-z0-9-]"],
    ),
    "length no number": (
        "avatars/url", headed(Content_Length="9 "), AVATAR, "header_not_allowed", ["headers.Content-Length"],
        ["digits"],
    ),
    "type missing": (
        "avatars/url", headed(Content_Type=None), AVATAR, "header_required", ["headers.Content-Type"], ["image/png"],
    ),
    "length missing": (
        "avatars/url", headed(Content_Length=None), AVATAR, "header_required", ["headers.Content-Length"], ["5242880"],
    ),
    "header missing": (
        "needs/url", {"inputs": {"name": "a"}, "params": {"page": "1"}},
        {"inputs": {"name": "a"}, "params": {"page": "1"}, "headers": {"Content-Language": "de"}}, "header_required",
        ["headers.Content-Language"], ["required"],
    ),
    "param": (
        "private-files/url", {"method": "GET", "key": "files/u1/a", "params": {"x": MARKER}},
        {"method": "GET", "key": "files/u1/a"}, "param_not_allowed", ["params.x"], ["none"],
    ),
    "param pattern": (
        "anything/url", {"method": "GET", "key": "any/u1/a", "params": {"mode": MARKER}},
        {"method": "GET", "key": "any/u1/a", "params": {"mode": "fast"}}, "param_not_allowed", ["params.mode"],
        ["[a-z -]"],
    ),
    "sub-resource": (
        "anything/url", {"method": "GET", "key": "any/u1/a", "params": {"acl": ""}},
        {"method": "GET", "key": "any/u1/a"}, "param_not_allowed", ["params.acl"], ["mode"],
    ),
    "param fixed": (
        "reports/download-url", {"inputs": {"month": "2026-10"}, "params": {"response-content-type": "text/html"}},
        {"inputs": {"month": "2026-10"}, "params": {"response-content-type": "application/pdf"}}, "param_not_allowed",
        ["params.response-content-type"], ["fixed"],
    ),
    "token as param": (
        "anything/url", {"method": "GET", "key": "any/u1/a", "params": {"x-cos-security-token": MARKER}},
        {"method": "GET", "key": "any/u1/a"}, "param_not_allowed", ["params.x-cos-security-token"], [],
    ),
    "param missing": (
        "needs/url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}},
        {"inputs": {"name": "a"}, "params": {"page": "1"}, "headers": {"Content-Language": "de"}}, "param_required",
        ["params.page"], ["required"],
    ),
    "type": (
        "avatars/url", headed(Content_Type="image/gif"), AVATAR, "content_type_not_allowed", ["headers.Content-Type"],
        ["image/png, image/jpeg, image/webp"],
    ),
    "type in capitals": (
        "avatars/url", headed(Content_Type="Image/PNG"), AVATAR, "content_type_not_allowed", ["headers.Content-Type"],
        ["image/png"],
    ),
    "type with parameters": (
        "avatars/url", headed(Content_Type=f"image/png; q={MARKER}"), AVATAR, "content_type_not_allowed",
        ["headers.Content-Type"], ["without parameters"],
    ),
    "size": (
        "avatars/url", headed(Content_Length="5242881"), headed(Content_Length="5242880"), "content_too_large",
        ["headers.Content-Length"], ["5242880", "5242881"],
    ),
    "type and size": (
        "avatars/url", headed(Content_Type="image/gif", Content_Length="5242881"), AVATAR, "content_type_not_allowed",
        ["headers.Content-Type", "headers.Content-Length"], ["1 more"],
    ),
    "lifetime": (
        "avatars/url", avatar(expires_in=901), avatar(expires_in=900), "expires_too_long", ["expires_in"],
        ["1..900", "901"],
    ),
    "URL": (
        "wide/url", {"inputs": {"name": "a"}, "params": {f"p{n}": "x" * 1000 for n in range(6)}},
        {"inputs": {"name": "a"}, "params": {f"p{n}": "x" * 1000 for n in range(4)}}, "url_too_long", [], ["8000"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "refused", "granted", "code", "fields", "told"), POLICY.values(), ids=POLICY)
def test_what_a_policy_forbids(door, path, refused, granted, code, fields, told):
    """A refusal says which rule, where, and both sides; no header or parameter value; and STS never hears of it."""
    answer = door.ask(path, refused)
    problem = assert_problem(answer, 422, code)
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(text in problem["detail"] for text in told), problem["detail"]
    assert MARKER not in answer.get_data(as_text=True)
    assert door.sts_calls() == 0
    if granted is not None:
        door.grant(path, granted)
        assert door.sts_calls() == 1


# situation: (path, refused, granted, fields in errors, what the detail tells)
SHAPES = {
    "unknown member": ("avatars/url", avatar(Key="x"), AVATAR, ["Key"], ["Key", "key"]),
    "filename of an upload": ("avatars/url", avatar(filename="x"), AVATAR, ["filename"], ["filename"]),
    "key with inputs": ("avatars/url", avatar(key=f"avatars/u1/{UUID}.png"), AVATAR, ["key"], ["key", "inputs"]),
    "key with inputs, more": ("avatars/url", avatar(key="x", expires_in=0), AVATAR, ["key", "expires_in"], ["1 more"]),
    "key with no inputs": ("avatars/url", {**AVATAR, "key": "x", "inputs": {}}, AVATAR, ["key"], ["got both"]),
    "key with inputs of a form": (
        "videos/form", {"inputs": {"ext": "mp4"}, "key": "x"},
        {"inputs": {"ext": "mp4"}, "key": None, "headers": {"Content-Type": "video/mp4"}}, ["key"], ["got both"],
    ),
    "key with inputs of a step": (
        "videos/multipart", {"step": "abort", "inputs": {"ext": "mp4"}, "key": "x", "upload_id": "u"},
        {"step": "initiate", "inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}, "size": 1}, ["key"],
        ["got both"],
    ),
    "no object": ("avatars/url", [AVATAR], AVATAR, [""], ["object"]),
    "text": ("avatars/url", "x", AVATAR, [""], ["object"]),
    "inputs as list": ("avatars/url", avatar(inputs=["png"]), AVATAR, ["inputs"], ["object of strings", "a list"]),
    "input as number": ("avatars/url", avatar(inputs={"ext": 1}), AVATAR, ["inputs.ext"], ["string"]),
    "header as number": (
        "avatars/url", avatar(headers={"Content-Length": 9}), AVATAR, ["headers.Content-Length"], ["string"],
    ),
    "header as list": (
        "avatars/url", avatar(headers={"Content-Type": ["a"]}), AVATAR, ["headers.Content-Type"], ["string", "a list"],
    ),
    "lifetime as text": (
        "avatars/url", avatar(expires_in="300"), avatar(expires_in=300), ["expires_in"],
        ["positive integer", "a string"],
    ),
    "lifetime as float": (
        "avatars/url", avatar(expires_in=300.5), avatar(expires_in=300), ["expires_in"], ["positive integer", "300.5"],
    ),
    "lifetime as boolean": (
        "avatars/url", avatar(expires_in=True), avatar(expires_in=1), ["expires_in"],
        ["positive integer", "a boolean"],
    ),
    "no lifetime": (
        "avatars/url", avatar(expires_in=0), avatar(expires_in=1), ["expires_in"], ["positive integer", "0"],
    ),
    "negative lifetime": (
        "avatars/url", avatar(expires_in=-1), avatar(expires_in=1), ["expires_in"], ["positive integer", "-1"],
    ),
    "endless lifetime": (
        "avatars/url", avatar(expires_in=10**40), avatar(expires_in=1), ["expires_in"],
        ["positive integer", "a number"],
    ),
    "unknown method": ("avatars/url", avatar(method="PATCH"), avatar(method="PUT"), ["method"], ["PUT", "PATCH"]),
    "method in small letters": ("avatars/url", avatar(method="put"), avatar(method="PUT"), ["method"], ["PUT", "put"]),
    "method left open": (
        "anything/url", {"key": "any/u1/a"}, {"key": "any/u1/a", "method": "GET"}, ["method"],
        ["PUT, GET, HEAD, DELETE"],
    ),
    "no key": (
        "avatar-download/download-url", {"inputs": {"ext": "png"}}, {"key": f"avatars/u1/{UUID}.png"}, ["key"],
        ["avatars/{principal.sub}/{uuid}.{ext}"],
    ),
    "members of keys": ("user-folder/credentials", {"expires_in": 300}, {}, ["expires_in"], ["bucket"]),
    "filename twice": (
        "private-files/download-url",
        {"key": "files/u1/a", "filename": "a", "params": {"response-content-disposition": "b"}},
        {"key": "files/u1/a", "filename": "a"}, ["filename"], ["response-content-disposition"],
    ),
    "two mistakes": ("avatars/url", avatar(expires_in=0, size=1), AVATAR, ["expires_in", "size"], ["1 more"]),
}  # fmt: skip


@pytest.mark.parametrize(("path", "refused", "granted", "fields", "told"), SHAPES.values(), ids=SHAPES)
def test_shape(door, path, refused, granted, fields, told):
    """An ask of another shape is an invalid request that names the member and what it must be."""
    problem = assert_problem(door.ask(path, refused), 400, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(text in problem["detail"] for text in told), problem["detail"]
    assert door.sts_calls() == 0
    door.grant(path, granted)


WELL_FORMED = json.dumps(AVATAR).encode()


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("avatars/url", b"[]", "the ask must be a JSON object, got a list"),
        ("avatars/url", b"1", "the ask must be a JSON object, got a number"),
        ("avatars/url", b"null", "the ask must be a JSON object, got null"),
        (
            "videos/multipart",
            b'{"step": "parts", "key": "a", "upload_id": "1", "size": 1, "parts": [1, 2]}',
            "parts must be an object of from and to, got a list",
        ),
        ("videos/multipart", b"[]", "the ask must be a JSON object, got a list"),
        ("videos/multipart", b"{}", "step is required"),
    ],
)  # fmt: skip
def test_no_object(door, path, body, detail):
    """An ask is an object, and so are its parts."""
    answer = door.ask(path, data=body, content_type="application/json")
    assert assert_problem(answer, 400, "invalid_request")["detail"] == detail


MALFORMED = {
    "no JSON": b"inputs=png",
    "blank": b"  ",
    "two values": WELL_FORMED + b"{}",
    "cut off": WELL_FORMED[:-1],
    "duplicate member": b'{"key": "a", "key": "b"}',
    "duplicate inside": b'{"inputs": {"ext": "png", "ext": "jpg"}}',
    "duplicate by escape": b'{"key": "a", "k\\u0065y": "b"}',
    "NaN": b'{"expires_in": NaN}',
    "infinity": b'{"expires_in": -Infinity}',
    "beyond floats": b'{"expires_in": 1e999}',
    "many digits": b'{"expires_in": ' + b"9" * 5000 + b"}",
    "depth 9": b"[" * 9 + b"]" * 9,
    "bottomless": b"[" * 100_000,
    "lone surrogate": b'{"key": "\\ud800"}',
    "surrogates in disorder": b'{"key": "\\udc00\\ud800"}',
    "no UTF-8": b'{"key": "\xff"}',
    "Latin-1": '{"key": "ü"}'.encode("latin-1"),
    "UTF-16": '{"key": "a"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "comment": b"{} // nothing",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json(door, body):
    """A body that is not one JSON value with one reading is refused, whatever lenient parsers make of it."""
    answer = door.ask("avatars/url", data=body, content_type="application/json")
    assert_problem(answer, 400, "malformed_json")
    assert door.sts_calls() == 0


@pytest.mark.parametrize("body", [b"[" * 8 + b"]" * 8, b'{"key": "\\ud83d\\ude00"}', b'{"expires_in": 1e3}'])
def test_well_formed_json(door, body):
    """Eight levels, a pair of surrogates and a large number are JSON; what they say is another question."""
    answer = door.ask("avatars/url", data=body, content_type="application/json")
    assert answer.json["code"] != "malformed_json"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;x=1"]
)
def test_json_media_type(door, content_type):
    """JSON may be called so with parameters and in capitals."""
    assert door.ask("avatars/url", data=WELL_FORMED, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json", "", MARKER]
)
def test_other_media_type(door, content_type):
    """A body that is not declared as JSON is refused, and its type not repeated."""
    answer = door.ask("avatars/url", data=WELL_FORMED, content_type=content_type)
    problem = assert_problem(answer, 415, "unsupported_media_type")
    assert "application/json" in problem["detail"]
    assert MARKER not in problem["detail"]
    assert door.sts_calls() == 0


@pytest.mark.parametrize("content_type", ["text/plain", ""])
def test_empty_body(door, content_type):
    """No body is the empty ask, whatever it is declared as."""
    assert door.ask("user-folder/credentials", data=b"", content_type=content_type).status_code == 200


class TestLargeBody:
    """The limit is one mebibyte, however the body comes."""

    @pytest.mark.parametrize(("size", "status"), [(MEBIBYTE, 200), (MEBIBYTE + 1, 413)])
    def test_declared(self, door, size, status):
        """A declared length counts."""
        answer = door.ask("avatars/url", data=WELL_FORMED.ljust(size), content_type="application/json")
        assert answer.status_code == status
        if status == 413:
            assert str(MEBIBYTE) in assert_problem(answer, 413, "request_too_large")["detail"]

    @pytest.mark.parametrize(("size", "status"), [(MEBIBYTE, 200), (MEBIBYTE + 1, 413), (5 * MEBIBYTE, 413)])
    def test_chunked(self, door, size, status):
        """So does a length that nobody declared: the body is refused, never cut and read."""
        answer = door.ask(
            "avatars/url",
            input_stream=io.BytesIO(WELL_FORMED.ljust(size)),
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        )
        assert answer.status_code == status
        if status == 413:
            assert_problem(answer, 413, "request_too_large")


class TestIdentity:
    """401 and 403."""

    @pytest.mark.parametrize(
        "authorization",
        ["Basic dTpw", "Bearer", "Bearer x", "Bearer a.b.c.d", "Bearer bff.wrong", "Bearer a.b.c", "", "bearer"],
    )
    def test_bad_credential(self, door, authorization):
        """Whatever is no proof is one refusal; the proof is not repeated."""
        answer = door.ask("avatars/url", AVATAR, by={"Authorization": authorization})
        problem = assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "wrong" not in problem["detail"]

    def test_no_credential(self, door):
        """Nothing is no proof either."""
        assert_problem(door.ask("avatars/url", AVATAR, by={}), 401, "unauthenticated")

    def test_expired_token(self, door):
        """A token is good until 30 s after its end."""
        by = door.bearer(exp=door.clock.now - 29)
        assert door.ask("avatars/url", AVATAR, by=by).status_code == 200
        by = door.bearer(exp=door.clock.now - 30)
        assert_problem(door.ask("avatars/url", AVATAR, by=by), 401, "unauthenticated")

    @pytest.mark.parametrize(
        "claims",
        [{"scope": "avatars:read"}, {"scope": "avatars:write2"}, {"scope": 1}, {"sub": "a/b"}, {"sub": "*"}],
    )
    def test_claim(self, door, claims):
        """A principal without the claim, or with one that no key may hold, may not use the route."""
        by = door.bearer(**{"sub": "u1", **claims})
        problem = assert_problem(door.ask("avatars/url", AVATAR, by=by), 403, "principal_not_allowed")
        assert next(iter(claims)) in problem["detail"]
        assert door.sts_calls() == 0
        door.grant("avatars/url", AVATAR)

    def test_two_claims(self, door):
        """Every claim that fails is listed."""
        by = door.bearer(role="guest", tenant="other")
        answer = door.ask("two-claims/url", {"inputs": {"name": "a"}}, by=by)
        problem = assert_problem(answer, 403, "principal_not_allowed")
        told = " ".join([problem["detail"], *(error["message"] + error["field"] for error in problem["errors"])])
        assert len(problem["errors"]) == 2
        assert ("role" in told, "tenant" in told) == (True, True)

    @pytest.mark.parametrize(
        "extra", [{"X-Principal": "u2"}, {"X-Principal-Claims": "e30"}, {"X-Principal": "u2", "X-Principal-Claims": ""}]
    )
    def test_principal_beside_a_token(self, door, extra):
        """A JWT speaks for itself: somebody else's name beside it is refused, never ignored."""
        answer = door.ask("avatars/url", AVATAR, by={**door.bearer(), **extra})
        assert_problem(answer, 403, "principal_not_allowed")

    @pytest.mark.parametrize("name", ["U 1", "", "u1,u2", "x" * 129, "UPPER"])
    def test_principal_of_a_key(self, door, name):
        """A key acts for those its pattern matches."""
        assert_problem(door.ask("avatars/url", AVATAR, by=door.bff(name)), 403, "principal_not_allowed")

    def test_key_without_principal(self, door):
        """A key alone has no sub, and so no folder."""
        by = {"Authorization": f"Bearer {door.identities.api_key}"}
        assert "sub" in assert_problem(door.ask("avatars/url", AVATAR, by=by), 403, "principal_not_allowed")["detail"]

    def test_identity_unavailable(self, open_door, identities, issuer_site):
        """Without the issuer's keys nobody can be told from a stranger: try again."""
        door = open_door(BROKER_JWT_JWKS=issuer_site.url)
        answer = door.ask("avatars/url", AVATAR)
        assert issuer_site.url not in assert_problem(answer, 503, "identity_unavailable")["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        door.grant("avatars/url", AVATAR, by=door.bff())
        issuer_site.publish(identities.jwks.read_bytes())
        door.clock.tick(1)
        door.grant("avatars/url", AVATAR)


class TestPaths:
    """404 and 405."""

    @pytest.mark.parametrize("name", ["nope", "Avatars", "avatars.json", "policy.schema", "%2e%2e", "x" * 300])
    def test_route(self, door, name):
        """A route that is none is not found; its name is quoted, cut."""
        problem = assert_problem(door.ask(f"{name}/url", AVATAR), 404, "route_not_found")
        assert len(problem["detail"]) < 200

    @pytest.mark.parametrize(
        "path",
        ["avatars", "avatars/", "avatars/url/", "avatars/url/x", "avatars/nope", "avatars/upload", "avatars/post",
         "avatars/batch/", "batch", "avatars//url"],
    )  # fmt: skip
    def test_path(self, door, path):
        """A path that is none is not found."""
        assert_problem(door.ask(path, AVATAR), 404, "not_found")

    @pytest.mark.parametrize("path", ["/", "/v2", "/openapi.yaml", "/docs/", "/client.mjs", "/console", "/v1x"])
    def test_path_outside(self, door, path):
        """Outside of the API nothing is found, and whoever asks is not asked for a credential."""
        assert_problem(door.client.get(path), 404, "not_found")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    def test_method(self, door, method):
        """A vend is a POST."""
        answer = door.ask("avatars/url", method=method)
        problem = assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == "POST"
        assert ("POST" in problem["detail"], method in problem["detail"]) == (True, True)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_method_of_the_list(self, door, method):
        """The list of routes is a GET."""
        answer = door.client.open("/v1", method=method, headers=door.bearer())
        assert_problem(answer, 405, "method_not_allowed")
        assert "GET" in answer.headers["Allow"]


class TestSts:
    """502 and 503: the cloud's fault."""

    @pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameter.StrategyFormatError"])
    def test_refused(self, door, code):
        """A permanent error carries STS's code and RequestId; STS is not asked again for a minute, then it is."""
        door.emulator.order_fault(Fault("sts", 1, code))
        answer = door.ask("avatars/url", AVATAR)
        problem = assert_problem(answer, 502, "sts_refused")
        assert code in problem["detail"]
        assert re.search(r"RequestId [0-9a-f-]{36}", problem["detail"])
        assert "Retry-After" not in answer.headers
        door.clock.tick(59)
        assert assert_problem(door.ask("avatars/url", AVATAR), 502, "sts_refused")["detail"] == problem["detail"]
        assert door.sts_calls() == 1
        door.clock.tick(1)
        door.grant("avatars/url", AVATAR)

    @pytest.mark.parametrize("code", ["InternalError", "RequestLimitExceeded", "InvalidParameter.OverLimit"])
    def test_unavailable(self, door, code):
        """A passing one says when to ask again."""
        door.emulator.order_fault(Fault("sts", 5, code))
        answer = door.ask("avatars/url", AVATAR)
        problem = assert_problem(answer, 503, "sts_unavailable")
        assert code in problem["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert_problem(door.ask("avatars/url", AVATAR), 503, "sts_unavailable")
        assert door.sts_calls() == 3
        door.emulator.reset()
        door.clock.tick(2)
        door.grant("avatars/url", AVATAR)

    @pytest.mark.parametrize("code", ["InternalError", "RequestLimitExceeded", "InvalidParameter.OverLimit"])
    def test_passes(self, door, code):
        """What passes within three tries is no error to anybody."""
        door.emulator.order_fault(Fault("sts", 2, code))
        door.grant("avatars/url", AVATAR)
        assert door.sts_calls() == 3

    def test_no_connection(self, open_door):
        """So does an STS that nobody reaches; its address is nobody's business."""
        port = free_port()
        answer = open_door(BROKER_STS_ENDPOINT=f"http://127.0.0.1:{port}").ask("avatars/url", AVATAR)
        assert str(port) not in assert_problem(answer, 503, "sts_unavailable")["detail"]

    def test_cached_while_down(self, door):
        """What is still valid is served while STS is down."""
        door.grant("avatars/url", AVATAR)
        door.emulator.order_fault(Fault("sts", 5, "InternalError"))
        door.grant("avatars/url", AVATAR)
        assert_problem(door.ask("avatars/url", AVATAR, by=door.bearer("u2")), 503, "sts_unavailable")

    def test_lifetime(self, open_door):
        """A credential that STS makes too short is said so, and STS not asked again at once."""
        with Emulator(ACCOUNT, buckets={BUCKET: "ap-guangzhou"}, lifetime=lambda asked: 355) as cloud:
            self.check_short(open_door(BROKER_STS_ENDPOINT=cloud.url), cloud)

    def check_short(self, door, cloud):
        """The claim of `test_lifetime`, with a cloud that gives 355 seconds."""
        answer = door.ask("avatars/url", AVATAR)
        problem = assert_problem(answer, 503, "lifetime_unavailable")
        assert "360" in problem["detail"]
        assert answer.headers["Retry-After"] == "60"
        assert_problem(door.ask("avatars/url", AVATAR), 503, "lifetime_unavailable")
        assert cloud.stats()["sts"] == {"GetFederationToken": 1}
        door.grant("avatars/url", avatar(expires_in=60))

    def test_too_many_cold_scopes(self, door):
        """429 `rate_limited` with Retry-After: a caller's share of new credentials; what is cached is still served."""
        callers = [door.bff(f"u{n}") for n in range(100)]
        for by in callers:
            door.grant("avatars/url", AVATAR, by=by)
        answer = door.ask("avatars/url", AVATAR, by=door.bff("u100"))
        assert "API key" in assert_problem(answer, 429, "rate_limited")["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert door.sts_calls() == 100
        door.grant("avatars/url", AVATAR, by=callers[0])
        door.grant("avatars/url", AVATAR, by=door.bearer("u100"))


class TestQuotes:
    """What a refusal repeats of the caller's own words."""

    @pytest.mark.parametrize(
        ("path", "ask"),
        [
            ("private-files/download-url", {"key": "é" * 300}),
            ("private-files/download-url", {"key": "\u0007'\\\u2028" * 30}),
            ("avatars/url", avatar(inputs={"ext": "\U0001f600" * 100})),
            ("avatars/url", avatar(method="P" * 300)),
            ("avatars/url", avatar(**{"x\ny\u0007" * 40: 1})),
            ("avatars/url", avatar(headers={"a\nb\u2028" * 40: "x", **PNG})),
            ("avatars/url", avatar(inputs={"a\nb\u2028" * 40: "x"})),
            ("private-files/url", {"method": "GET", "key": "files/u1/a", "params": {"\r\n\u202e" * 40: "x"}}),
            ("\u202e%0a" * 40 + "/url", {}),
        ],
    )
    def test_at_most_64_characters(self, door, path, ask):
        """At most 64 characters, escaped: nothing of the caller's reaches a terminal or a page as it came."""
        problem = door.ask(path, ask).json
        assert problem["status"] in (400, 404, 422)
        # Around the quotation stands a sentence of ours.
        assert len(problem["detail"]) <= 64 + 200
        assert problem["detail"].isprintable()
        assert problem["detail"].isascii()
        for error in problem["errors"]:
            assert error["field"].isprintable()
            assert (error["field"] + error["message"]).isascii()

    def test_many_mistakes(self, door):
        """A body of nothing but mistakes brings no answer larger than itself."""
        ask = {f"m{index}": 1 for index in range(60_000)}
        answer = door.ask("avatars/url", ask)
        assert answer.status_code == 400
        assert len(answer.data) <= len(json.dumps(ask))
