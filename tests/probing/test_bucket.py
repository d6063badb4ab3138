"""Routes on the bucket itself: what `probe` proves of listings and HEAD, and what it catches."""

from __future__ import annotations

import pytest

from broker.cos import client
from broker.cos.client import Answer
from broker.cos.signing import Request
from broker.errors import ConfigurationError, Refused
from broker.probing.asking import Given
from broker.probing.attempts import foreign
from broker.probing.doors import doors
from broker.probing.verdicts import Verdict, verdict
from tests.doubles import NOW
from tests.probing.conftest import CLAIMS, U1, compiled, every_action, unconditional, whole_bucket

LIST = {
    "vends": ["url"],
    "key": "/",
    "params": {"prefix": {"const": "files/{principal.sub}/"}, "max-keys": {"pattern": "[0-9]+"}},
}


def both(statement):
    """For all actions on all keys."""
    whole_bucket(statement)
    every_action(statement)


class TestPromises:
    """A cloud that does what it says, and one that does not."""

    def test_kept(self, world):
        """Every vend and method is tried: others' folders are not listed, and nothing else of the bucket is read."""
        world.emulator.as_owner("PUT", "files/u10/theirs", b"x")
        assert world.probe("list") == []
        doors_tried = list(dict.fromkeys(attempt.name.partition(":")[0] for attempt in world.told))
        assert doors_tried == ["url GET", "url HEAD", "signature GET", "signature HEAD"]
        assert world.emulator.keys == ["files/u10/theirs"]

    @pytest.mark.parametrize(
        ("widen", "caught"),
        [
            (
                unconditional("cos:prefix"),
                {"another prefix", "a sibling of the prefix", "the prefix without its slash", "no prefix"},
            ),
            (every_action, {"another method", "another sub-resource", "listing the bucket"}),
            (whole_bucket, set()),
            (both, {"another method", "another sub-resource", "listing the bucket", "an object"}),
        ],
    )
    def test_wide(self, world, widen, caught):
        """Exactly what is too wide is told, as allowed, and what it let the probe make is removed."""
        world.emulator.widen = widen
        assert set(world.probe("list")) == caught
        assert all(attempt.told and attempt.expectation == "refused" for attempt in world.told if not attempt.held)
        assert world.emulator.keys == []

    @pytest.mark.parametrize("action", ["GetBucket", "HeadBucket"])
    def test_too_narrow(self, world, action):
        """A credential that does not serve the ask is no success either."""

        def narrow(statement):
            if statement["action"] == [f"name/cos:{action}"]:
                statement["action"] = ["name/cos:GetBucketLogging"]

        world.emulator.widen = narrow
        assert world.probe("list") == ["inside", "inside"]

    def test_nothing_is_written(self, world):
        """Of the bucket itself nothing but GET and HEAD is asked, whatever a credential lets through."""
        asked = set()

        def send(method, url, headers, body=b"", **options):
            if url.partition("?")[0] == f"{world.emulator.url}/":
                asked.add(method)
            return client.send(method, url, headers, body, **options)

        world.sending(send)
        world.emulator.widen = both
        world.probe("list")
        assert asked == {"GET", "HEAD"}

    def test_verb(self, world):
        """A line for each attempt, exit code 0."""
        result = world.run("list", *U1)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "inside, GET the bucket: allowed (200)" in result.stdout


class TestAsks:
    """Parameters of the operator's."""

    def test_shape(self, world):
        """What shapes a listing is for GET; HEAD goes without."""
        assert world.probe("list", params={"max-keys": "5"}) == []

    def test_refused(self, world):
        """The prefix is the policy's; what no method takes is refused before anybody is asked."""
        for params in ({"prefix": "files/u2/"}, {"page": "1"}):
            with pytest.raises(Refused, match="param"):
                world.probe("list", params=params)
        assert world.emulator.stats() == {"sts": {}, "cos": {}}

    def test_inputs(self, world):
        """There is nothing to fill in."""
        with pytest.raises(ConfigurationError, match="name"):
            world.probe("list", inputs={"name": "x"})


class TestForeign:
    """Everything foreign that is tried, as data: T stands for what the probe makes up."""

    def tried(self, **policy: object) -> list[str]:
        """What each attempt sends: method, key, parameters."""
        route = compiled(**{**LIST, **policy})
        [door] = doors(route, CLAIMS, Given(), NOW)
        lines = []
        for one in foreign(route, CLAIMS, door):
            sent = [f"{name}={value}" for name, value in one.request.params.items()]
            lines.append(" ".join([one.request.method, one.request.key or "-", *sent]).replace(door.token, "T"))
        return lines

    def test_listing(self):
        """Other prefixes and none, HEAD, sub-resources with the prefix that is permitted, objects below it."""
        assert self.tried(methods=["GET"]) == [
            "GET - prefix=T/ max-keys=1",
            "GET - prefix=files/u10-T/ max-keys=1",
            "GET - prefix=files/u1 max-keys=1",
            "GET - max-keys=1",
            "HEAD - prefix=files/u1/",
            *(
                f"GET - {name}= prefix=files/u1/"
                for name in ("acl", "versions", "uploads", "policy", "cors", "lifecycle")
            ),
            *(f"{method} files/u1/T prefix=files/u1/" for method in ("GET", "HEAD", "PUT", "DELETE")),
        ]

    def test_head(self):
        """Listing, sub-resources, and an object that nobody has."""
        assert self.tried(methods=["HEAD"], params={}) == [
            "GET - max-keys=1",
            *(f"GET - {name}=" for name in ("acl", "versions", "uploads", "policy", "cors", "lifecycle")),
            *(f"{method} T" for method in ("GET", "HEAD", "PUT", "DELETE")),
        ]


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("HEAD", Answer(404, {}, ""), Verdict.UNTOLD),
        ("GET", Answer(404, {}, "NoSuchBucket"), Verdict.UNTOLD),
        ("GET", Answer(404, {}, "NoSuchBucketPolicy"), Verdict.ALLOWED),
        ("HEAD", Answer(200, {}, ""), Verdict.ALLOWED),
        ("HEAD", Answer(403, {}, ""), Verdict.REFUSED),
    ],
)
def test_verdict(method, answer, expected):
    """Of a bucket that is not there nothing can be told."""
    assert verdict(Request(method, "https://b.com", "", {}, {}), answer) is expected
