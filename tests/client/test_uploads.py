from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from broker.client import (
    LocalFileError,
    NetworkError,
    RateLimited,
    Refused,
    SignedRequest,
    StoreError,
    UploadState,
)
from broker.client.part_urls import PartUrls
from broker.client.sending import Sender
from broker.client.store import Store
from broker.emulator.faults import Fault
from tests.client.conftest import MIB, content, served
from tests.conftest import BUCKET, REPOSITORY

SIZE = 4 * MIB + 5


@pytest.fixture
def stored(emulator):
    """The bytes of an object as COS has them."""

    def find(key):
        found = emulator._objects.find(BUCKET, key)
        return None if found is None else found.body

    return find


@pytest.fixture
def begun(emulator):
    """How many uploads COS holds unfinished."""
    return lambda: len(emulator._uploads.of(BUCKET))


@pytest.mark.parametrize("size", [0, 1, MIB])
def test_small(client, make_file, stored, emulator, told, size):
    """What fits into one part goes in one PUT, an empty file too."""
    done = client.upload_file("files", make_file(size), inputs={"name": "a"}, progress=lambda *now: told.append(now))
    assert (done.key, done.size, done.state) == ("files/u1/a", size, None)
    assert stored("files/u1/a") == content(size)
    assert emulator.stats()["cos"] == {"PutObject": 1}
    assert told[-1:] == ([(size, size)] if size else [])


def test_in_parts(client, make_file, stored, emulator, told, begun):
    """What is larger goes in parts, and arrives whole; progress ends at the total and only grows."""
    path = make_file(SIZE)
    done = client.upload_file("files", path, inputs={"name": "a"}, progress=lambda *now: told.append(now))
    assert stored(done.key) == content(SIZE)
    assert client.confirm("files", done.key).etag == done.etag
    assert emulator.stats()["cos"]["UploadPart"] == 5
    assert sorted(done.state.parts) == [1, 2, 3, 4, 5]
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)
    assert begun() == 0


def test_parts_only(client, make_file, stored):
    """A route without `url` takes a small file in one part."""
    done = client.upload_file("parts-only", make_file(10), inputs={"name": "a"})
    assert stored(done.key) == content(10)


class TestEmpty:
    """An empty file, of which no upload in parts can be made."""

    @pytest.mark.parametrize("route", ["form-only", "form-or-parts"])
    def test_form(self, client, make_file, stored, emulator, wire, route):
        """Where no PUT is vended it goes by the form, with its type and what the policy adds, and is tried again."""
        wire.order("POST /", "refuse")
        done = client.upload_file(route, make_file(0), inputs={"name": "a"})
        assert (done.key, done.size, done.state) == ("form/u1/a", 0, None)
        assert stored("form/u1/a") == b""
        assert done.etag == '"d41d8cd98f00b204e9800998ecf8427e"'
        assert emulator.stats()["cos"] == {"PostObject": 1}
        kept = emulator._objects.find(BUCKET, done.key).headers
        if route == "form-or-parts":
            assert (kept["content-type"], kept["cache-control"]) == ("text/plain", "no-store")

    def test_parts_only(self, client, make_file, emulator):
        """Where the route takes parts alone, that is said before anything is asked for."""
        with pytest.raises(LocalFileError, match=r"data.txt is empty, which route 'parts-only' takes neither by url"):
            client.upload_file("parts-only", make_file(0), inputs={"name": "a"})
        assert emulator.stats() == {"sts": {}, "cos": {}}


def test_content_type(client, make_file, emulator):
    """The type comes from the file's name where the route wants one, unless it is said."""
    path = make_file(3)
    client.upload_file("files", path, inputs={"name": "a"})
    client.upload_file("files", path, inputs={"name": "b"}, content_type="application/octet-stream")
    types = [emulator._objects.find(BUCKET, f"files/u1/{name}").headers["content-type"] for name in "ab"]
    assert types == ["text/plain", "application/octet-stream"]


