"""An unverified ID.SECRET, and those it acts for."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from broker.errors import ConfigurationError, Forbidden, Unauthenticated, named
from broker.identity import api_keys
from broker.identity.api_keys import ApiKeys, new_api_key

NOW = 1_800_000_000
BFF = {
    "id": "bff",
    "claims": {"tenant": "t1"},
    "routes": ["avatars"],
    "acts_for": {"sub": "u[0-9]+", "claims": ["scope", "tenant"]},
}


def entry(secret: str = "hunter2", **fields: Any) -> dict[str, Any]:
    """An entry of the file for `secret`."""
    return {"id": "job", "hash": f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}", **fields}


def write(path: Path, *entries: dict[str, Any]) -> None:
    """Puts a new file in place of the old one, as a deployment does."""
    path.with_suffix(".new").write_text(json.dumps({"keys": entries}))
    path.with_suffix(".new").replace(path)


def b64(value: Any) -> str:
    """A value as X-Principal-Claims carries it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a job's key and a BFF's."""
    path = tmp_path / "keys.json"
    write(path, entry(), entry(**BFF))
    return path


@pytest.fixture
def keys(path: Path, clock: Any) -> ApiKeys:
    """The keys of that file."""
    return ApiKeys(path, clock)


def forbidden(keys: ApiKeys, principal: str | None, claims: str | None, key: str = "bff.hunter2") -> str:
    """Why the headers are refused; the reason quotes neither of them."""
    with pytest.raises(Forbidden) as caught:
        keys.verify(key, principal, claims, NOW)
    assert caught.value.code == "principal_not_allowed"
    for value in (principal, claims, "hunter2"):
        assert not value or len(value) < 3 or value not in caught.value.detail
    return caught.value.detail


def test_key_alone(keys: ApiKeys) -> None:
    """A key has its fixed claims, its routes, and no sub."""
    principal = keys.verify("bff.hunter2", None, None, NOW)
    assert (dict(principal.claims), principal.sub) == ({"tenant": "t1"}, None)
    assert (principal.key_id, principal.routes, principal.anonymous) == ("bff", {"avatars"}, False)


def test_key_with_a_fixed_sub(path: Path, clock: Any) -> None:
    """A fixed sub is the key's own."""
    write(path, entry(claims={"sub": "cron"}))
    assert ApiKeys(path, clock).verify("job.hunter2", None, None, NOW).sub == "cron"


@pytest.mark.parametrize(
    "unverified_key",
    [
        *("job.hunter", "job.hunter22", "job.Hunter2", "job.", "job", ".hunter2", "", "nobody.hunter2", "JOB.hunter2"),
        *("job.hunter2 ", "job.hunter2\n", " job.hunter2", "job.\u0661", "job.hunter2.", "job.\ud800"),
        "job." + hashlib.sha256(b"hunter2").hexdigest(),
    ],
)
def test_unknown_id_or_wrong_secret(keys: ApiKeys, unverified_key: str) -> None:
    """Id and secret must both be right, to the letter; the answer does not say which was not."""
    keys.verify("job.hunter2", None, None, NOW)
    with pytest.raises(Unauthenticated) as caught:
        keys.verify(unverified_key, None, None, NOW)
    assert caught.value.detail == "expected a known API key with its secret, got an unknown one or another secret"


def test_secret_of_another_key(path: Path, clock: Any) -> None:
    """A secret belongs to its id."""
    write(path, entry("one", id="a"), entry("two", id="b"))
    keys = ApiKeys(path, clock)
    assert keys.verify("a.one", None, None, NOW).key_id == "a"
    with pytest.raises(Unauthenticated):
        keys.verify("a.two", None, None, NOW)


def test_expiry(path: Path, clock: Any) -> None:
    """A key is good until the second before expires_at; only who knows the secret learns that it has expired."""
    write(path, entry(expires_at="2027-01-15T08:00:00Z"))
    keys = ApiKeys(path, clock)
    assert keys.verify("job.hunter2", None, None, NOW - 1).key_id == "job"
    with pytest.raises(Unauthenticated, match="expired 0 s ago"):
        keys.verify("job.hunter2", None, None, NOW)
    with pytest.raises(Unauthenticated, match="unknown one"):
        keys.verify("job.wrong", None, None, NOW)


