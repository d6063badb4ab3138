"""What audit lines, metrics and rates cost: brokers with them beside one without, side by side in one run."""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from broker import local
from broker.emulator.server import Emulator
from tests.bench import batch, loader, processes, samples
from tests.bench.figures import Figure

_ROUNDS, _SECONDS, _CONNECTIONS, _ASKS = 9, 1.0, 8, 1_000
_OF_REDIS = ("BROKER_REDIS_URL", "BROKER_CACHE_KEYS")
_RATED = "rated"


class _Server(NamedTuple):
    """Where a server listens, and its process."""

    port: int
    process: int


class _World(NamedTuple):
    """Two brokers as they are, without Redis and with it, one that neither writes nor counts, and a token."""

    alone: _Server
    shared: _Server
    silent: _Server
    token: str


class _Cost(NamedTuple):
    """What one answer took: seconds of processor time, and of the clock."""

    processor: float
    clock: float


def measure() -> list[Figure]:
    """Medians of rounds that alternate between the servers, one core for them, one for us and Redis.

    A server's requests/s on its core are what its processor time allows: others on the machine disturb it less. What a
    server waits for Redis does not show in it, so that there the clock is compared, too.
    """
    with processes.one_core_each() as (core, _), _world(core) as world:
        one, rated = (loader.post(f"/v1/{route}/url", world.token, samples.ASK) for route in ("avatars", _RATED))
        asks = [{"vend": "url", "key": f"files/u1/picture-{number}.png"} for number in range(_ASKS)]
        many = loader.post("/v1/files/batch", world.token, {"asks": asks})
        tries = [(world.silent, one), (world.alone, one), (world.alone, rated), (world.shared, rated)]
        single = _rounds(tries, _CONNECTIONS)
        batches = _rounds([(world.silent, many), (world.alone, many)], 1)
    neither, watched, in_memory, in_redis = (list(column) for column in zip(*single, strict=True))
    bare, full = (list(column) for column in zip(*batches, strict=True))
    return [
        Figure("warm /url with none of them: processor time", "us", _median(neither) * 1e6),
        *_figures("audit lines and metrics", watched, neither, at_least=85),
        *_figures("audit lines, metrics and a rate in memory", in_memory, neither, at_least=85),
        *_figures("audit lines, metrics and a rate in Redis", in_redis, neither),
        Figure(f"one of a batch of {_ASKS} with neither lines nor metrics", "us", _median(bare) * 1e6 / _ASKS),
        *_figures(f"batch of {_ASKS} with both", full, bare),
        Figure(f"batch of {_ASKS} with both", "URLs/s", _ASKS / statistics.median(one.clock for one in full)),
    ]


def _rounds(tries: list[tuple[_Server, bytes]], connections: int) -> list[list[_Cost]]:
    """The costs of each, round by round; the first one warms up."""
    return [[_cost(server, request, connections) for server, request in tries] for _ in range(_ROUNDS + 1)][1:]


def _figures(what: str, costs: list[_Cost], yardstick: list[_Cost], **wanted: float) -> list[Figure]:
    pairs = list(zip(costs, yardstick, strict=True))
    by_processor = statistics.median(without.processor / cost.processor for cost, without in pairs)
    by_clock = statistics.median(without.clock / cost.clock for cost, without in pairs)
    return [
        Figure(f"{what}: processor time", "us", _median(costs) * 1e6),
        Figure(f"{what}: requests/s kept, by processor time", "%", 100 * by_processor, **wanted),
        Figure(f"{what}: requests/s kept, by the clock", "%", 100 * by_clock),
    ]


def _median(costs: list[_Cost]) -> float:
    return statistics.median(cost.processor for cost in costs)


@contextlib.contextmanager
def _world(core: int) -> Iterator[_World]:
    """All servers on one core. Lines go to a file, as an operator's would."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = stack.enter_context((folder / "lines").open("wb"))
        redis = stack.enter_context(local.redis_server())
        cloud = stack.enter_context(Emulator(processes.ACCOUNT, buckets={"examplebucket-1250000000": "ap-guangzhou"}))
        environ, identities = processes.environment(cloud.url, redis.url, folder, _policies(folder))
        environ["BROKER_LOG_LEVEL"] = "info"
        alone = {name: value for name, value in environ.items() if name not in _OF_REDIS}
        servers = []
        for variables, module, *arguments in (
            (alone, "broker", "serve", "--port"),
            (environ, "broker", "serve", "--port"),
            (alone, "tests.bench.unwatched"),
        ):
            port = local.free_port()
            ready = f"http://127.0.0.1:{port}/readyz"
            command = (str(module), *map(str, arguments), str(port))
            process = stack.enter_context(processes.started(*command, environ=variables, ready=ready, stderr=lines))
            processes.pin(process.pid, core)
            servers.append(_Server(port, process.pid))
        yield _World(*servers, identities.token("u1", int(time.time())))


def _policies(folder: Path) -> Path:
    policies = folder / "policies"
    policies.mkdir()
    avatars = json.loads(Path("policies/avatars.json").read_text())
    routes = {"avatars": avatars, _RATED: {**avatars, "rate": "1000000/second"}, "files": batch.POLICY}
    for name, policy in routes.items():
        (policies / f"{name}.json").write_text(json.dumps(policy))
    return policies


def _cost(server: _Server, request: bytes, connections: int) -> _Cost:
    """What one answer takes, in a round of asking a server."""
    before = processes.cpu_seconds(server.process)
    per_second = loader.rate(server.port, request, connections, _SECONDS)
    processor = processes.cpu_seconds(server.process) - before
    return _Cost(processor / (per_second * _SECONDS), 1 / per_second)
