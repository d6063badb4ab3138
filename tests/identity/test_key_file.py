"""The text of an API keys file -> compiled keys, or everything that is wrong with it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from broker.errors import ConfigurationError
from broker.identity.key_file import ApiKey, parse_key_file

HASH = "sha256:" + hashlib.sha256(b"hunter2").hexdigest()
GOOD = {"id": "bff", "hash": HASH}


def parse(*entries: Any) -> dict[str, ApiKey]:
    """The keys of a file with these entries."""
    return dict(parse_key_file(json.dumps({"keys": entries}).encode(), "keys.json"))


def problems(text: str | bytes) -> list[str]:
    """Everything that is wrong with a file, as an operator reads it; never a hash or secret."""
    with pytest.raises(ConfigurationError) as caught:
        parse_key_file(text.encode() if isinstance(text, str) else text, "keys.json")
    assert "hunter2" not in str(caught.value)
    assert HASH[7:] not in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_smallest_entry() -> None:
    """A key with nothing but id and hash has no claims, all routes, no end, and acts for nobody."""
    (key,) = parse(GOOD).values()
    assert (key.principal.key_id, key.principal.sub, key.principal.routes) == ("bff", None, None)
    assert (key.expires_at, key.acts_for) == (None, None)


def test_full_entry() -> None:
    """Every field arrives where it belongs."""
    key = parse(
        {
            **GOOD,
            "claims": {"tenant": "t1"},
            "routes": ["avatars", "docs"],
            "expires_at": "2027-01-01T01:00:00+01:00",
            "operations": False,
            "acts_for": {"sub": "u[0-9]+", "claims": ["scope"]},
        }
    )["bff"]
    assert dict(key.principal.claims) == {"tenant": "t1"}
    assert key.principal.routes == {"avatars", "docs"}
    assert key.expires_at == 1_798_761_600
    assert key.acts_for is not None
    assert (key.acts_for.sub.pattern, key.acts_for.claims) == ("u[0-9]+", {"scope"})


def test_empty_file() -> None:
    """No keys is legal, and so is a key that may use no route."""
    assert parse() == {}
    assert parse({**GOOD, "routes": []})["bff"].principal.routes == frozenset()


@pytest.mark.parametrize(
    ("field", "refused", "allowed", "message"),
    [
        ("id", "", "a", "1 to 64 of A-Z"),
        ("id", "a" * 65, "a" * 64, "1 to 64 of A-Z"),
        ("id", "a.b", "a-b_C", "1 to 64 of A-Z"),
        ("id", "a\n", "a", "1 to 64 of A-Z"),
        ("id", "\u0661", "1", "1 to 64 of A-Z"),
        ("id", 5, "5", "got a number"),
        ("hash", "hunter2", HASH, "64 hex digits"),
        ("hash", HASH[7:], HASH, "64 hex digits"),
        ("hash", HASH[:-1], HASH, "64 hex digits"),
        ("hash", HASH + "0", HASH.upper().replace("SHA", "sha"), "64 hex digits"),
        ("hash", "sha256:" + hashlib.sha256(b"").hexdigest(), HASH, "not empty"),
        ("claims", ["sub"], {"sub": "u1"}, "an object of claims"),
        ("claims", None, {}, "got null"),
        ("claims", {"sub": ""}, {"sub": "u"}, "not empty"),
        ("claims", {"sub": 7}, {"sub": "7"}, "not empty, got a number"),
        ("routes", None, [], "got null"),
        ("routes", "avatars", ["avatars"], "a list of route names"),
        ("routes", ["Avatars"], ["avatars"], "a list of route names"),
        ("routes", ["a" * 64], ["a" * 63], "a list of route names"),
        ("routes", ["avatars", 1], ["avatars", "1"], "a list of route names"),
        ("expires_at", None, "2027-01-01T00:00:00Z", "got null"),
        ("expires_at", 1_798_761_600, "2027-01-01T00:00:00Z", "time zone"),
        ("expires_at", "2027-01-01T00:00:00", "2027-01-01T00:00:00+00:00", "time zone"),
        ("expires_at", "2027-01-01", "2027-01-01T00:00:00Z", "time zone"),
        ("expires_at", "2027-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "time zone"),
        ("expires_at", "2027-01-01T25:00:00Z", "2027-01-01T23:00:00Z", "time zone"),
        ("expires_at", "202\u0667-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "time zone"),
        ("rate", None, "60/minute", "one rate such as 60/minute or 10 per 2 hours: 1 to 1,000,000, in"),
        ("rate", 60, "60/minute", "got a number"),
        ("rate", "", "60/minute", "got other text of 0 characters"),
        ("rate", "0/minute", "1/minute", "such as 60/minute"),
        ("rate", "60/minute; 5/second", "60/minute", "such as 60/minute"),
        ("rate", "hunter2", "10 per 2 hours", "got other text of 7 characters"),
        ("rate", "5/2 days", "5/day", "1 second to 1 day"),
        ("operations", "false", False, "must be true or false"),
        ("operations", 1, True, "must be true or false"),
        ("acts_for", "u.*", {"sub": "u.*"}, "an object with sub"),
        ("acts_for", {}, {"sub": "u.*"}, "a regular expression"),
        ("acts_for", {"sub": "("}, {"sub": "()"}, "a regular expression"),
        ("acts_for", {"sub": "u.*", "claim": []}, {"sub": "u.*", "claims": []}, "legal fields are sub claims"),
        ("acts_for", {"sub": "u.*", "claims": "scope"}, {"sub": "u.*", "claims": ["scope"]}, "a list of claim names"),
        ("acts_for", {"sub": "u.*", "claims": ["sub"]}, {"sub": "u.*", "claims": ["subs"]}, "without sub"),
    ],
)
def test_value_of_a_field(field: str, refused: Any, allowed: Any, message: str) -> None:
    """A wrong value is refused with the field's path, what is legal and what came; its twin is accepted."""
    (problem,) = problems(json.dumps({"keys": [{**GOOD, field: refused}]}))
    assert problem.startswith(f"keys.json: keys[0].{field}")
    assert message in problem
    parse({**GOOD, field: allowed})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "bff"}, "keys.json: keys[0].hash: must be"),
        ({"hash": HASH}, "keys.json: keys[0].id: must be"),
        ("bff", "keys.json: keys[0]: must be an entry"),
        ({**GOOD, "secret": "hunter2"}, "keys.json: keys[0].secret: unknown; legal fields are id hash claims routes"),
        (
            {**GOOD, "claims": {"sub": "u1"}, "acts_for": {"sub": "u.*"}},
            "keys.json: keys[0].acts_for: must not stand beside a fixed claim sub",
        ),
    ],
)
def test_entry(entry: Any, message: str) -> None:
    """Fields that are missing, unknown or at odds with each other."""
    (problem,) = problems(json.dumps({"keys": [entry]}))
    assert problem.startswith(message)


