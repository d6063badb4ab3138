"""What operators see of the cache, and what they can drop."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from broker import create_app, inventory
from broker.errors import ConfigurationError
from broker.identity.principals import Principal
from broker.local import RedisServer, redis_server
from broker.settings import Settings
from tests.conftest import REPOSITORY
from tests.doubles import Clock

KEY = base64.b64encode(b"k" * 32).decode()
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
CLAIMS = {"scope": "avatars:write folder:keys", "tenant": "acme"}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with redis_server() as server:
        yield server


class Fleet:
    """Brokers that share a Redis, and the operator's view of it."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.settings = Settings.from_environ(environ)
        self.clock = Clock(int(time.time()))

    def broker(self):
        """Another process."""
        app = create_app(self.settings, self.clock, self.clock.monotonic)
        return app.extensions["broker"]

    def avatar(self, broker, sub: str = "u1") -> str:
        """The SecretId behind the URL that a user gets."""
        grant = broker.vend("avatars", {"vend": "url", **AVATAR}, Principal({"sub": sub, **CLAIMS}))
        return grant.url.partition("q-ak=")[2].partition("&")[0]

    def keys(self, broker, sub: str = "u1") -> str:
        """The SecretId of the keys that a user gets."""
        return broker.vend(
            "user-folder", {"vend": "credentials"}, Principal({"sub": sub, **CLAIMS})
        ).credential.secret_id

    @property
    def inventory(self) -> inventory.Inventory:
        """What the operator sees now."""
        return inventory.opened(self.settings, self.clock())


@pytest.fixture
def fleet(environ, server, emulator, logging_restored) -> Fleet:
    """A fleet with nothing cached."""
    return Fleet({**environ, "BROKER_REDIS_URL": server.url, "BROKER_CACHE_KEYS": KEY})


class TestList:
    """What is cached."""

    def test_all(self, fleet):
        """Every credential with its route, actions, keys and remaining life."""
        broker = fleet.broker()
        secret_ids = {fleet.avatar(broker), fleet.avatar(broker, "u2"), fleet.keys(broker)}
        found = {
            holding.described()["resource"].rpartition("/uid")[2]: holding for holding in fleet.inventory.find(None)
        }
        told = [holding.described() for holding in found.values()]
        assert sorted(one["routes"] for one in told) == [("avatars",), ("avatars",), ("user-folder",)]
        assert {one["secret_id_ends"] for one in told} == {secret_id[-6:] for secret_id in secret_ids}
        assert {one["actions"] for one in told if one["routes"] == ("avatars",)} == {("name/cos:PutObject",)}
        assert all(one["resource"].endswith(("avatars/u1/*", "avatars/u2/*", "files/u1/*")) for one in told)
        assert all(1700 < one["remaining_seconds"] <= 3600 for one in told)

    @pytest.mark.parametrize(("which", "count"), [("avatars", 2), ("user-folder", 1), ("downloads", 0), ("0" * 8, 0)])
    def test_of_a_route(self, fleet, which, count):
        """A route's own alone."""
        broker = fleet.broker()
        fleet.avatar(broker), fleet.avatar(broker, "u2"), fleet.keys(broker)
        assert len(list(fleet.inventory.find(which))) == count

    @pytest.mark.parametrize("digits", [8, 20, 64])
    def test_of_a_fingerprint(self, fleet, digits):
        """A fingerprint's beginning is enough to name it."""
        broker = fleet.broker()
        fleet.avatar(broker), fleet.keys(broker)
        [one] = fleet.inventory.find("avatars")
        assert [found.listed for found in fleet.inventory.find(one.listed.fingerprint[:digits])] == [one.listed]

    @pytest.mark.parametrize("which", ["nothing", "0" * 7, "0" * 65, "ABCDEFG1", "", "*"])
    def test_neither(self, fleet, which):
        """What is neither a route nor a fingerprint is said so, with the routes there are."""
        with pytest.raises(ConfigurationError, match=r"avatars.*fingerprint"):
            list(fleet.inventory.find(which))

    def test_no_redis(self, environ):
        """Without Redis there is nothing to list, and the reason is said."""
        with pytest.raises(ConfigurationError, match="BROKER_REDIS_URL"):
            inventory.opened(Settings.from_environ(environ), 0)

    def test_dead_redis(self, fleet, server):
        """A Redis that does not answer is one clear line."""
        server.process.kill()
        server.process.wait()
        for call in (lambda: list(fleet.inventory.find(None)), lambda: fleet.inventory.forget("avatars")):
            with pytest.raises(ConfigurationError, match="Redis did not answer"):
                call()


