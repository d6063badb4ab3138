"""The emulator's own paths: counts, ordered failures, a fresh start."""

import pytest

from broker.emulator.faults import Fault, Faults, parse

HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"


def order(world, **fault):
    """The answer to an order, on a loopback Host."""
    return world.http.post("/_emulator/faults", json=fault, headers={"Host": "localhost:9000"})


class TestAccess:
    """Who may use them."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Host": "127.0.0.1:9000"}, 200),
            ({"Host": "localhost"}, 200),
            ({"Host": "[::1]:9000"}, 200),
            ({"Host": "localhost", "Origin": "http://localhost"}, 403),
            ({"Host": HOST}, 403),
            ({"Host": "localhost.example.com"}, 403),
            ({"Host": "127.0.0.1.example.com"}, 403),
            ({"Host": "[::1"}, 403),
        ],
    )
    @pytest.mark.parametrize(("method", "path"), [("GET", "stats"), ("POST", "reset")])
    def test_headers(self, world, headers, status, method, path):
        """A loopback Host and no Origin; no page of any site has both."""
        response = world.http.open(f"/_emulator/{path}", method=method, headers=headers)
        assert response.status_code == status
        assert "Access-Control-Allow-Origin" not in response.headers

    def test_unknown_path(self, world):
        """Other paths, and other methods, say what there is."""
        for method, path in (("GET", "reset"), ("POST", "stats"), ("GET", "x")):
            response = world.http.open(f"/_emulator/{path}", method=method, headers={"Host": "localhost"})
            assert response.status_code == 404
            assert "POST reset" in response.json["error"]


def test_stats(world):
    """Every request that reached an action is counted, refused ones too; what is no action is not."""
    key = world.federate(world.document("PutObject"))
    world.send("PUT", "dir/a", by=key)
    world.send("PUT", "other", by=key)
    world.http.get("/a", headers={"Host": HOST})
    world.sts("GetCallerIdentity", {})
    response = world.http.get("/_emulator/stats", headers={"Host": "localhost"})
    assert response.json == {"sts": {"GetFederationToken": 1}, "cos": {"PutObject": 2, "GetObject": 1}}
    assert response.json == world.emulator.stats()


class TestFaults:
    """Failures on order."""

    def test_sts(self, world):
        """The next calls fail with the code, then all is well; COS is not touched."""
        assert order(world, target="sts", code="RequestLimitExceeded", count=2).status_code == 200
        role = {"RoleArn": "qcs::cam::uin/1:role/1", "RoleSessionName": "broker"}
        assert world.send("PUT", "a").status_code == 200
        codes = [world.sts("AssumeRole", role).get("Error", {}).get("Code") for _ in range(3)]
        assert codes == ["RequestLimitExceeded", "RequestLimitExceeded", None]
        assert world.emulator.stats()["sts"] == {"AssumeRole": 3}

    def test_cos(self, world, error_code):
        """COS answers an ordered code with its own status."""
        order(world, target="cos", code="SlowDown", count=1)
        response = world.send("PUT", "a")
        assert (response.status_code, error_code(response)) == (503, "SlowDown")
        assert world.send("PUT", "a").status_code == 200

    def test_in_turn(self, world):
        """Orders for one target are carried out one after the other."""
        world.emulator.order_fault(Fault("cos", 1, "SlowDown"))
        world.emulator.order_fault(Fault("cos", 1, "InternalError"))
        assert [world.send("PUT", "a").status_code for _ in range(3)] == [503, 500, 200]

    def test_delay(self):
        """A delay comes before the code, or alone, and only as often as ordered."""
        waited = []
        faults = Faults(waited.append)
        faults.order(Fault("cos", 1, "SlowDown", delay_seconds=2.5))
        faults.order(Fault("cos", 1, delay_seconds=7))
        assert [faults.meet("cos") for _ in range(3)] == ["SlowDown", None, None]
        assert waited == [2.5, 7]

    def test_order(self):
        """An order in JSON is the fault it says."""
        order = {"target": "sts", "code": "InternalError.DbError", "delay_seconds": 0.5, "count": 3}
        assert parse(order) == Fault("sts", 3, "InternalError.DbError", 0.5)

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"target": "sts", "count": 1}, "code, delay_seconds or both"),
            ({"target": "sts", "code": "X"}, "target and count are required"),
            ({"target": "redis", "code": "X", "count": 1}, "target must be one of sts, cos, got 'redis'"),
            ({"target": "sts", "code": "X", "count": 0}, "count must be a positive integer, got 0"),
            ({"target": "sts", "code": "X", "count": True}, "count must be a positive integer"),
            ({"target": "sts", "code": "X", "count": 1, "status": 500}, "unknown member 'status'"),
            ({"target": "sts", "code": "a b", "count": 1}, "STS error code"),
            ({"target": "sts", "code": 7, "count": 1}, "STS error code"),
            ({"target": "cos", "code": "Slow", "count": 1}, "SlowDown"),
            ({"target": "cos", "delay_seconds": -1, "count": 1}, "from 0 to 600"),
            ({"target": "cos", "delay_seconds": "1", "count": 1}, "from 0 to 600"),
        ],
    )
    def test_refused_order(self, world, fault, says):
        """An order that cannot be carried out is refused, with what would be legal, and nothing fails after it."""
        response = order(world, **fault)
        assert response.status_code == 400
        assert says in response.json["error"]
        assert world.send("PUT", "a").status_code == 200

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
    def test_no_order(self, world, body):
        """So is what is no order at all."""
        assert world.http.post("/_emulator/faults", data=body, headers={"Host": "localhost"}).status_code == 400


def test_reset(world):
    """Objects, counts and faults are forgotten; what STS issued stays valid, and so does its bucket."""
    key = world.federate(world.document("*"))
    world.send("PUT", "dir/a", by=key)
    order(world, target="cos", code="SlowDown", count=9)
    assert world.http.post("/_emulator/reset", headers={"Host": "localhost"}).json == {}
    assert world.emulator.stats() == {"sts": {}, "cos": {}}
    assert world.send("GET", "dir/a", by=key, host="127.0.0.1").status_code == 404
    assert world.send("PUT", "dir/a", by=key, host="127.0.0.1").status_code == 200


def test_reset_without_sessions(world, error_code):
    """Buckets that only old requests knew are forgotten."""
    world.send("PUT", "a")
    world.emulator.reset()
    response = world.send("GET", "a", host="127.0.0.1")
    assert error_code(response) == "NoSuchBucket"