def test_id_twice() -> None:
    """An id names one key."""
    assert len(parse(GOOD, {**GOOD, "id": "bff2"})) == 2
    assert problems(json.dumps({"keys": [GOOD, {**GOOD, "id": "x"}, GOOD]})) == [
        "keys.json: keys[2].id: must be unique, got the id of keys[0] again"
    ]


def test_all_problems_at_once() -> None:
    """Fields, entries and contradictions are reported together, so that one round mends them all."""
    entries = [
        {"id": "a b", "hash": "hunter2", "rate": 1, "operations": "yes"},
        {"id": "c", "expires_at": "soon", "claims": {"sub": "u1"}, "acts_for": {"sub": "(", "claims": ["sub"]}},
        {"id": "c", "hash": HASH},
    ]
    places = {problem.split(": ")[1] for problem in problems(json.dumps({"keys": entries, "version": 1}))}
    assert places == {
        *("version", "keys[0].id", "keys[0].hash", "keys[0].rate", "keys[0].operations", "keys[1].hash"),
        *("keys[1].expires_at", "keys[1].acts_for", "keys[1].acts_for.sub", "keys[1].acts_for.claims", "keys[2].id"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed"),
        ("[]", 'an object with a list "keys", got a list'),
        ("{}", "got none"),
        ('{"keys": {}}', "got an object"),
        ('{"keys": [], "keys": []}', "duplicate"),
        ('{"keys": [{"id": "hunter2", "id": "a"}]}', "duplicate"),
        (b'{"keys": ["\xff"]}', "UTF-8"),
    ],
)
def test_text_that_is_no_key_file(text: str | bytes, message: str) -> None:
    """The file is one JSON object with a list of keys."""
    (problem,) = problems(text)
    assert message in problem


def test_repr_of_a_key() -> None:
    """Not even the hash is shown."""
    assert "digest" not in repr(parse(GOOD)["bff"])
