"""A part of Redis is lost, or hangs: what that costs an ask meanwhile, and how the fleet shares again afterwards."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from broker.credentials.scope import Scope
from broker.fleet.connection import PAUSE_SECONDS, TIMEOUT_SECONDS, Unavailable
from tests.doubles import Threads, some_scope
from tests.fleet.conftest import AT_ONCE_SECONDS, SECRET, Asker, Fleet, Process, timeouts
from tests.fleet.servers import HOST, SERVICE, Cluster, Server, Trio, cluster, sentinel_trio, until

Connect = Callable[[str], Asker]
FleetOn = Callable[[str], Fleet]
Lines = Callable[[], list[str]]
Loss = Callable[[Server], None]

DOWN = "Redis does not answer ({}): serving without it"
AGAIN = "Redis answers again"
LOSSES = [
    pytest.param(Server.kill, "ConnectionError", id="killed"),
    pytest.param(Server.hang, "TimeoutError", id="hung"),
]


@pytest.fixture
def cold() -> Iterator[Scope]:
    """Scopes that nobody has asked for yet, without end."""
    return (some_scope(f"cold{number}") for number in itertools.count())


def shares_again(fleet: Fleet, pair: tuple[Process, Process], scopes: Iterator[Scope]) -> None:
    """Ask for cold scopes, each a pause after the one before, until two processes share one."""

    def again() -> bool:
        fleet.clock.tick(PAUSE_SECONDS)
        return fleet.shares(next(scopes), *pair)

    until(again, "two processes share a credential again")


class TestSentinel:
    """Three Sentinels, a master and two replicas."""

    @pytest.mark.parametrize(("lose", "error"), LOSSES)
    def test_master(self, lose: Loss, error: str, fleet_on: FleetOn, cold: Iterator[Scope], lines: Lines) -> None:
        """Without a master every ask is served, after one time-out at most; with the next one they share again."""
        with sentinel_trio() as trio:
            fleet = fleet_on(trio.url)
            first, second = pair = fleet.process(), fleet.process()
            warm = next(cold)
            assert fleet.shares(warm, *pair)
            in_progress = fleet.begin(first, next(cold))
            lose(trio.master)
            fleet.issuer.gate.set()
            [credential] = in_progress.join()
            assert credential.expires_at > fleet.clock()
            assert not fleet.shares(next(cold), *pair)
            assert first.get(warm) == second.get(warm)
            assert not first.connection.serving
            shares_again(fleet, pair, cold)
            assert first.connection.serving
            assert max(first.slowest, second.slowest) < timeouts(1)
        assert sorted(lines()) == sorted([DOWN.format(error), AGAIN] * 2)
        assert first.counted == second.counted == ["down"]

    def test_master_that_comes_back(self, fleet_on: FleetOn, cold: Iterator[Scope]) -> None:
        """A master that had only hung finds itself a replica, and nobody takes it for the master."""
        with sentinel_trio() as trio:
            fleet = fleet_on(trio.url)
            pair = fleet.process(), fleet.process()
            late = fleet.process()  # asks nothing while the master hangs
            assert fleet.shares(next(cold), *pair, late)
            trio.master.hang()
            shares_again(fleet, pair, cold)
            trio.master.go_on()
            until(trio.master.is_replica, "the old master is a replica")
            until(lambda: trio.masters() < {replica.port for replica in trio.replicas}, "all Sentinels know it")
            assert fleet.shares(next(cold), *pair)
            late.get(next(cold))
            fleet.clock.tick(PAUSE_SECONDS)
            assert fleet.shares(next(cold), late, *pair)
            assert len(late.counted) <= 1

    def test_sentinel_that_hangs(self, steady_trio: Trio, fleet_on: FleetOn, cold: Iterator[Scope]) -> None:
        """A Sentinel that hangs costs a new connection one time-out; then another Sentinel is asked first."""
        fleet = fleet_on(steady_trio.url)
        first, second = fleet.process(), fleet.process()
        with steady_trio.sentinels[0].hanging():
            assert fleet.shares(next(cold), first, second)
            assert TIMEOUT_SECONDS <= max(first.slowest, second.slowest) < timeouts(1)
            first.slowest = second.slowest = 0
            assert fleet.shares(next(cold), first, second)
            assert max(first.slowest, second.slowest) < AT_ONCE_SECONDS
        assert first.counted == second.counted == []

    def test_all_sentinels_hang(self, steady_trio: Trio, fleet_on: FleetOn, cold: Iterator[Scope]) -> None:
        """Who is connected shares as before; who is not waits for each Sentinel once, and is served by STS."""
        fleet = fleet_on(steady_trio.url)
        first, second, late = fleet.process(), fleet.process(), fleet.process()
        assert fleet.shares(next(cold), first, second)
        with contextlib.ExitStack() as hanging:
            for sentinel in steady_trio.sentinels:
                hanging.enter_context(sentinel.hanging())
            assert fleet.shares(next(cold), first, second)
            assert not fleet.shares(next(cold), first, late)
            assert 3 * TIMEOUT_SECONDS <= late.slowest < timeouts(3)
            late.slowest = 0
            assert late.get(next(cold))
            assert late.slowest < AT_ONCE_SECONDS
        assert (first.counted, late.counted) == ([], ["down"])
        fleet.clock.tick(PAUSE_SECONDS)
        assert fleet.shares(next(cold), first, late)

    def test_master_that_nobody_knows(self, steady_trio: Trio, connect: Connect, lines: Lines) -> None:
        """A service that the Sentinels do not know is told, and costs nothing."""
        asker = connect(steady_trio.url.replace(SERVICE, "other"))
        assert asker.seconds() < AT_ONCE_SECONDS
        assert asker.seconds() < AT_ONCE_SECONDS
        assert lines() == [DOWN.format("MasterNotFoundError")]


@pytest.fixture
def cold_on(cold: Iterator[Scope]) -> Callable[[Fleet, Cluster, Server], Iterator[Scope]]:
    """Cold scopes whose keys a master of a cluster holds."""
    return lambda fleet, formed, master: (scope for scope in cold if formed.holder(fleet.lease(scope)) is master)


ColdOn = Callable[[Fleet, Cluster, Server], Iterator[Scope]]


class TestCluster:
    """Three masters and a replica of each."""

    @pytest.mark.parametrize(("lose", "error"), LOSSES)
    def test_master(self, lose: Loss, error: str, fleet_on: FleetOn, cold_on: ColdOn, lines: Lines) -> None:
        """Scopes of the others go on being shared at once, its own are served by STS until its replica takes over."""
        with cluster() as formed:
            fleet = fleet_on(formed.url)
            first, second = pair = fleet.process(), fleet.process()
            # The one that every call of STS needs.
            lost = formed.holder(fleet.source)
            scopes = {master: cold_on(fleet, formed, master) for master in formed.masters}
            assert all(fleet.shares(next(scopes[master]), *pair) for master in formed.masters)
            lose(lost)
            for master in formed.masters:
                for _ in range(4):
                    assert fleet.shares(next(scopes[master]), *pair) == (master is not lost)
            assert not first.connection.serving
            shares_again(fleet, pair, scopes[lost])
            for master in formed.masters:
                assert all(fleet.shares(next(scopes[master]), *pair) for _ in range(4))
            assert max(first.slowest, second.slowest) < timeouts(1)
            if error == "TimeoutError":
                lost.go_on()
                until(lost.is_replica, "the old master is a replica")
                assert all(fleet.shares(next(scopes[master]), *pair) for master in formed.masters)
            assert first.connection.serving
        assert sorted(lines()) == sorted([DOWN.format(error), AGAIN] * 2)
        assert first.counted == second.counted == ["down"]

    def test_master_of_all_or_nothing(self, fleet_on: FleetOn, cold_on: ColdOn) -> None:
        """Servers that serve no slot unless they serve all (the default) are down for a moment; every ask is served."""
        with cluster(full_coverage=True) as formed:
            fleet = fleet_on(formed.url)
            pair = fleet.process(), fleet.process()
            lost, *others = formed.masters
            scopes = {master: cold_on(fleet, formed, master) for master in formed.masters}
            assert all(fleet.shares(next(scopes[master]), *pair) for master in formed.masters)
            lost.kill()
            for master in (lost, *others):
                shares_again(fleet, pair, scopes[master])
            assert max(process.slowest for process in pair) < timeouts(1)

    def test_master_that_hangs_for_a_while(
        self, steady_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn, lines: Lines
    ) -> None:
        """It costs one time-out in five seconds, whoever asks; when it goes on, its scopes are shared again."""
        fleet = fleet_on(steady_cluster.url)
        first, second = pair = fleet.process(), fleet.process()
        scopes = [cold_on(fleet, steady_cluster, master) for master in steady_cluster.masters]
        assert all(fleet.shares(next(cold), *pair) for cold in scopes)
        with steady_cluster.masters[0].hanging():
            began = time.perf_counter()
            asks = Threads(16, lambda n: (first if n % 2 else second).get(some_scope(f"thread{n}")))
            assert all(asks.join())
            assert time.perf_counter() - began < timeouts(1)
            first.slowest = second.slowest = 0
            for cold in scopes:
                shared = [fleet.shares(next(cold), *pair) for _ in range(8)]
                assert shared == [cold is not scopes[0]] * 8
            assert max(first.slowest, second.slowest) < AT_ONCE_SECONDS
        assert not fleet.shares(next(scopes[0]), *pair)
        fleet.clock.tick(PAUSE_SECONDS)
        assert all(fleet.shares(next(cold), *pair) for cold in scopes)
        assert sorted(lines()) == sorted([DOWN.format("TimeoutError"), AGAIN] * 2)

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_new_process(self, number: int, steady_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn) -> None:
        """A process that starts while a master hangs shares the scopes of the others."""
        fleet = fleet_on(steady_cluster.url)
        pair = fleet.process(), fleet.process()
        hung = steady_cluster.masters[number]
        with hung.hanging():
            for master in steady_cluster.masters:
                cold = cold_on(fleet, steady_cluster, master)
                assert [fleet.shares(next(cold), *pair) for _ in range(3)] == [master is not hung] * 3
            assert max(process.slowest for process in pair) < timeouts(1)

    def test_all_nodes_hang(
        self, steady_cluster: Cluster, fleet_on: FleetOn, cold: Iterator[Scope], cold_on: ColdOn
    ) -> None:
        """The map is asked of two nodes at most: a few time-outs in all, then everybody goes on at once."""
        fleet = fleet_on(steady_cluster.url)
        first, second, late = fleet.process(), fleet.process(), fleet.process()
        assert fleet.shares(next(cold), first, second)
        with contextlib.ExitStack() as hanging:
            for node in (*steady_cluster.masters, *steady_cluster.replicas):
                hanging.enter_context(node.hanging())
            assert not fleet.shares(next(cold), first, late)
            assert 2 * TIMEOUT_SECONDS <= late.slowest < timeouts(2)  # it has no map
            assert 3 * TIMEOUT_SECONDS <= first.slowest < timeouts(5)  # and may go on to the other two masters
            for master in steady_cluster.masters:  # each has been found not to answer, whichever those asks went to
                assert not fleet.shares(next(cold_on(fleet, steady_cluster, master)), first, late)
            first.slowest = late.slowest = 0
            for _ in range(8):
                assert not fleet.shares(next(cold), first, late)
            assert max(first.slowest, late.slowest) < AT_ONCE_SECONDS
            fleet.clock.tick(PAUSE_SECONDS)
            began = time.perf_counter()
            assert all(Threads(16, lambda n: late.get(some_scope(f"thread{n}"))).join())
            assert time.perf_counter() - began < timeouts(2)
        fleet.clock.tick(PAUSE_SECONDS)
        assert fleet.shares(next(cold), first, second, late)

    def test_nodes_of_the_url(self, steady_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn) -> None:
        """One node that is there is enough to begin with, and it is not needed afterwards."""
        [first, *_], gone = steady_cluster.masters, "127.0.0.1:1"
        fleet = fleet_on(f"redis+cluster://{gone},localhost:{first.port}")
        pair = fleet.process(), fleet.process()
        scopes = [cold_on(fleet, steady_cluster, master) for master in steady_cluster.masters]
        assert all(fleet.shares(next(cold), *pair) for cold in scopes)
        with first.hanging():
            assert [fleet.shares(next(cold), *pair) for cold in scopes] == [False, True, True]
        assert pair[0].counted == ["down"]

    def test_no_node_of_the_url(self, connect: Connect, lines: Lines) -> None:
        """No node that is there is down, like one server."""
        asker = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
        assert asker.seconds() < AT_ONCE_SECONDS
        assert not asker.connection.serving
        assert (lines(), asker.calls) == ([DOWN.format("ConnectionError")], 0)

    def test_silent_nodes(self, connect: Connect, lines: Lines) -> None:
        """However many nodes do not answer: the map costs two time-outs in five seconds, whatever it is needed for."""
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(8)]
            asker = connect("redis+cluster://" + ",".join(f"{HOST}:{one.getsockname()[1]}" for one in silent))
            for least, most in ((2 * TIMEOUT_SECONDS, timeouts(2)), (0, AT_ONCE_SECONDS)):
                began = time.perf_counter()
                with pytest.raises(Unavailable):
                    asker.connection.everywhere(lambda client: client.ping())
                assert least <= time.perf_counter() - began < most
            assert asker.seconds() < AT_ONCE_SECONDS
        assert lines() == [DOWN.format("TimeoutError")]

    def test_no_cluster(self, own: Server, connect: Connect, lines: Lines) -> None:
        """A server that is no cluster is told, and not asked again and again."""
        asker = connect(f"redis+cluster://{HOST}:{own.port}")
        for _ in range(3):
            assert asker.seconds() < AT_ONCE_SECONDS
        assert asker.calls == 0
        assert own.info("commandstats")["cmdstat_cluster|slots"]["calls"] == 1
        assert lines()[0] == "Redis refuses (ERR): serving without what it refuses"

    def test_account(self, connect: Connect, own_cluster: Cluster, lines: Lines) -> None:
        """Every node is asked with the account of the URL."""
        for node in (*own_cluster.masters, *own_cluster.replicas):
            node.ask("ACL", "SETUSER", "somebody", "on", f">{SECRET}", "~*", "+@all")
            node.ask("ACL", "SETUSER", "default", "off")
        hosts = own_cluster.url.partition("://")[2]
        asker = connect(f"redis+cluster://somebody:{SECRET}@{hosts}")
        assert [asker.ask(lambda client: client.acl_whoami(), f"{n}") for n in range(16)] == ["somebody"] * 16
        assert connect(f"redis+cluster://somebody:not-{SECRET}@{hosts}").ask() is None
        assert lines() == [DOWN.format("AuthenticationError")]

    def test_slot_that_moves(self, own_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn, lines: Lines) -> None:
        """While a slot moves to a new node its scopes are served by STS; once it is there they are shared, at once."""
        fleet = fleet_on(own_cluster.url)
        pair = fleet.process(), fleet.process()
        scopes = cold_on(fleet, own_cluster, own_cluster.masters[0])
        scope, beside = next(scopes), next(scopes)
        assert fleet.shares(beside, *pair)
        slot = own_cluster.masters[0].ask("CLUSTER", "KEYSLOT", fleet.lease(scope))
        with own_cluster.joined() as new:
            every = (new, *own_cluster.masters)
            old_id, new_id = (node.ask("CLUSTER", "MYID").decode() for node in (own_cluster.masters[0], new))
            new.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
            own_cluster.masters[0].ask("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
            assert not fleet.shares(scope, *pair)
            assert fleet.shares(next(scopes), *pair)
            for node in every:
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", new_id)
            pair[0].store.forget([fleet.issuer.fingerprint(scope)])
            fleet.clock.tick(2)
            assert fleet.shares(scope, *pair)
            assert new.ask("CLUSTER", "COUNTKEYSINSLOT", slot) > 0
            assert all(process.connection.serving for process in pair)
        assert lines() == ["Redis refuses (ASK): serving without what it refuses"] * 2
        assert pair[0].counted == pair[1].counted == ["refuses"]

    def test_slot_that_nobody_holds(
        self, own_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn, lines: Lines
    ) -> None:
        """Scopes of a hole are served by STS, all others are shared; once somebody holds it, these are too."""
        fleet = fleet_on(own_cluster.url)
        scopes = [cold_on(fleet, own_cluster, master) for master in own_cluster.masters]
        in_hole, beside = next(scopes[0]), next(scopes[0])
        slot = own_cluster.masters[0].ask("CLUSTER", "KEYSLOT", fleet.lease(in_hole))
        every = (*own_cluster.masters, *own_cluster.replicas)
        for node in every:
            node.ask("CLUSTER", "DELSLOTS", slot)
        pair = fleet.process(), fleet.process()
        assert not fleet.shares(in_hole, *pair)
        assert fleet.shares(beside, *pair)
        assert all(fleet.shares(next(cold), *pair) for cold in scopes[1:])
        assert not pair[0].connection.serving
        assert max(process.slowest for process in pair) < AT_ONCE_SECONDS
        own_cluster.masters[0].ask("CLUSTER", "ADDSLOTS", slot)
        until(lambda: all(b"slots_assigned:16384" in node.ask("CLUSTER", "INFO") for node in every), "no hole is left")
        fleet.clock.tick(PAUSE_SECONDS)
        lease = fleet.lease(in_hole)
        for process in pair:
            assert process.connection.run(lease, lambda client: client.exists(lease)) == 0
            assert process.connection.serving
        assert sorted(lines()) == sorted([DOWN.format("a slot that no node holds"), AGAIN] * 2)

    def test_cluster_that_is_down(self, own_cluster: Cluster, connect: Connect, lines: Lines) -> None:
        """Servers that serve no slot unless they serve all say so: that is down, and costs nothing."""
        asker = connect(own_cluster.url)
        name = next(name for name in map(str, range(100)) if own_cluster.holder(name) is own_cluster.masters[1])
        assert asker.ask(lambda client: client.set(name, "value"), name)
        node = own_cluster.masters[1]
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "yes")
        node.ask("CLUSTER", "DELSLOTS", 0)
        until(lambda: b"cluster_state:fail" in node.ask("CLUSTER", "INFO"), "the node misses a slot")
        began = time.perf_counter()
        for _ in range(8):
            assert asker.ask(lambda client: client.get(name), name) is None
        assert time.perf_counter() - began < AT_ONCE_SECONDS
        assert asker.calls == 2
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        until(lambda: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"), "the node serves again")
        asker.clock.tick(PAUSE_SECONDS)
        assert asker.ask(lambda client: client.get(name), name) == b"value"
        assert lines() == [DOWN.format("ClusterDownError"), AGAIN]

    def test_operators_view(self, steady_cluster: Cluster, fleet_on: FleetOn, cold_on: ColdOn) -> None:
        """What is listed or forgotten concerns every node: without one of them it is an error, not half of it."""
        fleet = fleet_on(steady_cluster.url)
        process, operator = fleet.process(), fleet.process()
        scopes = [next(cold_on(fleet, steady_cluster, master)) for master in steady_cluster.masters]
        credentials = {process.get(scope) for scope in scopes}
        assert {one.opened[0] for one in operator.store.listed()} >= credentials
        with steady_cluster.masters[2].hanging():
            with pytest.raises(Unavailable):
                list(operator.store.listed())
            with pytest.raises(Unavailable):
                operator.store.forget(map(fleet.issuer.fingerprint, scopes))
        operator.clock.tick(PAUSE_SECONDS)
        assert {one.opened[0] for one in operator.store.listed()} & credentials
        operator.store.forget(map(fleet.issuer.fingerprint, scopes))
        assert not {one.opened[0] for one in operator.store.listed()} & credentials


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A cluster of the test's own, to be taken apart."""
    with cluster() as formed:
        yield formed
