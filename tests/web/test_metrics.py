"""`GET /metrics`: for API keys with operations, in Prometheus's text format, added up over workers."""

from __future__ import annotations

import json
import re
import time

import pytest

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.identity.api_keys import new_api_key
from broker.local import free_port, send, serving
from broker.metrics import Metrics
from tests.conftest import ACCOUNT, BUCKET

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}


@pytest.fixture
def watcher(tmp_path, identities) -> tuple[str, dict[str, str]]:
    """A file of API keys that holds one with operations, and that key's headers."""
    entry, key = new_api_key("watcher", operations=True)
    known = json.loads(identities.api_keys.read_text())["keys"]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [*known, entry]}))
    path.chmod(0o600)
    return str(path), {"Authorization": f"Bearer {key}"}


def values(text: str) -> dict[str, float]:
    """Every sample of an exposition, but for when it was made."""
    found = re.findall(r"^(\w+(?:\{[^}]*\})?) ([-+0-9.e]+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found if "_created" not in name}


class TestWho:
    """Who may see them."""

    def test_watcher(self, open_door, watcher):
        """An API key with operations; nothing is kept by anybody in between."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        answer = door.client.get("/metrics", headers=watcher[1])
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert "broker_sts_calls_total" in answer.text

    @pytest.mark.parametrize("who", ["nobody", "user", "bff", "acted for", "anonymous"])
    def test_others(self, open_door, watcher, who):
        """Nobody else."""
        door = open_door(BROKER_API_KEYS=watcher[0], BROKER_ANONYMOUS="1" if who == "anonymous" else "0")
        headers = {
            "nobody": {}, "anonymous": {}, "user": door.bearer(),
            "bff": {"Authorization": f"Bearer {door.identities.api_key}"}, "acted for": door.bff(),
        }[who]  # fmt: skip
        answer = door.client.get("/metrics", headers=headers)
        expected = (401, "unauthenticated") if who in ("nobody", "anonymous") else (403, "principal_not_allowed")
        assert (answer.status_code, answer.json["code"]) == expected


class TestWhat:
    """What they tell."""

    def test_sts_calls(self, open_door, watcher):
        """Every try of STS by its outcome."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        door.emulator.order_fault(Fault("sts", 1, "RequestLimitExceeded"))
        door.grant("avatars/url", AVATAR)
        door.emulator.order_fault(Fault("sts", 1, "InvalidParameter.StrategyInvalid"))
        door.ask("avatars/url", AVATAR, by=door.bearer("u2"))
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        assert {name: value for name, value in told.items() if "sts_calls" in name} == {
            'broker_sts_calls_total{outcome="throttled"}': 1,
            'broker_sts_calls_total{outcome="issued"}': 1,
            'broker_sts_calls_total{outcome="refused"}': 1,
            'broker_sts_calls_total{outcome="unavailable"}': 0,
        }

    def test_redis_troubles(self, open_door, watcher, tmp_path):
        """A trouble with Redis counts once, however often it is met."""
        door = open_door(
            BROKER_API_KEYS=watcher[0],
            BROKER_REDIS_URL=f"unix://{tmp_path}/none.sock",
            BROKER_CACHE_KEYS="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        )
        for number in range(5):
            door.grant("avatars/url", AVATAR, by=door.bearer(f"u{number}"))
            door.clock.tick(6)
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        assert told['broker_redis_troubles_total{kind="down"}'] == 1

    @pytest.mark.parametrize(("off", "skew"), [(0, 0), (200, 200), (-200, -200)])
    def test_clock_skew(self, open_door, watcher, clock, off, skew):
        """By how much Tencent's clock is ahead; signatures go by that clock."""
        with Emulator(ACCOUNT, clock=lambda: clock() + off, buckets={BUCKET: "ap-guangzhou"}) as cloud:
            door = open_door(BROKER_API_KEYS=watcher[0], BROKER_STS_ENDPOINT=cloud.url, BROKER_COS_ENDPOINT=cloud.url)
            grant = door.grant("avatars/url", AVATAR)
            told = values(door.client.get("/metrics", headers=watcher[1]).text)
            assert abs(told["broker_clock_skew_seconds"] - skew) <= 1
            assert send("PUT", grant["url"], grant["headers"], b"123456789")[0] == 200

    def test_renewals(self, open_door, watcher, clock):
        """Every renewal ahead of need by its outcome."""
        with Emulator(ACCOUNT, clock=clock, buckets={BUCKET: "ap-guangzhou"}) as cloud:
            door = open_door(BROKER_API_KEYS=watcher[0], BROKER_STS_ENDPOINT=cloud.url)
            door.grant("avatars/url", AVATAR)
            door.clock.tick(700)
            door.grant("avatars/url", AVATAR)
            deadline = time.monotonic() + 10
            told: dict[str, float] = {}
            while not told.get('broker_renewals_total{outcome="renewed"}'):
                assert time.monotonic() < deadline
                told = values(door.client.get("/metrics", headers=watcher[1]).text)
            assert {told[f'broker_renewals_total{{outcome="{name}"}}'] for name in ("left", "failed")} == {0}
            assert told['broker_renewals_total{outcome="renewed"}'] == 1


def test_workers(process_environ, watcher, identities, emulator):
    """Whichever worker answers tells of all."""
    port = free_port()
    bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}", "Content-Type": "application/json"}
    environ = process_environ(BROKER_API_KEYS=watcher[0], BROKER_LOG_LEVEL="error")
    with serving(environ, port, "--workers", "2"):
        url = f"http://127.0.0.1:{port}"
        for _ in range(20):  # without Redis each worker asks STS for itself
            assert send("POST", f"{url}/v1/avatars/url", bearer, json.dumps(AVATAR).encode())[0] == 200
        calls = emulator.stats()["sts"]["GetFederationToken"]
        for _ in range(6):
            told = values(send("GET", f"{url}/metrics", watcher[1])[2].decode())
            assert told['broker_sts_calls_total{outcome="issued"}'] == calls


def test_no_folder_is_left(process_environ, tmp_path, emulator):
    """The folder in which workers share their metrics goes with them."""
    port = free_port()
    environ = process_environ(TMPDIR=str(tmp_path), BROKER_LOG_LEVEL="error")
    with serving(environ, port):
        assert [path.name.startswith("broker-metrics-") for path in tmp_path.iterdir()] == [True]
    assert list(tmp_path.iterdir()) == []


def test_embedded_without_a_folder():
    """In somebody else's process no environment is needed, and two brokers do not share."""
    one, two = Metrics(""), Metrics("")
    one.sts_call("issued")
    name = 'broker_sts_calls_total{outcome="issued"}'
    assert [values(metrics.exposition().decode())[name] for metrics in (one, two)] == [1, 0]


def test_worker_that_starts(tmp_path):
    """A worker whose file is there and still empty keeps nobody from seeing the others'."""
    (tmp_path / "counter_1.db").touch()
    assert b"# EOF" not in Metrics(str(tmp_path)).exposition()
