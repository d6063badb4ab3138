"""Audit lines over HTTP and in process: one for each outcome, with what is known, and nothing else."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from broker import logs
from broker.emulator.faults import Fault
from broker.errors import BrokerError
from broker.identity.principals import Principal
from tests.conftest import BUCKET, REPOSITORY
from tests.web.conftest import Door
from tests.web.test_uploads import post

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
ALWAYS = {"time", "level", "logger", "message", "latency_ms", "request_id"}
GRANTED = ALWAYS | {
    "route", "vend", "method", "key", "sub", "key_id", "expires_at", "fingerprint", "credential", "sts_request_id",
}  # fmt: skip

Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """The audit lines since the last time; each is one JSON object."""

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in lines if line["logger"] == "broker.audit"]

    return read


@pytest.fixture(params=["at once", "through logging"])
def open_loud(open_door, request):
    """Opens a broker with lines of level info, to be called in the test: pytest swaps stderr before it.

    Pytest's own handlers hear of every line as somebody else's would; without them, lines are written at once.
    """

    def make(**changes: str) -> Door:
        door = open_door(**{"BROKER_LOG_LEVEL": "info", **changes})
        root = logging.getLogger()
        if request.param == "at once":
            root.handlers = [handler for handler in root.handlers if isinstance(handler, logs.Handler)]
        assert (logs.direct(logging.getLogger("broker.audit")) is not None) == (request.param == "at once")
        return door

    return make


class TestGrants:
    """What is handed out."""

    def test_url(self, open_loud, told):
        """Who, where, what, with which credential, until when; the same names as everywhere."""
        door = open_loud()
        answer = door.ask("avatars/url", AVATAR, by=door.bff(), headers={"X-Request-Id": "r-1"})
        grant, line = answer.json, told()[0]
        assert line.keys() == GRANTED
        key = {name: line[name] for name in ("message", "level", "route", "vend", "method", "sub", "key_id", "key")}
        assert key == {
            "message": "granted", "level": "info", "route": "avatars", "vend": "url", "method": "PUT", "sub": "u1",
            "key_id": "bff", "key": grant["key"],
        }  # fmt: skip
        assert line["request_id"] == "r-1"
        assert line["expires_at"] == door.clock() + grant["expires_in"]
        assert f"q-ak={line['credential']}" not in grant["url"]
        assert f"{line['credential']}&" in grant["url"]
        assert len(line["credential"]) == 6

    def test_source(self, open_loud, told):
        """The fingerprint is the scope's, and the RequestId STS's; the same for all that share a credential."""
        door = open_loud()
        keys = door.grant("user-folder/credentials")
        door.grant("user-folder/credentials", by=door.bff())
        door.grant("user-folder/credentials", by=door.bearer("u2"))
        lines = told()
        assert lines[0]["sts_request_id"] == keys["requestId"]
        assert lines[0]["credential"] == keys["credentials"]["tmpSecretId"][-6:]
        assert (lines[0]["key"], lines[0]["expires_at"]) == (keys["key_prefix"], keys["expiredTime"])
        first, same, other = ((line["fingerprint"], line["credential"], line["sts_request_id"]) for line in lines)
        assert first == same
        assert len({*first, *other}) == 6
        assert len(first[0]) == 64

    def test_nobody(self, open_loud, told, tmp_path):
        """An anonymous caller has neither name."""
        policy = {
            "principals": {"anonymous": True}, "vends": ["download-url"], "bucket": BUCKET, "region": "ap-guangzhou",
            "key": "open/a.txt",
        }  # fmt: skip
        (tmp_path / "open.json").write_text(json.dumps(policy))
        door = open_loud(BROKER_ANONYMOUS="1", BROKER_POLICIES=str(tmp_path))
        door.grant("open/download-url", by={})
        assert [(line["sub"], line["key_id"], line["method"]) for line in told()] == [(None, None, "GET")]

    def test_other_vends(self, open_loud, told):
        """Signatures, forms, steps of uploads (with the number of their requests) and confirmations."""
        door = open_loud()
        signed = door.grant("avatars/signature", AVATAR)
        video = {"inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}}
        form = door.grant("videos/form", video)
        begun = door.grant("videos/multipart", {"step": "initiate", "size": 9_000_000, **video})
        step = {"step": "parts", "key": begun["key"], "upload_id": "1", "size": 9_000_000}
        door.grant("videos/multipart", {**step, "parts": {"from": 1, "to": 2}})
        assert post(form, b"123").status_code == 204
        door.grant("videos/confirm", {"key": form["key"]})
        lines = told()
        assert [(line["vend"], line["method"], line["key"]) for line in lines] == [
            ("signature", "PUT", signed["key"]), ("form", "POST", form["key"]), ("multipart", None, begun["key"]),
            ("multipart", None, begun["key"]), ("confirm", "HEAD", form["key"]),
        ]  # fmt: skip
        assert [(line.get("step"), line.get("requests")) for line in lines[2:4]] == [("initiate", 1), ("parts", 2)]
        assert lines[-1]["expires_at"] is None
        assert all(line.keys() >= GRANTED for line in lines)


class TestBatches:
    """Many asks at once."""

    def test_items(self, open_loud, told):
        """A line for each in their order, grants and refusals, with the call's request id."""
        door = open_loud()
        asks = [
            {"vend": "url", "method": "GET", "key": "files/u1/a"},
            {"vend": "url", "method": "GET", "key": "files/u2/a"},
            {"vend": "download-url", "key": "files/u1/b"},
            {"vend": "nope"},
            "url",
        ]
        answer = door.ask("private-files/batch", {"asks": asks})
        lines = told()
        assert [line["item"] for line in lines] == [0, 1, 2, 3, 4]
        assert [line.get("code", line["message"]) for line in lines] == [
            "granted", "key_not_allowed", "granted", "invalid_request", "invalid_request",
        ]  # fmt: skip
        assert [line.get("vend") for line in lines] == ["url", "url", "download-url", None, None]
        assert lines[1]["key"] == "files/u2/a"
        assert {line["request_id"] for line in lines} == {answer.headers["X-Request-Id"]}
        assert {line["sub"] for line in lines} == {"u1"}
        assert [line["status"] for line in lines if "status" in line] == [
            result["status"] for result in answer.json["results"] if "problem" in result
        ]

    def test_as_a_whole(self, open_loud, told):
        """A batch that is refused as a whole leaves one line."""
        door = open_loud()
        door.ask("private-files/batch", {"asks": []})
        assert [(line["message"], line["route"], line["vend"]) for line in told()] == [
            ("refused", "private-files", "batch")
        ]

    def test_thousand(self, open_loud, told):
        """A thousand of them leave a thousand."""
        door = open_loud()
        asks = [{"vend": "download-url", "key": f"files/u1/{number}.txt"} for number in range(1000)]
        assert door.ask("private-files/batch", {"asks": asks}).status_code == 200
        assert [line["key"] for line in told()] == [ask["key"] for ask in asks]


