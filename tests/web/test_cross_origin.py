"""Pages of other origins: preflights and answers as browsers judge them, sent in plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client

from broker.emulator.server import Emulator
from broker.policy import cors
from tests.conftest import ACCOUNT

APP, OTHER = "https://app.example", "http://localhost:3000"
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
OURS = ("Access-Control-", "Vary")


@pytest.fixture
def door(open_door):
    """A broker that two origins may use."""
    return open_door(BROKER_CORS_ORIGINS=f"{APP}, {OTHER}")


def cors_headers(answer) -> dict[str, str]:
    """The headers of an answer that browsers read before its page may."""
    return {name: value for name, value in answer.headers if name.startswith(OURS)}


def preflight(door, path, method="POST", origin=APP, headers="authorization,content-type"):
    """What a browser sends before a request that is not simple: no credentials, no body."""
    sent = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return door.client.options(path, headers={name: value for name, value in sent.items() if value is not None})


def test_preflight_then_ask(door):
    """A page asks as the broker lets it, and reads the grant."""
    asked = preflight(door, "/v1/avatars/url")
    assert (asked.status_code, asked.data) == (204, b"")
    assert cors_headers(asked) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-Id",
        "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
        "Access-Control-Max-Age": "7200",
        "Vary": "Origin",
    }
    answer = door.ask("avatars/url", AVATAR, headers={"Origin": APP})
    assert answer.status_code == 200
    assert cors_headers(answer) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
        "Vary": "Origin",
    }


@pytest.mark.parametrize(
    ("path", "method"),
    [("/v1", "GET"), ("/openapi.json", "GET"), ("/v1/avatars/url", "POST"), ("/v1/avatars/batch", "POST")],
)
def test_methods(door, path, method):
    """Each path allows what it has, whatever the browser asks about."""
    for asked in (method, "DELETE"):
        assert preflight(door, path, asked).headers["Access-Control-Allow-Methods"] == method


@pytest.mark.parametrize("path", ["/v1/nope/url", "/v1/avatars/nope", "/v1/a", "/v1/a/b/c", "/v1/avatars/url"])
def test_no_names(door, path):
    """A preflight brings no credentials: it is answered the same whether a route exists or not."""
    told, known = preflight(door, path), preflight(door, "/v1/avatars/url")
    assert (told.status_code, cors_headers(told)) == (known.status_code, cors_headers(known))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {**AVATAR, "expires_in": 901}}, 422), ({"json": {"size": 1}}, 400), ({"data": b"x"}, 415),
        ({"json": AVATAR, "by": {}}, 401), ({"json": AVATAR, "method": "PUT"}, 405),
        ({"data": b"x" * (2**20 + 1), "content_type": "application/json"}, 413),
    ],
)  # fmt: skip
def test_problems(door, sent, status):
    """A page can read a refusal, too."""
    answer = door.ask("avatars/url", headers={"Origin": APP}, **sent)
    assert answer.status_code == status
    assert cors_headers(answer)["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize("path", ["/v1", "/v1/nope", "/openapi.json"])
def test_read(door, path):
    """So can it what is read."""
    answer = door.client.get(path, headers={**door.bearer(), "Origin": OTHER})
    assert cors_headers(answer)["Access-Control-Allow-Origin"] == OTHER


@pytest.mark.parametrize("path", ["/docs", "/healthz", "/readyz", "/metrics"])
def test_not_shared(door, path):
    """Pages and operations are not for other origins."""
    assert cors_headers(door.client.get(path, headers={**door.bearer(), "Origin": APP})) == {}
    assert cors_headers(preflight(door, path, "GET")) == {}


class TestOthers:
    """Origins that are not listed."""

    ORIGINS = (
        "https://evil.example", "https://app.example.evil", "https://app.example:8443", "http://app.example", "null",
        "*", "https://APP.example", "https://app.example/", f"{APP}, {OTHER}", f"{APP},{APP}", "",
    )  # fmt: skip

    @pytest.mark.parametrize("origin", ORIGINS)
    def test_served_as_any(self, door, origin):
        """The ask is answered as anybody's, and no page may read it."""
        answer = door.ask("avatars/url", AVATAR, headers={"Origin": origin})
        assert (answer.status_code, cors_headers(answer)) == (200, {"Vary": "Origin"})

    @pytest.mark.parametrize("origin", [*ORIGINS, None])
    def test_preflight(self, door, origin):
        """Their preflights are requests like any other without credentials."""
        answer = preflight(door, "/v1/avatars/url", origin=origin)
        assert (answer.status_code, cors_headers(answer)) == (401, {"Vary": "Origin"})

    @pytest.mark.parametrize("path", ["/v1/avatars/url", "/openapi.json"])
    def test_no_preflight(self, door, path):
        """OPTIONS that asks for no method is no preflight."""
        answer = door.client.options(path, headers={"Origin": APP, **door.bearer()})
        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")


