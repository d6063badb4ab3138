"""What every answer carries, and the two that operations ask for."""

from __future__ import annotations

import re
import time

import pytest

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.local import redis_server
from tests.conftest import ACCOUNT, BUCKET

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
CACHE_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
# What browsers are told of every answer of JSON.
FIXED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# (method, path, by whom): one of every kind of answer.
KINDS = {
    "health": ("GET", "/healthz", ""),
    "health, head only": ("HEAD", "/healthz", ""),
    "health, other method": ("POST", "/healthz", ""),
    "health, options": ("OPTIONS", "/healthz", ""),
    "doubled slash": ("GET", "//healthz", ""),
    "slash behind": ("GET", "/healthz/", ""),
    "readiness": ("GET", "/readyz", ""),
    "list": ("GET", "/v1", "u1"),
    "list, head only": ("HEAD", "/v1", "u1"),
    "list for strangers": ("GET", "/v1", ""),
    "grant": ("POST", "/v1/user-folder/credentials", "u1"),
    "wrong method": ("GET", "/v1/user-folder/credentials", "u1"),
    "no such route": ("POST", "/v1/nope/url", "u1"),
    "refused": ("POST", "/v1/avatars/url", "u1"),
    "description": ("GET", "/openapi.json", "u1"),
    "description for strangers": ("GET", "/openapi.json", ""),
    "description, other method": ("POST", "/openapi.json", ""),
    "no such path": ("GET", "/nope", ""),
    "root": ("GET", "/", ""),
    "no such method": ("BREW", "/v1", "u1"),
}


