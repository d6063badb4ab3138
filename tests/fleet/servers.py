"""Real servers of our own, in every topology; each can be killed, made to hang and let go on.

Every server runs below a small shell that reads from a pipe of ours. However this process ends, the pipe closes then,
and the shell ends its server and removes its folder.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.crc import key_slot
from redis.maint_notifications import MaintNotificationsConfig

from broker.local import redis_binary

HOST = "127.0.0.1"
SERVICE = "fleet"
SLOTS = 16_384

_START_SECONDS = 20.0
_POLL_SECONDS = 0.01
_TRIES = 3  # of a free port, which somebody else may take before the server does
_SHELL = 'exec 2>/dev/null; "$@" </dev/null >"$0/log" 2>&1 & echo $!; read -r _; kill -9 $!; wait $!; rm -rf -- "$0"'


def until(ready: Callable[[], Any], what: str, seconds: float = _START_SECONDS) -> Any:
    """What `ready` gives as soon as it is true of it; `what` is missed if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(_POLL_SECONDS)
    return answer


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]


@dataclass(eq=False)
class Server:
    """One process. `port` is 0 for one on a Unix socket, `bus_port` is for the other nodes of its cluster."""

    url: str
    port: int
    bus_port: int
    folder: Path
    pid: int
    _shell: subprocess.Popen[str] = field(repr=False)

    def client(self) -> redis.Redis:
        """A plain client, patient and without a breaker; to be closed."""
        quiet = MaintNotificationsConfig(enabled=False)  # which no server of ours has
        return redis.Redis.from_url(self.url, socket_timeout=_START_SECONDS, maint_notifications_config=quiet)

    def ask(self, *command: str | int) -> Any:
        """The answer to one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def told(self, *command: str | int) -> Any:
        """The answer to one command, or the error."""
        try:
            return self.ask(*command)
        except redis.RedisError as error:
            return error

    def info(self, section: str) -> dict[str, Any]:
        """One section of what it tells about itself."""
        with self.client() as client:
            return dict(client.info(section))

    def is_replica(self) -> bool:
        """Whether it follows a master; whoever becomes one closes all connections."""
        role = self.told("ROLE")
        return isinstance(role, list) and role[0] == b"slave"

    def accepts(self) -> bool:
        """Whether it takes connections."""
        with socket.socket(socket.AF_INET if self.port else socket.AF_UNIX) as probe:
            return probe.connect_ex((HOST, self.port) if self.port else str(self.folder / "socket")) == 0

    def kill(self) -> None:
        """End it at once; afterwards nobody listens."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not self.accepts(), "the server's port is closed")

    def hang(self) -> None:
        """Let it stand still: connections are taken, since the kernel does that, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: self._state() in "T?", "the server stands still")

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it stand still for a while."""
        self.hang()
        try:
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        """Let it work again."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and its shell, and remove its folder."""
        self._shell.communicate()

    def came_up(self) -> bool:
        """Whether it takes connections before long, and is not somebody else on the same port."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.accepts():
            if time.monotonic() > deadline or self._state() == "Z":
                return False
            time.sleep(_POLL_SECONDS)
        return bool(self.info("server")["process_id"] == self.pid)

    def _state(self) -> str:
        status = Path(f"/proc/{self.pid}/stat")  # Linux alone has it
        return status.read_text().rpartition(")")[2].split()[0] if status.exists() else "?"


@contextlib.contextmanager
def server(
    *options: str | int, tcp: bool = True, port: int = 0, bus: bool = False, config: str | None = None
) -> Iterator[Server]:
    """A server that takes connections, on `port` or a free one, or on a Unix socket.

    `bus`: with a second port, for a cluster; `config`: the text of its configuration file.
    """
    with contextlib.ExitStack() as stack:
        for left in reversed(range(_TRIES)):
            started = _start(options, tcp=tcp, port=port, bus=bus, config=config)
            stack.callback(started.stop)
            if started.came_up():
                break
            assert left, f"the server did not start: {(started.folder / 'log').read_text()}"
        yield started


def _start(options: Sequence[str | int], *, tcp: bool, port: int, bus: bool, config: str | None) -> Server:
    folder = Path(tempfile.mkdtemp(prefix="broker-fleet-"))
    free, bus_port = free_ports(2)
    port = (port or free) if tcp else 0
    arguments: list[str | int] = ["--port", port, "--bind", HOST, "--dir", str(folder)]
    if config is None:
        arguments += ["--save", "", "--appendonly", "no"]
    else:
        (folder / "config").write_text(config)
        arguments.insert(0, str(folder / "config"))
    if bus:
        arguments += ["--cluster-enabled", "yes", "--cluster-port", bus_port]
    if not tcp:
        arguments += ["--unixsocket", str(folder / "socket"), "--unixsocketperm", "700"]
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _SHELL, str(folder), redis_binary(), *map(str, [*arguments, *options])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests, which end it
    )
    assert shell.stdout is not None
    url = f"redis://{HOST}:{port}" if tcp else f"unix://{folder / 'socket'}"
    return Server(url, port, bus_port, folder, int(shell.stdout.readline()), shell)


@dataclass(frozen=True)
class Trio:
    """A master, two replicas, and three Sentinels that watch them."""

    url: str
    master: Server
    replicas: list[Server]
    sentinels: list[Server]

    def masters(self) -> set[int]:
        """The ports of whom the Sentinels take for the master: one, if they agree and are done with a failover."""
        return {int(_state(sentinel)["port"]) for sentinel in self.sentinels}


@contextlib.contextmanager
def sentinel_trio(down_after_milliseconds: int = 600) -> Iterator[Trio]:
    """Three Sentinels that agree by two, and know each other and both replicas."""
    at_once = ("--repl-diskless-sync-delay", 0)
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(server(*at_once))
        replicas = [stack.enter_context(server("--replicaof", HOST, master.port, *at_once)) for _ in range(2)]
        until(lambda: all(_follows(replica) for replica in replicas), "the replicas follow their master")
        config = (
            f"sentinel monitor {SERVICE} {HOST} {master.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_milliseconds}\n"
            f"sentinel failover-timeout {SERVICE} 4000\n"
        )
        sentinels = [stack.enter_context(server("--sentinel", config=config)) for _ in range(3)]
        for sentinel in sentinels:
            # Of 7.0 and later; the others take their time.
            sentinel.told("SENTINEL", "DEBUG", "PUBLISH-PERIOD", 100, "INFO-PERIOD", 200, "ASK-PERIOD", 100)
        until(lambda: all(_is_complete(sentinel) for sentinel in sentinels), "the Sentinels know each other")
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in sentinels)
        yield Trio(f"redis+sentinel://{hosts}/{SERVICE}", master, replicas, sentinels)


def _follows(replica: Server) -> bool:
    return replica.info("replication").get("master_link_status") == "up"


def _state(sentinel: Server) -> Any:
    with sentinel.client() as client:
        return client.sentinel_master(SERVICE)


def _is_complete(sentinel: Server) -> bool:
    state = _state(sentinel)
    return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 2)


_SHARE = SLOTS // 3


@dataclass(frozen=True)
class Cluster:
    """Three masters with a third of the slots each; `replicas[n]` follows `masters[n]`."""

    url: str
    masters: list[Server]
    replicas: list[Server]

    def holder(self, name: str) -> Server:
        """The master of a key, as the slots were first given out."""
        return self.masters[min(key_slot(name.encode()) // _SHARE, 2)]

    @contextlib.contextmanager
    def joined(self) -> Iterator[Server]:
        """One more master, which holds nothing yet and which all others know."""
        with server(bus=True) as new:
            for node in (*self.masters, *self.replicas):
                new.ask("CLUSTER", "MEET", HOST, node.port, node.bus_port)
            name = new.ask("CLUSTER", "MYID")
            until(lambda: all(name in node.ask("CLUSTER", "NODES") for node in self.masters), "all know the new node")
            until(lambda: b"cluster_state:ok" in new.ask("CLUSTER", "INFO"), "the new node knows all others")
            yield new


@contextlib.contextmanager
def cluster(node_timeout_milliseconds: int = 1000, *, full_coverage: bool = False) -> Iterator[Cluster]:
    """A cluster that serves every slot. `full_coverage` (the servers' default): it serves all of them or none."""
    options = (
        *("--cluster-node-timeout", 500),  # half of it is how soon nodes hear of each other
        *("--cluster-require-full-coverage", "yes" if full_coverage else "no"),
        *("--repl-diskless-sync-delay", 0),
    )
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(server(*options, bus=True)) for _ in range(6)]
        masters, replicas = nodes[:3], nodes[3:]
        for number, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in nodes[:number]:
                node.ask("CLUSTER", "MEET", HOST, other.port, other.bus_port)
        for number, node in enumerate(masters):
            last = SLOTS - 1 if number == 2 else (number + 1) * _SHARE - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * _SHARE, last)
        for master, replica in zip(masters, replicas, strict=True):
            until(lambda: _replicates(replica, master), "a replica knows its master")  # noqa: B023  called at once
        until(lambda: all(_is_formed(node) for node in nodes), "the cluster serves every slot")
        until(lambda: all(_follows(replica) for replica in replicas), "the replicas follow their masters")
        for node in nodes:
            node.ask("CONFIG", "SET", "cluster-node-timeout", node_timeout_milliseconds)
        hosts = ",".join(f"{HOST}:{node.port}" for node in nodes)
        yield Cluster(f"redis+cluster://{hosts}", masters, replicas)