class TestRefusals:
    """What is not handed out: one line each, with what is known by then."""

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ({"path": "avatars/url", "by": {}}, {"status": 401, "code": "unauthenticated", "path": "/v1/avatars/url"}),
            ({"path": "nope/url"}, {"status": 404, "code": "route_not_found", "path": "/v1/nope/url", "sub": "u1"}),
            ({"path": "avatars/nope"}, {"status": 404, "code": "not_found", "path": "/v1/avatars/nope", "sub": "u1"}),
            ({"path": "avatars/url", "method": "GET"}, {"status": 405, "code": "method_not_allowed", "sub": "u1"}),
            (
                {"path": "avatars/url", "by": "reader"},
                {"status": 403, "code": "principal_not_allowed", "route": "avatars", "vend": "url", "sub": "u9"},
            ),
            (
                {"path": "avatars/url", "data": b"{", "content_type": "application/json"},
                {"status": 400, "code": "malformed_json", "route": "avatars", "vend": "url", "sub": "u1"},
            ),
            (
                {"path": "avatars/url", "data": b"{}", "content_type": "text/plain"},
                {"status": 415, "code": "unsupported_media_type", "route": "avatars", "vend": "url", "sub": "u1"},
            ),
            (
                {"path": "avatars/url", "data": b" " * 1_048_577},
                {"status": 413, "code": "request_too_large", "route": "avatars", "vend": "url", "sub": "u1"},
            ),
            (
                {"path": "avatars/url", "ask": {**AVATAR, "inputs": None, "key": "avatars/u2/x.png", "method": "PUT"}},
                {"status": 422, "code": "key_not_allowed", "route": "avatars", "vend": "url", "method": "PUT",
                 "key": "avatars/u2/x.png", "sub": "u1"},
            ),
        ],
        ids=lambda value: value.get("code") if isinstance(value, dict) else None,
    )  # fmt: skip
    def test_caller(self, open_loud, told, sent, expected):
        """The caller's fault: level info."""
        door = open_loud()
        if sent.get("by") == "reader":
            sent = {**sent, "by": door.bearer("u9", scope="avatars:read")}
        answer = door.ask(sent["path"], **{name: value for name, value in sent.items() if name != "path"})
        lines = told()
        assert len(lines) == 1
        line = lines[0]
        assert {name: line[name] for name in expected} == expected
        assert (line["message"], line["level"], line["client"]) == ("refused", "info", "127.0.0.1")
        assert line["detail"].startswith(answer.json["detail"][:20])
        assert line["request_id"] == answer.json["request_id"]
        if "route" not in expected:
            assert "route" not in line

    @pytest.mark.parametrize("more", [{"X-Principal": "Not One"}, {"X-Principal-Claims": "e30"}])
    def test_misused_key(self, open_loud, told, identities, more):
        """An API key that is refused for what it was used for is named; one whose secret is wrong is not."""
        door = open_loud()
        for secret in (identities.api_key, f"{identities.api_key}x"):
            door.ask("avatars/url", AVATAR, by={"Authorization": f"Bearer {secret}", **more})
        assert [(line["code"], line.get("key_id")) for line in told()] == [
            ("principal_not_allowed", "bff"),
            ("unauthenticated", None),
        ]

    def test_cloud(self, open_loud, told):
        """The cloud's: level warning; the key is told although there is no grant."""
        door = open_loud()
        door.emulator.order_fault(Fault("sts", 1, "UnauthorizedOperation"))
        door.ask("private-files/url", {"method": "GET", "key": "files/u1/a"})
        line = told()[0]
        assert (line["level"], line["code"], line["status"], line["key"]) == (
            "warning", "sts_refused", 502, "files/u1/a",
        )  # fmt: skip

    def test_rate(self, open_loud, told, tmp_path):
        """Beyond its rate: one line for the ask or the whole batch, with what was asked; within it the usual ones."""
        policy = {
            "vends": ["url"], "methods": ["GET"], "bucket": BUCKET, "region": "ap-guangzhou", "rate": "3/hour",
            "key": "files/{principal.sub}/{name}", "inputs": {"name": {"pattern": "[a-z]+"}},
        }  # fmt: skip
        (tmp_path / "few.json").write_text(json.dumps(policy))
        door = open_loud(BROKER_POLICIES=str(tmp_path))
        ask = {"vend": "url", "key": "files/u1/a"}
        items = door.ask("few/batch", {"asks": [ask, {**ask, "key": "files/u2/a"}, ask]}).json["results"]
        assert [item["status"] for item in items] == [200, 422, 200]
        assert door.ask("few/batch", {"asks": [ask, ask]}).status_code == 429
        assert door.ask("few/url", {"key": "files/u1/a"}).status_code == 200
        assert door.ask("few/url", {"key": "files/u1/b"}).status_code == 429
        *granted, batch, single, refused = told()
        assert [line.get("code", line["message"]) for line in (*granted, single)] == [
            "granted", "key_not_allowed", "granted", "granted",
        ]  # fmt: skip
        assert [(line["level"], line["status"], line["code"], line["route"]) for line in (batch, refused)] == [
            ("info", 429, "rate_limited", "few")
        ] * 2
        assert [(line["vend"], line.get("key"), line["sub"]) for line in (batch, refused)] == [
            ("batch", None, "u1"), ("url", "files/u1/b", "u1"),
        ]  # fmt: skip

    @pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/metrics"])
    def test_beside_the_routes(self, open_loud, told, path):
        """An identity that is refused where there is no route: the path says where."""
        door = open_loud()
        assert door.client.get(path, headers={"Authorization": "Bearer bff.no"}).status_code == 401
        forbidden = {**door.bearer(), "X-Principal": "u2"} if path != "/metrics" else door.bearer()
        assert door.client.get(path, headers=forbidden).status_code == 403
        lines = told()
        assert [(line["code"], line["path"], line["client"]) for line in lines] == [
            ("unauthenticated", path, "127.0.0.1"), ("principal_not_allowed", path, "127.0.0.1"),
        ]  # fmt: skip
        assert [line.keys() & {"route", "vend"} for line in lines] == [set(), set()]

    def test_outside(self, open_loud, told):
        """A path that is none, and a method that a path has not."""
        door = open_loud()
        door.client.get("/nothing/here")
        door.client.post("/healthz")
        assert [(line["code"], line["path"]) for line in told()] == [
            ("not_found", "/nothing/here"), ("method_not_allowed", "/healthz"),
        ]  # fmt: skip

    def test_silence(self, open_loud, told):
        """What hands out nothing and refuses nothing leaves none."""
        door = open_loud()
        for path in ("/healthz", "/readyz", "/v1", "/openapi.json", "/docs", "/client.js"):
            assert door.client.get(path, headers=door.bearer()).status_code == 200
        assert told() == []


