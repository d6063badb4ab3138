"""Where Redis is, read from a URL: what each part means, and what is no URL of ours."""

from __future__ import annotations

import pytest

from broker.fleet.topology import SCHEMES, Topology, TopologyError, parse

SECRET = "S3cretOfTheFleet"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6380",
        "redis://h:1/0",
        "redis://h:65535/15",
        "redis://h/",
        "redis://user:p%40%2F%3A@h/1",
        "redis://:p@h",
        "redis://user@h",
        "redis://h?db=3",
        "redis://[::1]:6380/2",
        "rediss://h:6380/1",
        "rediss://h?ssl_ca_certs=/etc/ca.pem",
        "rediss://h?ssl_certfile=/c.pem&ssl_keyfile=/k.pem&db=2",
        "unix:///run/redis.sock",
        "unix://user:p@/run/redis.sock?db=4",
    ],
)
def test_single_server(url: str) -> None:
    """One server's URL is kept as it is, for the library to read."""
    topology = parse(url)
    assert (topology.scheme, topology.url) == (url.partition(":")[0], url)
    assert (topology.nodes, topology.service, topology.username, topology.password) == ((), "", None, None)
    assert not topology.clustered


@pytest.mark.parametrize(
    ("url", "nodes", "service", "database", "username", "password"),
    [
        ("redis+sentinel://h/s", [("h", 26379)], "s", 0, None, None),
        ("redis+sentinel://h:1/s/15", [("h", 1)], "s", 15, None, None),
        ("redis+sentinel://h:65535,i,[::1]:7,[::2]/s", [("h", 65535), ("i", 26379), ("::1", 7), ("::2", 26379)], "s", 0,
         None, None),
        ("redis+sentinel://user:p%40%2F%3A%2C@h/my%2Fservice/", [("h", 26379)], "my/service", 0, "user", "p@/:,"),
        ("redis+sentinel://:p@h/s", [("h", 26379)], "s", 0, None, "p"),
        ("redis+sentinel://user:p@q:r@h/s", [("h", 26379)], "s", 0, "user", "p@q:r"),
        ("redis+cluster://h", [("h", 6379)], "", 0, None, None),
        ("redis+cluster://h/", [("h", 6379)], "", 0, None, None),
        ("redis+cluster://h:1,i,[::1]", [("h", 1), ("i", 6379), ("::1", 6379)], "", 0, None, None),
        ("redis+cluster://us%65r:%70@h,i:2", [("h", 6379), ("i", 2)], "", 0, "user", "p"),
        ("redis+cluster://user:@h", [("h", 6379)], "", 0, "user", ""),
        ("redis+cluster://user@h", [("h", 6379)], "", 0, "user", None),
    ],
)  # fmt: skip
def test_several_servers(
    url: str,
    nodes: list[tuple[str, int]],
    service: str,
    database: int,
    username: str | None,
    password: str | None,
) -> None:
    """Hosts with their default ports, the service, the database and the account are read here."""
    topology = parse(url)
    assert topology == Topology(url.partition(":")[0], "", tuple(nodes), service, database, username, password)
    assert topology.clustered == url.startswith("redis+cluster")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with redis://, rediss://, unix://, redis+sentinel://, redis+cluster://"),
        ("h:6379", "must begin with"),
        ("redis:h", "must begin with"),
        ("redis", "must begin with"),
        ("REDIS://h", "must begin with"),
        ("valkey://h", "must begin with"),
        ("redis+clusters://h", "must begin with"),
        (" redis://h", "must begin with"),
        ("redis://", "must hold a host after redis://"),
        ("redis:///0", "must hold a host after redis://"),
        ("rediss://:p@", "must hold a host after rediss://"),
        ("redis://h:0", "must hold a host after redis://"),
        ("redis://h:65536", "must hold a host and a port 1..65535"),
        ("redis://h:x", "must hold a host and a port 1..65535"),
        ("redis://h:1,i:2", "must hold a host and a port 1..65535"),
        ("redis://[::1", "must hold a host and a port 1..65535"),
        ("redis://h/x", "must end in the number of a database"),
        ("redis://h/-1", "must end in the number of a database"),
        ("redis://h/1/2", "must end in the number of a database"),
        ("redis://h/\u0663", "must end in the number of a database"),
        ("redis://h?db=x", "must end in the number of a database"),
        ("unix:///s?db=1&db=x", "must end in the number of a database"),
        ("redis://h?socket_timeout=60", "takes the options db alone"),
        ("redis://h?ssl_ca_certs=/x", "takes the options db alone"),
        ("unix:///s?ssl_ca_certs=/x", "takes the options db alone"),
        ("rediss://h?ssl_cert_reqs=none", "takes the options db, ssl_ca_certs, ssl_certfile, ssl_keyfile alone"),
        ("rediss://h?ssl_check_hostname=", "takes the options"),
        ("redis://h/0#x", "must hold no #"),
        ("unix://", "must hold an absolute path after unix://"),
        ("unix://run/redis.sock", "must hold an absolute path after unix://"),
        ("unix://user:p@host/s", "must hold an absolute path after unix://"),
        ("redis+sentinel://h", "must end in /SERVICE or /SERVICE/DATABASE"),
        ("redis+sentinel://h/", "must end in /SERVICE or /SERVICE/DATABASE"),
        ("redis+sentinel://h/s/0/1", "must end in /SERVICE or /SERVICE/DATABASE"),
        ("redis+sentinel://h/s/x", "must end in the number of a database"),
        ("redis+sentinel://user:12/x@h", "must hold no @ after its hosts"),
        ("redis+sentinel:///s", "must hold hosts as host:port"),
        ("redis+sentinel://h,/s", "must hold hosts as host:port"),
        ("redis+sentinel://h:x/s", "must hold hosts as host:port, with commas between, ports 1..65535"),
        ("redis+sentinel://h/s?db=1", "redis+sentinel:// takes no options"),
        ("redis+sentinel://h/s#", "redis+sentinel:// takes no options"),
        ("redis+cluster://", "must hold hosts as host:port"),
        ("redis+cluster://:p@", "must hold hosts as host:port"),
        ("redis+cluster://h:0", "must hold hosts as host:port"),
        ("redis+cluster://h:65536", "must hold hosts as host:port, with commas between, ports 1..65535"),
        ("redis+cluster://h,,i", "must hold hosts as host:port"),
        ("redis+cluster://h/0", "a cluster has no database"),
        ("redis+cluster://h?db=0", "redis+cluster:// takes no options"),
    ],
)
def test_no_url_of_ours(url: str, message: str) -> None:
    """Anything else is refused, and it is said what there should be."""
    with pytest.raises(TopologyError) as refused:
        parse(url)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("character", ["/", "?", "#"])
