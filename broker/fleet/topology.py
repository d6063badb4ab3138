"""Where Redis is: one server, a master that Sentinels know, or a cluster. Read from a URL, without asking anybody.

redis://[user:password@]host[:port][/database]     rediss:// the same with TLS     unix://[user:password@]/path
redis+sentinel://[user:password@]host[:port],...   /service[/database]             the password is the servers'
redis+cluster://[user:password@]host[:port],...
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
# Others would override our time-outs and retries.
_OPTIONS = {"redis": {"db"}, "rediss": {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}, "unix": {"db"}}
_ENCODED = "a password's own / ? # @ are percent-encoded"
_DEFAULT_PORTS = {"redis+sentinel": 26379, "redis+cluster": 6379}

Node = tuple[str, int]


class TopologyError(ValueError):
    """A URL that names no Redis; the message does not quote it, since it may hold a password."""


@dataclass(frozen=True, slots=True)
class Topology:
    """`url` is for a single server alone; `nodes` are the Sentinels, or those of the cluster to begin with."""

    scheme: str
    url: str = field(repr=False)
    nodes: tuple[Node, ...] = ()
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def clustered(self) -> bool:
        """Whether keys are spread over several servers."""
        return self.scheme == "redis+cluster"


def parse(url: str) -> Topology:
    """The topology that a URL names. Raises TopologyError."""
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        got = f", got {scheme}://" if re.fullmatch(r"[a-z+]{1,20}", scheme) and "://" in url else ""
        raise TopologyError(f"must begin with {', '.join(f'{known}://' for known in SCHEMES)}{got}")
    return _several(scheme, url) if scheme in _DEFAULT_PORTS else _single(scheme, url)


def _single(scheme: str, url: str) -> Topology:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise TopologyError("must hold a host and a port 1..65535") from None
    if scheme == "unix" and (host or not parts.path):
        raise TopologyError("must hold an absolute path after unix://")
    if scheme != "unix" and (not host or port == 0):
        raise TopologyError(f"must hold a host after {scheme}://")
    options = parse_qs(parts.query, keep_blank_values=True)
    if set(options) - _OPTIONS[scheme]:
        raise TopologyError(f"takes the options {', '.join(sorted(_OPTIONS[scheme]))} alone")
    for database in [*options.get("db", []), *([] if scheme == "unix" else [parts.path.strip("/")])]:
        _database(database)
    if parts.fragment:
        raise TopologyError(f"must hold no # ({_ENCODED})")
    return Topology(scheme, url)


def _several(scheme: str, url: str) -> Topology:
    rest = url.partition("://")[2]
    if "?" in rest or "#" in rest:
        raise TopologyError(f"{scheme}:// takes no options")
    authority, _, path = rest.partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    username, separator, password = userinfo.partition(":")
    segments = [unquote(segment) for segment in path.split("/") if segment]
    if "@" in path:
        raise TopologyError(f"must hold no @ after its hosts ({_ENCODED})")
    if scheme == "redis+cluster" and segments:
        raise TopologyError("a cluster has no database: must end after its hosts")
    if scheme == "redis+sentinel" and not 1 <= len(segments) <= 2:
        raise TopologyError("must end in /SERVICE or /SERVICE/DATABASE")
    return Topology(
        scheme,
        url="",
        nodes=tuple(_node(host, _DEFAULT_PORTS[scheme]) for host in hosts.split(",")),
        service=segments[0] if segments else "",
        database=_database(segments[1]) if len(segments) > 1 else 0,
        username=unquote(username) or None,
        password=unquote(password) if separator else None,
    )


def _node(text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise TopologyError("must hold hosts as host:port, with commas between, ports 1..65535") from None
    if not host or port == 0:
        raise TopologyError("must hold hosts as host:port, with commas between")
    return host, port or default_port


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise TopologyError(f"must end in the number of a database ({_ENCODED})")
    return int(text or 0)