class TestLevels:
    """BROKER_LOG_LEVEL leaves lines out."""

    @pytest.mark.parametrize(
        ("level", "kept"),
        [("info", ["granted", "refused", "refused"]), ("warning", ["sts_unavailable"]), ("error", [])],
    )
    def test_level(self, open_loud, told, level, kept):
        """Grants and refusals of callers are info, what the cloud denies is a warning."""
        door = open_loud(BROKER_LOG_LEVEL=level)
        door.grant("avatars/url", AVATAR)
        door.ask("avatars/url", {"inputs": {"ext": "exe"}})
        door.emulator.order_fault(Fault("sts", 9, "InternalError"))
        door.ask("private-files/url", {"method": "GET", "key": "files/u1/a"})
        door.emulator.reset()
        lines = told()
        assert [line["message"] if level == "info" else line["code"] for line in lines] == kept

    def test_batch(self, open_loud, told):
        """Of a batch as well."""
        door = open_loud(BROKER_LOG_LEVEL="warning")
        asks = [{"vend": "url", "method": "GET", "key": f"files/{sub}/a"} for sub in ("u1", "u2")]
        assert door.ask("private-files/batch", {"asks": asks}).status_code == 200
        assert told() == []


class TestInProcess:
    """`app.extensions["broker"]`."""

    U1 = Principal({"sub": "u1", "scope": "avatars:write"})

    def test_vend(self, open_loud, told):
        """A grant and each refusal leave the lines that HTTP's leave, but for what HTTP alone knows."""
        broker = open_loud().app.extensions["broker"]
        broker.vend("avatars", {"vend": "url", **AVATAR}, self.U1)
        for route, ask in (("avatars", {"vend": "url", "inputs": {"ext": "exe"}}), ("nope", {"vend": "url"}),
                           ("avatars", {"vend": "nope"})):  # fmt: skip
            with pytest.raises(BrokerError):
                broker.vend(route, ask, self.U1)
        granted, *refused = told()
        assert (granted.keys(), granted["request_id"]) == (GRANTED, None)
        assert [(line["code"], line.get("route")) for line in refused] == [
            ("input_not_allowed", "avatars"), ("route_not_found", None), ("invalid_request", None),
        ]  # fmt: skip
        assert {line["sub"] for line in refused} == {"u1"}

    def test_vend_many(self, open_loud, told):
        """A line for each item; one for a batch that is refused as a whole."""
        broker = open_loud().app.extensions["broker"]
        asks = [{"vend": "url", "method": "GET", "key": f"files/{sub}/a"} for sub in ("u1", "u2")]
        broker.vend_many("private-files", asks, Principal({"sub": "u1"}))
        with pytest.raises(BrokerError):
            broker.vend_many("private-files", asks * 501, Principal({"sub": "u1"}))
        assert [line.get("code", line["message"]) for line in told()] == [
            "granted", "key_not_allowed", "batch_too_large",
        ]  # fmt: skip


