"""The server: hosts and buckets, CORS, sockets, and what it must never do."""

import http.client
import logging
import socket
import threading

import pytest
import requests

from broker.cos.cors import Rule
from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from broker.errors import ConfigurationError

ACCOUNT = ("AKIDEXAMPLE", "SKEXAMPLE00000000000000000000000")
BUCKET = "examplebucket-1250000000"
OTHER = "other-1250000000"


class TestHost:
    """Which bucket a request means."""

    @pytest.mark.parametrize("host", [f"{BUCKET}.localhost:9000", f"{BUCKET.upper()}.cos.ap-guangzhou.myqcloud.com"])
    def test_names_the_bucket(self, world, host):
        """A host that begins with the bucket's name needs nothing else; it creates the bucket."""
        assert world.send("PUT", "a", host=host).status_code == 200
        assert world.send("GET", "a", host="127.0.0.1:9000").status_code == 200

    def test_no_bucket(self, world, error_code):
        """A bare host with no bucket yet says so."""
        response = world.send("PUT", "a", host="127.0.0.1:9000")
        assert error_code(response) == "NoSuchBucket"
        assert b"known: none" in response.data

    def test_two_buckets(self, make_world):
        """A bare host with two buckets names them; each is still reached by its own host."""
        world = make_world(buckets={BUCKET: "ap-guangzhou", OTHER: "ap-guangzhou"})
        assert f"known: {BUCKET}, {OTHER}".encode() in world.send("PUT", "a", host="localhost").data
        assert world.send("PUT", "a", host=f"{OTHER}.localhost").status_code == 200

    def test_given(self, make_world):
        """A bucket may be given at the start."""
        assert make_world(buckets={BUCKET: "ap-guangzhou"}).send("PUT", "a", host="localhost").status_code == 200

    def test_session_policy(self, world):
        """A session policy that names a bucket makes it known, with its region."""
        key = world.federate(world.document("PutObject"))
        assert world.send("PUT", "dir/a", by=key, host="localhost").status_code == 200

    def test_refused_request(self, world):
        """A request that was refused brings no bucket into being."""
        key = world.federate(world.document("PutObject"))
        assert world.send("PUT", "dir/a", by=key, host=f"{OTHER}.localhost").status_code == 403
        assert world.send("PUT", "dir/a", by=key, host="localhost").status_code == 200