def test_acting_for_somebody(keys: ApiKeys) -> None:
    """The principal has the fixed claims, the header's, and the sub; it stays the key's act, within its routes."""
    principal = keys.verify("bff.hunter2", "u123", b64({"scope": "avatars:write"}), NOW)
    assert dict(principal.claims) == {"tenant": "t1", "scope": "avatars:write", "sub": "u123"}
    assert (principal.key_id, principal.routes) == ("bff", {"avatars"})
    assert dict(keys.verify("bff.hunter2", "u123", None, NOW).claims) == {"tenant": "t1", "sub": "u123"}
    assert dict(keys.verify("bff.hunter2", None, None, NOW).claims) == {"tenant": "t1"}


@pytest.mark.parametrize(("principal", "claims"), [("u1", None), (None, "e30"), ("u1", "e30"), ("", None)])
def test_acting_without_acts_for(keys: ApiKeys, principal: str | None, claims: str | None) -> None:
    """A key that acts for nobody may not send the headers at all."""
    assert "only from an API key with acts_for" in forbidden(keys, principal, claims, "job.hunter2")


def test_wrong_secret_with_headers(keys: ApiKeys) -> None:
    """Proof comes first: 401 before 403."""
    with pytest.raises(Unauthenticated):
        keys.verify("job.wrong", "u1", None, NOW)


@pytest.mark.parametrize(
    "principal",
    [
        *("", " ", "u1, u2", "u1,u2", "u1\n", " u1", "u 1", "u/1", "u1%00", "\u0661", "u\u0661", "\u00fc1"),
        *("u*", "u1'", "u{1}", "u1?", "u" + "1" * 128),
    ],
)
def test_principal_outside_the_alphabet(keys: ApiKeys, principal: str) -> None:
    """X-Principal is 1 to 128 plain characters, and one value."""
    assert keys.verify("bff.hunter2", "u" + "1" * 127, None, NOW).sub == "u" + "1" * 127
    assert "1 to 128" in forbidden(keys, principal, None)


@pytest.mark.parametrize("principal", ["admin", "u", "u1x", "xu1", "U1", "u1:u2"])
def test_principal_outside_the_pattern(keys: ApiKeys, principal: str) -> None:
    """acts_for.sub matches the whole of X-Principal."""
    assert "that this API key acts for" in forbidden(keys, principal, None)


def test_every_legal_character(path: Path, clock: Any) -> None:
    """The alphabet is wide enough for mail addresses and namespaced ids."""
    write(path, entry(acts_for={"sub": ".*"}))
    assert ApiKeys(path, clock).verify("job.hunter2", "aZ09._@:+~-", None, NOW).sub == "aZ09._@:+~-"


@pytest.mark.parametrize("claims", [{}, {"scope": "a"}, {"scope": ["a", 1, {"b": None}]}])
def test_listed_claims(keys: ApiKeys, claims: dict[str, Any]) -> None:
    """Listed claims may hold any JSON, padded or not."""
    for text in (b64(claims), b64(claims).rstrip("=")):
        principal = keys.verify("bff.hunter2", "u1", text, NOW)
        assert dict(principal.claims) == {"tenant": "t1", **claims, "sub": "u1"}


@pytest.mark.parametrize("name", ["role", "sub", "tenant", "Scope", "", "iss"])
def test_claim_that_is_fixed_or_not_listed(keys: ApiKeys, name: str) -> None:
    """A claim beyond the list is refused with the whole ask, sub always, and a fixed one even if it is listed."""
    message = forbidden(keys, "u1", b64({"scope": "a", name: "t2"}))
    assert message == f"X-Principal-Claims may set scope (those in acts_for that are not fixed), got {named(name)}"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ("", "one JSON value"),
        ("e30, e30", "base64url"),
        ("e30,e30", "base64url"),
        ("e30===", "base64url"),
        ("e30 ", "base64url"),
        ("e30\n", "base64url"),
        ("e+/0", "base64url"),
        ("{}", "base64url"),
        ("\u0661\u0661", "base64url"),
        ("e30aa", "length that has none"),
        (b64([]), "a JSON object"),
        (b64("x"), "a JSON object"),
        (base64.urlsafe_b64encode(b'{"scope": "a", "scope": "b"}').decode(), "duplicate"),
        (base64.urlsafe_b64encode(b'{"scope": NaN}').decode(), "NaN"),
        (base64.urlsafe_b64encode(b'{"scope": "\\ud800"}').decode(), "lone surrogate"),
        (base64.urlsafe_b64encode(b'{"scope": "\xff"}').decode(), "UTF-8"),
        (b64({"scope": [[[[[[[[1]]]]]]]]}), "8 levels"),
    ],
)
def test_malformed_claims(keys: ApiKeys, claims: str, message: str) -> None:
    """The header is base64url of one JSON object with one reading; all else is refused, never ignored."""
    assert message in forbidden(keys, "u1", claims)


