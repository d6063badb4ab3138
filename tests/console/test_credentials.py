"""Section Credentials: what is cached and for how long, where it was found, how often STS was asked; and no secret."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.console.health import health
from broker.console.tally import MINUTES, Hour, Tally
from broker.console.timeline import Life
from broker.fleet import topology
from broker.fleet.connection import Connection
from broker.local import RedisServer, redis_server
from broker.web.operations import Readiness
from tests.console.conftest import Read
from tests.doubles import NOW, Clock, Threads
from tests.web.conftest import Door

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
SCOPES = {"scope": "avatars:write folder:keys"}
KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def door(console: Callable[..., Door]) -> Door:
    """A broker whose console everybody may see."""
    return console(BROKER_ANONYMOUS="1")


@pytest.fixture
def shared(console: Callable[..., Door], server: RedisServer) -> Callable[..., Door]:
    """Brokers of a fleet, each with a console that everybody may see."""

    def make(**changes: Any) -> Door:
        redis = {"BROKER_REDIS_URL": server.url, "BROKER_CACHE_KEYS": KEY}
        return console(**{"BROKER_ANONYMOUS": "1", **redis, **changes})

    return make


def look(door: Door, query: str = "") -> Read:
    """The page."""
    answer = door.client.get(f"/console/credentials{query}")
    assert answer.status_code == 200
    return Read(answer.text)


def avatar(door: Door, sub: str = "u1") -> dict[str, Any]:
    """A grant that takes a credential of one user."""
    return door.grant("avatars/url", AVATAR, by=door.bearer(sub, **SCOPES))


def figures(found: Read) -> dict[str, str]:
    """What was counted, by its name."""
    return dict(zip(found.texts("dt"), found.texts("dd"), strict=True))


def test_nothing_yet(door):
    """Before the first ask there is nothing, and the page says what brings something."""
    found = look(door)
    assert "Nothing yet" in found.text
    assert found.texts("svg", class_="life") == []


def test_in_memory(door):
    """Without Redis it is this process's own: whose route, for which vends, which actions, below which keys."""
    avatar(door)
    found = look(door)
    assert "of this process alone, in its memory" in found.text
    (what,) = found.texts("p", class_="what")
    assert what == "avatars url signature PutObject"
    assert found.texts("p", class_="where") == ["examplebucket-1250000000/avatars/u1/*"]
    assert "none: each process has its own memory" in found.text


def test_in_redis(shared):
    """With Redis it is the whole fleet's, other processes' included."""
    one, other = shared(), shared()
    avatar(one, "u1")
    avatar(other, "u2")
    for door in (one, other):
        found = look(door)
        assert "of the whole fleet, in Redis" in found.text
        assert [where[-5:] for where in found.texts("p", class_="where")] in (["/u1/*", "/u2/*"], ["/u2/*", "/u1/*"])


def test_redis_down(shared, server):
    """While Redis does not answer the page says so, and shows what this process has."""
    door = shared()
    avatar(door)
    server.process.kill()
    server.process.wait()
    found = look(door)
    assert "in its memory: Redis does not answer" in found.text
    assert "does not answer: served from memory" in found.text
    assert len(found.texts("p", class_="what")) == 1


def test_other_keys(shared):
    """What is sealed with a key of others is there, and says nothing."""
    avatar(shared())
    found = look(shared(BROKER_CACHE_KEYS=base64.b64encode(b"o" * 32).decode()))
    assert found.texts("strong") == ["of no route"]
    assert "Sealed with a key that BROKER_CACHE_KEYS does not hold" in found.text


def test_no_secret(shared):
    """Of a credential nothing stands there that could be used: six characters of its id alone."""
    door = shared()
    keys = door.grant("user-folder/credentials", {}, by=door.bearer(**SCOPES))["credentials"]
    for query in ("", "?part=live"):
        text = door.client.get(f"/console/credentials{query}").text
        assert keys["tmpSecretId"][-6:] in text
        assert keys["tmpSecretId"][-7:] not in text
        assert keys["tmpSecretKey"] not in text
        assert keys["sessionToken"][-20:] not in text
        assert keys["sessionToken"][:20] not in text


def test_many(door):
    """Of very many the first hundred are shown, and where the others are."""
    for number in range(101):
        avatar(door, f"u{number}")
    found = look(door)
    assert len(found.texts("p", class_="what")) == 100
    assert "credentials list" in found.text


def test_counts(shared):
    """Where credentials were found and calls of STS by their outcome, since the start; its calls of the whole fleet."""
    door = shared()
    for sub in ("u1", "u2", "u2"):
        avatar(door, sub)
    told = figures(look(door))
    assert (told["issued"], told["memory"], told["STS"], told["done"]) == ("2", "1", "2", "0")
    assert "2 calls of the whole fleet" in look(shared()).text


def test_part(door):
    """What the page fetches again is the part that changes, and nothing else."""
    avatar(door)
    part = door.client.get("/console/credentials?part=live").text
    assert part.strip().startswith('<div id="live">')
    assert "avatars/u1" in part
    assert "<header" not in part


def test_ages(door, clock):
    """As time passes the picture moves: fresh, due for renewal, too short for the longest link, gone."""
    avatar(door)
    seen = []
    for seconds in (0, 700, 250, 800, 60):
        clock.tick(seconds)
        seen += [one["class"] for tag, one in look(door).elements if tag == "svg" and "life" in one["class"]] or [
            "gone"
        ]
    assert seen == ["life fresh", "life due", "life ending", "life ending", "gone"]


LINK = {"issued_at": NOW, "expires_at": NOW + 1800, "renewal_at": NOW + 600, "exact": True, "renews": True}


