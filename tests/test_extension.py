"""The broker in somebody else's Flask application."""

from __future__ import annotations

import re
import time

import pytest
from flask import Flask

from broker import Broker
from broker.errors import Forbidden, InvalidRequest, NotFound, Refused, Unauthenticated
from broker.identity.principals import ANONYMOUS, Principal
from broker.settings import Settings
from tests.conftest import REPOSITORY

U1 = Principal({"sub": "u1", "scope": "avatars:write"})
PNG = {"Content-Type": "image/png", "Content-Length": "9"}
UPLOAD = {"vend": "url", "inputs": {"ext": "png"}, "headers": PNG}


@pytest.fixture
def settings(environ, emulator) -> Settings:
    """Settings of a broker with the cloud behind it."""
    return Settings.from_environ(environ)


def host_app() -> Flask:
    """An application with views and error handlers of its own."""
    app = Flask("host")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    app.add_url_rule("/bug", view_func=lambda: 1 / 0, endpoint="bug")
    app.register_error_handler(404, lambda error: ("the host's own 404", 404))
    app.register_error_handler(405, lambda error: ("the host's own 405", 405))
    app.register_error_handler(ZeroDivisionError, lambda error: ("the host's own 500", 500))
    return app


@pytest.fixture
def host() -> Flask:
    """Somebody's application."""
    return host_app()


@pytest.fixture
def bearer(identities) -> dict[str, str]:
    """u1's identity."""
    return {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}"}


@pytest.mark.parametrize("way", ["constructor", "init_app"])
def test_mounted_below_a_prefix(host, settings, bearer, way):
    """The whole API stands below the prefix, and nowhere else."""
    if way == "constructor":
        Broker(host, settings=settings, url_prefix="/storage")
    else:
        Broker(settings=settings).init_app(host, url_prefix="/storage")
    client = host.test_client()
    ask = {"inputs": {"ext": "png"}, "headers": PNG}
    granted = client.post("/storage/v1/avatars/url", json=ask, headers=bearer)
    assert granted.json["key"].startswith("avatars/u1/")
    assert granted.headers["Cache-Control"] == "no-store"
    assert client.get("/storage/healthz").status_code == 200
    refused = client.post("/storage/v1/avatars/url", json={**ask, "expires_in": 901}, headers=bearer)
    assert (refused.status_code, refused.content_type) == (422, "application/problem+json")
    assert client.post("/storage/v1/nope/url", json=ask).status_code == 401
    assert client.post("/storage/v1/nope/url", json=ask, headers=bearer).json["code"] == "route_not_found"
    assert client.post("/v1/avatars/url", json=ask, headers=bearer).data == b"the host's own 404"


def test_description_below_a_prefix(host, environ, bearer):
    """The description and the origins that may read it are the API's own, below the prefix."""
    settings = Settings.from_environ({**environ, "BROKER_CORS_ORIGINS": "https://app.example"})
    Broker(host, settings=settings, url_prefix="/storage")
    client = host.test_client()
    described = client.get("/storage/openapi.json", headers=bearer)
    assert described.json["servers"] == [{"url": "/storage"}]
    assert 'href="/storage/openapi.json"' in client.get("/storage/docs").text
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    for path, allowed in (("/v1", "GET"), ("/v1/avatars/url", "POST"), ("/openapi.json", "GET")):
        answer = client.options(f"/storage{path}", headers=asks)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Methods"]) == (204, allowed)
    theirs = client.get("/hello", headers=asks)
    assert {name for name, _ in theirs.headers} == {"Content-Type", "Content-Length"}
    assert "Access-Control-Allow-Methods" not in client.options("/hello", headers=asks).headers


def test_the_hosts_own(host, settings):
    """The host's views, errors and headers stay as they were."""
    alone = host_app()
    before = {path: host_answer(alone, path) for path in ("/hello", "/nope", "/bug", "/storage", "/storage/nope")}
    Broker(host, settings=settings, url_prefix="/storage")
    assert {path: host_answer(host, path) for path in before} == before
    assert host.test_client().post("/hello").data == b"the host's own 405"


def host_answer(host: Flask, path: str) -> tuple[int, bytes, list[str]]:
    """(status, body, names of headers) of one GET."""
    app = host.test_client().get(path)
    return app.status_code, app.data, sorted(name for name, _ in app.headers)