@pytest.mark.parametrize("number", ["", "12"])
def test_password_that_is_not_encoded(scheme: str, character: str, number: str) -> None:
    """A password whose own delimiters are not encoded is refused, not cut in two, and no message quotes it."""
    tail = {"unix": "/run/redis.sock", "redis+sentinel": "h/service"}.get(scheme, "h")
    with pytest.raises(TopologyError) as refused:
        parse(f"{scheme}://user:{number}{character}{SECRET}@{tail}")
    assert SECRET not in str(refused.value)
    assert "12" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}@h:x",
        f"redis://user:{SECRET}@h/x",
        f"redis://user:{SECRET}@h?{SECRET}=1",
        f"{SECRET}://user@h",
        f"unix://user:{SECRET}@host/path",
        f"redis+sentinel://user:{SECRET}@h:x/{SECRET}",
        f"redis+sentinel://user:{SECRET}@h/s/{SECRET}",
        f"redis+cluster://user:{SECRET}@h/{SECRET}",
        f"redis+cluster://user:{SECRET}@h?{SECRET}",
    ],
)
def test_message(url: str) -> None:
    """No message quotes the URL."""
    with pytest.raises(TopologyError) as refused:
        parse(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_representation(scheme: str) -> None:
    """A topology shows no password."""
    tail = {"unix": "/run/redis.sock", "redis+sentinel": "h/service"}.get(scheme, "h")
    shown = repr(parse(f"{scheme}://user:{SECRET}@{tail}"))
    assert scheme in shown
    assert SECRET not in shown
