"""Audit lines by themselves: whole, without secrets, and at nobody's expense if they cannot be written."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker import logs
from broker.audit.outcomes import Audit
from broker.audit.visits import Visit
from broker.credentials.credential import Credential
from broker.identity.principals import Principal
from broker.metrics import Metrics
from broker.vending import UrlGrant
from tests.doubles import NOW

PLAIN = "S3cr3tThatNobodyMayRead"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl-_0"
API_KEY = f"bff.{'k' * 43}"
CREDENTIAL = Credential("AKIDsecret-id-123456", "KEY", "TOKEN", NOW, NOW + 1800, "r-sts", fingerprint="f" * 64)


def grant(key: str = "files/u1/a") -> UrlGrant:
    """A URL for a key."""
    return UrlGrant("GET", "https://h/", {}, "b-1", "r", key, 300, NOW + 300, CREDENTIAL)


class Paper:
    """An audit that writes to a socket, which keeps every write apart."""

    def __init__(self, metrics: Metrics, listeners: list[logging.Handler]) -> None:
        self.metrics = metrics
        self._listeners = listeners
        self.audit = Audit(metrics, lambda: NOW + 0.25, lambda: 7.0)
        self._reading, self._writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reading.setblocking(False)
        self.stream = self._writing.makefile("w")

    def visit(self, **known: Any) -> Visit:
        """A visit of u1 that is known as far as that."""
        logging.root.handlers = self._listeners  # pytest puts its own there when a test begins
        assert (logs.direct(logging.getLogger("broker.audit")) is not None) == (len(self._listeners) == 1)
        visit = self.audit.visit(NOW, "r-1", Principal({"sub": "u1"}))
        visit.route, visit.vend = "files", "url"
        for name, value in known.items():
            setattr(visit, name, value)
        return visit

    def writes(self) -> list[str]:
        """What was written since the last time, write by write."""
        found = []
        while True:
            try:
                found.append(self._reading.recv(1_000_000).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        """The end of it."""
        self.stream.close()
        self._reading.close()
        self._writing.close()


@pytest.fixture(params=["at once", "through logging"])
def paper(request: pytest.FixtureRequest, logging_restored: None) -> Iterator[Paper]:
    """Paper, on both ways that lines take."""
    handler, others = logs.configure("info", "json"), logging.root.handlers
    made = Paper(Metrics(""), [handler] if request.param == "at once" else [handler, logging.NullHandler()])
    handler.setStream(made.stream)
    yield made
    logging.root.handlers = others
    made.close()


def test_line(paper):
    """The whole line."""
    paper.audit.granted(paper.visit(), grant())
    line = json.loads("".join(paper.writes()))
    line.pop("time")  # told by another clock if others listen
    assert line == {
        "level": "info", "logger": "broker.audit", "message": "granted", "route": "files", "sub": "u1", "key_id": None,
        "request_id": "r-1", "latency_ms": 0.0, "vend": "url", "fingerprint": "f" * 64, "credential": "123456",
        "sts_request_id": "r-sts", "method": "GET", "key": "files/u1/a", "expires_at": NOW + 300,
    }  # fmt: skip


@pytest.mark.parametrize("secret", [JWT, API_KEY, f"q-signature={PLAIN}", f"a?sign={PLAIN}&b", f"Bearer {PLAIN}"])
@pytest.mark.parametrize("place", ["key", "sub", "key_id", "request_id", "path", "detail"])
def test_secret(paper, place, secret):
    """A caller's value that holds what looks like a secret is told without it, in grants and in refusals."""
    principal = Principal({"sub": secret if place == "sub" else "u1"}, key_id=secret if place == "key_id" else None)
    known: dict[str, Any] = {"principal": principal, "request_id": secret if place == "request_id" else "r"}
    paper.audit.granted(paper.visit(**known), grant(f"files/{secret}" if place == "key" else "a"))
    paper.audit.refused(paper.visit(route=None, path=f"/v1/{secret}", **known), 404, "not_found", f"got {secret}")
    asks = [{"vend": "url", "key": secret}]
    paper.audit.settled(paper.visit(**known), asks, [grant(secret)])
    written = "".join(paper.writes())
    assert len(written.splitlines()) == 3
    assert [one for one in (PLAIN, JWT, API_KEY, "k" * 20) if one in written] == []
    assert "[redacted]" in written


