"""A broker's application in this process, spoken to in HTTP; behind it the emulator on a real socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker import create_app
from broker.emulator.server import Emulator
from broker.local import Identities
from broker.settings import Settings
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import Clock


@dataclass
class Door:
    """One broker and everybody who may knock."""

    app: Flask
    settings: Settings
    clock: Clock
    identities: Identities
    emulator: Emulator
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def token(self, sub: str = "u1", **claims: Any) -> str:
        """A JWT of the issuer."""
        return self.identities.token(sub, self.clock.now, **claims)

    def bearer(self, sub: str = "u1", **claims: Any) -> dict[str, str]:
        """The identity headers of a user with a JWT."""
        return {"Authorization": f"Bearer {self.token(sub, **claims)}"}

    def bff(self, sub: str = "u1") -> dict[str, str]:
        """The identity headers of a BFF that acts for a user."""
        return {"Authorization": f"Bearer {self.identities.api_key}", "X-Principal": sub}

    def ask(
        self, path: str, ask: Any = None, *, by: Mapping[str, str] | None = None, method: str = "POST", **sent: Any
    ) -> TestResponse:
        """The answer to one ask below /v1; u1 with a JWT, unless `by` says otherwise."""
        headers = {**(self.bearer() if by is None else by), **sent.pop("headers", {})}
        body = {"json": ask} if ask is not None else {}
        return self.client.open(f"/v1/{path}", method=method, headers=headers, **body, **sent)

    def grant(self, path: str, ask: Any = None, **sent: Any) -> dict[str, Any]:
        """The grant that an ask brings; it must bring one."""
        answer = self.ask(path, ask, **sent)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json

    def sts_calls(self) -> int:
        """How often STS was asked."""
        return sum(self.emulator.stats()["sts"].values())


@pytest.fixture
def clock() -> Clock:
    """A clock that starts at the present second, since the cloud's clock is real."""
    return Clock(int(time.time()))


@pytest.fixture
def open_door(
    environ: dict[str, str], clock: Clock, identities: Identities, emulator: Emulator, logging_restored: None
) -> Callable[..., Door]:
    """Brokers with other settings."""

    def make(**changes: str | None) -> Door:
        merged = {name: value for name, value in {**environ, **changes}.items() if value is not None}
        settings = Settings.from_environ(merged)
        return Door(create_app(settings, clock, clock.monotonic), settings, clock, identities, emulator)

    return make


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    """The broker with the settings that most tests want."""
    return open_door()


@pytest.fixture
def ageing_door(open_door: Callable[..., Door], clock: Clock) -> Iterator[Door]:
    """A broker whose cloud goes by the test's clock."""
    with Emulator(ACCOUNT, clock=clock, buckets={BUCKET: "ap-guangzhou"}) as cloud:
        yield open_door(BROKER_STS_ENDPOINT=cloud.url, BROKER_COS_ENDPOINT=cloud.url)


class IssuerSite:
    """Where an issuer publishes its keys; nothing is there until `publish`."""

    def __init__(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if site.published else 503)
                self.send_header("Content-Length", str(len(site.published)))
                self.end_headers()
                self.wfile.write(site.published)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.published = b""
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"

    def publish(self, keys: bytes) -> None:
        """Let the next fetch find these keys."""
        self.published = keys


@pytest.fixture
def issuer_site() -> Iterator[IssuerSite]:
    """An issuer's web site without keys."""
    site = IssuerSite()
    thread = Thread(target=site.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()