def test_never(door):
    """Never with credentials, and never the headers that let a BFF speak for others."""
    for asked in ("x-principal", "X-Principal-Claims", "authorization,x-principal", "cookie", "*"):
        answer = preflight(door, "/v1/avatars/url", headers=asked)
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert "x-principal" not in allowed
        assert "*" not in allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
    granted = door.ask("avatars/url", AVATAR, headers={"Origin": APP})
    assert "Access-Control-Allow-Credentials" not in granted.headers


@pytest.mark.parametrize(
    ("method", "path"), [("OPTIONS", "/v1/avatars/url"), ("OPTIONS", "/openapi.json"), ("GET", "/v1")]
)
def test_without_the_setting(open_door, method, path):
    """Without origins nothing is shared, and OPTIONS is a method like any other."""
    door = open_door()
    sent = {"Origin": APP, "Access-Control-Request-Method": "POST", **door.bearer()}
    answer = door.client.open(path, method=method, headers=sent)
    assert (answer.status_code, cors_headers(answer)) == (200 if method == "GET" else 405, {})
    if path == "/openapi.json":
        assert "OPTIONS" not in answer.headers["Allow"]


VIDEO = "videos/u1/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.mp4"
# What pages ask the broker for, to use it at the bucket.
GRANTS = [
    ("avatars/url", AVATAR),
    ("avatars/signature", AVATAR),
    ("private-files/url", {"method": "GET", "key": "files/u1/a", "headers": {"Range": "bytes=0-9"}}),
    ("private-files/download-url", {"key": "files/u1/a"}),
    ("my-files-delete/url", {"key": "files/u1/a"}),
    ("needs/url", {"inputs": {"name": "a"}, "headers": {"Content-Language": "de"}, "params": {"page": "1"}}),
    ("anything/url", {"method": "PUT", "inputs": {"path": "a"}, "headers": {"x-cos-meta-a": "b"}}),
    ("videos/multipart", {
        "step": "initiate", "inputs": {"ext": "mp4"}, "size": 9, "headers": {"Content-Type": "video/mp4"}}),
    ("videos/multipart", {"step": "parts", "key": VIDEO, "upload_id": "1", "size": 9, "parts": {"from": 1, "to": 1}}),
    ("videos/multipart", {"step": "complete", "key": VIDEO, "upload_id": "1"}),
    ("videos/multipart", {"step": "abort", "key": VIDEO, "upload_id": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "ask"), GRANTS)
def test_bucket(door, path, ask):
    """With the rule that `broker cors` prints for the route, the bucket lets pages use what it vends, and no others."""
    grant: dict[str, Any] = door.grant(path, ask, by=door.bearer(scope="avatars:write"))
    route = door.app.extensions["broker"].policies.route(path.partition("/")[0])
    bucket = Client(Emulator(ACCOUNT, rules=lambda: [cors.rule(route, [APP])]))
    for request in grant.get("requests", [grant]):
        # Browsers set Content-Length themselves, and ask about every other header.
        names = ",".join(sorted(name.lower() for name in request["headers"] if name != "Content-Length"))
        sent = {"Origin": APP, "Access-Control-Request-Method": request["method"]}
        sent |= {"Access-Control-Request-Headers": names} if names else {}
        answer = bucket.options("/", headers=sent)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, APP)
        assert request["method"] in answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert answer.headers.get("Access-Control-Allow-Headers", "") == names
        assert bucket.options("/", headers={**sent, "Origin": OTHER}).status_code == 403
        assert bucket.options("/", headers={**sent, "Access-Control-Request-Method": "PATCH"}).status_code == 403