def test_length_of_the_claims(keys: ApiKeys) -> None:
    """4 KiB of header are read, one byte more is not."""
    text = b64({"scope": "x" * 3059})
    assert len(text) == 4096
    assert keys.verify("bff.hunter2", "u1", text, NOW).sub == "u1"
    assert "at most 4096 bytes" in forbidden(keys, "u1", text + "A")


def test_claims_without_a_principal(keys: ApiKeys) -> None:
    """Claims belong to somebody."""
    assert "expected X-Principal" in forbidden(keys, None, "e30")


def test_claims_cannot_be_changed(keys: ApiKeys) -> None:
    """A key's principal is shared between requests, so nobody may write to it."""
    principal = keys.verify("bff.hunter2", None, None, NOW)
    assert keys.verify("bff.hunter2", None, None, NOW) is principal
    with pytest.raises(TypeError):
        principal.claims["sub"] = "u1"  # type: ignore[index]


def accepted(keys: ApiKeys, unverified_key: str) -> bool:
    """Whether a key is good."""
    try:
        keys.verify(unverified_key, None, None, NOW)
    except Unauthenticated:
        return False
    return True


def test_changed_file(keys: ApiKeys, path: Path, clock: Any) -> None:
    """A change is seen at the first ask after a second; a key that is gone is refused from then on."""
    write(path, entry("new", id="job2"))
    clock.tick(0.9)
    assert accepted(keys, "job.hunter2")
    clock.tick(0.1)
    assert accepted(keys, "job2.new")
    assert not accepted(keys, "job.hunter2")


def test_file_changed_in_place(keys: ApiKeys, path: Path, clock: Any) -> None:
    """Same size and same modification time do not hide a change."""
    old = path.stat()
    path.write_text(path.read_text().replace("job", "JOB"))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    clock.tick(1)
    assert accepted(keys, "JOB.hunter2")
    assert not accepted(keys, "job.hunter2")


def test_link_that_is_turned(path: Path, clock: Any) -> None:
    """Links are followed, as Kubernetes swaps a whole folder behind one."""
    folders = [path.parent / name for name in ("a", "b")]
    for folder, secret in zip(folders, ("one", "two"), strict=True):
        folder.mkdir()
        write(folder / "keys.json", entry(secret))
    link = path.parent / "data"
    link.symlink_to(folders[0])
    keys = ApiKeys(link / "keys.json", clock)
    assert accepted(keys, "job.one")
    (path.parent / "next").symlink_to(folders[1])
    (path.parent / "next").replace(link)
    clock.tick(1)
    assert accepted(keys, "job.two")
    assert not accepted(keys, "job.one")


