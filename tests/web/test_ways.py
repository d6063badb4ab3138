"""The two ways from a request to its view: straight, or through Flask as soon as anybody wants to know of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import flask
import pytest
from flask import Flask, signals

from broker import create_app
from tests.web.conftest import Door

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
SIGNALS = [
    signals.request_started, signals.request_finished, signals.request_tearing_down,
    signals.appcontext_pushed, signals.appcontext_popped, signals.appcontext_tearing_down,
]  # fmt: skip
HOOKS = ["before_request", "after_request", "teardown_request", "teardown_appcontext", "url_value_preprocessor"]


def hear(*_: object, **__: object) -> None:
    """Listen, and do nothing."""


def hook(app: Flask, name: str) -> None:
    """Register something to be done around requests."""
    getattr(app, name)((lambda answer: answer) if name == "after_request" else hear)


@pytest.fixture
def door(door: Door) -> Door:
    """A broker whose clock looks whether it is asked within one of Flask's contexts."""
    door.seen = []

    def look() -> int:
        door.seen.append(flask.has_request_context())
        return door.clock()

    door.app = create_app(door.settings, look, door.clock.monotonic)
    door.client = door.app.test_client()
    return door


@pytest.fixture
def through_flask(door: Door) -> Callable[[], bool]:
    """Whether an ask was answered within Flask's contexts."""

    def asked() -> bool:
        door.seen.clear()
        door.grant("avatars/url", AVATAR)
        assert door.seen
        return any(door.seen)

    return asked


@pytest.fixture(params=SIGNALS, ids=lambda signal: signal.name)
def heard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Somebody listens to one of Flask's signals."""
    request.param.connect(hear)
    yield
    request.param.disconnect(hear)


def test_straight(through_flask):
    """An ask needs none of Flask's contexts."""
    assert not through_flask()
    assert not through_flask()


@pytest.mark.parametrize("name", HOOKS)
def test_hook(door, through_flask, name):
    """What is registered for all requests is done for asks, too."""
    hook(door.app, name)
    assert through_flask()


def test_late_hook(door, through_flask):
    """Even if it is registered when the path is known already."""
    assert not through_flask()
    hook(door.app, "before_request")
    assert through_flask()


def test_hook_of_a_blueprint(door, through_flask):
    """What is registered for our blueprint is done; what is for others does not matter."""
    door.app.before_request_funcs["other"] = [hear]
    assert not through_flask()
    door.app.before_request_funcs["broker"] = [hear]
    assert through_flask()


def test_signal(through_flask, heard):
    """Who listens hears of asks."""
    assert through_flask()


def test_view_put_in_its_place(door):
    """A view that somebody put around ours is the one that answers."""
    ours = door.app.view_functions["broker.vend"]

    def around(route_name: str, vend_name: str):
        return (b"", 418) if vend_name == "url" else ours(route_name=route_name, vend_name=vend_name)

    door.app.view_functions["broker.vend"] = around
    assert door.ask("avatars/url", AVATAR).status_code == 418
    assert door.ask("avatars/signature", AVATAR).status_code == 200


ASKED = [
    ("POST", "/v1/avatars/url", {"json": {**AVATAR, "expires_in": 901}}), ("POST", "/v1/avatars/url", {"data": b"{"}),
    ("POST", "/v1/avatars/url", {"json": AVATAR, "headers": {}}), ("POST", "/v1/avatars/nope", {"json": AVATAR}),
    ("POST", "/v1/nope/url", {"json": AVATAR}), ("POST", "//v1/avatars/url", {"json": {}}),
    ("POST", "/v1/avatars/url/", {"json": AVATAR}), ("POST", "/v1/avat%C3%A4rs/url", {"json": AVATAR}),
    ("POST", "/v1/avat%E4rs/url", {"json": AVATAR}), ("POST", "/v1/avatars//url", {"json": AVATAR}),
    ("POST", "/v1/avatars/batch", {"json": {"asks": [{"vend": "nope"}, {"vend": "url"}]}}),
    ("GET", "/v1", {}), ("HEAD", "/v1", {}), ("PUT", "/v1", {}), ("GET", "/v1/avatars/url", {}), ("GET", "/v1/", {}),
    ("OPTIONS", "/v1/avatars/url", {}), ("FOO", "/v1/avatars/url", {}), ("GET", "", {}), ("GET", "/nope", {}),
    ("OPTIONS", "/v1/avatars/url", {"headers": {"Access-Control-Request-Method": "POST"}}),
    ("get", "/v1/avatars/url", {}), ("post", "/healthz", {}), ("GET", "//healthz", {}),
    ("GET", "/healthz", {}), ("HEAD", "/healthz", {}), ("POST", "/healthz", {}), ("GET", "/readyz", {}),
    ("GET", "/metrics", {}), ("GET", "/openapi.json", {}), ("OPTIONS", "/openapi.json", {}), ("GET", "/docs", {}),
    ("GET", "/client.js", {}), ("GET", "/client.js", {"headers": {"If-None-Match": "*"}}), ("POST", "/client.js", {}),
]  # fmt: skip


@pytest.mark.parametrize("origins", ["", "https://app.example"])
def test_alike(open_door, origins):
    """Both ways answer alike, refusals and odd paths included."""
    straight, hooked = open_door(BROKER_CORS_ORIGINS=origins), open_door(BROKER_CORS_ORIGINS=origins)
    hook(hooked.app, "before_request")

    def answered(door, method: str, path: str, sent: dict) -> tuple:
        headers = {"X-Request-Id": "1", "Origin": "https://app.example", **door.bearer(), **sent.get("headers", {})}
        headers = headers if sent.get("headers") != {} else {"X-Request-Id": "1"}
        answer = door.client.open(path, method=method, **{**sent, "headers": headers})
        return answer.status_code, sorted(answer.headers), answer.data

    for method, path, sent in ASKED * 2:
        assert answered(straight, method, path, sent) == answered(hooked, method, path, sent), (method, path)


def test_many_paths(door, through_flask):
    """However many paths strangers try, few are remembered, and no long ones."""
    for number in range(1_500):
        assert door.client.get(f"/v1/{number}").status_code == 401
    assert door.client.get(f"/v1/{'x' * 300}").status_code == 401
    known = door.app._known
    assert len(known) <= 1_024
    assert max(len(path) for path, _ in known) < 300
    assert not through_flask()


@pytest.mark.parametrize("host", ["a/b", "", "user@host", "b.example:99999", "x" * 300])
def test_host(door, through_flask, host):
    """No route depends on the Host: it is not looked at, either way."""
    assert door.ask("avatars/url", AVATAR, headers={"Host": host}).status_code == 200
    hook(door.app, "before_request")
    assert door.ask("avatars/url", AVATAR, headers={"Host": host}).status_code == 200


def test_bug(door, monkeypatch):
    """A bug is told as one, without Flask to catch it."""
    monkeypatch.setattr(type(door.app.extensions["broker"]._desk), "grant", lambda *_: 1 / 0)
    answer = door.ask("avatars/url", AVATAR)
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert answer.headers["X-Request-Id"] == answer.json["request_id"]
