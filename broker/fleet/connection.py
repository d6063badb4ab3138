"""How Redis is reached, and what its trouble costs: short time-outs, no retries, a breaker for each server.

A server that hangs costs one time-out in five seconds; until it answers again, everybody goes on without it. In a
cluster that holds for each node by itself, so that the loss of one does not hurt the keys of the others.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, MovedError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

from broker.fleet import cluster
from broker.fleet.breaker import Breaker
from broker.fleet.episodes import Episodes
from broker.fleet.topology import Node, Topology

TIMEOUT_SECONDS = 0.15
PAUSE_SECONDS = 5.0

# The map of a cluster is asked of one node after the other, but no longer than this.
_MOST_TIMEOUTS = 2
_DOWN, _REFUSES = "down", "refuses"

logger = logging.getLogger("broker.redis")

Client = Any  # redis.Redis, whose answers the library types too widely to be of use
Server = Node | None  # the node of a cluster; elsewhere there is nothing to tell apart
Answer = TypeVar("Answer")
Item = TypeVar("Item")


class Unavailable(Exception):
    """Redis did not answer, or is not asked because it just did not; the log says so once."""


class _Failed(Unavailable):
    """It was asked just now and did not answer; `waited`: for as long as we wait."""

    def __init__(self, reason: str, *, waited: bool = False) -> None:
        super().__init__(reason)
        self.waited = waited


class _Refused(Unavailable):
    """It answered, and did not do what it was told to."""


class _Moved(_Refused):
    """The node holds the key no longer."""


class Connection:
    """One Redis of any topology. Nothing is connected before the first command."""

    def __init__(
        self,
        topology: Topology,
        monotonic: Callable[[], float],
        count: Callable[[str], None] = lambda kind: None,
        broken: Callable[[bool], object] = lambda opened: None,
    ) -> None:
        self._topology = topology
        self._monotonic = monotonic
        self._broken = broken
        self._breakers: dict[Server, Breaker] = {}
        self._clients: dict[Server, Client] = {}
        self._map = cluster.EMPTY
        self._drawing = threading.Lock()
        self._draws = Breaker(PAUSE_SECONDS, PAUSE_SECONDS)
        self.episodes = Episodes(logger, monotonic, count)

    @property
    def serving(self) -> bool:
        """Whether the last command to every server that holds keys was answered."""
        return all(self._breaker(server).closed for server in self._map.holders)

    def run(self, name: str, command: Callable[[Client], Answer]) -> Answer:
        """What `command` gets from the server that holds the key `name`. Raises Unavailable."""
        with self._telling():
            return self._ask_holder(name, command) if self._topology.clustered else self._ask(None, command)

    def everywhere(self, command: Callable[[Client], Answer]) -> list[Answer]:
        """What `command` gets from each server that holds keys. Raises Unavailable if one of them does not answer."""
        with self._telling():
            holders = self._redrawn(self._map).holders - {None} if self._topology.clustered else {None}
            return [self._ask(server, command) for server in holders]

    def together(self, items: Iterable[Item], name: Callable[[Item], str]) -> list[list[Item]]:
        """The items in groups that one server holds; `name` gives an item's key. Raises Unavailable."""
        with self._telling():
            drawn = self._redrawn(self._map) if self._topology.clustered else self._map
        groups: dict[Server, list[Item]] = {}
        for item in items:
            groups.setdefault(drawn.masters[cluster.slot(name(item))], []).append(item)
        return list(groups.values())

    def close(self) -> None:
        """Close all connections."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _ask_holder(self, name: str, command: Callable[[Client], Answer]) -> Answer:
        slot, drawn = cluster.slot(name), self._map
        server = drawn.masters[slot]
        if server is None:
            return self._ask(self._found(slot, drawn), command)
        try:
            return self._ask(server, command)
        except (_Failed, _Moved):
            # Somebody may have taken its place.
            with contextlib.suppress(Unavailable):
                drawn = self._redrawn(drawn)
            successor = drawn.masters[slot]
            if successor in (server, None):
                raise
            return self._ask(successor, command)

    def _found(self, slot: int, drawn: cluster.Map) -> Node:
        # No map yet, or a hole in it. Who comes at the same time needs the same map, and waits for it.
        with self._behind(self._breaker(None)):
            server = self._redrawn(drawn).masters[slot]
            if server is None:
                raise _Failed("a slot that no node holds")
            return server

    def _redrawn(self, drawn: cluster.Map) -> cluster.Map:
        with self._drawing:
            if self._map is drawn:
                with self._behind(self._draws):
                    self._map = self._newest()
            return self._map

    def _newest(self) -> cluster.Map:
        trouble = _Failed("a cluster without slots")
        waited = 0
        for node in (*_shuffled(self._map.nodes), *_shuffled(self._topology.nodes)):
            try:
                ranges = self._ask(node, lambda client: client.execute_command("CLUSTER SLOTS"))
            except _Failed as failure:
                trouble = failure
                waited += failure.waited
            except Unavailable:
                continue
            else:
                if ranges:
                    return cluster.read(ranges, node)
            if waited == _MOST_TIMEOUTS:
                break
        raise trouble

    def _ask(self, server: Server, command: Callable[[Client], Answer]) -> Answer:
        with self._behind(self._breaker(server)):
            try:
                return command(self._client(server))
            except MovedError:
                raise _Moved from None
            except (redis.RedisError, OSError) as error:
                if isinstance(error, redis.ResponseError) and not isinstance(error, ClusterDownError):
                    # It answers, and will not do this: full, read-only, no permission. Other commands may well work.
                    self.episodes.met(_REFUSES, f"Redis refuses ({_reason(error)}): serving without what it refuses")
                    raise _Refused(f"it refuses ({_reason(error)})") from None
                # The class alone: a message may hold the URL, and that a password.
                raise _Failed(type(error).__name__, waited=isinstance(error, redis.TimeoutError)) from None

    @contextlib.contextmanager
    def _behind(self, breaker: Breaker) -> Iterator[None]:
        if not breaker.admits(self._monotonic()):
            raise Unavailable("it did not answer just now")
        try:
            yield
        except _Refused:
            breaker.succeeded()
            raise
        except Unavailable:
            breaker.failed(self._monotonic())
            raise
        breaker.succeeded()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except _Failed as failure:
            self.episodes.met(_DOWN, f"Redis does not answer ({failure}): serving without it")
            raise
        if self.episodes.lasts(_DOWN) and self.serving:
            self.episodes.over(_DOWN, "Redis answers again")

    def _breaker(self, server: Server) -> Breaker:
        breaker = self._breakers.get(server)
        return breaker or self._breakers.setdefault(server, Breaker(PAUSE_SECONDS, PAUSE_SECONDS, tell=self._broken))

    def _client(self, server: Server) -> Client:
        return self._clients.get(server) or self._clients.setdefault(server, _client(self._topology, server))


def _shuffled(nodes: Collection[Node]) -> list[Node]:
    return random.sample(list(nodes), len(nodes))  # not everybody the same one first


def _reason(error: redis.ResponseError) -> str:
    # `OOM command not allowed ...`: the code is the server's own, the rest may quote.
    code = error.status_code or str(error).partition(" ")[0]
    return code if code.isupper() and code.isalpha() else type(error).__name__


def _client(topology: Topology, server: Server) -> Client:
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        # The library's default of ten tries turns one dead server into seconds.
        "retry": Retry(NoBackoff(), 0),
        # A server that announces its maintenance would be waited for ten seconds.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if topology.url:
        return redis.Redis.from_url(topology.url, **options)
    account: dict[str, Any] = {"username": topology.username, "password": topology.password}
    if server is not None:
        return redis.Redis(host=server[0], port=server[1], **options, **account)
    sentinel = Sentinel(topology.nodes, sentinel_kwargs=options, **options, **account)
    return sentinel.master_for(topology.service, db=topology.database)
