"""Brokers as real processes, people who ask them without pause, and what became of every ask."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from broker.emulator.server import Emulator
from broker.local import AUDIENCE, ISSUER, Identities, RedisServer, inherited, send
from tests.conftest import ACCOUNT, REPOSITORY
from tests.doubles import Threads

AVATARS = "avatars/url"
ASKS = {
    AVATARS: {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}},
    "brief/url": {"inputs": {"name": "a"}},
    "rated/url": {"inputs": {"name": "a"}},
}
CACHE_KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]

_PATIENCE_SECONDS = 20  # longer than the broker's own

Found = TypeVar("Found")


def quiet_port() -> int:
    """A port that nobody listens on, and that no connection gets by itself: asking makes thousands of those."""
    ports = list(range(20_000, 32_000))
    random.shuffle(ports)
    for port in ports:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def eventually(condition: Callable[[], Found], seconds: float = 20) -> Found:
    """What a condition tells once it tells something true, which must be soon."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one ask. `status` is 0 if the connection broke; `began` is of the monotonic clock."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    began: float
    seconds: float

    @property
    def code(self) -> str:
        """What a refusal says."""
        return str(self.body.get("code", ""))

    @property
    def secret_id(self) -> str:
        """Whose signature a grant holds."""
        return parse_qs(urlsplit(self.body["url"]).query)["q-ak"][0]


class People:
    """Everybody who may ask, each with one token that is good for so long."""

    def __init__(self, identities: Identities, seconds: int = 12 * 3600) -> None:
        self._identities = identities
        self._seconds = seconds
        self._tokens: dict[str, str] = {}

    def bearer(self, sub: str) -> str:
        """The Authorization of one of them."""
        token = self._tokens.get(sub)
        if token is None:
            ends_at = int(time.time()) + self._seconds
            token = self._tokens[sub] = self._identities.token(sub, ends_at, exp=ends_at)
        return f"Bearer {token}"

    def ask(self, port: int, sub: str, route: str = AVATARS) -> Answer:
        """One ask of one of them, on a connection of its own."""
        headers = {"Authorization": self.bearer(sub), "Content-Type": "application/json"}
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("POST", f"/v1/{route}", json.dumps(ASKS[route]), headers)
            response = connection.getresponse()
            body = json.loads(response.read())
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, body, received, began, time.monotonic() - began)
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, {}, began, time.monotonic() - began)
        finally:
            connection.close()


@dataclass
class Served:
    """One `serve` of several workers."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    people: People
    workers: int
    ready: bool = False

    def await_ready(self) -> None:
        """Wait until all workers are there."""
        eventually(lambda: self._started or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.log.read_text()
        self.ready = True

    @property
    def _started(self) -> bool:
        # A worker says so before it listens, at least in a time of its own.
        return len(self.told("Started worker")) >= self.workers and self._listens

    @property
    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, sub: str, route: str = AVATARS) -> Answer:
        """The answer to one person, who waits until the broker is ready."""
        if not self.ready:
            self.await_ready()
        return self.people.ask(self.port, sub, route)

    def told(self, part: str) -> list[str]:
        """The messages of the log so far that hold `part`."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["message"] for line in lines if part in line["message"]]

    @property
    def worker(self) -> int:
        """The process id of the latest worker."""
        return int(self.told("Spawning worker")[-1].rpartition(" ")[2])


def serve(
    environ: dict[str, str],
    people: People,
    folder: Path,
    *,
    workers: int = 1,
    program: Sequence[str] = ("broker", "serve"),
    drain_delay: int = 0,
    port: int | None = None,
) -> Served:
    """A broker that starts; its log lines are JSON in a file of `folder`. To be ended by `end`."""
    port = port or quiet_port()
    log = folder / f"serve-{port}.log"
    options = ["--port", str(port), "--workers", str(workers), "--threads", "8", "--drain-delay", str(drain_delay)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *program, *options],
            cwd=REPOSITORY, env=environ, stdout=stderr, stderr=stderr, start_new_session=True,
        )  # fmt: skip
    return Served(port, process, log, people, workers)


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Let brokers end, and see to it."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        os.killpg(process.pid, signal.SIGCONT)  # a test may have stopped a worker
        process.terminate()
    for process in running:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Ask(threading.Thread):
    """One ask that is on its way."""

    def __init__(self, broker: Served, sub: str) -> None:
        super().__init__()
        self._broker = broker
        self._sub = sub
        self._answer: Answer | None = None
        self.start()

    def run(self) -> None:
        """Ask."""
        self._answer = self._broker.ask(self._sub)

    def result(self) -> Answer:
        """Its answer, once that has come."""
        self.join(_PATIENCE_SECONDS + 1)
        assert self._answer is not None
        return self._answer


def environ_of(
    emulator: Emulator, identities: Identities, policies: Path, redis: RedisServer | None, **more: str
) -> dict[str, str]:
    """The whole environment of a broker that asks the emulator and shares what it gets in Redis."""
    shared = {"BROKER_REDIS_URL": redis.url, "BROKER_CACHE_KEYS": CACHE_KEYS[0]} if redis is not None else {}
    return {
        **inherited(),
        "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
        "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
        "BROKER_STS_ENDPOINT": emulator.url,
        "BROKER_COS_ENDPOINT": emulator.url,
        "BROKER_POLICIES": str(policies),
        "BROKER_JWT_JWKS": str(identities.jwks),
        "BROKER_JWT_ISSUER": ISSUER,
        "BROKER_JWT_AUDIENCE": AUDIENCE,
        "BROKER_JWT_ALGORITHMS": "ES256",
        "BROKER_LOG_FORMAT": "json",
        "BROKER_LOG_LEVEL": "info",
        **shared,
        **more,
    }


def put(answer: Answer) -> int:
    """The status with which the cloud answers what a grant for an avatar permits."""
    return send("PUT", answer.body["url"], answer.body["headers"], b"x" * 9)[0]


def sts_calls(emulator: Emulator) -> int:
    """How often STS has been asked."""
    return sum(emulator.stats()["sts"].values())


def together(count: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """The answers to asks that are made at once; `ask` is told which one it is."""
    answers = Threads(count, ask).join()
    assert [one for one in answers if not isinstance(one, Answer)] == []
    return answers


@dataclass
class Load:
    """What clients that ask again and again have been told so far."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def statuses(self) -> set[int]:
        """All statuses that were seen."""
        return {answer.status for answer in self.answers}

    def slow(self, seconds: float) -> list[float]:
        """How long the slow ones took that took at least so long."""
        return sorted(answer.seconds for answer in self.answers if answer.seconds >= seconds)

    def await_more(self, count: int) -> None:
        """Wait for so many answers."""
        before = len(self.answers)
        eventually(lambda: len(self.answers) >= before + count)


@contextlib.contextmanager
def load(*clients: Callable[[int], Answer], pause_seconds: float = 0.025) -> Iterator[Load]:
    """Clients that ask again and again, each with a pause between two asks; a client is told how often it has asked."""
    under, ended = Load(), threading.Event()

    def ask(client: Callable[[int], Answer]) -> None:
        number = 0
        while not ended.wait(pause_seconds):
            under.answers.append(client(number))
            number += 1

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield under
    finally:
        ended.set()
        for thread in threads:
            thread.join()
