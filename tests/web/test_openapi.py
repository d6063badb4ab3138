"""`GET /openapi.json`: valid, true of what the broker answers, and telling strangers nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from broker import errors
from broker.errors import CODES
from broker.local import send
from broker.web.answer_schemas import GRANTS, SCHEMAS
from tests.conftest import BUCKET, REPOSITORY
from tests.web.conftest import Door

SCOPES = {"scope": "avatars:write folder:keys"}
PNG = {"Content-Type": "image/png", "Content-Length": "9"}
AVATAR = {"inputs": {"ext": "png"}, "headers": PNG}
VIDEO = {"step": "initiate", "inputs": {"ext": "mp4"}, "size": 9, "headers": {"Content-Type": "video/mp4"}}
OWN_VIDEO = "videos/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4"
STEP = {"key": OWN_VIDEO, "upload_id": "1"}

# What u1 asks, and what comes of it: every vend, and a problem of every kind that an ask can bring.
TOUR = [
    ("avatars/url", AVATAR, 200),
    ("avatars/signature", AVATAR, 200),
    ("avatar-download/download-url", {"key": "avatars/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png"}, 200),
    ("private-files/download-url", {"inputs": {"path": "a/b"}, "filename": "b.txt", "expires_in": 60}, 200),
    ("private-files/url", {"method": "GET", "key": "files/u1/a", "headers": {"Range": "bytes=0-9"}}, 200),
    ("private-files/url", {"method": "HEAD", "inputs": {"path": "a"}, "params": {}}, 200),
    ("user-folder/credentials", {}, 200),
    ("user-folder/credentials", {"bucket": None}, 200),
    ("videos/form", {"inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}}, 200),
    ("videos/multipart", VIDEO, 200),
    ("videos/multipart", {**STEP, "step": "parts", "size": 9, "parts": {"from": 1, "to": 1}}, 200),
    ("videos/multipart", {**STEP, "step": "list"}, 200),
    ("videos/multipart", {**STEP, "step": "complete"}, 200),
    ("videos/multipart", {**STEP, "step": "abort", "expires_in": 60}, 200),
    ("videos/confirm", {"key": OWN_VIDEO}, 404),
    ("avatars/batch", {"asks": [{"vend": "url", **AVATAR}, {"vend": "url"}, 1]}, 200),
    ("anything/url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": "b"}}, 200),
    ("needs/url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}, "params": {"page": "1"}}, 200),
    ("avatars/url", {**AVATAR, "size": 1}, 400),
    ("avatars/url", {**AVATAR, "key": "avatars/u1/a.png"}, 400),
    ("avatars/url", {**AVATAR, "expires_in": "60"}, 400),
    ("avatar-download/download-url", {}, 400),
    ("private-files/url", {"inputs": {"path": "a"}}, 400),
    ("videos/multipart", {**VIDEO, "upload_id": "1"}, 400),
    ("videos/multipart", {**STEP, "step": "list", "headers": {}}, 400),
    ("user-folder/credentials", {"key": "files/u1/a"}, 400),
    ("avatars/batch", {"asks": []}, 400),
    ("avatars/url", {**AVATAR, "bucket": "other-1250000000"}, 422),
    ("avatars/url", {**AVATAR, "method": "GET"}, 422),
    ("avatars/url", {**AVATAR, "inputs": {"ext": "gif"}}, 422),
    ("avatars/url", {**AVATAR, "inputs": {}}, 422),
    ("avatars/url", {"inputs": {"ext": "png"}}, 422),
    ("avatars/url", {**AVATAR, "headers": {**PNG, "Content-Type": "text/html"}}, 422),
    ("avatars/url", {**AVATAR, "headers": {**PNG, "Content-Length": "52428800"}}, 422),
    ("avatars/url", {**AVATAR, "headers": {**PNG, "Content-Language": "de"}}, 422),
    ("avatars/url", {**AVATAR, "params": {"a": "b"}}, 422),
    ("avatars/url", {**AVATAR, "expires_in": 901}, 422),
    ("anything/url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": "B"}}, 422),
    ("needs/url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}}, 422),
    ("videos/multipart", {**VIDEO, "size": 2**31 + 1}, 422),
]


def described(door: Door, by: dict[str, str] | None = None) -> dict[str, Any]:
    """What a caller is told; u1 by default."""
    answer = door.client.get("/openapi.json", headers=door.bearer(**SCOPES) if by is None else by)
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.get_data(as_text=True)
    return answer.json


def flaws(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What keeps a value from being of a schema of the document."""
    whole = {"allOf": [schema], "components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def body(operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of what an operation takes."""
    found: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return found


def answer_schema(document: dict[str, Any], operation: dict[str, Any], answer: TestResponse) -> dict[str, Any]:
    """What an answer should be like; its status and its type must be declared."""
    declared = operation["responses"][str(answer.status_code)]
    if "$ref" in declared:
        declared = document["components"]["responses"][declared["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = declared["content"][answer.mimetype]["schema"]
    return found


@pytest.mark.parametrize("mounted", ["", "/storage"])
def test_valid(door, mounted):
    """Both documents are OpenAPI 3.1."""
    for document in (described(door, {}), described(door)):
        assert document["openapi"] == "3.1.0"
        document["servers"] = [{"url": mounted or "/"}]
        OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize(("path", "ask", "status"), TOUR, ids=lambda part: json.dumps(part)[:60])
def test_tour(door, path, ask, status):
    """Every answer is as described; what the description refuses is refused, and what is granted it does not refuse."""
    answer = door.ask(path, ask, by=door.bearer(**SCOPES))
    assert answer.status_code == status
    route, vend = path.split("/")
    for document, spelled in ((described(door), route), (described(door, {}), "{route}")):
        operation = document["paths"][f"/v1/{spelled}/{vend}"]["post"]
        assert flaws(document, answer_schema(document, operation, answer), answer.json) == []
        refused = flaws(document, body(operation), ask)
        if status in (200, 404):
            assert refused == []
        elif spelled == route:
            assert refused != []


@pytest.mark.parametrize("path", ["/v1", "/healthz", "/readyz", "/openapi.json"])
def test_read(door, path):
    """The same of what is read, without credentials and with."""
    for by in ({}, door.bearer()):
        answer = door.client.get(path, headers=by)
        for document in (described(door), described(door, {})):
            operation = document["paths"][path]["get"]
            assert flaws(document, answer_schema(document, operation, answer), answer.json) == []


def test_metrics(open_door, tmp_path):
    """So are the problems of `/metrics`."""
    door = open_door()
    for by, status in (({}, 401), (door.bearer(), 403)):
        document, answer = described(door, {}), door.client.get("/metrics", headers=by)
        schema = answer_schema(document, document["paths"]["/metrics"]["get"], answer)
        assert (answer.status_code, flaws(document, schema, answer.json)) == (status, [])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"x", "content_type": "text/plain"}, 415),
        ({"data": b"x" * (2**20 + 1), "content_type": "application/json"}, 413),
    ],
)
def test_no_ask(door, sent, status):
    """So are the problems of what is no ask."""
    answer = door.ask("avatars/url", by=door.bearer(**SCOPES), **sent)
    document = described(door)
    schema = answer_schema(document, document["paths"]["/v1/avatars/url"]["post"], answer)
    assert (answer.status_code, flaws(document, schema, answer.json)) == (status, [])