class TestForget:
    """What is dropped is gone."""

    def test_route(self, fleet, emulator):
        """A route's credentials are gone from Redis at once, and from every process within two seconds."""
        processes = [fleet.broker() for _ in range(2)]
        before = {fleet.avatar(one) for one in processes} | {fleet.keys(one) for one in processes}
        assert len(before) == 2
        assert fleet.inventory.forget("avatars") == 1
        assert [holding.routes for holding in fleet.inventory.find(None)] == [("user-folder",)]
        fleet.clock.tick(2)
        after = {fleet.avatar(one) for one in processes}
        assert (len(after), after & before) == (1, set())
        assert {fleet.keys(one) for one in processes} < before
        assert emulator.stats()["sts"] == {"GetFederationToken": 3}

    def test_fingerprint(self, fleet):
        """One scope's alone."""
        broker = fleet.broker()
        first, second = fleet.avatar(broker), fleet.avatar(broker, "u2")
        [one] = [held for held in fleet.inventory.find("avatars") if held.described()["resource"].endswith("/u1/*")]
        assert fleet.inventory.forget(one.listed.fingerprint) == 1
        fleet.clock.tick(2)
        assert fleet.avatar(broker) != first
        assert fleet.avatar(broker, "u2") == second

    def test_other_keys(self, fleet):
        """With other sealing keys than the fleet's nobody is told that a route is clear; a fingerprint can be named."""
        broker = fleet.broker()
        before = fleet.avatar(broker)
        [one] = fleet.inventory.find("avatars")
        other = base64.b64encode(b"x" * 32).decode()
        blind = inventory.opened(Settings.from_environ({**fleet.environ, "BROKER_CACHE_KEYS": other}), fleet.clock())
        assert [held.described()["opens"] for held in blind.find(None)] == [False]
        with pytest.raises(ConfigurationError, match="1 more are sealed with a key"):
            blind.forget("avatars")
        assert blind.forget(one.listed.fingerprint[:12].upper()) == 1
        fleet.clock.tick(2)
        assert fleet.avatar(broker) != before

    def test_full_redis(self, fleet, server):
        """A Redis that refuses to keep the news is told, and nothing is half done."""
        import redis

        broker = fleet.broker()
        fleet.avatar(broker)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(ConfigurationError, match=r"ask again: it refuses \(OOM\)"):
                fleet.inventory.forget("avatars")
            client.config_set("maxmemory", "0")
        assert fleet.inventory.forget("avatars") == 1

    def test_lost_by_redis(self, fleet, server):
        """What only a process's memory holds can be dropped, too."""
        import redis

        broker = fleet.broker()
        before = fleet.avatar(broker)
        [one] = fleet.inventory.find("avatars")
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        assert fleet.inventory.forget(one.listed.fingerprint) == 0
        fleet.clock.tick(2)
        assert fleet.avatar(broker) != before


def test_command_line(fleet, process_environ: Callable[..., dict[str, str]], server):
    """`credentials list` and `forget`: a table, JSON, a count; no secret in any of it; errors are one line."""
    broker = fleet.broker()
    fleet.avatar(broker), fleet.keys(broker)
    given = broker.vend("user-folder", {"vend": "credentials"}, Principal({"sub": "u1", **CLAIMS})).credential
    environ = process_environ(BROKER_REDIS_URL=server.url, BROKER_CACHE_KEYS=KEY)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "broker", "credentials", *words],
            cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip

    table, form, one = run("list"), run("list", "--format", "json"), run("list", "avatars")
    assert [ended.returncode for ended in (table, form, one)] == [0, 0, 0]
    assert table.stdout.splitlines()[0].split()[:3] == ["FINGERPRINT", "ROUTES", "ACTIONS"]
    assert table.stdout.splitlines()[-1] == "2 credentials"
    assert "files/u1/*" in table.stdout
    assert len(json.loads(form.stdout)) == 2
    assert one.stdout.splitlines()[-1] == "1 credential"
    for secret in (given.secret_key, given.session_token, given.secret_id):
        assert secret not in table.stdout + form.stdout

    dropped, nothing = run("forget", "avatars"), run("forget", "avatars")
    assert dropped.stdout == "1 credential dropped from Redis; every process drops its own within 2 s\n"
    assert nothing.stdout.startswith("0 credentials dropped")
    wrong, missing = run("forget", "nothing"), run("forget")
    assert (wrong.returncode, len(wrong.stderr.splitlines()), missing.returncode) == (1, 1, 2)
    assert "avatars" in wrong.stderr