def test_refused(client, make_file):
    """A refusal of the broker's ends an upload before anything is sent."""
    with pytest.raises(Refused, match="content_type_not_allowed"):
        client.upload_file("files", make_file(3), inputs={"name": "a"}, content_type="text/html")


@pytest.mark.parametrize("what", ["refuse", "lose"])
def test_network_trouble(client, wire, make_file, stored, pauses, what, told):
    """A PUT that fails is repeated with a URL of its own; its bytes are taken back from the progress."""
    wire.order("PUT /files", what)
    client.upload_file("files", make_file(10), inputs={"name": "a"}, progress=lambda *now: told.append(now))
    assert stored("files/u1/a") == content(10)
    assert told[-1] == (10, 10)
    first, second = [line for line in wire.lines if line.startswith("PUT")]
    assert len(pauses) == 1
    assert first.partition("?")[0] == second.partition("?")[0]


def test_store_trouble(client, emulator, make_file, stored, pauses):
    """5xx of COS are worth repeating, five times in all."""
    emulator.order_fault(Fault("cos", 4, "SlowDown"))
    client.upload_file("files", make_file(10), inputs={"name": "a"})
    assert stored("files/u1/a") == content(10)
    assert pauses == [0.125, 0.25, 0.5, 1.0]
    emulator.order_fault(Fault("cos", 5, "SlowDown"))
    with pytest.raises(StoreError) as refusal:
        client.upload_file("files", make_file(10), inputs={"name": "a"})
    assert (refusal.value.operation, refusal.value.status, refusal.value.code) == ("PutObject", 503, "SlowDown")
    assert refusal.value.request_id


def test_refused_by_cos(client, emulator, make_file, pauses):
    """4xx are for good."""
    emulator.order_fault(Fault("cos", 1, "AccessDenied"))
    with pytest.raises(StoreError, match="AccessDenied"):
        client.upload_file("files", make_file(10), inputs={"name": "a"})
    assert pauses == []


def test_lost_answer(client, wire, make_file, stored, emulator):
    """A lost answer leaves one object, under the first key: the second try finds its own bytes there."""
    wire.order("PUT /once", "lose")
    done = client.upload_file("once", make_file(10))
    assert [line.split("?")[0] for line in wire.lines if line.startswith("PUT")] == [f"PUT /{done.key}"] * 2
    assert stored(done.key) == content(10)
    assert done.etag == client.confirm("once", done.key).etag


def test_lost_answer_unproven(client, wire, make_file):
    """Where nothing can tell whose object it is, the conflict is told."""
    wire.order("PUT /blind", "lose")
    with pytest.raises(StoreError, match="FileAlreadyExists"):
        client.upload_file("blind", make_file(10), inputs={"name": "a"})


def test_foreign_object(client, wire, make_file):
    """Another's object is never taken for one's own."""
    client.upload_file("blind", make_file(9), inputs={"name": "a"})
    with pytest.raises(StoreError, match="FileAlreadyExists"):
        client.upload_file("blind", make_file(10), inputs={"name": "a"})


def test_own_object_of_before(client, make_file):
    """Equal bytes that lay there before are no proof that this upload stored them."""
    done = client.upload_file("once", make_file(10))
    with pytest.raises(StoreError, match="FileAlreadyExists"):
        client.upload_file("once", make_file(10), key=done.key)


def test_foreign_object_meanwhile(client, wire, make_file):
    """After a try that nobody knows the end of, other bytes under the key are still another's."""
    done = client.upload_file("once", make_file(9))
    wire.order("PUT /once", "refuse")
    with pytest.raises(StoreError, match="FileAlreadyExists"):
        client.upload_file("once", make_file(10), key=done.key)