@pytest.mark.parametrize(("method", "path", "sub"), KINDS.values(), ids=KINDS)
def test_every_answer(door, method, path, sub):
    """Every answer forbids to be kept, can be named, sets no cookie and opens nothing to other origins."""
    answer = door.client.open(
        method=method,
        path="/",
        environ_overrides={"PATH_INFO": path},
        headers={**(door.bearer(sub) if sub else {}), "Origin": "https://evil.example", "X-Request-Id": "a-1"},
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"] == "a-1"
    assert answer.headers["Content-Type"] in ("application/json", "application/problem+json")
    assert {name for name, _ in answer.headers if name.startswith("Access-Control") or name == "Set-Cookie"} == set()
    assert [answer.headers.getlist(name) for name in FIXED] == [[value] for value in FIXED.values()]
    assert not 300 <= answer.status_code < 400


class TestRequestId:
    """`X-Request-Id`."""

    @pytest.mark.parametrize("given", ["a", "x" * 64, "A.b_c-9", "0"])
    def test_accepted(self, door, given):
        """An id of the agreed letters comes back, in problems too."""
        answer = door.ask("nope/url", headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"], answer.json["request_id"]) == (given, given)

    @pytest.mark.parametrize("given", ["", " ", "x" * 65, "a b", "a;b", "a,b", "ü", "a/b", "<x>", "a%0d"])
    def test_replaced(self, door, given):
        """Anything else is replaced, and never comes back."""
        answer = door.ask("nope/url", headers={"X-Request-Id": given})
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
        assert answer.json["request_id"] == answer.headers["X-Request-Id"]

    def test_made_anew(self, door):
        """Without one, each answer gets its own."""
        made = {door.client.get("/healthz").headers["X-Request-Id"] for _ in range(20)}
        assert len(made) == 20


def test_callers_values_in_headers(door):
    """Nothing else that a caller sends stands in a header of the answer."""
    marker = "zQx7marker"
    asks = [
        ("avatars/url", {**AVATAR, "method": marker}),
        (f"{marker}/url", AVATAR),
        ("avatars/url", {"inputs": {"ext": marker}, "headers": AVATAR["headers"]}),
        ("private-files/download-url", {"key": f"files/u1/{marker}", "filename": marker}),
    ]
    for path, ask in asks:
        sent = {
            "X-Forwarded-For": marker,
            "Host": f"{marker}.example",
            "Referer": marker,
            "Origin": f"https://{marker}",
        }
        answer = door.ask(path, ask, headers=sent, query_string={"q": marker})
        assert marker not in str(answer.headers)


class TestAllow:
    """`Allow` beside 405."""

    @pytest.mark.parametrize(("path", "allowed"), [("/healthz", {"GET", "HEAD"}), ("/readyz", {"GET", "HEAD"})])
    def test_operations(self, door, path, allowed):
        """The operations' paths are read."""
        answer = door.client.post(path)
        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed


class TestHealth:
    """`GET /healthz`."""

    def test_alive(self, door):
        """The process answers."""
        assert door.client.get("/healthz").status_code == 200

    def test_whatever_fails(self, open_door, issuer_site, tmp_path):
        """It answers without Redis, STS and JWKS too."""
        door = open_door(
            BROKER_REDIS_URL=f"unix://{tmp_path}/none.sock",
            BROKER_CACHE_KEYS=CACHE_KEY,
            BROKER_JWT_JWKS=issuer_site.url,
            BROKER_STS_ENDPOINT="http://127.0.0.1:1",
        )
        assert door.client.get("/healthz").status_code == 200
        assert door.client.get("/readyz").status_code == 503


class TestReadiness:
    """`GET /readyz`."""

    @staticmethod
    def until_ready(door) -> None:
        """Ask until the key set, which loads in the background, is there."""
        deadline = time.monotonic() + 5
        while door.client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            door.clock.tick(1)

    def test_ready(self, door):
        """Everything serves: booleans and the generation of the policies, nothing else."""
        self.until_ready(door)
        assert door.client.get("/readyz").json == {
            "ready": True, "degraded": False, "redis": True, "sts": True, "reload": True, "policies_generation": 1
        }  # fmt: skip

    def test_time_before_the_first_ask(self, open_door, clock):
        """Who asks for readiness has STS asked for the time, so that the first ask need not see to it."""
        with Emulator(ACCOUNT, clock=lambda: clock() + 200, buckets={BUCKET: "ap-guangzhou"}) as cloud:
            door = open_door(BROKER_STS_ENDPOINT=cloud.url)
            figures, deadline = door.app.extensions["broker"].metrics.figures, time.monotonic() + 5
            assert figures()["clock_skew_seconds"] == {"": 0}
            door.client.get("/readyz")
            while not 199 <= figures()["clock_skew_seconds"][""] <= 201:
                assert time.monotonic() < deadline

    def test_clock_that_is_set(self, open_door, identities, issuer_site):
        """How old the issuer's keys are goes by a clock that nobody sets: a day's step makes none of them too old."""
        issuer_site.publish(identities.jwks.read_bytes())
        door = open_door(BROKER_JWT_JWKS=issuer_site.url)
        self.until_ready(door)
        issuer_site.publish(b"no keys")
        door.clock.step(2 * 86_400)
        door.grant("avatars/url", AVATAR)

    def test_before_the_key_set(self, open_door, identities, issuer_site):
        """Not ready until the issuer's keys were loaded once."""
        door = open_door(BROKER_JWT_JWKS=issuer_site.url)
        answer = door.client.get("/readyz")
        assert (answer.status_code, answer.json["ready"]) == (503, False)
        issuer_site.publish(identities.jwks.read_bytes())
        self.until_ready(door)
        door.grant("avatars/url", AVATAR)

    def test_ready_without_jwt(self, open_door):
        """Where no tokens are believed, no keys are waited for."""
        names = ("BROKER_JWT_JWKS", "BROKER_JWT_ISSUER", "BROKER_JWT_AUDIENCE", "BROKER_JWT_ALGORITHMS")
        door = open_door(**dict.fromkeys(names))
        assert door.client.get("/readyz").status_code == 200
        door.grant("avatars/url", AVATAR, by=door.bff())
        assert door.ask("avatars/url", AVATAR).json["code"] == "unauthenticated"

    def test_redis_down(self, open_door, tmp_path):
        """A dead Redis is a slower day: still ready, said to be degraded, and grants go on."""
        door = open_door(BROKER_REDIS_URL=f"unix://{tmp_path}/none.sock", BROKER_CACHE_KEYS=CACHE_KEY)
        self.until_ready(door)
        answer = door.client.get("/readyz")
        assert (answer.status_code, answer.json["degraded"], answer.json["redis"]) == (200, True, False)
        door.grant("avatars/url", AVATAR)
        assert str(tmp_path) not in answer.get_data(as_text=True)

    def test_redis_dies(self, open_door):
        """So is one that dies while it is in use."""
        with redis_server() as server:
            door = open_door(BROKER_REDIS_URL=server.url, BROKER_CACHE_KEYS=CACHE_KEY)
            self.until_ready(door)
            assert door.client.get("/readyz").json["degraded"] is False
            door.grant("avatars/url", AVATAR)
        door.grant("avatars/url", AVATAR)
        door.grant("avatars/url", AVATAR, by=door.bearer("u2"))
        assert door.client.get("/readyz").json["redis"] is False

    def test_sts_down(self, door):
        """STS down: degraded until it answers again."""
        self.until_ready(door)
        door.emulator.order_fault(Fault("sts", 5, "InternalError"))
        door.ask("avatars/url", AVATAR)
        answer = door.client.get("/readyz")
        assert (answer.status_code, answer.json["degraded"], answer.json["sts"]) == (200, True, False)
        door.emulator.reset()
        door.clock.tick(2)
        door.grant("avatars/url", AVATAR)
        assert door.client.get("/readyz").json["degraded"] is False


class TestClientInTheLog:
    """Who asked, behind proxies."""

    @pytest.mark.parametrize(
        ("hops", "forwarded", "client"),
        [
            ("0", "203.0.113.7", "127.0.0.1"),
            ("1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("2", "198.51.100.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
            ("1", "2001:db8::1", "2001:db8::1"),
        ],
    )
    def test_counted_from_the_right(self, open_door, capsys, hops, forwarded, client):
        """The client is the Nth address from the right."""
        door = open_door(BROKER_TRUSTED_PROXIES=hops)
        door.ask("avatars/url", by={}, headers={"X-Forwarded-For": forwarded})
        assert f'"client": "{client}"' in capsys.readouterr().err

    def test_no_address(self, open_door, capsys):
        """What is no address is not logged as one."""
        door = open_door(BROKER_TRUSTED_PROXIES="1")
        door.ask("avatars/url", by={}, headers={"X-Forwarded-For": "somebody else"})
        assert "somebody else" not in capsys.readouterr().err
