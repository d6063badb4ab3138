"""`POST /v1/ROUTE/batch`: many asks at once, each with its own answer."""

from __future__ import annotations

import json
import shutil

import pytest

from broker.emulator.faults import Fault
from broker.identity.principals import Principal
from broker.local import send
from tests.conftest import BUCKET
from tests.doubles import Threads

# One of another principal's credentials for each object.
OBJECTS = {
    "vends": ["url"],
    "methods": ["GET"],
    "bucket": BUCKET,
    "region": "ap-guangzhou",
    "key": "objects/{principal.sub}/{name}",
    "inputs": {"name": {"pattern": "[a-z0-9-]+"}},
    "credential": {"scope": "object"},
}


@pytest.fixture
def door(open_door, policies, tmp_path):
    """A broker with a policy that has a credential for each object."""
    folder = shutil.copytree(policies, tmp_path / "policies")
    (folder / "objects.json").write_text(json.dumps(OBJECTS))
    return open_door(BROKER_POLICIES=str(folder))


def reads(count: int) -> list[dict]:
    """Asks for links to so many files of the caller's."""
    return [{"vend": "download-url", "key": f"files/u1/{number}.txt"} for number in range(count)]


def results(door, path: str, asks: list, **sent) -> list[dict]:
    """The results of a batch, which must be answered."""
    answer = door.ask(path, {"asks": asks}, **sent)
    assert answer.status_code == 200, answer.text
    return answer.json["results"]


def test_each_as_if_alone(door):
    """Each result is what the ask alone would be answered, grant or problem, in the order of the asks."""
    asks = [
        {"vend": "url", "method": "GET", "key": "files/u1/a"},
        {"vend": "download-url", "key": "files/u1/b", "filename": "b.txt", "expires_in": 60},
        {"vend": "url", "key": "files/u2/a", "method": "GET"},
        {"vend": "url", "method": "HEAD", "key": "files/u1/a"},
        {"vend": "signature", "method": "GET", "key": "files/u1/a"},
        {"vend": "url", "key": "files/u1/a"},
        {"vend": "url", "method": "GET", "key": "files/u1/a", "colour": "red"},
        {"vend": "nope"},
        {},
        "url",
    ]
    found = results(door, "private-files/batch", asks)
    assert [one["status"] for one in found] == [200, 200, 422, 200, 422, 400, 400, 400, 400, 400]
    for ask, one in zip(asks[:7], found, strict=False):
        alone = door.ask(f"private-files/{ask['vend']}", {name: ask[name] for name in ask if name != "vend"})
        told = one.get("grant") or one["problem"]
        assert set(told) == set(alone.json)
        same = [name for name in alone.json if name != "request_id"]
        assert [told[name] for name in same] == [alone.json[name] for name in same]


def test_what_is_granted_works(door, emulator):
    """Every URL of a batch does what it is for."""
    asks = [
        {"vend": "url", "inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "4"}}
        for _ in range(20)
    ]
    grants = [one["grant"] for one in results(door, "avatars/batch", asks)]
    assert len({grant["key"] for grant in grants}) == 20
    assert {send(grant["method"], grant["url"], grant["headers"], b"mine")[0] for grant in grants} == {200}


def test_one_credential_for_a_scope(door):
    """However many asks a scope has, it costs one call of STS; two operations are two scopes."""
    asks = [*reads(300), *({"vend": "url", "method": "HEAD", "key": f"files/u1/{number}"} for number in range(300))]
    assert {one["status"] for one in results(door, "private-files/batch", asks)} == {200}
    assert door.sts_calls() == 2


def test_longest_ask_counts(ageing_door):
    """The credential of a scope lives long enough for the longest of its asks."""
    door = ageing_door
    door.grant("private-files/download-url", {"key": "files/u1/a"})
    door.clock.tick(1200)  # 600 s left: enough for 540, not for 900
    asks = [{**ask, "expires_in": seconds} for ask, seconds in zip(reads(3), (60, 900, 300), strict=True)]
    found = results(door, "private-files/batch", asks)
    assert [one["grant"]["expires_in"] for one in found] == [60, 900, 300]
    assert {send("GET", one["grant"]["url"], {})[0] for one in found} == {404}


@pytest.mark.parametrize(("count", "status"), [(1, 200), (1000, 200), (1001, 422)])
def test_number_of_asks(door, count, status):
    """A thousand asks are one batch, one more is none: nothing is minted then."""
    answer = door.ask("private-files/batch", {"asks": reads(count)})
    assert answer.status_code == status
    if status == 422:
        assert (answer.json["code"], door.sts_calls()) == ("batch_too_large", 0)
    else:
        keys = [one["grant"]["key"] for one in answer.json["results"]]
        assert keys == [f"files/u1/{number}.txt" for number in range(count)]


@pytest.mark.parametrize("count", [100, 101])
def test_cold_scopes(door, count):
    """A hundred scopes may need new credentials; one more, and nothing is minted. Warm ones do not count."""
    asks = [{"vend": "url", "inputs": {"name": f"o{number}"}} for number in range(count)]
    answer = door.ask("objects/batch", {"asks": asks})
    if count == 101:
        assert (answer.status_code, answer.json["code"], door.sts_calls()) == (422, "batch_too_large", 0)
        door.grant("objects/url", {"inputs": asks[0]["inputs"]})
        assert {one["status"] for one in results(door, "objects/batch", asks)} <= {200, 429}
    else:
        assert {one["status"] for one in answer.json["results"]} == {200}
        assert door.sts_calls() == 100


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"asks": []}, "invalid_request"),
        ({"asks": {"vend": "url"}}, "invalid_request"),
        ({"asks": None}, "invalid_request"),
        ({"asks": [{"vend": "url"}], "expires_in": 5}, "invalid_request"),
        ([{"vend": "url"}], "invalid_request"),
        (None, "invalid_request"),
    ],
)
def test_no_batch(door, body, code):
    """A body that is no batch is refused whole."""
    answer = door.ask("private-files/batch", body)
    assert (answer.status_code, answer.json["code"]) == (400, code)
    assert door.sts_calls() == 0


