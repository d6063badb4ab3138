"""`GET /client.js`: the module that browsers load, in whatever application the broker stands."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from broker import Broker
from broker.web.scripts import CLIENT

SCRIPT = CLIENT.read_text(encoding="utf-8")


def test_answer(door):
    """Everyone gets the module, as JavaScript that is kept and asked about every time, and can name the answer."""
    answer = door.client.get("/client.js", headers={"X-Request-Id": "a-1"})
    assert answer.status_code == 200
    assert answer.get_data(as_text=True) == SCRIPT
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Request-Id"] == "a-1"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("quote", ["{}", "W/{}", '"other", {}'])
def test_same(door, quote):
    """A browser that has it hears that it is still the same, and gets nothing else."""
    etag = door.client.get("/client.js").headers["ETag"]
    answer = door.client.get("/client.js", headers={"If-None-Match": quote.format(etag), "X-Request-Id": "a-1"})
    assert (answer.status_code, answer.data) == (304, b"")
    assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (etag, "no-cache")
    assert answer.headers["X-Request-Id"] == "a-1"


def test_changed(door):
    """A browser that has another one gets it."""
    answer = door.client.get("/client.js", headers={"If-None-Match": '"0123"'})
    assert (answer.status_code, len(answer.data)) == (200, len(SCRIPT.encode()))


def test_other_conditions(door):
    """It is one file, which nobody changes: whoever has another one is given it, whatever else they ask."""
    answer = door.client.get("/client.js", headers={"If-Match": '"0123"'})
    assert (answer.status_code, len(answer.data)) == (200, len(SCRIPT.encode()))


def test_for_other_origins(open_door):
    """Pages that may use the API may read it."""
    door = open_door(BROKER_CORS_ORIGINS="https://app.example")
    answer = door.client.get("/client.js", headers={"Origin": "https://app.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_head(door):
    """Its length can be asked for alone."""
    answer = door.client.head("/client.js")
    assert (answer.status_code, answer.data) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(SCRIPT.encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
def test_other_method(door, method):
    """It is read, and nothing else."""
    answer = door.client.open("/client.js", method=method)
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")


def test_mounted(door):
    """In somebody's own application it lies below the prefix, and that application has no static files of ours."""
    host = Flask("host", static_folder=None)
    Broker(host, settings=door.settings, url_prefix="/storage")
    client = host.test_client()
    assert client.get("/storage/client.js").get_data(as_text=True) == SCRIPT
    assert client.get("/client.js").status_code == 404


def test_alone():
    """It loads nothing else, logs nothing, and needs nothing that a strict Content-Security-Policy forbids."""
    assert re.findall(r"\b(?:import|require)\b\W", SCRIPT) == []
    assert re.findall(r"\b(?:console|eval|Function|innerHTML|document|localStorage)\b\s*[.(]", SCRIPT) == []
