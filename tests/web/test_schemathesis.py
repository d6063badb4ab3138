"""Requests made from `/openapi.json`, legal and illegal: the answers are such as it says, and none is a bug."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.web.conftest import Door

# Routes that have everything between them.
ROUTES = ("avatars", "private-files", "user-folder", "videos", "needs")
# What cannot be said of a key, a value or a range is refused with 422; of an object that is not there, with 404.
ACCEPTED = ["2xx", "401", "403", "404", "422"]


class Silent(WSGIRequestHandler):
    """Keeps connections open, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""


@dataclass
class Served:
    """A broker on a socket, and somebody who may use all its routes."""

    address: str
    identity: dict[str, str]
    description: dict[str, Any]


@pytest.fixture
def served(open_door: Callable[..., Door], policies: Path, tmp_path: Path) -> Iterator[Served]:
    """A broker of few routes and what it says of them."""
    for name in ROUTES:
        shutil.copy(policies / f"{name}.json", tmp_path)
    door = open_door(BROKER_POLICIES=str(tmp_path))
    server = make_server("127.0.0.1", 0, door.app, request_handler=Silent)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    identity = door.bearer(scope="avatars:write folder:keys")
    description = door.client.get("/openapi.json", headers=identity).json
    yield Served(f"http://127.0.0.1:{server.server_port}", identity, description)
    server.shutdown()
    thread.join()
    server.server_close()


def unsaid(name: str, ask: Any) -> bool:
    """Whether an ask is refused for what no schema can say: a range, a number written as 1.0, a letter's kind."""
    if name != "positive_data_acceptance" or not isinstance(ask, dict):
        return False
    parts, numbers = ask.get("parts") or {}, (ask.get("expires_in"), ask.get("size"))
    filename = ask.get("filename") or ""
    return (
        any(isinstance(one, float) for one in (*numbers, *parts.values()))
        or (bool(parts) and not parts["from"] <= parts["to"] <= 1)
        or any(unicodedata.category(one)[0] == "C" for one in filename)
        or filename in (".", "..")
        or len(filename.encode()) > 255
    )


def findings(served: Served, examples: int) -> Iterator[str]:
    """Everything that is not as described, for one caller."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": served.address,
            "headers": served.identity,
            "cache": {"enabled": False},
            "generation": {"deterministic": True, "max-examples": examples, "database": "none", "no-shrink": True},
            "phases": {"examples": {"enabled": False}, "stateful": {"enabled": False}},
            "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
        }
    )
    for event in from_schema(schemathesis.openapi.from_dict(served.description, config=config)).execute():
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            yield f"schemathesis: {event}"
        if isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                case = event.recorder.cases[case_id].value
                for check in checks:
                    if check.status == Status.FAILURE and not unsaid(check.name, case.body):
                        yield f"{case.method} {case.path} {case.body!r}: {check.name}: {check.failure_info.failure}"


def test_nothing_found(served):
    """Of all checks that it has, on every path: nothing."""
    found = list(findings(served, examples=2))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("lie", ["answer", "ask", "status"])
def test_something_to_find(served, lie):
    """It does look: one lie in the description is found out."""
    path = "/v1/user-folder/credentials"
    operation = served.description["paths"][path]["post"]
    served.description["paths"] = {path: {"post": operation}}
    if lie == "answer":
        served.description["components"]["schemas"]["Credentials"]["properties"]["region"] = {"type": "integer"}
    elif lie == "ask":
        operation["requestBody"]["content"]["application/json"]["schema"]["required"] = ["bucket"]
    else:
        del operation["responses"]["401"]
    assert list(findings(served, examples=1))
