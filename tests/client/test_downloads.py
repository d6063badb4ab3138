from __future__ import annotations

import pytest

from broker.client import LocalFileError, NetworkError, Refused, StoreError
from broker.emulator.faults import Fault
from tests.client.conftest import MIB, content

SIZE = MIB + 7


@pytest.fixture
def kept(client, make_file):
    """An object of u1's; its key."""
    return client.upload_file("files", make_file(SIZE), inputs={"name": "a"}).key


@pytest.fixture
def target(tmp_path):
    """Where it shall go."""
    folder = tmp_path / "target"
    folder.mkdir()
    return folder / "a.txt"


def asked_ranges(wire):
    """The `Range` of each GET."""
    sent = zip(wire.lines, wire.headers, strict=True)
    return [headers.get("HTTP_RANGE") for line, headers in sent if line.startswith("GET")]


def test_download(client, kept, target, told):
    """The file is the object, progress ends at the total, and nothing else is left."""
    done = client.download_file("read", kept, target, progress=lambda *now: told.append(now))
    assert target.read_bytes() == content(SIZE)
    assert (done.path, done.key, done.size, done.content_type) == (target, kept, SIZE, "text/plain")
    assert done.etag == client.confirm("files", kept).etag
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)
    assert list(target.parent.iterdir()) == [target]


def test_by_url(client, kept, target):
    """A route that vends `url` alone serves as well."""
    client.download_file("read-whole", kept, target)
    assert target.read_bytes() == content(SIZE)


def test_empty(client, make_file, target, told):
    """An empty object makes an empty file."""
    key = client.upload_file("files", make_file(0), inputs={"name": "a"}).key
    assert client.download_file("read", key, target).size == 0
    assert target.read_bytes() == b""


def test_broken_connection(client, wire, kept, target, told, pauses):
    """What broke goes on where it broke, as often as it must."""
    wire.order("GET", 100_000, 7)
    client.download_file("read", kept, target, progress=lambda *now: told.append(now))
    assert target.read_bytes() == content(SIZE)
    assert asked_ranges(wire) == [None, *(f"bytes={count}00000-" for count in range(1, 8))]
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)
    assert len(pauses) == 7


def test_route_without_range(client, wire, kept, target):
    """Where the route takes no `Range`, it starts over."""
    wire.order("GET", 300_000)
    client.download_file("read-whole", kept, target)
    assert target.read_bytes() == content(SIZE)
    assert asked_ranges(wire) == [None, None]


def test_other_ranges(client, wire, kept, target):
    """Where the route takes a `Range` of another form, it starts over."""
    wire.order("GET", 300_000)
    client.download_file("read-other", kept, target)
    assert target.read_bytes() == content(SIZE)
    assert asked_ranges(wire) == [None, None]


@pytest.mark.parametrize("size", [2 * SIZE, SIZE, 1000])
def test_changed_object(client, wire, kept, target, make_file, size):
    """An object that changed meanwhile is taken whole, never mixed, however long it is now."""
    other = make_file(size, "other.txt")
    other.write_bytes(other.read_bytes()[::-1])
    wire.after_cut = lambda: client.upload_file("files", other, inputs={"name": "a"}) and None
    wire.order("GET", 300_000)
    client.download_file("read", kept, target)
    assert target.read_bytes() == other.read_bytes()


def test_never_whole(client, wire, kept, target):
    """What never becomes whole leaves the old file as it was, and no remains."""
    target.write_bytes(b"old")
    wire.order("GET", 0, 6)
    with pytest.raises(NetworkError) as failure:
        client.download_file("read", kept, target)
    assert failure.value.party == "COS"
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_store_trouble(client, emulator, kept, target):
    """5xx are repeated, 4xx told."""
    emulator.order_fault(Fault("cos", 2, "SlowDown"))
    client.download_file("read", kept, target)
    with pytest.raises(StoreError) as refusal:
        client.download_file("read", "files/u1/none", target)
    assert (refusal.value.status, refusal.value.code, refusal.value.operation) == (404, "NoSuchKey", "GetObject")


def test_refused(client, target):
    """A refusal of the broker's leaves no file."""
    with pytest.raises(Refused, match="key_not_allowed"):
        client.download_file("read", "files/u2/a", target)
    assert list(target.parent.iterdir()) == []


def test_no_folder(client, target):
    """A folder that is not there is said, before COS is asked."""
    with pytest.raises(LocalFileError):
        client.download_file("read", "files/u1/a", target.parent / "none" / "a")


def test_stopped_by_callback(client, kept, target):
    """An exception of the callback's comes out as it is and leaves nothing."""

    def stop(received, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client.download_file("read", kept, target, progress=stop)
    assert list(target.parent.iterdir()) == []