def test_vend_in_process(host, settings, emulator):
    """`vend` needs no HTTP, and applies every check but authentication."""
    broker = Broker(host, settings=settings)
    assert host.extensions["broker"] is broker
    grant = broker.vend("avatars", UPLOAD, U1)
    assert (grant.method, grant.headers["Content-Type"]) == ("PUT", "image/png")
    assert grant.key.startswith("avatars/u1/")
    assert emulator.stats()["sts"] == {"GetFederationToken": 1}


@pytest.mark.parametrize(
    ("route", "ask", "principal", "error", "code"),
    [
        ("nope", UPLOAD, U1, NotFound, "route_not_found"),
        ("avatars", UPLOAD, Principal({"sub": "u1"}), Forbidden, "principal_not_allowed"),
        ("avatars", UPLOAD, Principal(U1.claims, routes=frozenset({"reports"})), Forbidden, "principal_not_allowed"),
        ("avatars", UPLOAD, ANONYMOUS, Unauthenticated, "unauthenticated"),
        ("nope", UPLOAD, ANONYMOUS, Unauthenticated, "unauthenticated"),
        ("avatars", {"vend": "download-url"}, U1, Refused, "vend_not_allowed"),
        ("avatars", {**UPLOAD, "inputs": {"ext": "gif"}}, U1, Refused, "input_not_allowed"),
        ("avatars", {"vend": "url", "key": "avatars/u2/x.png", "headers": PNG}, U1, Refused, "key_not_allowed"),
        ("avatars", {**UPLOAD, "size": 1}, U1, InvalidRequest, "invalid_request"),
        ("avatars", {"inputs": {"ext": "png"}}, U1, InvalidRequest, "invalid_request"),
        ("avatars", {**UPLOAD, "vend": "upload"}, U1, InvalidRequest, "invalid_request"),
        ("avatars", {**UPLOAD, "vend": 1}, U1, InvalidRequest, "invalid_request"),
        ("avatars", {**UPLOAD, "headers": {"Content-Type": 1}}, U1, InvalidRequest, "invalid_request"),
    ],
)
def test_refused_in_process(settings, emulator, route, ask, principal, error, code):
    """A refusal is raised with its code; STS is not asked."""
    with pytest.raises(error) as refused:
        Broker(settings=settings).vend(route, ask, principal)
    assert refused.value.code == code
    assert emulator.stats()["sts"] == {}


def test_readme(host, environ, emulator, monkeypatch):
    """README's lines are enough for an application that brings nothing of its own."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    [lines] = re.findall(
        r"```python\n(from broker import Broker\n.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL
    )
    told = {"app": host}
    exec(lines, told)
    assert told["grant"].key.startswith("avatars/u1/")


def test_two_brokers(environ, emulator, tmp_path, policies):
    """Two applications hold two brokers that know nothing of each other."""
    (tmp_path / "other.json").write_bytes((policies / "avatars.json").read_bytes())
    apps = [Flask("one"), Flask("two")]
    folders = [str(policies), str(tmp_path)]
    for app, folder in zip(apps, folders, strict=True):
        Broker(app, settings=Settings.from_environ({**environ, "BROKER_POLICIES": folder}))
    first, second = (app.extensions["broker"] for app in apps)
    first.vend("avatars", UPLOAD, U1)
    second.vend("other", UPLOAD, U1)
    with pytest.raises(NotFound):
        first.vend("other", UPLOAD, U1)
    with pytest.raises(NotFound):
        second.vend("avatars", UPLOAD, U1)
    assert emulator.stats()["sts"] == {"GetFederationToken": 2}


def test_one_broker_in_two_apps(settings, emulator):
    """One broker serves two applications, and shares its credentials between them."""
    broker, apps = Broker(settings=settings), [Flask("one"), Flask("two")]
    for app in apps:
        broker.init_app(app)
        app.extensions["broker"].vend("avatars", UPLOAD, U1)
    assert emulator.stats()["sts"] == {"GetFederationToken": 1}


def test_empty_answers(host, environ):
    """What has no body has no type either, and Flask gives it none."""
    settings = Settings.from_environ({**environ, "BROKER_CORS_ORIGINS": "https://app.example"})
    Broker(host, settings=settings, url_prefix="/cos")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = host.test_client().options("/cos/v1/avatars/url", headers=asked)
    assert (answer.status_code, answer.data) == (204, b"")
    assert {"Content-Type", "Content-Length"}.isdisjoint(answer.headers.keys())


def test_doubled_slashes(host, settings):
    """Below `/v1` every character counts; elsewhere Flask leads to the path that is meant."""
    Broker(host, settings=settings, url_prefix="/cos")
    client = host.test_client()
    assert client.get("/cos//healthz").status_code == 308
    assert client.post("/cos/v1//avatars/url").status_code == 401