class TestParts:
    """Parts that fail."""

    @pytest.mark.parametrize("what", ["refuse", "lose"])
    def test_one(self, client, wire, make_file, stored, told, what):
        """A part that fails is sent again, with a URL of its own."""
        wire.order("partNumber=3", what)
        done = client.upload_file(
            "files", make_file(SIZE), inputs={"name": "a"}, progress=lambda *now: told.append(now)
        )
        assert stored(done.key) == content(SIZE)
        assert wire.count("partNumber=3") == 2
        assert told[-1] == (SIZE, SIZE)

    def test_killed(self, client, wire, make_file, stored, told, begun):
        """An upload that fails tells how to go on; then only what is missing is sent."""
        path = make_file(SIZE)
        wire.order("partNumber=3", "refuse", 5)
        with pytest.raises(NetworkError) as failure:
            client.upload_file("files", path, inputs={"name": "a"}, part_concurrency=1)
        state = UploadState.from_json(failure.value.resume.to_json())
        assert state == failure.value.resume
        assert sorted(state.parts) == [1, 2]
        assert begun() == 1
        sent = wire.count("partNumber=1")
        done = client.upload_file("files", path, resume=state, progress=lambda *now: told.append(now))
        assert stored(done.key) == content(SIZE)
        assert told[0] == (2 * MIB, SIZE)
        assert (wire.count("partNumber=1"), begun()) == (sent, 0)

    def test_state_of_the_past(self, client, wire, make_file, stored):
        """Parts that COS has and the state does not know are recognised by their MD5; others are sent again."""
        path = make_file(SIZE)
        kept = []
        wire.order("partNumber=5", "refuse", 5)
        with pytest.raises(NetworkError):
            client.upload_file("files", path, inputs={"name": "a"}, part_concurrency=1, checkpoint=kept.append)
        assert [len(state.parts) for state in kept] == [0, 1, 2, 3, 4]
        wrong = UploadState.from_json(kept[1].to_json().replace(kept[1].parts[1].strip('"'), "0" * 32))
        client.upload_file("files", path, resume=wrong)
        assert (wire.count("partNumber=1"), wire.count("partNumber=2")) == (2, 1)
        assert stored("files/u1/a") == content(SIZE)

    def test_changed_file(self, client, wire, make_file):
        """A file that changed is not mixed with its past."""
        path = make_file(SIZE)
        wire.order("partNumber=3", "refuse", 5)
        with pytest.raises(NetworkError) as failure:
            client.upload_file("files", path, inputs={"name": "a"})
        path.write_bytes(b"other")
        with pytest.raises(LocalFileError, match="has changed"):
            client.upload_file("files", path, resume=failure.value.resume)

    def test_changed_meanwhile(self, client, make_file, begun):
        """A file that changes under way is noticed, after its last part even, before the upload is completed."""
        path = make_file(SIZE)

        def touch(state):
            if len(state.parts) == state.part_count:
                path.touch()

        with pytest.raises(LocalFileError, match="has changed"):
            client.upload_file("files", path, inputs={"name": "a"}, checkpoint=touch)
        assert begun() == 1

    def test_abort(self, client, wire, make_file, begun):
        """Parts are given up only if that is asked."""
        wire.order("partNumber=3", "refuse", 5)
        with pytest.raises(NetworkError) as failure:
            client.upload_file("files", make_file(SIZE), inputs={"name": "a"}, abort_on_failure=True)
        assert (failure.value.resume, begun()) == (None, 0)

    @pytest.mark.parametrize("kind", [KeyError, BrokenPipeError])
    def test_stopped_by_callback(self, client, make_file, begun, kind):
        """An exception of the callback's ends the upload and comes out as it is, even one that sockets raise, too."""

        def stop(sent, total):
            if sent > MIB:
                raise kind("enough")

        with pytest.raises(kind, match="enough"):
            client.upload_file("files", make_file(SIZE), inputs={"name": "a"}, progress=stop)
        assert begun() == 1

    def test_initiate_lost(self, client, wire, make_file, begun):
        """A lost answer to initiate leaves an empty upload behind and costs no more."""
        wire.order("uploads", "lose")
        client.upload_file("files", make_file(SIZE), inputs={"name": "a"})
        assert begun() == 1

    def test_complete_lost(self, client, wire, make_file, stored):
        """A complete whose answer is lost is not repeated: the upload is no more, so the object is there."""
        wire.order("POST .*uploadId=", "lose")
        done = client.upload_file("files", make_file(SIZE), inputs={"name": "a"})
        assert wire.count("POST .*uploadId=") == 1
        assert done.etag == client.confirm("files", done.key).etag
        assert stored(done.key) == content(SIZE)

    def test_complete_refused(self, client, wire, make_file, stored):
        """A complete that did not arrive is repeated once the list of parts says that the upload is there."""
        wire.order("POST .*uploadId=", "refuse")
        client.upload_file("files", make_file(SIZE), inputs={"name": "a"})
        requests = [line.split("?")[0] for line in wire.lines if "partNumber" not in line]
        assert requests == ["POST /files/u1/a", "POST /files/u1/a", "GET /files/u1/a", "POST /files/u1/a"]
        assert stored("files/u1/a") == content(SIZE)

    def test_resume_after_the_end(self, client, make_file):
        """Resuming what was completed meanwhile finds the object; resuming what was aborted says so."""
        path = make_file(SIZE)
        done = client.upload_file("files", path, inputs={"name": "a"})
        assert client.upload_file("files", path, resume=done.state).etag == done.etag
        half = UploadState.from_json(done.state.to_json().replace('"5":', '"6":'))
        aborted = UploadState(**{**_members(half), "parts": {1: done.state.parts[1]}})
        with pytest.raises(StoreError, match="NoSuchUpload"):
            client.upload_file("files", path, resume=aborted)

    def test_other_route(self, client, make_file):
        """A state is of one route."""
        path = make_file(SIZE)
        done = client.upload_file("files", path, inputs={"name": "a"})
        with pytest.raises(ValueError, match="belongs to route"):
            client.upload_file("parts-only", path, resume=done.state)

    def test_at_once(self, client, wire, make_file):
        """As many parts as asked for are under way together, and no more."""
        together, most, lock = [0], [0], threading.Lock()
        meeting = threading.Barrier(3)
        hand_on = wire._cloud

        def cloud(environ, start_response):
            part = "partNumber" in environ["RAW_URI"]
            with lock:
                together[0] += part
                most[0] = max(most[0], together[0])
            if part and environ["RAW_URI"].partition("partNumber=")[2][0] in "123":
                meeting.wait(10)
            answer = list(hand_on(environ, start_response))
            with lock:
                together[0] -= part
            return answer

        wire._cloud = cloud
        client.upload_file("files", make_file(6 * MIB), inputs={"name": "a"}, part_concurrency=3)
        assert most == [3]

    def test_expired(self, client, emulator, make_file, stored):
        """A part whose URL ended while it waited is sent with a new one."""
        path = make_file(SIZE)
        emulator.order_fault(Fault("cos", 3, "ExpiredToken"))
        client.upload_file("files", path, inputs={"name": "a"}, part_concurrency=2)
        assert stored("files/u1/a") == content(SIZE)

    def test_many_listed(self, scripted):
        """A list of parts is read page by page."""
        part = "<Part><PartNumber>{0}</PartNumber><ETag>&quot;e{0}&quot;</ETag><Size>5</Size></Part>"
        more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>"
        pages = [f"<R>{part.format(1)}{part.format(2)}{more}</R>", f"<R xmlns='u'>{part.format(3)}</R>"]
        url, double = scripted(*((200, {}, page) for page in pages))
        sender = Sender(None, 5)
        with sender.session:
            found = Store(sender).list_parts(SignedRequest("GET", f"{url}/k?uploadId=u", {}))
        assert [(one.number, one.etag) for one in found] == [(1, '"e1"'), (2, '"e2"'), (3, '"e3"')]
        assert [one["QUERY_STRING"] for one in double.asked] == ["uploadId=u", "uploadId=u&part-number-marker=2"]

    def test_failed_after_all(self, scripted):
        """A complete that fails after its 200 was sent is a failure."""
        url, _ = scripted((200, {}, "<Error><Code>InternalError</Code></Error>"))
        sender = Sender(None, 5)
        with sender.session, pytest.raises(StoreError) as refusal:
            Store(sender).complete(SignedRequest("POST", f"{url}/k?uploadId=u", {}), {1: '"e"'})
        assert (refusal.value.code, refusal.value.transient) == ("InternalError", True)


