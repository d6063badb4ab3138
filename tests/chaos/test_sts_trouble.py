"""STS is gone, or hangs: what is valid is served meanwhile, and what is new as soon as STS is back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from broker.emulator.faults import Fault
from broker.emulator.server import Emulator
from tests.chaos.fleet import Answer, Load, Served, eventually, load, put, quiet_port, sts_calls, together
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import Threads

WARM = [f"warm-{number}" for number in range(5)]
QUICK_SECONDS = 0.5
CALL_SECONDS = 9  # what one call of STS may take, and some
PAUSE_SECONDS = 2.1  # between two tries of an STS that does not answer
RECOVERY_SECONDS = 4


@pytest.fixture
def mortal_cloud() -> Iterator[Emulator]:
    """A cloud that comes back where it was after it has been stopped."""
    with Emulator(ACCOUNT, buckets={BUCKET: "ap-guangzhou"}, port=quiet_port()) as emulator:
        yield emulator


def hang(emulator: Emulator) -> None:
    """Let STS take the next calls, and not answer."""
    emulator.order_fault(Fault("sts", 100_000, delay_seconds=60))


def quick(answers: list[Answer]) -> float:
    """The share of answers that came quickly; a busy machine delays some of them, too."""
    return sum(answer.seconds < QUICK_SECONDS for answer in answers) / len(answers)


@contextlib.contextmanager
def asked_warm(broker: Served) -> Iterator[Load]:
    """Two clients ask for what everybody has."""
    with load(*[lambda number: broker.ask(WARM[number % len(WARM)])] * 2) as under:
        yield under


@contextlib.contextmanager
def asked_cold(broker: Served, clients: int, name: str) -> Iterator[Load]:
    """Clients ask for what nobody has yet, each time for something else."""

    def client(one: int) -> Callable[[int], Answer]:
        return lambda number: broker.ask(f"{name}-{one}-{number}")

    with load(*map(client, range(clients)), pause_seconds=0.05) as under:
        yield under


def test_down(mortal_cloud, own_redis, start):
    """While STS is down, memory and Redis serve what they have, and the rest is refused soon, with a time to wait."""
    first, second = (start(mortal_cloud, own_redis) for _ in range(2))
    given = {sub: first.ask(sub).secret_id for sub in WARM}
    mortal_cloud.stop()
    with asked_warm(first) as warm:
        kept = {sub: [first.ask(sub), second.ask(sub)] for sub in WARM}
        refused = together(16, lambda number: (first, second)[number % 2].ask(f"cold-{number}"))
        again = together(8, lambda number: first.ask(f"cold-{number}"))
    for sub, answers in kept.items():
        assert {(answer.status, answer.secret_id) for answer in answers} == {(200, given[sub])}
    for answer in (*refused, *again):
        assert (answer.status, answer.code) == (503, "sts_unavailable")
        assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert max(answer.seconds for answer in refused) < 4
    assert [answer for answer in warm.answers if answer.status != 200] == []
    assert quick(warm.answers) > 0.9

    mortal_cloud.start()
    assert put(kept[WARM[0]][0]) == 200
    for number, broker in enumerate((first, second)):
        eventually(lambda broker=broker, sub=f"new-{number}": broker.ask(sub).status == 200, RECOVERY_SECONDS)


def test_hanging(own_cloud, own_redis, start):
    """While STS hangs, hits are as quick as ever as long as threads are left, and again once STS is known to hang.

    In between, a wave of cold asks that takes every thread of a worker holds up its hits for as long as one call may
    take.
    """
    broker = start(own_cloud, own_redis, workers=2)
    for sub in WARM * 4:
        assert broker.ask(sub).status == 200
    hang(own_cloud)
    with asked_cold(broker, 4, "early") as early, asked_warm(broker) as warm:
        warm.await_more(50)
        assert early.answers == []
        assert quick(warm.answers) > 0.9
        wave = together(24, lambda number: broker.ask(f"wave-{number}"))
        assert {(answer.status, answer.code) for answer in wave} == {(503, "sts_unavailable")}
        assert max(answer.seconds for answer in (*wave, *warm.answers)) < CALL_SECONDS
        after, calls = len(warm.answers), sts_calls(own_cloud)
        with asked_cold(broker, 8, "late") as late:
            warm.await_more(120)
            assert {answer.status for answer in late.answers} == {503}
            assert quick(late.answers) > 0.9
            assert sts_calls(own_cloud) - calls <= 10
            own_cloud.stop()  # nobody shall wait for what still hangs
    assert [answer for answer in warm.answers if answer.status != 200] == []
    assert quick(warm.answers[after:]) > 0.9


def test_popular_scope(own_cloud, own_redis, start):
    """A scope that everybody wants and nobody has: while STS is known to hang, the asks for it do not hold up hits."""
    broker = start(own_cloud, own_redis)
    for sub in WARM:
        assert broker.ask(sub).status == 200
    calls = await_trouble(own_cloud, broker)
    time.sleep(PAUSE_SECONDS)
    burst = Threads(8, lambda number: broker.ask("popular"))  # one of them tries STS, and hangs
    eventually(lambda: sts_calls(own_cloud) > calls)
    with asked_warm(broker) as warm, load(*[lambda number: broker.ask("popular")] * 10):
        time.sleep(1.5)  # with ten clients, a thread for each would long be taken
        own_cloud.stop()
    assert sum(answer.seconds > 1 for answer in burst.join()) == 1
    assert [answer for answer in warm.answers if answer.status != 200] == []
    assert max(answer.seconds for answer in warm.answers) < 1


def await_trouble(emulator: Emulator, broker: Served) -> int:
    """Have a broker find out that STS does not serve, which then hangs; how many calls that took."""
    emulator.order_fault(Fault("sts", 3, "RequestLimitExceeded"))
    hang(emulator)
    assert broker.ask("anybody").status == 503
    return sts_calls(emulator)


def test_recovery_from_hanging(own_cloud, own_redis, start):
    """Once STS answers again, a broker serves what is new within some seconds, whatever still hangs."""
    broker = start(own_cloud, own_redis)
    calls = await_trouble(own_cloud, broker)
    with asked_cold(broker, 6, "cold") as cold:
        eventually(lambda: sts_calls(own_cloud) > calls)
        own_cloud.reset()
        back = time.monotonic()
        eventually(lambda: {answer.status for answer in cold.answers[-50:]} == {200})
        last = max(answer.began + answer.seconds for answer in cold.answers if answer.status == 503)
        own_cloud.stop()  # nobody shall wait for what still hangs
    assert last - back < RECOVERY_SECONDS


def test_one_blind_broker(own_cloud, own_redis, start):
    """A broker that cannot reach STS, while others can, fails alone."""
    blind = start(own_cloud, own_redis, http_proxy="http://127.0.0.1:9", no_proxy="")
    seeing = start(own_cloud, own_redis)
    with asked_cold(blind, 1, "blind") as failing, asked_cold(seeing, 2, "seeing") as served:
        failing.await_more(10)
        served.await_more(10)
    assert failing.statuses == {503}
    assert served.statuses == {200}


def test_patient_caller(own_cloud, own_redis, start):
    """A caller who asks again and again while STS does not serve is not refused as greedy."""
    first, second = (start(own_cloud, own_redis) for _ in range(2))
    own_cloud.order_fault(Fault("sts", 3, "RequestLimitExceeded"))
    assert first.ask("u1").status == 503
    answers = [second.ask("u1") for _ in range(120)]
    assert {answer.status for answer in answers} <= {503, 200}