@pytest.mark.parametrize(
    ("age", "state", "link"),
    [
        (0, "fresh", 500),
        (599, "fresh", 833),
        (600, "due", 833),
        (840, "due", 967),
        (841, "ending", 967),
        (1800, "dead", 1000),
    ],
)
def test_life(age, state, link):
    """The instants of a credential on its line: a link signed at the last one ends where the margin begins."""
    life = Life(**LINK, now=NOW + age, need_seconds=960, links=True)
    assert life.state == state
    assert (life.renewal_x, life.x(life.last_at), life.margin_x) == (333, 467, 967)
    assert life.link_x == link


def test_life_in_words():
    """The same for who does not see the picture."""
    life = Life(**{**LINK, "exact": False}, now=NOW + 60, need_seconds=960, links=True)
    assert life.summary == (
        "issued 1 min ago; due for renewal about in 9 min; too short for the longest ask in 13 min; dies in 29 min"
    )
    handed = Life(**{**LINK, "renews": False}, now=NOW, need_seconds=600, links=False)
    assert handed.summary == "issued now; too short for the longest ask in 20 min; dies in 30 min"
    assert (handed.renewal_x, handed.longest_seconds) == (667, 0)


def test_short_life():
    """A credential shorter than what is asked of it is drawn within its line."""
    life = Life(NOW, NOW + 30, NOW + 40, NOW + 20, exact=True, renews=True, need_seconds=960, links=True)
    assert (life.x(life.last_at), life.renewal_x, life.margin_x, life.link_x, life.state) == (0, 0, 0, 1000, "dead")


class TestTally:
    """STS calls by the minute."""

    def test_minutes(self):
        """Each is counted in its own, for an hour."""
        clock = Clock(NOW - NOW % 60)
        tally = Tally(None, clock)
        for seconds in (0, 59, 1, 3600 - 60 - 60):
            clock.tick(seconds)
            tally.count()
        hour = tally.hour()
        assert (hour.minutes[0], hour.minutes[1], hour.minutes[-1], sum(hour.minutes), hour.fleet) == (
            2,
            1,
            1,
            4,
            False,
        )
        clock.tick(60)
        assert (sum(tally.hour().minutes), tally.hour().minutes[0]) == (2, 1)

    def test_fleet(self, server):
        """Processes that share a Redis count together."""
        clock = Clock()
        tallies = [Tally(Connection(topology.parse(server.url), clock.monotonic), clock) for _ in range(2)]
        for tally in tallies:
            tally.count()
        assert [tally.hour() for tally in tallies] == [Hour((0,) * 59 + (2,), fleet=True)] * 2

    def test_redis_gone(self, server):
        """While Redis does not answer each tells its own, and no call of STS fails for it."""
        clock = Clock()
        tally = Tally(Connection(topology.parse(server.url), clock.monotonic), clock)
        tally.count()
        server.process.kill()
        server.process.wait()
        tally.count()
        assert tally.hour() == Hour((0,) * 59 + (2,), fleet=False)

    def test_of_whoever_has_no_console(self, open_door, server):
        """A broker without a console counts nothing in Redis."""
        door = open_door(BROKER_REDIS_URL=server.url, BROKER_CACHE_KEYS=KEY)
        avatar(door)
        clock = Clock(door.clock.now)
        assert sum(Tally(Connection(topology.parse(server.url), clock.monotonic), clock).hour().minutes) == 0


WELL = Readiness(ready=True, redis=True, sts=True, reload=True, policies_generation=1)
QUIET = Hour((0,) * 60, fleet=True)


def told(readiness: Readiness = WELL, redis: bool = True, **metrics: dict[str, float]) -> dict[str, tuple[bool, str]]:
    """The states by their names."""
    return {one.name: (one.well, one.told) for one in health(readiness, metrics, QUIET, redis=redis).states}


def test_all_well():
    """Nothing wrong, and it says so."""
    assert [well for well, _ in told(clock_skew_seconds={"": 0.0}).values()] == [True] * 5


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("Redis", told(Readiness(True, False, True, True, 1)), "served from memory"),
        ("STS", told(Readiness(True, True, False, True, 1)), "what is cached is served on"),
        ("Policies", told(Readiness(True, True, True, False, 1)), "mistakes keep a change out"),
        ("Clock", told(clock_skew_seconds={"": -12.0}), "Tencent's is -12 s off"),
        ("Breakers", told(breakers_open={"redis": 0.0, "sts": 2.0}), "open for sts"),
    ],
)
def test_one_not_well(name, state, words):
    """Each trouble is told at its own place, and at no other."""
    assert [one for one, (well, _) in state.items() if not well] == [name]
    assert words in state[name][1]


def test_bars():
    """The highest minute is as high as the picture, a single call can be seen, and nothing has no bar."""
    found = health(WELL, {}, Hour((0, 1, 1000, *(0,) * 57), fleet=False), redis=False)
    assert [bar[2] for bar in found.bars[:4]] == [0, 1, 40, 0]
    assert (found.calls, found.bars[-1][4]) == (1001, 0)


def test_layers():
    """Where credentials were found is told if it is counted."""
    found = health(WELL, {"cache_hits": {"memory": 7.0, "sts": 1.0}}, QUIET, redis=True)
    ((title, parts),) = found.counts
    assert (title, dict(parts)["memory"], dict(parts)["STS"]) == ("Credentials found in", 7, 1)
    assert json.dumps(found.counts).count("7") == 1


def test_calls_are_counted_by_many():
    """Threads count side by side, whatever the minute."""
    minutes = itertools.count()
    tally = Tally(None, lambda: next(minutes) * 60)
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        results = Threads(4, lambda number: [tally.count() for _ in range(3_000)]).join()
    finally:
        sys.setswitchinterval(switching)
    assert [one for one in results if isinstance(one, Exception)] == []
    assert sum(tally.hour().minutes) <= MINUTES
