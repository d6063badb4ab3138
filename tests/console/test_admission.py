"""Who gets to see the console, and how it says so to everybody else."""

from __future__ import annotations

import re

import pytest

from tests.console.conftest import OPERATORS, Read

PATHS = ["", "/routes/avatars", "/routes/nope", "/permissions"]


@pytest.mark.parametrize("path", PATHS)
def test_off(open_door, path):
    """Without the setting there is no such path, for anybody."""
    door = open_door()
    for by in ({}, door.bearer(role="operator"), door.bff()):
        answer = door.client.get(f"/console{path}", headers=by)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", PATHS)
def test_stranger(console, path):
    """A browser that says nothing gets a page to sign in with, which names no route, and is no refusal in the log."""
    door = console(OPERATORS)
    answer = door.client.get(f"/console{path}")
    assert (answer.status_code, answer.content_type) == (401, "text/html; charset=utf-8")
    found = Read(answer.text)
    assert ("main", "sign-in") in [(tag, one.get("data-section")) for tag, one in found.elements]
    assert not re.search(r"avatars|examplebucket|user-folder", answer.text)


def test_operator(console):
    """Whose claims satisfy the rules sees it, with a JWT like with a key that acts for somebody."""
    door = console(OPERATORS)
    seen = door.client.get("/console", headers=door.bearer(role="operator"))
    assert seen.status_code == 200
    assert "user-folder" in seen.text
    assert "Sign in" not in seen.text
    owner = console('{"role": {"const": "owner"}}')
    assert owner.client.get("/console", headers=owner.bff()).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_other_claims(console, path):
    """Whose claims do not gets a page that says which, to sign in otherwise; it names no route."""
    door = console(OPERATORS)
    answer = door.client.get(f"/console{path}", headers=door.bearer(role="guest"))
    assert (answer.status_code, answer.content_type) == (403, "text/html; charset=utf-8")
    assert Read(answer.text).texts("p", class_="refused") == ["claims.role must be 'operator'"]
    assert "user-folder" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer bff.wrong"}, 401),
        ({"Authorization": "Bearer a.b.c"}, 401),
        ({"Authorization": "Basic eDp5"}, 401),
    ],
)
def test_bad_credential(console, headers, status):
    """A bad credential is never anonymous, even where everybody may look."""
    door = console(BROKER_ANONYMOUS="1")
    answer = door.client.get("/console", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (status, "Bearer")
    assert "user-folder" not in answer.text
    assert door.client.get("/console").status_code == 200


def test_everybody_with_credentials(console):
    """Claims without a rule let in whoever the broker knows; whom it does not let in at all it does not here."""
    door = console()
    assert door.client.get("/console").status_code == 401
    assert door.client.get("/console", headers=door.bearer()).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_method(console, method):
    """Pages are read; the one that takes a form says so."""
    door = console(BROKER_ANONYMOUS="1")
    answer = door.client.open("/console", method=method)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert door.client.head("/console").status_code == 200


@pytest.mark.parametrize("path", ["", "/routes/avatars", "/routes/nope", "/permissions"])
def test_policy(console, path):
    """No page may load, send, be framed, or do anything that is not its own; none is kept."""
    door = console(BROKER_ANONYMOUS="1")
    answer = door.client.get(f"/console{path}")
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    found = Read(answer.text)
    outside = [
        value
        for _, attributes in found.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action") and not value.startswith(("/console", "#"))
    ]
    assert outside == []
    assert [one for _, one in found.elements if "style" in one or any(name.startswith("on") for name in one)] == []


def test_static(console):
    """What pages need is the same for everybody, and kept for as long as its address is the same."""
    door = console(OPERATORS)
    found = Read(door.client.get("/console").text)
    addresses = {one.get("src") or one.get("href") for tag, one in found.elements if tag in ("link", "script", "img")}
    assert len(addresses) == 4
    for address in addresses:
        answer = door.client.get(address)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert door.client.get(re.sub(r"/[0-9a-f]{16}/", "/0000000000000000/", addresses.pop())).status_code == 404
    assert door.client.get(f"{address.rpartition('/')[0]}/..%2fviews.py").status_code == 404


def test_mounted(environ, clock, identities, emulator, logging_restored):
    """In somebody's own application it lies below the prefix, and so does all that it names."""
    from flask import Flask

    from broker import Broker
    from broker.settings import Settings

    app = Flask("site")
    settings = Settings.from_environ(
        {**environ, "BROKER_ANONYMOUS": "1", "BROKER_CONSOLE": "1", "BROKER_CONSOLE_CLAIMS": "{}"}
    )
    Broker(app, settings=settings, url_prefix="/cos", clock=clock)
    client = app.test_client()
    answer = client.get("/cos/console")
    assert answer.status_code == 200
    for _, attributes in Read(answer.text).elements:
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/cos/console").startswith(("/cos/console", "#"))
    assert client.get("/console").status_code == 404


def test_no_secret(console, caplog):
    """What was sent to sign in with stands in no page and no line of the log."""
    door = console(OPERATORS)
    token = door.token(role="guest")
    answer = door.client.get("/console", headers={"Authorization": f"Bearer {token}"})
    assert token not in answer.text
    assert token not in caplog.text
    answer = door.client.get("/console", headers=door.bff())
    assert door.identities.api_key.partition(".")[2] not in answer.text + caplog.text