def test_order_of_checks(door):
    """Who may not use the route is told that, whatever the asks; strangers learn nothing."""
    asks = {"asks": [{"vend": "nope"}]}
    assert door.ask("avatars/batch", asks, by=door.bearer(scope="")).json["code"] == "principal_not_allowed"
    assert door.ask("avatars/batch", asks, by={}).status_code == 401
    assert door.ask("nope/batch", asks, by={}).status_code == 401
    assert door.ask("nope/batch", asks).json["code"] == "route_not_found"
    refused = door.ask("avatars/batch", method="GET")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")


def test_failing_scope(door, emulator):
    """What STS refuses for one scope is told for its asks; the others are granted."""
    door.grant("private-files/download-url", {"key": "files/u1/a"})
    emulator.order_fault(Fault("sts", 9, code="InvalidParameter.PolicyTooLong"))
    asks = [*reads(2), {"vend": "url", "method": "HEAD", "key": "files/u1/a"}]
    found = results(door, "private-files/batch", asks)
    assert [one["status"] for one in found] == [200, 200, 502]
    assert found[2]["problem"]["code"] == "sts_refused"


@pytest.mark.parametrize("cold", [1, 2])
def test_warm_scope_beside_slow_ones(door, monkeypatch, cold):
    """What is warm is lent once the others are there: no grant says that it lives longer than it does by then."""
    desk = door.app.extensions["broker"]._desk
    door.grant("objects/url", {"inputs": {"name": "warm"}})
    mint = desk.cache._mint.obtain

    def slowly(*arguments):
        door.clock.tick(5 / cold)
        return mint(*arguments)

    monkeypatch.setattr(desk.cache._mint, "obtain", slowly)
    begun = door.clock()
    names = ["warm", *(f"cold-{number}" for number in range(cold))]
    found = results(door, "objects/batch", [{"vend": "url", "inputs": {"name": name}} for name in names])
    ends = [one["grant"]["expires_at"] for one in found]
    assert door.clock() == begun + 5
    assert ends[0] == max(ends)


def test_many_cold_scopes_together(door, emulator):
    """Cold scopes are minted side by side: many slow calls take not much longer than one."""
    emulator.order_fault(Fault("sts", 40, delay_seconds=0.2))
    asks = [{"vend": "url", "inputs": {"name": f"slow-{number}"}} for number in range(40)]
    assert {one["status"] for one in results(door, "objects/batch", asks)} == {200}
    assert door.sts_calls() == 40


def test_batches_at_once(door):
    """Batches of many callers at the same time share credentials and get all of theirs."""
    found = Threads(6, lambda number: results(door, "private-files/batch", reads(50))).join()
    assert all(one["status"] == 200 for batch in found for one in batch)
    assert door.sts_calls() == 1


def test_too_long(door):
    """A batch is read up to a mebibyte."""
    asks = [{"vend": "download-url", "key": f"files/u1/{'x' * 200}"} for _ in range(900)]
    assert door.ask("private-files/batch", {"asks": asks}).status_code == 200
    longer = door.ask("private-files/batch", {"asks": [{**ask, "filename": "y" * 1000} for ask in asks]})
    assert (longer.status_code, longer.json["code"]) == (413, "request_too_large")


def test_in_process(door):
    """The extension takes batches, too."""
    principal = Principal({"sub": "u1"})
    found = door.app.extensions["broker"].vend_many("private-files", [*reads(2), {"vend": "nope"}], principal)
    assert [getattr(one, "key", None) or one.code for one in found] == [
        "files/u1/0.txt",
        "files/u1/1.txt",
        "invalid_request",
    ]