def test_confirmed(open_door, tmp_path):
    """So is a confirmation."""
    policy = {
        "vends": ["url", "confirm"], "methods": ["PUT"], "bucket": BUCKET, "region": "ap-guangzhou",
        "key": "files/{principal.sub}/a",
    }  # fmt: skip
    (tmp_path / "files.json").write_text(json.dumps(policy))
    door = open_door(BROKER_POLICIES=str(tmp_path))
    put = door.grant("files/url", {})
    assert send("PUT", put["url"], {**put["headers"], "Content-Type": "text/plain"}, b"x")[0] == 200
    answer, document = door.ask("files/confirm", {"key": "files/u1/a"}), described(door)
    schema = answer_schema(document, document["paths"]["/v1/files/confirm"]["post"], answer)
    assert (answer.status_code, flaws(document, schema, answer.json)) == (200, [])
    assert whole(SCHEMAS["Confirmation"], answer.json) == []


def whole(schema: dict[str, Any], value: Any, where: str = "") -> list[str]:
    """Members of a value that its schema does not name."""
    if "properties" in schema and isinstance(value, dict):
        odd = [f"{where}.{name}" for name in value if name not in schema["properties"]]
        known = {name: one for name, one in schema["properties"].items() if name in value}
        inner = [whole(one, value[name], f"{where}.{name}") for name, one in known.items()]
        return odd + [one for found in inner for one in found]
    if schema.get("type") == "array":
        return [one for item in value for one in whole(schema["items"], item, f"{where}[]")]
    return []


@pytest.mark.parametrize(("path", "ask"), [(path, ask) for path, ask, status in TOUR if status == 200 or "size" in ask])
def test_nothing_unsaid(door, path, ask):
    """Answers hold no member that the description does not name."""
    answer = door.ask(path, ask, by=door.bearer(**SCOPES))
    vend = path.rpartition("/")[2].replace("download-url", "url")
    name = "Problem" if answer.status_code != 200 else "Batch" if vend == "batch" else GRANTS[vend][0]
    assert whole(SCHEMAS[name], answer.json) == []


class TestStrangers:
    """What those learn who have not said who they are."""

    def test_same_for_all_brokers(self, door, open_door, tmp_path):
        """The same, whatever routes there are."""
        policy = {"vends": ["url"], "methods": ["GET"], "bucket": "b-1250000000", "region": "ap-guangzhou", "key": "a"}
        (tmp_path / "only.json").write_text(json.dumps(policy))
        other = open_door(BROKER_POLICIES=str(tmp_path))
        assert described(door, {}) == described(other, {})
        assert described(door) != described(other)

    def test_bad_credential(self, door):
        """A credential that is none is refused, and so is who speaks for others without one."""
        for by in ({"Authorization": "Bearer a.b.c"}, {"Authorization": ""}, {"X-Principal": "u1"}):
            answer = door.client.get("/openapi.json", headers=by)
            assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")

    def test_anonymous_allowed(self, open_door):
        """Where callers without credentials are let in, it says so, and still names no route."""
        document = described(open_door(BROKER_ANONYMOUS="1"), {})
        assert document["paths"]["/v1/{route}/url"]["post"]["security"] == [{}, {"bearer": []}]
        assert described(open_door(), {})["paths"]["/v1/{route}/url"]["post"]["security"] == [{"bearer": []}]
        assert [path for path in document["paths"] if "downloads" in path] == []


