"""What is known of fleets beside the simulation: limits, measured sizes, and how many processes it takes."""

from __future__ import annotations

import math

from broker.limits import CALLER
from tests.bench.scaling import routes, traffic
from tests.bench.scaling.days import Load
from tests.bench.scaling.traffic import Traffic

# Calls per second of one API of STS: https://cloud.tencent.com/document/product/1312/48195. Counted for each access
# region and sub-account: https://cloud.tencent.com/document/product/1278/109059.
QUOTA = 600
BUDGET = 400  # BROKER_STS_BUDGET
KEY_SHARE = CALLER.units / CALLER.seconds  # new scopes per second of one API key, or one principal

# Measured: `python -m tests.bench credentials`.
REDIS_BYTES = 1_117
ENTRY_BYTES = 2_600

# A core serves four times as many asks from memory; from Redis, a good two times.
_ASKS_OF_A_PROCESS = 2_000


def default_processes(asked: Traffic) -> int:
    """Enough for the busiest hour, and two at least."""
    return max(2, math.ceil(asked.asks_per_second / _ASKS_OF_A_PROCESS))


def load(asked: Traffic, scope: str, objects: int = 1, **expires: int) -> Load:
    """The traffic as it falls on scopes. `expires`: default_seconds, max_seconds, duration_seconds."""
    bands = traffic.together(asked) if scope == "route" else traffic.principals(asked)
    return Load(bands, routes.terms(scope, **expires), objects if scope == "object" else 1)