class TestPartUrls:
    """How signed parts are asked for."""

    def test_several(self):
        """Several at a time, none twice, none that is not wanted."""
        asked = []

        def ask(first, last):
            asked.append((first, last))
            return [SignedRequest("PUT", f"u{number}", {}, number) for number in range(first, last + 1)]

        urls = PartUrls(ask, [1, 2, 3, 5, 6], 2)
        assert [urls.take(number).url for number in (1, 2, 3, 5, 6)] == ["u1", "u2", "u3", "u5", "u6"]
        assert asked == [(1, 2), (3, 3), (5, 6)]

    def test_rate(self):
        """A rate that has no room for several has room for one."""

        def ask(first, last):
            if first != last:
                raise RateLimited(429, "rate_limited", "no")
            return [SignedRequest("PUT", "u", {}, first)]

        assert PartUrls(ask, [1, 2], 8).take(1).part_number == 1


def _members(state):
    return {name: getattr(state, name) for name in UploadState.__dataclass_fields__}


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_no_file(client, tmp_path, kind):
    """What cannot be read twice is refused before the broker is asked."""
    path = tmp_path if kind == "folder" else tmp_path / "missing"
    with pytest.raises(LocalFileError):
        client.upload_file("files", path, inputs={"name": "a"})


GIVEN = {"bucket": "b-1", "region": "r", "key": "k", "expires_in": 60, "expires_at": "2026-01-01T00:00:00Z"}


