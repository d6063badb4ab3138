"""`GET /metrics`: for API keys with operations, in Prometheus's text format, added up over workers."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import get_args

import pytest

from broker import errors, logs
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.errors import CODES
from broker.identity.api_keys import new_api_key
from broker.local import RedisServer, free_port, redis_server, send, serving
from broker.metrics import Metrics
from broker.policy.document import Outcome
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import Threads

AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}

LAYERS = ("memory", "flight", "redis", "sts")


@pytest.fixture
def store() -> Iterator[RedisServer]:
    """A Redis of our own."""
    with redis_server() as server:
        yield server


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

    def test_outcomes(self, open_door, watcher):
        """Grants by route and vend, refusals by route and code, each item of a batch one; an answer's time is one."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        door.grant("avatars/url", AVATAR)
        door.ask("avatars/url", {"inputs": {"ext": "exe"}})
        reads = [{"vend": "download-url", "key": f"files/{sub}/a"} for sub in ("u1", "u1", "u2")]
        door.grant("private-files/batch", {"asks": reads})
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        assert {name: value for name, value in told.items() if "grants" in name or "refusals" in name} == {
            'broker_grants_total{route="avatars",vend="url"}': 1,
            'broker_grants_total{route="private-files",vend="download-url"}': 2,
            'broker_refusals_total{code="input_not_allowed",route="avatars"}': 1,
            'broker_refusals_total{code="key_not_allowed",route="private-files"}': 1,
        }
        assert {name: value for name, value in told.items() if "answer_seconds_count" in name} == {
            'broker_answer_seconds_count{route="avatars",vend="url"}': 2,
            'broker_answer_seconds_count{route="private-files",vend="batch"}': 1,
        }

    def test_rate_limited(self, open_door, watcher, tmp_path):
        """Refusals beyond a rate are counted like all others, a batch once; a watcher who may not look, too."""
        policy = {
            "vends": ["url"], "methods": ["GET"], "bucket": BUCKET, "region": "ap-guangzhou", "rate": "1/hour",
            "key": "files/a",
        }  # fmt: skip
        folder = tmp_path / "limited"
        folder.mkdir()
        (folder / "one.json").write_text(json.dumps(policy))
        door = open_door(BROKER_API_KEYS=watcher[0], BROKER_POLICIES=str(folder))
        assert [door.ask("one/url", {}).status_code for _ in range(3)] == [200, 429, 429]
        assert door.ask("one/batch", {"asks": [{"vend": "url"}] * 2}).status_code == 429
        assert door.client.get("/metrics", headers=door.bearer()).status_code == 403
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        assert told['broker_refusals_total{code="rate_limited",route="one"}'] == 3
        assert told['broker_refusals_total{code="principal_not_allowed",route="-"}'] == 1
        assert told['broker_grants_total{route="one",vend="url"}'] == 1
        assert told['broker_answer_seconds_count{route="one",vend="url"}'] == 3
        assert told['broker_answer_seconds_count{route="one",vend="batch"}'] == 1

    def test_bounded_labels(self, open_door, watcher):
        """Names that callers make up become no series: neither routes, nor vends, nor codes."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        paths = [f"made-up-{number}/url" for number in range(20)] + [
            f"avatars/made-up-{number}" for number in range(20)
        ]
        for path in paths:
            door.ask(path, {})
            door.ask(path, {}, by={})
        for made_up in ("made-up", 1, None, ["url"], {"url": 1}):
            door.ask("avatars/batch", {"asks": [{"vend": made_up}]})
            door.ask("avatars/url", {"method": made_up})
        door.client.get("/made-up")
        text = door.client.get("/metrics", headers=watcher[1]).text
        assert "made-up" not in text
        told = values(text)
        assert told['broker_refusals_total{code="route_not_found",route="-"}'] == 20
        assert told['broker_refusals_total{code="unauthenticated",route="-"}'] == 40
        assert told['broker_refusals_total{code="not_found",route="-"}'] == 21

    def test_unknown_code(self):
        """A code out of no list of ours has one name."""
        metrics = Metrics("")
        metrics.refused("r", "Made.Up")
        assert 'broker_refusals_total{code="other",route="r"} 1.0' in metrics.exposition().decode()

    def test_every_code(self):
        """What policies' tests may expect and what errors say of themselves are codes that are counted by name."""
        said = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", errors.__doc__)) | (set(get_args(Outcome)) - {"granted"})
        assert said - {code for codes in CODES.values() for code in codes} == set()

    def test_layers(self, open_door, watcher, store):
        """Where credentials were found: STS for the first ask, memory for the next, Redis for another process."""
        settings = {
            "BROKER_API_KEYS": watcher[0], "BROKER_REDIS_URL": store.url,
            "BROKER_CACHE_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        }  # fmt: skip
        told = []
        for asks in (2, 1):
            door = open_door(**settings)
            for _ in range(asks):
                door.grant("avatars/url", AVATAR)
            told.append(values(door.client.get("/metrics", headers=watcher[1]).text))
        layers = [{layer: each[f'broker_cache_hits_total{{layer="{layer}"}}'] for layer in LAYERS} for each in told]
        assert layers == [
            {"memory": 1, "flight": 0, "redis": 0, "sts": 1},
            {"memory": 0, "flight": 0, "redis": 1, "sts": 0},
        ]

    def test_flight(self, open_door, watcher):
        """Who waits for a credential is counted while it does, and afterwards as one who got it with others."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        door.emulator.order_fault(Fault("sts", 1, delay_seconds=1))

        def told() -> dict[str, float]:
            return values(door.app.test_client().get("/metrics", headers=watcher[1]).text)

        asking = Threads(
            3, lambda n: door.app.test_client().post("/v1/avatars/url", json=AVATAR, headers=door.bearer())
        )
        deadline = time.monotonic() + 10
        while told()["broker_flight_waiters"] != 3:
            assert time.monotonic() < deadline
        assert [answer.status_code for answer in asking.join()] == [200] * 3
        after = told()
        assert after["broker_flight_waiters"] == 0
        layers = {layer: after[f'broker_cache_hits_total{{layer="{layer}"}}'] for layer in LAYERS}
        assert layers == {"memory": 0, "flight": 2, "redis": 0, "sts": 1}

    def test_remaining_life(self, ageing_door, watcher, open_door):
        """How long the credential behind a grant still lives, by the second."""
        door = open_door(
            BROKER_API_KEYS=watcher[0],
            BROKER_STS_ENDPOINT=ageing_door.settings.sts_endpoint,
            BROKER_COS_ENDPOINT=ageing_door.settings.cos_endpoint,
        )
        door.grant("private-files/url", {"method": "GET", "key": "files/u1/a"})
        door.clock.tick(500)
        door.grant("private-files/url", {"method": "GET", "key": "files/u1/a"})
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        name = "broker_credential_remaining_seconds"
        assert told[f'{name}_count{{route="private-files"}}'] == 2
        assert abs(told[f'{name}_sum{{route="private-files"}}'] - (1800 + 1300)) <= 2
        assert told[f'{name}_bucket{{le="1800.0",route="private-files"}}'] == 2
        assert told[f'{name}_bucket{{le="1200.0",route="private-files"}}'] == 0

    def test_redis_breaker(self, open_door, watcher, tmp_path, store):
        """A Redis that does not answer has an open breaker, until it answers again."""
        path = tmp_path / "redis.sock"
        door = open_door(
            BROKER_API_KEYS=watcher[0], BROKER_REDIS_URL=f"unix://{path}",
            BROKER_CACHE_KEYS="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        )  # fmt: skip
        told = []
        for number in range(3):
            if number == 2:
                path.symlink_to(store.url.removeprefix("unix://"))
            door.clock.tick(10)
            door.grant("avatars/url", AVATAR, by=door.bearer(f"u{number}"))
            told.append(values(door.client.get("/metrics", headers=watcher[1]).text))
        assert [each['broker_breakers_open{dependency="redis"}'] for each in told] == [1, 1, 0]
        assert [each['broker_breakers_open{dependency="sts"}'] for each in told] == [0, 0, 0]

    def test_sts_breaker(self, open_door, watcher):
        """An STS that does not answer has one, too."""
        door = open_door(BROKER_API_KEYS=watcher[0], BROKER_STS_ENDPOINT=f"http://127.0.0.1:{free_port()}")
        assert door.ask("avatars/url", AVATAR).status_code == 503
        told = values(door.client.get("/metrics", headers=watcher[1]).text)
        assert told['broker_breakers_open{dependency="sts"}'] == 1

    def test_lost_lines(self, open_door, watcher):
        """Lines that stderr did not take; who asks gets an answer."""
        door = open_door(BROKER_API_KEYS=watcher[0])
        handler = next(one for one in logging.root.handlers if isinstance(one, logs.Handler))
        with open("/dev/full", "w") as full:
            handler.setStream(full)
            door.grant("avatars/url", AVATAR)
            told = values(door.client.get("/metrics", headers=watcher[1]).text)
            logging.root.removeHandler(handler)
        assert told["broker_log_lines_lost_total"] >= 1


def test_workers(process_environ, watcher, identities, emulator):
    """Whichever worker answers tells of all: of the others up to a second ago."""
    port = free_port()
    bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}", "Content-Type": "application/json"}
    environ = process_environ(BROKER_API_KEYS=watcher[0], BROKER_LOG_LEVEL="error")
    with serving(environ, port, "--workers", "2"):
        url = f"http://127.0.0.1:{port}"
        for _ in range(20):  # without Redis each worker asks STS for itself
            assert send("POST", f"{url}/v1/avatars/url", bearer, json.dumps(AVATAR).encode())[0] == 200
        calls = emulator.stats()["sts"]["GetFederationToken"]
        grants, told, deadline = 'broker_grants_total{route="avatars",vend="url"}', {}, time.monotonic() + 10
        while told.get(grants) != 20:
            assert time.monotonic() < deadline
            told = values(send("GET", f"{url}/metrics", watcher[1])[2].decode())
        for _ in range(6):
            told = values(send("GET", f"{url}/metrics", watcher[1])[2].decode())
            assert told['broker_sts_calls_total{outcome="issued"}'] == calls
            assert told['broker_grants_total{route="avatars",vend="url"}'] == 20
            assert told['broker_answer_seconds_count{route="avatars",vend="url"}'] == 20
            assert sum(told[f'broker_cache_hits_total{{layer="{layer}"}}'] for layer in LAYERS) == 20


class TestNoted:
    """What every grant counts is noted first."""

    GRANTS = ("broker_grants_total", {"route": "r", "vend": "url"})

    def test_many_together(self):
        """Nobody need look: from a number on they are entered, by whoever brings the last."""
        metrics = Metrics("")
        entered = []
        for _ in range(64):
            metrics.found("memory")
            metrics.granted("r", "url", 0.001, 1_700_000_000, 900)
            entered.append(metrics._registry.get_sample_value(*self.GRANTS))
        assert entered == [None] * 63 + [64.0]
        found = metrics._registry.get_sample_value("broker_cache_hits_total", {"layer": "memory"})
        answered = metrics._registry.get_sample_value("broker_answer_seconds_count", self.GRANTS[1])
        assert (found, answered) == (64.0, 64.0)

    def test_same_buckets(self):
        """Durations that are entered together count as one by one, on the bounds of buckets and beyond them, too."""
        seconds = [0, 0.0005, 0.00051, 0.001, 0.3, 10, 10.1, 99, *(0.0003 * n for n in range(100))]
        alone, together = (Metrics("") for _ in range(2))
        for one in seconds:
            alone.answered("r", "url", one)
            together.granted("r", "url", one, 1_700_000_000, 900)
        told, expected = (values(metrics.exposition().decode()) for metrics in (together, alone))
        names = [name for name in expected if name.startswith("broker_answer_seconds_") and "_created" not in name]
        assert len(names) > 10
        assert {name: told[name] for name in names} == pytest.approx({name: expected[name] for name in names})

    def test_threads(self):
        """However many note and enter at once, each grant counts once."""
        metrics = Metrics("")
        Threads(8, lambda _: [metrics.granted("r", "url", 0.001, 1_700_000_000, 900) for _ in range(1_001)]).join()
        assert values(metrics.exposition().decode())['broker_grants_total{route="r",vend="url"}'] == 8_008

    def test_end_of_a_process(self, tmp_path):
        """A process that ends enters what it has noted."""
        begin = "import sys; from broker.metrics import Metrics; metrics = Metrics(sys.argv[1]); "
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        told = ""
        for work in ("metrics.granted('r', 'url', 0.001, 1, 900)", "print(metrics.exposition().decode())"):
            command = [sys.executable, "-c", begin + work, str(tmp_path)]
            told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
        assert values(told)['broker_grants_total{route="r",vend="url"}'] == 1


def test_killed_worker(process_environ, watcher, identities, tmp_path):
    """What a worker that was killed had open is no more; what it counted has happened."""
    port, shared = free_port(), tmp_path / "shared"
    shared.mkdir()
    bearer = {"Authorization": f"Bearer {identities.token('u1', int(time.time()))}", "Content-Type": "application/json"}
    environ = process_environ(
        BROKER_API_KEYS=watcher[0], BROKER_LOG_LEVEL="error", PROMETHEUS_MULTIPROC_DIR=str(shared),
        BROKER_REDIS_URL=f"unix://{tmp_path}/none.sock",
        BROKER_CACHE_KEYS="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    )  # fmt: skip
    redis_open = 'broker_breakers_open{dependency="redis"}'
    with serving(environ, port):
        url = f"http://127.0.0.1:{port}"

        def told() -> dict[str, float]:
            return values(send("GET", f"{url}/metrics", watcher[1])[2].decode())

        assert send("POST", f"{url}/v1/avatars/url", bearer, json.dumps(AVATAR).encode())[0] == 200
        assert told()[redis_open] == 1
        (worker,) = {int(path.stem.rpartition("_")[2]) for path in shared.glob("gauge_live*.db")}
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 15
        after: dict[str, float] = {}
        while not after:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError, http.client.HTTPException):
                after = told()
        assert after[redis_open] == 0
        assert after['broker_grants_total{route="avatars",vend="url"}'] == 1
        assert [path.name for path in shared.glob(f"gauge_live*_{worker}.db")] == []


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