def test_invalid_change(keys: ApiKeys, path: Path, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be used leaves the last good keys, with one line a change and no secret in it."""
    with caplog.at_level(logging.ERROR, "broker.identity"):
        write(path, entry(id="job", secret="hunter2"), entry(hash="hunter2", rate=5))
        for _ in range(3):
            clock.tick(1)
            assert accepted(keys, "job.hunter2")
        assert len(caplog.records) == 1
        path.unlink()
        for _ in range(3):
            clock.tick(1)
            assert accepted(keys, "job.hunter2")
        assert len(caplog.records) == 2
    assert "keys[1].rate: must be one rate such as 60/minute" in caplog.text
    assert "hunter2" not in caplog.text
    write(path, entry("new"))
    clock.tick(1)
    assert accepted(keys, "job.new")


def test_clock_that_steps_back(keys: ApiKeys, path: Path, clock: Any) -> None:
    """A clock set back does not stop the looking."""
    write(path, entry("new"))
    clock.tick(-3600)
    assert accepted(keys, "job.new")


@pytest.mark.parametrize(("idle_seconds", "waits"), [(1, False), (2, True)])
def test_asks_at_once(keys: ApiKeys, path: Path, clock: Any, monkeypatch: Any, idle_seconds: int, waits: bool) -> None:
    """While one looks, the others go on with young keys; after a pause they wait for what the file says now."""
    reading, go_on = threading.Event(), threading.Event()
    read = api_keys._read

    def slowly(path: str) -> Any:
        reading.set()
        assert go_on.wait(10)
        return read(path)

    monkeypatch.setattr(api_keys, "_read", slowly)
    write(path, entry("new"))
    clock.tick(idle_seconds)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(accepted, keys, "job.hunter2")
        assert reading.wait(10)
        second = threads.submit(accepted, keys, "job.hunter2")
        if not waits:
            assert second.result(10)
        go_on.set()
        assert not first.result(10)
        assert second.result(10) is not waits


def test_file_at_start(tmp_path: Path, clock: Any) -> None:
    """At start a file that is missing, invalid, no file or too long stops the broker, with the path."""
    (tmp_path / "invalid").write_text('{"keys": [{"id": 5, "rate": 1}]}')
    (tmp_path / "long").write_text(" " * (4 * 1024 * 1024 + 1))
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("none", "readable"), ("invalid", "keys[0].id"), ("pipe", "regular"), ("long", "at most")]:
        with pytest.raises(ConfigurationError) as caught:
            ApiKeys(tmp_path / name, clock)
        assert message in str(caught.value)
        assert caught.value.problems[0].source == str(tmp_path / name)


def test_new_key(tmp_path: Path, clock: Any) -> None:
    """A made entry goes into the file as it is, and its secret opens it."""
    made, text = new_api_key("bff", acts_for="u.*", claims=["scope"])
    key_id, secret = text.split(".")
    assert (key_id, len(base64.urlsafe_b64decode(secret + "="))) == ("bff", 32)
    assert made["acts_for"] == {"sub": "u.*", "claims": ["scope"]}
    assert secret not in json.dumps(made)
    write(tmp_path / "keys.json", made)
    keys = ApiKeys(tmp_path / "keys.json", clock)
    assert keys.verify(text, "u1", b64({"scope": "a"}), NOW).claims["scope"] == "a"
    assert new_api_key("bff")[1] != new_api_key("bff")[1]


def test_new_key_with_a_sub() -> None:
    """A fixed sub is a fixed claim."""
    made, _ = new_api_key("job", sub="cron")
    assert (made["id"], made["claims"]) == ("job", {"sub": "cron"})


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"id": "a.b"}, "keys[0].id"),
        ({"id": "a", "sub": ""}, "keys[0].claims.sub"),
        ({"id": "a", "sub": "u1", "acts_for": "u.*"}, "keys[0].acts_for"),
        ({"id": "a", "acts_for": "("}, "keys[0].acts_for.sub"),
        ({"id": "a", "acts_for": "u", "claims": ["sub"]}, "keys[0].acts_for.claims"),
        ({"id": "a", "claims": ["scope"]}, "claims"),
    ],
)
def test_new_key_that_no_file_would_take(arguments: dict[str, Any], field: str) -> None:
    """What loading refuses is not made."""
    with pytest.raises(ConfigurationError) as caught:
        new_api_key(**arguments)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_operations(path: Path, clock: Any) -> None:
    """A key with operations may see how the broker is doing, for itself and never for those it acts for."""
    write(path, entry(operations=True), entry(**BFF, operations=True), entry(id="plain"))
    keys = ApiKeys(path, clock)
    assert keys.verify("job.hunter2", None, None, NOW).operations
    assert keys.verify("bff.hunter2", None, None, NOW).operations
    assert not keys.verify("bff.hunter2", "u1", None, NOW).operations
    assert not keys.verify("plain.hunter2", None, None, NOW).operations
    made, _ = new_api_key("watch", operations=True)
    assert made["operations"] is True
    assert "operations" not in new_api_key("watch")[0]
