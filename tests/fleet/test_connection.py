"""One real server in trouble: what an ask costs, what is told, and what goes on working."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from broker.fleet.connection import PAUSE_SECONDS, TIMEOUT_SECONDS
from tests.doubles import Clock, Threads
from tests.fleet.conftest import AT_ONCE_SECONDS, SECRET, Asker, timeouts
from tests.fleet.servers import HOST, Server, server

Connect = Callable[[str], Asker]
Lines = Callable[[], list[str]]

DOWN = "Redis does not answer ({}): serving without it"
REFUSES = "Redis refuses ({}): serving without what it refuses"
AGAIN = "Redis answers again"


@pytest.fixture
def asker(own: Server, connect: Connect) -> Asker:
    """A connection that has been answered."""
    asker = connect(own.url)
    assert asker.ask(lambda client: client.set("key", "value"))
    return asker


def stands_still(asker: Asker) -> None:
    """For the pause nobody asks; then one of many does."""
    calls = asker.calls
    assert asker.seconds() < AT_ONCE_SECONDS
    asker.clock.tick(PAUSE_SECONDS - 0.001)
    assert asker.seconds() < AT_ONCE_SECONDS
    assert asker.calls == calls
    asker.clock.tick(0.001)
    assert Threads(16, lambda n: asker.ask()).join() == [None] * 16
    assert asker.calls == calls + 1
    assert not asker.connection.serving


class TestServing:
    """A server that does what it should."""

    def test_answers(self, asker: Asker, lines: Lines) -> None:
        """What the server answers comes back, and there is nothing to tell."""
        assert asker.ask() == b"value"
        assert asker.connection.serving
        assert (lines(), asker.counted) == ([], [])

    def test_nothing_asked(self, connect: Connect) -> None:
        """Nothing is connected before the first command, and nothing is known to be wrong."""
        assert connect(f"redis://{HOST}:1").connection.serving

    def test_closed_meanwhile(self, asker: Asker, own: Server, lines: Lines) -> None:
        """Connections that the server has closed are opened again, without anybody noticing."""
        own.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert asker.ask() == b"value"
        assert lines() == []

    def test_many_threads(self, asker: Asker) -> None:
        """Threads ask side by side."""
        together = threading.Barrier(16)

        def meet(client: object) -> bool:
            together.wait(10)
            return True

        assert Threads(16, lambda n: asker.ask(meet)).join() == [True] * 16

    def test_database_and_account(self, own: Server, connect: Connect) -> None:
        """The URL's account and database are the ones that are used."""
        own.ask("ACL", "SETUSER", "somebody", "on", f">{SECRET}", "~*", "+@all")
        host = f"{HOST}:{own.port}"
        asker = connect(f"redis://somebody:{SECRET}@{host}/3")
        assert asker.ask(lambda client: client.acl_whoami()) == "somebody"
        assert asker.ask(lambda client: client.set("key", "third"))
        assert connect(f"redis://{host}?db=3").ask() == b"third"
        assert connect(f"redis://{host}/2").ask() is None

    def test_first_command(self, asker: Asker, own: Server) -> None:
        """To be connected takes no command that the server does not know, as the library's maintenance does."""
        assert own.info("errorstats") == {}

    def test_one_server(self, asker: Asker) -> None:
        """Everywhere is one server, and all keys are together."""
        assert asker.connection.everywhere(lambda client: client.get("key")) == [b"value"]
        assert asker.connection.together(range(100), str) == [list(range(100))]

    def test_bug(self, asker: Asker) -> None:
        """What is no trouble of Redis is not taken for one."""
        with pytest.raises(ZeroDivisionError):
            asker.ask(lambda client: 1 / 0)
        assert asker.connection.serving