class Sink:
    """A broker and a COS in one that reads every part and keeps nothing."""

    def __init__(self, vends):
        self.vends = vends
        self.read = 0
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        """WSGI."""
        body, headers = b"", []
        path, length = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH") or 0)
        here = f"http://{environ['HTTP_HOST']}"
        if path == "/v1":
            described = {"route": "r", "description": "", "vends": self.vends, "methods": ["PUT"], "inputs": {}}
            body = json.dumps({"routes": [{**described, "content": {}, "headers": {}, "params": {}, "expires": {}}]})
        elif path.startswith("/v1/"):
            ask = json.loads(environ["wsgi.input"].read(length))
            numbers = range(ask.get("parts", {"from": 0})["from"], ask.get("parts", {"to": 0})["to"] + 1)
            signed = [
                {"method": "POST" if not n else "PUT", "url": f"{here}/k?n={n}", "headers": {}, "part_number": n}
                for n in numbers
            ]
            step = {"step": ask.get("step"), "requests": signed, "part_bytes": 8 * MIB}
            body = json.dumps({**GIVEN, **step, "method": "PUT", "url": f"{here}/k?n=1", "headers": {}})
        elif environ["REQUEST_METHOD"] == "PUT":
            while block := environ["wsgi.input"].read(MIB):
                with self._lock:
                    self.read += len(block)
            headers = [("ETag", '"e"')]
        else:
            body = "<R><UploadId>u</UploadId><ETag>e</ETag></R>"
        data = body.encode() if body else b""
        start_response("200 OK", [*headers, ("Content-Length", str(len(data)))])
        return [data]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("vends", [["url"], ["multipart"]])
def test_memory(tmp_path, vends):
    """An upload of 512 MB stays under 100 MB, whole or in parts."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(512 * MIB)
    script = (
        "import sys\nfrom pathlib import Path\nfrom broker.client import BrokerClient\n"
        "with BrokerClient(sys.argv[1], 'a.b') as client:\n"
        "    client.upload_file('r', sys.argv[2], key='k')\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    sink = Sink(vends)
    with served(sink) as url:
        command = [sys.executable, "-c", script, url, str(path)]
        told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert told.stderr == ""
    assert sink.read == 512 * MIB
    assert int(told.stdout) < 100 * 1024