class TestOwn:
    """What an authenticated caller is told."""

    @pytest.mark.parametrize("claims", [{"scope": "other"}, SCOPES, {"role": "owner", "tenant": "acme"}])
    def test_routes(self, door, claims):
        """One path for each vend of the routes that GET /v1 lists, and no others."""
        by = door.bearer(**claims)
        listed = door.client.get("/v1", headers=by).json["routes"]
        wanted = {f"/v1/{one['route']}/{vend}" for one in listed for vend in one["vends"]}
        told = {path for path in described(door, by)["paths"] if path.count("/") == 3}
        assert {path for path in told if not path.endswith("/batch")} == wanted
        assert all(f"{path.rpartition('/')[0]}/batch" in told or "confirm" in path for path in wanted)

    def test_other_caller(self, door):
        """Who may not use a route is not told of it."""
        assert "/v1/avatars/url" in described(door)["paths"]
        assert "/v1/avatars/url" not in described(door, door.bearer(scope="other"))["paths"]
        assert "avatars:write" not in json.dumps(described(door))

    def test_open_to_all(self, open_door):
        """A route for everyone says so where callers without credentials are let in."""
        for setting, security in (("1", [{}, {"bearer": []}]), ("0", [{"bearer": []}])):
            paths = described(open_door(BROKER_ANONYMOUS=setting))["paths"]
            assert paths["/v1/downloads/download-url"]["post"]["security"] == security
            assert paths["/v1/avatars/url"]["post"]["security"] == [{"bearer": []}]

    def test_spelled_out(self, door):
        """Inputs, types, lengths and lifetimes are the policy's."""
        schema = body(described(door)["paths"]["/v1/avatars/url"]["post"])
        members, expires_in = schema["properties"], schema["properties"]["expires_in"]["anyOf"][0]
        assert members["inputs"]["anyOf"][0]["properties"] == {"ext": {"enum": ["png", "jpg", "webp"]}}
        assert members["headers"]["properties"]["Content-Type"] == {"enum": ["image/png", "image/jpeg", "image/webp"]}
        assert "5242880" in members["headers"]["properties"]["Content-Length"]["description"]
        assert members["headers"]["properties"]["Cache-Control"]["const"] == "no-store"
        assert (expires_in["maximum"], expires_in["default"]) == (900, 300)
        assert schema["additionalProperties"] is False

    def test_rate(self, door):
        """A route's limit is said where the route is described, and only there."""
        told = {tag["name"]: tag["description"] for tag in described(door)["tags"]}
        assert told["my-files-delete"].endswith("At most 1000/minute signed requests for each caller.")
        assert "At most" not in told["avatars"]

    def test_changed_policy(self, open_door, tmp_path):
        """A change of the policies is in the next answer."""
        policy = {
            "vends": ["url"], "methods": ["GET"], "bucket": "b-1250000000", "region": "ap-guangzhou", "key": "a",
            "description": "Before.",
        }  # fmt: skip
        (tmp_path / "one.json").write_text(json.dumps(policy))
        door = open_door(BROKER_POLICIES=str(tmp_path))
        assert described(door)["tags"] == [{"name": "one", "description": "Before."}]
        assert described(door)["tags"] == [{"name": "one", "description": "Before."}]
        (tmp_path / "one.json").write_text(json.dumps({**policy, "description": "After, and longer."}))
        door.app.extensions["broker"].refresh_policies()
        assert described(door)["tags"] == [{"name": "one", "description": "After, and longer."}]


def test_codes():
    """Every code that the broker raises is in the description, under its status."""
    raised = set()
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    for path in (REPOSITORY / "broker").rglob("*.py"):
        if "client" in path.parts or "emulator" in path.parts:
            continue
        for kind, code in re.findall(r"\b([A-Z]\w+)\(\s*\"([a-z_]+)\",", path.read_text()):
            if kind in kinds and issubclass(kinds[kind], errors.BrokerError):
                raised.add((kinds[kind].status, code))
    assert len(raised) >= 20  # what is wrong with content is raised by its code, which no text tells
    assert {(status, code) for status, code in raised if code not in CODES[status]} == set()


def test_codes_in_the_table():
    """The table of refusals has the same codes."""
    text = (REPOSITORY / "README.md").read_text()
    rows = text.partition("| step | codes |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z]+_[a-z_]+|unauthenticated)`", rows))
    assert {code for codes in CODES.values() for code in codes} - named <= {"internal_error"}