class TestDown:
    """Nobody listens."""

    def test_killed(self, asker: Asker, own: Server, lines: Lines) -> None:
        """Everybody goes on at once, one probe in five seconds asks again; one line, one count."""
        own.kill()
        assert asker.seconds() < AT_ONCE_SECONDS
        for _ in range(3):
            stands_still(asker)
        assert lines() == [DOWN.format("ConnectionError")]
        assert asker.counted == ["down"]

    def test_started_again(self, asker: Asker, own: Server, clock: Clock, lines: Lines) -> None:
        """The first probe that is answered ends it; the next time is told anew."""
        own.kill()
        assert asker.ask() is None
        with server(port=own.port) as second:
            assert asker.ask(lambda client: client.ping()) is None
            clock.tick(PAUSE_SECONDS)
            assert asker.ask(lambda client: client.ping())
            assert asker.connection.serving
            second.kill()
            assert asker.ask(lambda client: client.ping()) is None
        assert lines() == [DOWN.format("ConnectionError"), AGAIN, DOWN.format("ConnectionError")]
        assert asker.counted == ["down", "down"]

    def test_never_there(self, connect: Connect, own: Server, lines: Lines) -> None:
        """The first ask costs nothing either."""
        own.kill()
        asker = connect(own.url)
        assert asker.seconds() < AT_ONCE_SECONDS
        stands_still(asker)
        assert lines() == [DOWN.format("ConnectionError")]

    def test_no_such_socket(self, connect: Connect, lines: Lines) -> None:
        """A Unix socket that is not there is the same."""
        asker = connect("unix:///nowhere/redis.sock")
        assert asker.seconds() < AT_ONCE_SECONDS
        stands_still(asker)
        assert asker.counted == ["down"]

    @pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x16", b""])
    def test_no_redis(self, connect: Connect, lines: Lines, greeting: bytes) -> None:
        """Something else that listens there is no Redis, and breaks nothing."""
        with listening(greeting) as port:
            asker = connect(f"redis://:{SECRET}@{HOST}:{port}")
            assert asker.ask() is None
        assert asker.counted == ["down"]
        assert len(lines()) == 1
        assert SECRET not in lines()[0]


class TestHanging:
    """Somebody listens and does not answer."""

    def test_hangs(self, asker: Asker, own: Server, lines: Lines) -> None:
        """One time-out, then everybody goes on at once for five seconds; then one finds out."""
        own.hang()
        assert TIMEOUT_SECONDS <= asker.seconds() < timeouts(1)
        stands_still(asker)
        assert lines() == [DOWN.format("TimeoutError")]
        assert asker.counted == ["down"]

    def test_probes(self, asker: Asker, own: Server, clock: Clock) -> None:
        """A probe waits once: nothing is tried again."""
        own.hang()
        seconds = []
        for _ in range(3):
            seconds.append(asker.seconds())
            clock.tick(PAUSE_SECONDS)
        # The quickest is the one that this machine has not held up.
        assert TIMEOUT_SECONDS <= min(seconds) < 2 * TIMEOUT_SECONDS

    def test_many_notice(self, asker: Asker, own: Server, lines: Lines) -> None:
        """All who have just asked wait side by side, for one time-out."""
        own.hang()
        began = time.perf_counter()
        assert Threads(16, lambda n: asker.ask()).join() == [None] * 16
        assert time.perf_counter() - began < timeouts(1)
        assert asker.seconds() < AT_ONCE_SECONDS
        assert (len(lines()), asker.counted) == (1, ["down"])

    def test_hangs_from_the_start(self, own: Server, connect: Connect) -> None:
        """Who has never been connected waits for one time-out as well."""
        own.hang()
        asker = connect(own.url)
        assert TIMEOUT_SECONDS <= asker.seconds() < timeouts(1)
        stands_still(asker)

    def test_goes_on(self, asker: Asker, own: Server, clock: Clock, lines: Lines) -> None:
        """Once it works again it is asked again, and nobody gets the answer that came too late."""
        assert asker.ask(lambda client: client.set("other", "another value"))
        own.hang()
        assert asker.ask() is None
        own.go_on()
        assert asker.ask() is None
        clock.tick(PAUSE_SECONDS)
        assert asker.ask(lambda client: client.get("other")) == b"another value"
        assert asker.ask() == b"value"
        assert asker.connection.serving
        assert lines() == [DOWN.format("TimeoutError"), AGAIN]

    def test_takes_no_connection(self, connect: Connect) -> None:
        """To wait for a connection costs one time-out too."""
        with socket.create_server((HOST, 0), backlog=0) as full, contextlib.ExitStack() as held:
            address = full.getsockname()
            for _ in range(2):
                client = held.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
            asker = connect(f"redis://{HOST}:{address[1]}")
            assert TIMEOUT_SECONDS <= asker.seconds() < timeouts(1)


