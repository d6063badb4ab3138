"""Sealed bytes: what opens them and what does not."""

from __future__ import annotations

import itertools

import pytest

from broker.credentials.sealing import Sealer

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
HEAD = {"version": 0, "first of key id": 1, "last of key id": 8, "first of nonce": 9, "last of nonce": 20}


@pytest.mark.parametrize("plaintext", [b"", b"a", b"secret" * 1000])
def test_round_trip(plaintext):
    """What is sealed opens with the same key and context."""
    assert Sealer([NEW]).open(Sealer([NEW]).seal(plaintext, b"context"), b"context") == plaintext


@pytest.mark.parametrize("context", [b"", b"contex", b"context ", b"Context"])
def test_other_context(context):
    """An entry moved to another name does not open."""
    sealed = Sealer([NEW]).seal(b"secret", b"context")
    assert Sealer([NEW]).open(sealed, context) is None
    assert Sealer([NEW]).open(sealed, b"context") == b"secret"


@pytest.mark.parametrize("where", [*HEAD, "first of ciphertext", "last of ciphertext", "first of tag", "last of tag"])
def test_tampering(where):
    """One changed bit anywhere, and nothing opens."""
    sealed = bytearray(Sealer([NEW]).seal(b"secret", b"context"))
    places = {**HEAD, "first of ciphertext": 21, "last of ciphertext": -17, "first of tag": -16, "last of tag": -1}
    sealed[places[where]] ^= 1
    assert Sealer([NEW]).open(bytes(sealed), b"context") is None
    sealed[places[where]] ^= 1
    assert Sealer([NEW]).open(bytes(sealed), b"context") == b"secret"


def test_cut_and_extended():
    """No beginning and no extension of an entry opens, however short."""
    sealed = Sealer([NEW]).seal(b"secret", b"context")
    assert [n for n in range(len(sealed)) if Sealer([NEW]).open(sealed[:n], b"context") is not None] == []
    assert Sealer([NEW]).open(sealed + b"\0", b"context") is None
    assert Sealer([NEW]).open(sealed, b"context") == b"secret"


def test_wrong_key():
    """Another key does not open it."""
    sealed = Sealer([NEW]).seal(b"secret", b"context")
    assert Sealer([OTHER]).open(sealed, b"context") is None
    assert Sealer([OTHER, NEW]).open(sealed, b"context") == b"secret"


def test_rotation():
    """Added second, moved first, then the old one removed: at no step does a reader miss what a writer sealed."""
    steps = [Sealer([OLD]), Sealer([OLD, NEW]), Sealer([NEW, OLD]), Sealer([NEW])]
    for writer, reader in itertools.pairwise(steps):
        assert reader.open(writer.seal(b"secret", b"c"), b"c") == b"secret"
        assert writer.open(reader.seal(b"secret", b"c"), b"c") == b"secret"
    assert Sealer([NEW]).open(Sealer([OLD]).seal(b"secret", b"c"), b"c") is None


def test_never_the_same():
    """Two seals of one plaintext differ and show none of it."""
    seals = [Sealer([NEW]).seal(b"secret", b"context") for _ in range(50)]
    assert len(set(seals)) == 50
    assert not any(b"secret" in sealed or NEW in sealed for sealed in seals)


def test_repr():
    """A sealer shows no key."""
    assert repr(Sealer([NEW, OLD])) == "Sealer(2 keys)"
