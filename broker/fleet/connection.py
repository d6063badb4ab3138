"""How Redis is reached, and what its trouble costs: short time-outs, no retries, a breaker.

A server that hangs costs one time-out in five seconds; until it answers again, everybody goes on without it. In a
cluster that holds for each node by itself, so that the loss of one does not hurt the keys of the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from broker.fleet.breaker import Breaker
from broker.fleet.episodes import Episodes
from broker.fleet.topology import Topology

TIMEOUT_SECONDS = 0.15
PAUSE_SECONDS = 5.0

# Kinds of trouble, and the name of the one server where there are no others to tell apart.
_DOWN, _REFUSES, _ENTRANCE = "down", "refuses", ""

logger = logging.getLogger("broker.redis")

Client = Any  # redis.Redis or RedisCluster: the commands that we use are the same
Answer = TypeVar("Answer")


class Unavailable(Exception):
    """Redis did not answer, or is not asked because it just did not; the log says so once."""


class Connection:
    """One Redis of any topology. Nothing is connected before the first command."""

    def __init__(
        self,
        topology: Topology,
        monotonic: Callable[[], float],
        count: Callable[[str], None] = lambda kind: None,
    ) -> None:
        self._topology = topology
        self._monotonic = monotonic
        self._breakers: dict[str, Breaker] = {}
        self._client: Client = None
        self._building = threading.Lock()
        self.episodes = Episodes(logger, monotonic, count)

    @property
    def serving(self) -> bool:
        """Whether the last command to every server was answered."""
        return all(breaker.closed for breaker in list(self._breakers.values()))

    def run(self, name: str, command: Callable[[Client], Answer]) -> Answer:
        """What `command` gets from the server that holds the key `name`. Raises Unavailable."""
        client = self._client or self._guarded(_ENTRANCE, self._build)
        return self._guarded(_server(client, name), lambda: command(client))

    def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _guarded(self, server: str, call: Callable[[], Answer]) -> Answer:
        breaker = self._breakers.get(server)
        if breaker is None:
            breaker = self._breakers.setdefault(server, Breaker(PAUSE_SECONDS, PAUSE_SECONDS))
        if not breaker.admits(self._monotonic()):
            raise Unavailable
        try:
            answer = call()
        except redis.ResponseError as error:
            # It answers, and will not do this: full, read-only, no permission. Other commands may well work.
            breaker.succeeded()
            self.episodes.met(_REFUSES, f"Redis refuses ({_reason(error)}): serving without what it refuses")
            raise Unavailable from None
        except (redis.RedisError, OSError) as error:
            breaker.failed(self._monotonic())
            # The class alone: a message may hold the URL, and that a password.
            self.episodes.met(_DOWN, f"Redis does not answer ({type(error).__name__}): serving without it")
            raise Unavailable from None
        if not breaker.closed:
            breaker.succeeded()
            if self.serving:
                self.episodes.over(_DOWN, "Redis answers again")
        return answer

    def _build(self) -> Client:
        # A cluster's client asks for its map at once. Whoever comes meanwhile needs the same client, so it may wait.
        with self._building:
            if self._client is None:
                self._client = _client(self._topology)
            return self._client


def _server(client: Client, name: str) -> str:
    if not isinstance(client, RedisCluster):
        return _ENTRANCE
    try:
        return str(client.get_node_from_key(name).name)
    except redis.RedisError:  # nobody holds its slot now
        return _ENTRANCE


def _reason(error: redis.ResponseError) -> str:
    # `OOM command not allowed ...`: the code is the server's own, the rest may quote.
    code = str(error).partition(" ")[0]
    return code if code.isupper() and code.isalpha() else type(error).__name__


def _client(topology: Topology) -> Client:
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        # The library's default of ten tries turns one dead server into seconds.
        "retry": Retry(NoBackoff(), 0),
    }
    if topology.url:
        return redis.Redis.from_url(topology.url, **options)
    account: dict[str, Any] = {"username": topology.username, "password": topology.password}
    if topology.scheme == "redis+cluster":
        nodes = [ClusterNode(host, port) for host, port in topology.nodes]
        # A cluster that has lost some slots still serves the others.
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options, **account)
    sentinel = Sentinel(topology.nodes, sentinel_kwargs=options, **options, **account)
    return sentinel.master_for(topology.service, db=topology.database)