class TestRefusing:
    """It answers, and does not do what it is told to."""

    def refused(self, asker: Asker, lines: Lines, reason: str) -> None:
        """Writing is refused as often as it is tried, reading goes on; one line, one count, no pause."""
        for _ in range(3):
            assert asker.ask(lambda client: client.set("key", "new")) is None
            assert asker.ask() == b"value"
            assert asker.connection.serving
        assert asker.ask(lambda client: client.eval("return redis.call('SET', KEYS[1], 'x')", 1, "key")) is None
        assert lines() == [REFUSES.format(reason)]
        assert asker.counted == ["refuses"]

    def test_full(self, asker: Asker, own: Server, lines: Lines) -> None:
        """A server without memory takes nothing new, and what it has is there."""
        own.ask("CONFIG", "SET", "maxmemory", "1")
        self.refused(asker, lines, "OOM")
        own.ask("CONFIG", "SET", "maxmemory", "0")
        assert asker.ask(lambda client: client.set("key", "new"))

    def test_no_permission(self, asker: Asker, own: Server, connect: Connect, lines: Lines) -> None:
        """An account that may only read reads."""
        own.ask("ACL", "SETUSER", "reader", "on", f">{SECRET}", "~*", "+@read", "+@connection", "+eval")
        reader = connect(f"redis://reader:{SECRET}@{HOST}:{own.port}")
        for _ in range(2):
            assert reader.ask(lambda client: client.set("key", "new")) is None
            assert reader.ask() == b"value"
        assert reader.connection.serving
        assert (lines(), reader.counted) == ([REFUSES.format("NOPERM")], ["refuses"])

    def test_replica(self, asker: Asker, own: Server, lines: Lines) -> None:
        """A server that somebody has made a replica is read only."""
        own.ask("REPLICAOF", HOST, "1")
        self.refused(asker, lines, "READONLY")

    def test_full_in_a_pipeline(self, asker: Asker, own: Server, lines: Lines) -> None:
        """One refused command refuses its pipeline."""

        def pipeline(client: object) -> object:
            commands = client.pipeline(transaction=False)  # type: ignore[attr-defined]
            commands.set("key", "new")
            commands.get("key")
            return commands.execute()

        own.ask("CONFIG", "SET", "maxmemory", "1")
        assert asker.ask(pipeline) is None
        assert asker.connection.serving
        assert lines() == [REFUSES.format("OOM")]

    @pytest.mark.parametrize("account", ["", f":not-{SECRET}@", f"somebody:{SECRET}@"])
    def test_wrong_password(self, own: Server, connect: Connect, lines: Lines, account: str) -> None:
        """Who is not let in gets nothing at all: that is down, with its pause; the line says why, not with what."""
        own.ask("CONFIG", "SET", "requirepass", SECRET)
        asker = connect(f"redis://{account}{HOST}:{own.port}")
        assert asker.seconds() < AT_ONCE_SECONDS
        stands_still(asker)
        assert lines() == [DOWN.format("AuthenticationError")]
        assert asker.counted == ["down"]

    def test_no_such_database(self, own: Server, connect: Connect, lines: Lines) -> None:
        """A database that the server does not have is refused, and told."""
        asker = connect(f"redis://{HOST}:{own.port}/99")
        assert asker.ask() is None
        assert (lines(), asker.counted) == ([REFUSES.format("ERR")], ["refuses"])


@pytest.mark.parametrize("trouble", ["kill", "hang", "password"])
def test_log(trouble: str, own: Server, connect: Connect, lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the trouble, our line holds neither address nor password, and no line of the library's the password."""
    password = f"not-{SECRET}" if trouble == "password" else SECRET
    own.ask("CONFIG", "SET", "requirepass", SECRET)
    asker = connect(f"redis://:{password}@{HOST}:{own.port}")
    if trouble != "password":
        assert asker.ask(lambda client: client.set("key", "value"))
        getattr(own, trouble)()
    assert asker.ask() is None
    [line] = lines()
    for text in (SECRET, HOST, str(own.port), "redis://"):
        assert text not in line
    assert SECRET not in caplog.text + repr([record.__dict__ for record in caplog.records]) + repr(asker.connection)


@contextlib.contextmanager
def listening(greeting: bytes) -> Iterator[int]:
    """The port of something that says this to whoever connects, and hangs up."""
    over = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    connection = listener.accept()[0]
                    with connection:
                        connection.recv(1024)
                        connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            thread.join()
