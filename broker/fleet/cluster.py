"""Which node of a cluster holds which keys, as CLUSTER SLOTS tells it.

The library has a client for clusters. It is not used: it does not start while one node hangs, sleeps while a slot is
not served, tries each command of a pipeline once more by itself, and fails on a key that moves to a new node. To us a
cluster is a few plain servers and this map.

https://valkey.io/topics/cluster-spec/ and https://valkey.io/commands/cluster-slots/
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from broker.fleet.topology import Node

SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Map:
    """`masters` holds a node for each slot, None where nobody is known; `nodes` are masters and replicas."""

    masters: Sequence[Node | None]
    nodes: frozenset[Node]
    holders: frozenset[Node | None]  # who is in `masters`


EMPTY = Map((None,) * SLOTS, frozenset(), frozenset({None}))


def slot(name: str) -> int:
    """The slot of a key: that of what its first braces hold, if they hold anything."""
    key = name.encode()
    start = key.find(b"{") + 1
    end = key.find(b"}", start)
    return binascii.crc_hqx(key[start:end] if 0 < start < end else key, 0) % SLOTS


def read(ranges: Iterable[Any], asked: Node) -> Map:
    """The map in an answer of the node `asked`: first and last slot of each range, its master, its replicas."""
    masters: list[Node | None] = [None] * SLOTS
    nodes: set[Node] = set()
    for first, last, *holders in ranges:
        known = [_node(holder, asked) for holder in holders]
        nodes.update(node for node in known if node is not None)
        masters[first : last + 1] = [known[0]] * (last - first + 1)
    return Map(masters, frozenset(nodes), frozenset(masters))


def _node(holder: Sequence[Any], asked: Node) -> Node | None:
    # Empty or null: at the address that was asked. A question mark: it shall be known by a name, and has none.
    host = (holder[0] or b"").decode()
    return None if host == "?" else (host or asked[0], int(holder[1]))