def test_secret_that_is_cut(paper):
    """A secret of which only a part would be told is hidden, too."""
    long = f"{'i' * 40}.{'k' * 43}"
    paper.audit.refused(paper.visit(route=None, path=f"/v1/{long}"), 404, "not_found", "no such path")
    assert "kkk" not in "".join(paper.writes())


@pytest.mark.parametrize("text", ["x", "é", "\U0001f600", '"', "\\"])
def test_size(paper, text):
    """The longest names there are: the line is valid, and short enough for nobody to tear it."""
    paper.audit.granted(paper.visit(principal=Principal({"sub": text * 5000})), grant(text * 850))
    written = paper.writes()
    assert [write.count("\n") for write in written] == [1]
    assert len(written[0].encode()) <= 4096
    assert json.loads(written[0])["sub"].startswith(text)


def test_writes_of_a_batch(paper):
    """Many lines go out together, in pieces of whole lines that are small enough for others not to come in between."""
    asks = [{"vend": "url"}] * 100
    paper.audit.settled(paper.visit(vend="batch"), asks, [grant(f"files/u1/{number}") for number in range(100)])
    written = paper.writes()
    assert all(write.endswith("\n") and len(write.encode()) <= 4096 for write in written)
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    assert [line["key"] for line in lines] == [f"files/u1/{number}" for number in range(100)]
    if logs.direct(logging.getLogger("broker.audit")):
        assert len(written) < 20


def test_counts(paper):
    """What is written is counted: grants, refusals, and each answer once."""
    paper.audit.granted(paper.visit(), grant())
    paper.audit.refused(paper.visit(), 422, "key_not_allowed", "no")
    paper.audit.refused(paper.visit(route=None, vend=None), 401, "unauthenticated", "no")
    paper.audit.settled(paper.visit(vend="batch"), [{"vend": "url"}] * 3, [grant()] * 3)
    told = paper.metrics.exposition().decode()
    for sample in (
        'broker_grants_total{route="files",vend="url"} 4.0',
        'broker_refusals_total{code="key_not_allowed",route="files"} 1.0',
        'broker_refusals_total{code="unauthenticated",route="-"} 1.0',
        'broker_answer_seconds_count{route="files",vend="url"} 2.0',
        'broker_answer_seconds_count{route="files",vend="batch"} 1.0',
    ):
        assert sample in told


def test_remaining_life(paper):
    """Of the grants of a second and route one tells how long its credential still lives."""
    for now, route in ((NOW, "files"), (NOW, "files"), (NOW, "others"), (NOW + 1, "files")):
        paper.audit.granted(paper.visit(now=now, route=route), grant())
    told = paper.metrics.exposition().decode()
    assert 'broker_credential_remaining_seconds_count{route="files"} 2.0' in told
    assert 'broker_credential_remaining_seconds_count{route="others"} 1.0' in told
    assert 'broker_grants_total{route="files",vend="url"} 3.0' in told


@pytest.mark.parametrize(("write", "lost"), [("granted", 1), ("refused", 1), ("settled", 30)])
def test_nobody_reads(logging_restored, write, lost):
    """A log that takes no more costs lines, which are counted, and nobody an answer."""
    metrics = Metrics("")
    handler = logs.configure("info", "json")
    handler.lost = metrics.lines_lost
    reading, writing = os.pipe()
    os.close(reading)
    audit = Audit(metrics, lambda: NOW, lambda: 7.0)
    visit = audit.visit(NOW)
    visit.route, visit.vend = "files", "url"
    calls: dict[str, Callable[[], object]] = {
        "granted": lambda: audit.granted(visit, grant()),
        "refused": lambda: audit.refused(visit, 422, "key_not_allowed", "no"),
        "settled": lambda: audit.settled(visit, [{"vend": "url"}] * 30, [grant()] * 30),
    }
    with os.fdopen(writing, "w") as stream:
        handler.setStream(stream)
        logging.root.handlers, others = [handler], logging.root.handlers
        calls[write]()
        logging.root.handlers = others
    assert f"broker_log_lines_lost_total {lost}.0" in metrics.exposition().decode()