def _replicates(replica: Server, master: Server) -> bool:
    return replica.told("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID").decode()) in (True, b"OK")


def _is_formed(node: Server) -> bool:
    if b"cluster_state:ok" not in node.ask("CLUSTER", "INFO"):
        return False
    ranges = node.ask("CLUSTER", "SLOTS")  # each is first, last, its master, its replicas
    return len(ranges) == 3 and all(len(one) == 4 for one in ranges)


@dataclass
class Tunnel:
    """TLS in front of a plain server. `greetings` are the first bytes of every connection: 0x16 begins a handshake."""

    url: str
    certificate: Path
    greetings: list[bytes]


@contextlib.contextmanager
def tls_in_front_of(behind: Server, folder: Path, *names: str) -> Iterator[Tunnel]:
    """Listens with a certificate of its own, for localhost and 127.0.0.1 or other names, and passes on to a server."""
    certificate = _certificate(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    over = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.1)
        tunnel = Tunnel(f"rediss://{HOST}:{listener.getsockname()[1]}", certificate, [])

        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    raw = listener.accept()[0]
                    threads.append(threading.Thread(target=_pass_on, args=(raw, context, behind, tunnel, over)))
                    threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield tunnel
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _pass_on(
    raw: socket.socket, context: ssl.SSLContext, behind: Server, tunnel: Tunnel, over: threading.Event
) -> None:
    with contextlib.suppress(OSError), raw, socket.create_connection((HOST, behind.port)) as plain:
        raw.settimeout(_START_SECONDS)
        tunnel.greetings.append(raw.recv(1, socket.MSG_PEEK))
        with context.wrap_socket(raw, server_side=True) as sealed:
            while not over.is_set():
                ready: list[Any] = [sealed] if sealed.pending() else select.select([sealed, plain], [], [], 0.1)[0]
                for source in ready:
                    if not (content := source.recv(65_536)):
                        return
                    (plain if source is sealed else sealed).sendall(content)


def _certificate(folder: Path, others: Sequence[str]) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests of the broker")])
    names: list[x509.GeneralName] = [x509.DNSName(other) for other in others]
    names = names or [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=12))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