class TestCors:
    """Rules such as `broker cors` prints; without one of them everything that they can hold, for any origin."""

    def test_preflight(self, world):
        """A browser's question is answered unsigned."""
        headers = {
            "Host": f"{BUCKET}.localhost",
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,x-cos-security-token",
        }
        answer = world.http.options("/dir/a", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT, POST, DELETE, HEAD"
        assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-cos-security-token"
        assert answer.headers["Access-Control-Max-Age"] == "600"
        assert "Origin" in answer.headers["Vary"]

    @pytest.mark.parametrize("headers", [{}, {"Origin": "https://a.example", "Access-Control-Request-Method": "PATCH"}])
    def test_no_match(self, world, headers):
        """Without an origin, or for another method, there is no rule."""
        assert world.http.options("/dir/a", headers=headers).status_code == 403

    RULE = Rule("avatars", ("https://app.example",), ("PUT",), ("Content-Type", "x-cos-forbid-overwrite"))

    OTHER = Rule("reports", ("https://app.example", "https://other.example"), ("HEAD",), ("x-cos-acl",))

    @pytest.mark.parametrize(
        ("origin", "method", "headers", "status"),
        [
            ("https://app.example", "PUT", "content-type,x-cos-forbid-overwrite", 200),
            ("https://app.example", "PUT", None, 200),
            ("https://app.example", "PUT", "content-type,x-cos-acl", 403),
            ("https://app.example", "GET", None, 403),
            ("https://evil.example", "PUT", "content-type", 403),
            ("https://other.example", "PUT", None, 403),
        ],
    )
    def test_rule(self, make_world, origin, method, headers, status):
        """A preflight is answered as one of the bucket's rules says, and pages of their origins alone read answers."""
        world = make_world(rules=lambda: (self.OTHER, self.RULE))
        sent = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        sent = {name: value for name, value in sent.items() if value is not None}
        answer = world.http.options("/a", headers={"Host": f"{BUCKET}.localhost", **sent})
        assert answer.status_code == status
        if status == 200:
            assert answer.headers["Access-Control-Allow-Methods"] == "PUT"
            assert answer.headers.get("Access-Control-Allow-Headers") == headers
        shared = world.send("PUT", "a", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")
        assert shared == (origin if origin in self.OTHER.origins else None)

    @pytest.mark.parametrize("key", ["found", "missing"])
    def test_answer(self, world, key):
        """The page may read answers and refusals, and the ETag."""
        world.send("PUT", "found")
        answer = world.send("GET", key, headers={"Origin": "https://app.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert answer.headers["Access-Control-Expose-Headers"] == "ETag, Content-Length, x-cos-request-id"

    def test_no_origin(self, world):
        """Others get no such headers."""
        assert "Access-Control-Allow-Origin" not in world.send("PUT", "a").headers


class TestSocket:
    """Listening, and HTTP/1.1."""

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com", ""])
    def test_not_loopback(self, host):
        """It never listens where others could reach it."""
        with pytest.raises(ConfigurationError, match="must be a loopback address"):
            Emulator(ACCOUNT, host=host)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_loopback(self, host):
        """Loopback it takes, and says where it is."""
        with Emulator(ACCOUNT, host=host) as emulator:
            assert emulator.url == f"http://{host}:{emulator.port}"
            assert requests.get(f"{emulator.url}/_emulator/stats", timeout=5).json() == {"sts": {}, "cos": {}}

    def test_port_taken(self, server):
        """A port that is taken is one clear line, not a second server that shares it."""
        with pytest.raises(ConfigurationError, match=str(server.port)):
            Emulator(ACCOUNT, port=server.port).start()

    def test_stop(self):
        """After stop() nothing answers, not even on a connection that was open."""
        emulator = Emulator(ACCOUNT)
        emulator.start()
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)
        connection.request("GET", "/_emulator/stats")
        connection.getresponse().read()
        emulator.stop()
        with pytest.raises((http.client.HTTPException, OSError)):
            _status(connection)
        connection.close()

    def test_start_again(self):
        """It can be started again, objects and all."""
        emulator = Emulator(ACCOUNT)
        for _ in range(2):
            with emulator:
                assert requests.get(f"{emulator.url}/_emulator/stats", timeout=5).status_code == 200
        with pytest.raises(RuntimeError, match="not started"):
            _ = emulator.port

    def test_delayed_answer_at_stop(self):
        """A delay that was ordered does not hold up the end."""
        emulator = Emulator(ACCOUNT, buckets={BUCKET: "ap-guangzhou"})
        before = set(threading.enumerate())
        emulator.start()
        emulator.order_fault(Fault("cos", 1, delay_seconds=600))
        with socket.create_connection(("127.0.0.1", emulator.port), timeout=5) as connection:
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            arrived = threading.Event()
            watcher = threading.Thread(target=_until, args=(lambda: emulator.stats()["cos"], arrived), daemon=True)
            watcher.start()
            assert arrived.wait(5)
            emulator.stop()
        for thread in set(threading.enumerate()) - before:
            thread.join(1)
            assert not thread.is_alive()

    def test_keep_alive(self, server):
        """One connection serves many requests, also after a body that nobody read."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.connect()
        first = connection.sock
        for body in (None, b"x" * 300_000, iter([b"chunk"] * 3)):
            connection.request("PUT", "/a", body=body, encode_chunked=True, headers={"Host": f"{BUCKET}.localhost"})
            response = connection.getresponse()
            assert (response.status, response.version) == (403, 11)
            response.read()
            assert connection.sock is first
        connection.close()

    def test_connection_close(self, server):
        """A caller that wants no more says so, and is told the same."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/_emulator/stats", headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        assert response.headers["Connection"] == "close"
        connection.close()

    def test_body_cut_short(self, server, error_code):
        """A client that leaves within its body leaves nothing behind."""
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 404")

    @pytest.mark.parametrize("path", ["//dir/a", "/a/../b", "/./a", "http://localhost/a"])
    def test_path_as_sent(self, server, path):
        """Paths are not folded on the way: what was refused names the path that was sent."""
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {BUCKET}.localhost\r\nConnection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read().decode()
        assert "<Code>AccessDenied</Code>" in answer or "<Code>NoSuchBucket</Code>" in answer
        assert f"{path.removeprefix('http://localhost')}</Resource>" in answer

    def test_log(self, server, caplog):
        """The log names methods and paths, never a query: it holds signatures and tokens."""
        caplog.set_level(logging.DEBUG)
        requests.get(f"{server.url}/secret.txt?q-signature=5ab3&x-cos-security-token=TOKEN", timeout=5)
        lines = [record.getMessage() for record in caplog.records if record.name == "broker.emulator"]
        assert lines == ["GET /secret.txt 404"]


def _status(connection):
    connection.request("GET", "/_emulator/stats")
    return connection.getresponse().status


def _until(condition, event):
    while not condition():
        event.wait(0.001)
    event.set()


def test_failure_of_its_own(make_world, caplog):
    """A bug of the emulator is a 500 and a line in its log, not a dead server."""
    world = make_world(data_dir=DataThatFails())
    assert world.send("PUT", "a").status_code == 500
    assert [record.getMessage() for record in caplog.records] == ["the emulator failed"]
    assert world.send("GET", "a").status_code == 404


class DataThatFails:
    """A folder that cannot be written."""

    def mkdir(self, **how):
        """There already."""

    def glob(self, pattern):
        """Empty."""
        return []

    def __truediv__(self, name):
        raise OSError("no space left")
