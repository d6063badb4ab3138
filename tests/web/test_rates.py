"""Rates: how many requests are signed for a principal on a route, and for an API key."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.errors import RateLimited
from broker.identity.principals import Principal
from broker.local import send
from tests.conftest import BUCKET
from tests.web.conftest import Door

MIB = 2**20
READ = {
    "vends": ["url", "download-url", "signature"],
    "methods": ["GET"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "files/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z0-9]+"}},
}
UPLOAD = {
    **READ,
    "vends": ["url", "form", "multipart", "confirm"],
    "methods": ["PUT"],
    "content": {"max_bytes": 10 * MIB, "part_bytes": MIB},
}
KEYS = {
    **READ,
    "vends": ["credentials"],
    "key": "folder/{principal.sub}/{path}",
    "inputs": {"path": {"type": "path"}},
}
PUBLIC = {**READ, "principals": {"anonymous": True}, "key": "public/{name}"}
ASK = {"inputs": {"name": "a"}}
FILE = {"key": "files/u1/a"}
STEP = {"step": "parts", **FILE, "upload_id": "x", "size": 10 * MIB}
BATCH = {"asks": [{"vend": "url", **ASK}, {"vend": "signature", **ASK}, {"vend": "url", "inputs": {"name": "A"}}, {}]}
BFF = {"id": "bff", "rate": "3/hour", "acts_for": {"sub": ".*"}}


@pytest.fixture
def open_with(open_door: Callable[..., Door], tmp_path: Path) -> Callable[..., Door]:
    """A broker with these policies, each with a rate; `keys` are entries of API keys with the secret `s`."""

    def make(rate: str | None = "3/hour", keys: list[dict[str, Any]] | None = None, **policies: Any) -> Door:
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        for name, policy in policies.items():
            rated = {"rate": rate, **policy} if rate else policy
            (folder / f"{name}.json").write_text(json.dumps(rated))
        settings = {"BROKER_POLICIES": str(folder), "BROKER_ANONYMOUS": "1"}
        if keys is not None:
            digest = hashlib.sha256(b"s").hexdigest()
            entries = [{"hash": f"sha256:{digest}", **entry} for entry in keys]
            (tmp_path / "keys.json").write_text(json.dumps({"keys": entries}))
            settings["BROKER_API_KEYS"] = str(tmp_path / "keys.json")
        return open_door(**settings)

    return make


def by_key(name: str, sub: str | None = None) -> dict[str, str]:
    """The identity headers of an API key, for itself or for somebody."""
    return {"Authorization": f"Bearer {name}.s", **({"X-Principal": sub} if sub else {})}


def statuses(door: Door, count: int, path: str = "r/url", ask: Any = ASK, **sent: Any) -> list[int]:
    """What so many asks one after another are answered with."""
    return [door.ask(path, ask, **sent).status_code for _ in range(count)]


class TestRoute:
    """`rate` of a policy file."""

    def test_exhausted(self, open_with):
        """One ask more than the rate is 429, with the reason and the time to come again; then it is granted."""
        door = open_with(rate="3/minute", r=READ)
        assert statuses(door, 3) == [200, 200, 200]
        calls = door.sts_calls()
        answer = door.ask("r/url", ASK)
        assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
        assert answer.content_type == "application/problem+json"
        assert answer.json["detail"] == (
            "the rate of this principal on this route is 3/minute: this call needs 1, and 0 are left"
        )
        assert answer.headers["Retry-After"] == "61"
        assert door.sts_calls() == calls
        door.clock.tick(60)
        assert statuses(door, 1) == [429]
        door.clock.tick(1)
        assert statuses(door, 2) == [200, 429]

    @pytest.mark.parametrize(
        ("policy", "path", "ask", "units"),
        [
            (READ, "r/url", ASK, 1),
            (READ, "r/download-url", ASK, 1),
            (READ, "r/signature", ASK, 1),
            (READ, "r/batch", BATCH, 2),
            (UPLOAD, "r/url", {**ASK, "headers": {"Content-Length": "1"}}, 1),
            (UPLOAD, "r/form", ASK, 1),
            (UPLOAD, "r/confirm", FILE, 1),
            (UPLOAD, "r/multipart", {"step": "initiate", **ASK, "size": 1}, 1),
            (UPLOAD, "r/multipart", {**STEP, "parts": {"from": 2, "to": 8}}, 7),
            (UPLOAD, "r/multipart", {"step": "list", **FILE, "upload_id": "x"}, 1),
            (UPLOAD, "r/multipart", {"step": "complete", **FILE, "upload_id": "x"}, 1),
            (UPLOAD, "r/multipart", {"step": "abort", **FILE, "upload_id": "x"}, 1),
            (KEYS, "r/credentials", {}, 1),
        ],
    )
    def test_units(self, open_with, policy, path, ask, units):
        """Each signed request is a unit, whichever endpoint signs it; of a batch those that are granted."""
        door = open_with(rate=f"{3 * units}/hour", r=policy)
        got = statuses(door, 4, path, ask)
        assert [status in (200, 404) for status in got] == [True, True, True, False]
        assert got[3] == 429

    def test_whole_call(self, open_with):
        """A call for which too little is left gets nothing and takes nothing; one that fits is served after it."""
        door = open_with(rate="8/hour", r=UPLOAD)
        assert statuses(door, 1, "r/multipart", {**STEP, "parts": {"from": 1, "to": 5}}) == [200]
        calls = door.sts_calls()
        answer = door.ask("r/multipart", {**STEP, "parts": {"from": 1, "to": 4}})
        assert (answer.status_code, answer.json.keys() & {"requests", "key"}) == (429, set())
        assert "this call needs 4, and 3 are left" in answer.json["detail"]
        asks = {"asks": [{"vend": "url", "inputs": {"name": "a"}, "headers": {"Content-Length": "1"}}] * 4}
        answer = door.ask("r/batch", asks)
        assert (answer.status_code, "results" in answer.json) == (429, False)
        assert door.sts_calls() == calls
        assert statuses(door, 1, "r/multipart", {**STEP, "parts": {"from": 1, "to": 3}}) == [200]

    def test_before_the_credential(self, open_with):
        """STS is not asked for what a rate refuses."""
        door = open_with(r={**READ, "vends": ["url", "confirm"], "credential": {"scope": "object"}})
        asks = [{"inputs": {"name": name}} for name in ("a", "b", "c", "d", "e")]
        assert [door.ask("r/url", ask).status_code for ask in asks] == [200, 200, 200, 429, 429]
        assert door.ask("r/batch", {"asks": [{"vend": "url", **ask} for ask in asks]}).status_code == 429
        assert door.ask("r/confirm", FILE).status_code == 429
        assert door.sts_calls() == 3

    def test_more_than_the_rate(self, open_with):
        """A call that is larger than the rate itself is told so: waiting does not help it."""
        door = open_with(rate="8/hour", r=UPLOAD)
        answer = door.ask("r/multipart", {**STEP, "parts": {"from": 1, "to": 9}})
        assert answer.status_code == 429
        assert answer.json["detail"] == (
            "the rate of this principal on this route is 8/hour: a call that needs 9 can never be served"
        )
        assert answer.headers["Retry-After"] == "3600"
        assert statuses(door, 1, "r/multipart", {**STEP, "parts": {"from": 1, "to": 8}}) == [200]

    @pytest.mark.parametrize(
        ("path", "ask"),
        [
            ("r/url", {"inputs": {"name": "A"}}),
            ("r/url", {**ASK, "expires_in": 901}),
            ("r/url", {**ASK, "headers": {"X-A": "1"}}),
            ("r/form", ASK),
            ("r/batch", {"asks": [{"vend": "url", "inputs": {"name": "A"}}] * 9}),
            ("r/batch", {"asks": [{}] * 1001}),
        ],
    )
    def test_refused(self, open_with, path, ask):
        """What is refused for another reason costs nothing."""
        door = open_with(r=READ)
        answers = [door.ask(path, ask) for _ in range(9)]
        assert {answer.status_code for answer in answers} <= {200, 422}
        assert statuses(door, 4) == [200, 200, 200, 429]

    def test_scopes_of_a_batch(self, open_with):
        """A batch that is too large for its scopes costs nothing either."""
        door = open_with(rate="200/hour", r={**READ, "credential": {"scope": "object"}})
        asks = [{"vend": "url", "inputs": {"name": f"a{number}"}} for number in range(101)]
        assert door.ask("r/batch", {"asks": asks}).json["code"] == "batch_too_large"
        assert door.ask("r/batch", {"asks": [{"vend": "url", **ASK}] * 200}).status_code == 200

    def test_whose(self, open_with):
        """Each principal has its own on each route: who comes with a key, and who by it, are others."""
        keys = [{"id": "bff", "acts_for": {"sub": ".*"}}, {"id": "other", "acts_for": {"sub": ".*"}}]
        door = open_with(rate="1/hour", keys=keys, r=READ, s={**READ, "key": "s/{principal.sub}/{name}"})
        for by in (door.bearer("u1"), door.bearer("u10"), by_key("bff", "u1"), by_key("other", "u1")):
            assert statuses(door, 2, by=by) == [200, 429]
            assert statuses(door, 2, "s/url", by=by) == [200, 429]

    def test_without_a_name(self, open_with):
        """Callers without credentials are one principal, wherever they say they come from."""
        door = open_with(rate="2/hour", keys=[{"id": "job"}], r=PUBLIC)
        ways = [{"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}, {"X-Request-Id": "a"}]
        got = [door.ask("r/url", ASK, by=way).status_code for way in ways]
        assert got == [200, 200, 429]
        assert statuses(door, 3, by=by_key("job")) == [200, 200, 429]
        assert statuses(door, 1, by=door.bearer()) == [200]

    def test_reload(self, open_with):
        """A rate that has changed counts anew."""
        door = open_with(r=READ)
        assert statuses(door, 4) == [200, 200, 200, 429]
        (Path(door.settings.policies) / "r.json").write_text(json.dumps({**READ, "rate": "1/hour"}))
        door.app.extensions["broker"].refresh_policies()
        assert statuses(door, 2) == [200, 429]

    def test_works(self, open_with):
        """What a rate lets through is an ordinary grant."""
        grant = open_with(r=READ).grant("r/url", ASK)
        assert send("GET", grant["url"], grant["headers"])[0] == 404

    def test_without(self, open_with):
        """Without a rate there is no limit."""
        assert set(statuses(open_with(rate=None, r=READ), 100)) == {200}


class TestKey:
    """`rate` of an entry of the API keys file."""

    def test_everything_it_asks_for(self, open_with):
        """It counts whatever the key asks for, on whichever route, whoever it acts for; other keys are others."""
        other = {**BFF, "id": "other"}
        door = open_with(rate=None, keys=[BFF, other], r=READ, s={**READ, "key": "s/{principal.sub}/{name}"})
        assert statuses(door, 1, by=by_key("bff", "u1")) == [200]
        assert statuses(door, 1, "s/url", by=by_key("bff", "u2")) == [200]
        assert statuses(door, 1, "r/batch", {"asks": BATCH["asks"][:1]}, by=by_key("bff", "u3")) == [200]
        answer = door.ask("r/url", ASK, by=by_key("bff", "u4"))
        assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
        assert answer.json["detail"].startswith("the rate of this API key is 3/hour")
        assert answer.headers["Retry-After"] == "3601"
        assert statuses(door, 4, by=by_key("other", "u1")) == [200, 200, 200, 429]
        assert statuses(door, 9, by=door.bearer()) == [200] * 9

    def test_key_alone(self, open_with):
        """So it does without X-Principal."""
        door = open_with(rate=None, keys=[{"id": "job", "rate": "3/hour", "claims": {"sub": "job"}}], r=READ)
        assert statuses(door, 4, by=by_key("job")) == [200, 200, 200, 429]

    def test_beside_a_route(self, open_with):
        """Where route and key have a rate neither is spent when the other refuses."""
        door = open_with(rate="2/hour", keys=[BFF], r=READ)
        assert statuses(door, 5, by=by_key("bff", "u1")) == [200, 200, 429, 429, 429]
        answer = door.ask("r/batch", {"asks": BATCH["asks"][:2]}, by=by_key("bff", "u2"))
        assert answer.json["detail"].startswith("the rate of this API key is 3/hour: this call needs 2")
        assert statuses(door, 2, by=by_key("bff", "u2")) == [200, 429]


class TestInProcess:
    """`vend` and `vend_many` of the extension."""

    def test_both(self, open_with):
        """They are counted like any other."""
        broker = open_with(rate="5/hour", r=READ).app.extensions["broker"]
        principal = Principal({"sub": "u1"})
        assert broker.vend("r", {"vend": "url", **ASK}, principal)
        assert len(broker.vend_many("r", BATCH["asks"], principal)) == 4
        with pytest.raises(RateLimited, match="this call needs 4, and 2 are left"):
            broker.vend_many("r", [{"vend": "url", **ASK}] * 4, principal)
        assert broker.vend_many("r", [{"vend": "url", **ASK}] * 2, principal)
        with pytest.raises(RateLimited):
            broker.vend("r", {"vend": "url", **ASK}, principal)


def test_no_thread(open_with):
    """Counting starts no thread."""
    door = open_with(r=READ)
    statuses(door, 1)
    before = set(threading.enumerate())
    statuses(door, 3)
    assert set(threading.enumerate()) <= before
