"""Which node of a cluster holds which keys: slots of names, and the map in an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from broker.fleet.cluster import EMPTY, SLOTS, read, slot

ASKED = ("asked", 7000)
A, B, C = ("10.0.0.1", 7001), ("10.0.0.2", 7002), ("10.0.0.3", 7003)


def holder(node: tuple[str, int], host: bytes | None = None) -> list[Any]:
    """A node as CLUSTER SLOTS shows it."""
    return [node[0].encode() if host is None else host, node[1], b"id", []]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("123456789", 12739),  # the specification's own check of its CRC
        ("", 0),
        ("foo", 12182),
        ("{foo}.bar", 12182),
        ("x{foo}y{bar}", 12182),
        ("{foo", 13308),
        ("}foo{", 8453),
    ],
)
def test_slot(name: str, held: int) -> None:
    """The slot is that of the whole name, or of what stands in its first braces."""
    assert slot(name) == held == key_slot(name.encode())


@given(st.text() | st.text("{}ab"))
def test_slot_of_anything(name: str) -> None:
    """Every name has the slot that the library gives it."""
    assert slot(name) == key_slot(name.encode())


def test_scope() -> None:
    """All keys of one scope have one slot; those of others are elsewhere."""
    kinds = ("credential", "failure", "lease")
    assert len({slot(f"broker:{{{'a' * 64}}}:{kind}") for kind in kinds}) == 1
    assert len({slot(f"broker:{{{number:064x}}}:lease") for number in range(100)}) > 90


def test_no_map() -> None:
    """Before anything is known nobody holds anything."""
    assert set(EMPTY.masters) == {None}
    assert len(EMPTY.masters) == SLOTS
    assert (EMPTY.nodes, EMPTY.holders) == (frozenset(), frozenset({None}))


def test_whole_map() -> None:
    """Every slot has its master, from the first to the last of each range; replicas are known too."""
    drawn = read([[0, 99, holder(A), holder(C)], [100, SLOTS - 1, holder(B)]], ASKED)
    assert [drawn.masters[number] for number in (0, 99, 100, SLOTS - 1)] == [A, A, B, B]
    assert len(drawn.masters) == SLOTS
    assert drawn.holders == {A, B}
    assert drawn.nodes == {A, B, C}


def test_hole() -> None:
    """A slot that is in no range has nobody."""
    drawn = read([[0, 4, holder(A)], [6, SLOTS - 1, holder(A)]], ASKED)
    assert [drawn.masters[number] for number in (4, 5, 6)] == [A, None, A]
    assert drawn.holders == {A, None}


def test_nothing_in_the_answer() -> None:
    """A node that is in no cluster knows of no slot."""
    assert read([], ASKED) == read(iter(()), ASKED)
    assert read([], ASKED).holders == {None}


@pytest.mark.parametrize(
    ("host", "node"),
    [
        (b"", (ASKED[0], 7001)),  # it does not know its own address
        (None, (ASKED[0], 7001)),  # cluster-preferred-endpoint-type unknown-endpoint
        (b"?", None),  # its name is preferred, and it has none
        (b"redis-1.internal", ("redis-1.internal", 7001)),
        (b"::1", ("::1", 7001)),
    ],
)
def test_host(host: bytes | None, node: tuple[str, int] | None) -> None:
    """A node is reached where the answer says, or where the one was that has been asked."""
    drawn = read([[0, SLOTS - 1, [host, 7001, b"id"]]], ASKED)
    assert drawn.masters[0] == node
    assert drawn.nodes == ({node} if node else frozenset())
