"""No secret in the clear: every endpoint is driven, then logs, refusals, reprs and Redis are searched."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import redis

from broker import create_app, logs
from broker.emulator.faults import Fault
from broker.identity.principals import Principal
from broker.local import RedisServer, redis_server
from tests.web.test_uploads import post

CACHE_KEY = "b3VyLXZlcnktc2VjcmV0LWNhY2hlLWtleS0wMTIzNDU="
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
VIDEO = {"inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}}
# Third parties that log what they send, each at its loudest.
LOUD = ("urllib3", "tencentcloud_sdk_common", "redis", "werkzeug", "flask", "broker")


@pytest.fixture(scope="module")
def store() -> Iterator[RedisServer]:
    """A Redis of our own."""
    with redis_server() as server:
        yield server


@pytest.fixture
def open_loud(open_door, store):
    """Opens a broker that logs everything it can, with Redis behind it.

    To be called in the test: pytest closes the stderr of the set-up before it.
    """
    with redis.Redis.from_url(store.url) as client:
        client.flushall()
    return lambda: open_door(BROKER_REDIS_URL=store.url, BROKER_CACHE_KEYS=CACHE_KEY, BROKER_LOG_LEVEL="debug")


@pytest.fixture
def door(open_loud):
    """The same for tests that do not look at its log."""
    return open_loud()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Every log line of the process as a handler of somebody else's writes it."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            collected.append(self.format(record))

    handler = Collector(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield collected
    root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def spellings(secret: str) -> set[str]:
    """How a secret may look in a text: plain, percent-encoded once and twice, in JSON."""
    once = quote(secret, safe="")
    return {secret, once, once.lower(), quote(once, safe=""), json.dumps(secret)[1:-1], quote(secret)}


def leaks(secrets: set[str], text: str) -> set[str]:
    """The secrets that a text holds, in any spelling."""
    return {secret for secret in secrets if any(spelling in text for spelling in spellings(secret))}


def secrets_of(grant: dict) -> set[str]:
    """What nobody else may read of a grant."""
    if "credentials" in grant:
        return set(grant["credentials"].values())
    if "results" in grant:
        return set().union(*(secrets_of(result["grant"]) for result in grant["results"]))
    if "requests" in grant:
        return set().union(*map(secrets_of, grant["requests"]))
    if "fields" in grant:
        return {grant["fields"][name] for name in ("q-signature", "q-ak", "x-cos-security-token")}
    query = parse_qs(urlsplit(grant["url"]).query)
    found = {value for name in ("q-signature", "q-ak", "x-cos-security-token") for value in query.get(name, [])}
    if "authorization" in grant:
        found |= {grant["headers"]["x-cos-security-token"], grant["authorization"].rpartition("=")[2]}
    return found


def everything(door) -> tuple[set[str], list[str]]:
    """(every secret that was used, the body of every refusal) of a round through all endpoints."""
    token, api_key = door.token(), door.identities.api_key
    secrets = {door.settings.secret_key, CACHE_KEY, token, token.rpartition(".")[2], api_key, api_key.partition(".")[2]}
    granted = [
        ("avatars/url", AVATAR),
        ("avatars/signature", AVATAR),
        ("anything/url", {"method": "GET", "key": "any/u1/a b", "params": {"mode": "a b"}}),
        ("reports/download-url", {"inputs": {"month": "2026-10"}, "filename": "März.pdf"}),
        ("user-folder/credentials", {}),
        ("videos/form", VIDEO),
        ("videos/multipart", {"step": "initiate", "size": 9_000_000, **VIDEO}),
        ("private-files/batch", {"asks": [{"vend": "url", "method": "GET", "key": f"files/u1/{n}"} for n in range(3)]}),
    ]
    for path, ask in granted:
        for by in ({"Authorization": f"Bearer {token}"}, door.bff()):
            secrets |= secrets_of(door.grant(path, ask, by=by))
    broker, principal = door.app.extensions["broker"], Principal({"sub": "u1", "scope": "avatars:write"})
    secrets |= secrets_of({"url": broker.vend("avatars", {"vend": "url", **AVATAR}, principal).url})
    asks = [{"vend": "url", "method": "GET", "key": "files/u1/a"}]
    secrets |= secrets_of({"url": broker.vend_many("private-files", asks, principal)[0].url})
    upload = door.grant("videos/multipart", {"step": "initiate", "size": 9_000_000, **VIDEO})
    step = {"key": upload["key"], "upload_id": "1"}
    secrets |= secrets_of(door.grant("videos/multipart", {"step": "abort", **step}))
    form = door.grant("videos/form", VIDEO)
    secrets |= secrets_of(form)
    assert post(form, b"123").status_code == 204
    assert door.grant("videos/confirm", {"key": form["key"]})["satisfies"]
    bodies = []
    signed = door.grant("private-files/url", {"method": "GET", "key": "files/u1/a"})["url"]
    secrets |= secrets_of({"url": signed})
    for spelt in (signed, quote(signed, safe=""), quote(quote(signed, safe=""), safe=""), f"Bearer {token}", api_key):
        # Wherever a caller may put it, refused or granted.
        bodies.append(door.ask("private-files/url", {"method": "GET", "key": f"files/u2/{spelt}"}))
        bodies.append(door.ask("private-files/batch", {"asks": [{"vend": spelt}], "more": spelt}))
        bodies.append(door.ask(f"private-files/{quote(spelt)}", {}))
        bodies.append(door.ask("private-files/url", data=spelt.encode(), content_type="application/json"))
        bodies.append(door.ask("videos/multipart", {"step": spelt, "upload_id": spelt}))
        bodies.append(door.ask("videos/confirm", {"key": spelt}))
        bodies.append(door.ask("avatars/url", {"inputs": {"ext": spelt}, "headers": {spelt: spelt}}))
        bodies.append(door.ask("nope/url", {}, headers={"X-Request-Id": spelt}))
        bodies.append(door.client.get(f"/{quote(spelt)}"))
        door.ask("private-files/batch", {"asks": [{"vend": "url", "method": "GET", "key": f"files/u1/{spelt}"}]})
        door.ask("private-files/url", {"method": "GET", "key": "files/u1/a"}, by=door.bearer(f"u1 {spelt}"))
    door.emulator.order_fault(Fault("cos", 1, "AccessDenied"))
    bodies.append(door.ask("videos/confirm", {"key": form["key"]}))
    for by in (
        {"Authorization": f"Bearer {token}x"},
        {"Authorization": f"Bearer {api_key}x"},
        {"Authorization": token},
    ):
        bodies.append(door.ask("avatars/url", AVATAR, by=by))
    for path in (f"{token}/url", f"{api_key}/url", f"avatars/{token}"):
        bodies.append(door.ask(path, AVATAR))
        bodies.append(door.ask(path, AVATAR, by={}))
        bodies.append(door.ask(path, AVATAR, by={**door.bearer(), "X-Principal": "u2"}))
    bodies.append(
        door.ask("avatars/url", {**AVATAR, "headers": {"Authorization": token, "x-cos-security-token": token}})
    )
    bodies.append(
        door.ask("anything/url", {"method": "GET", "key": "any/u1/a", "params": {"mode": token, "sign": token}})
    )
    for code in ("UnauthorizedOperation", "InternalError", "AuthFailure.SignatureFailure"):
        door.emulator.order_fault(Fault("sts", 1, code))
        bodies.append(door.ask("avatars/url", AVATAR, by=door.bearer("somebody-else")))
    door.emulator.reset()
    assert all(answer.status_code >= 400 for answer in bodies)
    return secrets, [answer.get_data(as_text=True) for answer in bodies]


def test_audit_and_metrics(open_loud, capsys):
    """Nor does an audit line that is written past the standard library, nor a metric."""
    door = open_loud()
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, logs.Handler)]
    assert logs.direct(logging.getLogger("broker.audit")) is not None
    secrets, _ = everything(door)
    told = [line for line in capsys.readouterr().err.splitlines() if '"broker.audit"' in line]
    assert {json.loads(line)["message"] for line in told} == {"granted", "refused"}
    assert leaks(secrets, "\n".join(told)) == set()
    assert leaks(secrets, door.app.extensions["broker"].metrics.exposition().decode()) == set()


def test_logs_and_refusals(open_loud, lines, capsys):
    """Neither a log line nor a refusal holds a secret, with every logger at its loudest."""
    door = open_loud()
    secrets, bodies = everything(door)
    assert len(secrets) > 12
    assert any("urllib3" in line for line in lines)
    assert leaks(secrets, "\n".join(lines)) == set()
    told = capsys.readouterr().err
    assert '"path": "/v1/' in told
    assert leaks(secrets, told) == set()
    # A caller's own path may come back as the route's name, cut at 64 characters; nothing else does.
    assert leaks({secret for secret in secrets if len(secret) > 64}, "\n".join(bodies)) == set()
    kept = secrets - {door.identities.api_key, door.identities.api_key.partition(".")[2]}
    assert leaks(kept, "\n".join(bodies)) == set()


def test_console_log(open_door, capsys):
    """The log for people hides the same, and nobody writes lines of their own into it."""
    door = open_door(BROKER_LOG_FORMAT="console", BROKER_LOG_LEVEL="debug")
    secrets, _ = everything(door)
    door.ask("x%0a12:00:00 info broker.web: all is well/url", by={"Authorization": "Bearer a.b"})
    door.ask("x%1b%5b2J/url", by={"Authorization": "Bearer a.b"})
    told = capsys.readouterr().err
    assert leaks(secrets, told) == set()
    assert [line for line in told.splitlines() if line.startswith("12:00:00 info broker.web: all")] == []
    assert "\x1b" not in told


def test_bug(open_door, identities, lines, capsys):
    """The traceback of a bug is logged without the secrets in its text; the caller gets none of it."""
    token = identities.token("u1", 1_800_000_000)
    broken: list[str] = []

    def clock() -> int:
        if broken:
            raise RuntimeError(f"Authorization: Bearer {token}; q-signature={'ab' * 20}; {{'sessionToken': '{token}'}}")
        return 1_800_000_000

    app = create_app(open_door().settings, clock)
    broken.append("from now on")
    answer = app.test_client().post("/v1/avatars/url", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    told = capsys.readouterr().err
    assert ("RuntimeError" in told, answer.json["request_id"] in told) == (True, True)
    told += "\n".join(lines)
    assert leaks({token, "ab" * 20}, told + answer.get_data(as_text=True)) == set()
    assert "RuntimeError" not in answer.get_data(as_text=True)


def test_reprs(door):
    """No repr of what holds secrets shows one."""
    extension = door.app.extensions["broker"]
    principal = Principal({"sub": "u1", "scope": "avatars:write folder:keys"})
    url = extension.vend("avatars", {"vend": "url", **AVATAR}, principal)
    signature = extension.vend("avatars", {"vend": "signature", **AVATAR}, principal)
    keys = extension.vend("user-folder", {"vend": "credentials"}, principal)
    query = parse_qs(urlsplit(url.url).query)
    secrets = {
        query["q-signature"][0],
        query["x-cos-security-token"][0],
        signature.headers["x-cos-security-token"],
        re.search(r"q-signature=(\w+)", signature.authorization)[1],
        keys.credential.secret_key,
        keys.credential.session_token,
        door.settings.secret_key,
        CACHE_KEY,
        repr(base64.b64decode(CACHE_KEY)),
    }
    things = [url, signature, keys, keys.credential, keys.credential.signer, door.settings, extension, door.app]
    for thing in things:
        assert leaks(secrets, f"{thing!r} {[thing]} {thing!s}") == set()


def test_redis(door, store):
    """Redis holds sealed credentials: no key name and no value shows a secret, or whose it is."""
    secrets, _ = everything(door)
    with redis.Redis.from_url(store.url) as client:
        names = client.keys("*")
        content = b"\n".join([*names, *(client.dump(name) for name in names)]).decode("latin-1")
        lifetimes = [client.ttl(name) for name in names]
    assert len(names) >= 4
    assert leaks(secrets, content) == set()
    assert [text for text in ("avatars", "somebody-else", "AKID", "cos:", "expires") if text in content] == []
    assert all(0 < seconds <= 7200 for seconds in lifetimes)


def test_redis_of_strangers(door, store):
    """What somebody else wrote into Redis is a miss, not an answer."""
    first = door.grant("user-folder/credentials")
    with redis.Redis.from_url(store.url) as client:
        for name in client.keys("*"):
            client.set(name, b'{"secret_id": "AKIDEVIL"}')
    fresh = create_app(door.settings, door.clock, door.clock.monotonic).test_client()
    second = fresh.post("/v1/user-folder/credentials", headers=door.bearer()).json
    assert second["credentials"]["tmpSecretId"] not in ("AKIDEVIL", first["credentials"]["tmpSecretId"])
    assert door.sts_calls() == 2


def test_shared_through_redis(door):
    """A second process of the fleet asks Redis, not STS."""
    first = door.grant("user-folder/credentials")
    fresh = create_app(door.settings, door.clock, door.clock.monotonic).test_client()
    second = fresh.post("/v1/user-folder/credentials", headers=door.bearer()).json
    assert second["credentials"] == first["credentials"]
    assert door.sts_calls() == 1