def test_table_of_members(open_loud, told):
    """The documentation has every member of every line, and no other."""
    door = open_loud()
    door.grant("avatars/url", AVATAR)
    door.grant("private-files/batch", {"asks": [{"vend": "nope"}]})
    door.grant("videos/multipart", {"step": "initiate", "size": 9, "inputs": {"ext": "mp4"},
                                    "headers": {"Content-Type": "video/mp4"}})  # fmt: skip
    door.ask("nope/url", {})
    door.ask("private-files/url", {"method": "GET", "key": "files/u2/a"})
    page = (REPOSITORY / "docs" / "operations.md").read_text().partition("## Audit lines")[2]
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {name for line in told() for name in line} - {"time", "logger"} == named


class TestOtherLoggers:
    """Somebody else's logging, and the form for people."""

    def test_console(self, open_door, capsys):
        """One readable line, with the facts as name=value."""
        door = open_door(BROKER_LOG_FORMAT="console")
        door.grant("avatars/url", AVATAR)
        lines = [line for line in capsys.readouterr().err.splitlines() if "broker.audit" in line]
        assert len(lines) == 1
        assert "granted" in lines[0]
        assert "vend=url" in lines[0]
        assert "sub=u1" in lines[0]

    def test_other_handler(self, open_loud, capsys):
        """A handler of the host's hears of every outcome, with the same facts."""
        heard: list[logging.LogRecord] = []

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard.append(record)

        door, handler = open_loud(), Collector()
        logging.getLogger("broker").addHandler(handler)
        try:
            door.grant("avatars/url", AVATAR)
            door.ask("avatars/url", {"inputs": {"ext": "exe"}})
        finally:
            logging.getLogger("broker").removeHandler(handler)
        audited = [record for record in heard if record.name == "broker.audit"]
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        written = [line for line in lines if line["logger"] == "broker.audit"]
        assert [record.getMessage() for record in audited] == ["granted", "refused"]
        assert written[0].keys() == GRANTED
        for record, line in zip(audited, written, strict=True):
            assert {**record.fields, "time": line["time"], "level": line["level"], "logger": record.name,
                    "message": record.getMessage()} == line  # fmt: skip

    def test_level_of_one_logger(self, open_loud, told):
        """Whoever silences the logger is obeyed."""
        door = open_loud()
        logger = logging.getLogger("broker.audit")
        logger.setLevel(logging.ERROR)
        try:
            door.grant("avatars/url", AVATAR)
        finally:
            logger.setLevel(logging.NOTSET)
        assert told() == []
        assert isinstance(logging.getLogger().handlers[-1], logs.Handler)
