"""`python -m tests.bench.simulate [OPTION …]`: STS calls, Redis memory and hit rates of a fleet of any size.

`--counted` holds the simulation against the real engine, `--plots DIR` draws the curves of docs/scaling.md. What the
figures rest on is told in `tests/bench/scaling/`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from broker.credentials.cache import ENTRIES
from broker.limits import for_one_kind
from tests.bench.figures import HEADINGS, Figure
from tests.bench.scaling import comparing, plots, routes
from tests.bench.scaling.days import SAMPLE, Day, Load, day
from tests.bench.scaling.fleets import BUDGET, ENTRY_BYTES, KEY_SHARE, REDIS_BYTES, default_processes, load
from tests.bench.scaling.lives import COLD, FROM_MEMORY, FROM_REDIS, OUTCOMES
from tests.bench.scaling.loss import after_loss
from tests.bench.scaling.traffic import Traffic

# The options that the modes of other outputs take.
_HEARD = {"counted": (), "plots": ("asks_per_day", "busy_share", "active_share", "zipf")}

_MOST = 10**12


def main() -> None:
    """Simulate and print; or compare; or draw."""
    parser = _parser()
    options = parser.parse_args()
    _check(parser, options)
    try:
        traffic = Traffic(
            options.principals, options.asks_per_day, options.busy_share, options.active_share, options.zipf
        ).check()
        simulated = load(traffic, options.scope, options.objects, **_expires(options))
    except ValueError as error:
        parser.error(str(error))
    if options.plots is not None:
        plots.draw(options.plots, traffic, options.seed)
    elif options.counted:
        for line in comparing.table(options.seed):
            print(line, flush=True)
    else:
        processes = options.processes or default_processes(traffic)
        result = day(simulated, processes, shared=options.redis, seed=options.seed, sample=options.sample)
        print(HEADINGS, *(figure.row() for figure in _figures(options, simulated, processes, result)), sep="\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulate")
    add = parser.add_argument
    add("--principals", type=_number, default=10**6, help="how many there are, as in 1e6 (%(default)s)")
    add("--asks-per-day", type=float, default=Traffic(1).asks_per_day, help="of one principal (%(default)g)")
    add("--busy-share", type=float, default=Traffic(1).busy_share, help="of these, in the busiest hour (%(default)g)")
    add("--active-share", type=float, default=Traffic(1).active_share, help="of principals, in it (%(default)g)")
    add("--zipf", type=float, default=0.0, help="exponent of activity by rank; 0: all alike (%(default)g)")
    add("--scope", choices=routes.SCOPES, default="principal", help="what one credential reaches (%(default)s)")
    add("--objects", type=_number, default=50, help="objects of a principal, for scope object (%(default)s)")
    add("--default-seconds", type=_number, default=300, help="asked lifetime of a URL (%(default)s)")
    add("--max-seconds", type=_number, default=900, help="longest lifetime of a URL (%(default)s)")
    add("--duration-seconds", type=_number, default=1800, help="lifetime of a credential (%(default)s)")
    add("--processes", type=_number, help="of the fleet; by default one for each 2,000 asks/s, two at least")
    add("--no-redis", dest="redis", action="store_false", help="each process for itself")
    add("--budget", type=_number, default=BUDGET, help="BROKER_STS_BUDGET (%(default)s)")
    add("--seed", type=int, default=1, help="the same seed, the same figures (%(default)s)")
    add("--sample", type=_number, default=SAMPLE, help="principals that are played (%(default)s)")
    add("--counted", action="store_true", help="hold it against the real engine: 2,000 principals, some minutes")
    add("--plots", type=Path, metavar="DIR", help="draw PNG files there (needs matplotlib: the extra `plots`)")
    return parser


def _number(text: str) -> int:
    number = float(text)
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"must be 1 to {_MOST:g}, got {text}")
    return int(number)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what would be passed over. Ends the program."""
    for mode, heard in _HEARD.items():
        if not getattr(options, mode):
            continue
        for name, value in vars(options).items():
            if name not in {mode, "seed", *heard} and value != parser.get_default(name):
                parser.error(f"--{mode} has its own {name.replace('_', ' ')}: leave it out")
    if options.scope != "object" and options.objects != parser.get_default("objects"):
        parser.error("--objects goes with --scope object")


def _expires(options: argparse.Namespace) -> dict[str, int]:
    return {name: getattr(options, name) for name in ("default_seconds", "max_seconds", "duration_seconds")}


def _figures(options: argparse.Namespace, simulated: Load, processes: int, result: Day) -> list[Figure]:
    figures = [
        Figure("asks in the busiest hour", "asks/s", result.asks(*OUTCOMES)),
        Figure("processes", "processes", processes),
        Figure("served by the memory of a process", "%", 100 * result.share(*FROM_MEMORY)),
        Figure("served by Redis", "%", 100 * result.share(*FROM_REDIS)),
        Figure("wait for STS", "%", 100 * result.share(COLD)),
        Figure("calls of STS for those who wait", "calls/s", result.cold, at_most=for_one_kind(options.budget)),
        Figure("calls of STS in all", "calls/s", result.calls, at_most=options.budget),
        Figure("calls of STS on the whole day", "calls", round(result.calls_in_all)),
        Figure("API keys that all this needs at least, if BFFs ask", "keys", math.ceil(result.cold / KEY_SHARE)),
        Figure("scopes that live at once", "scopes", result.scopes),
        Figure("scopes in the memory of a process, at most", "MB", ENTRY_BYTES * min(result.scopes, ENTRIES) / 1e6),
    ]
    if not options.redis:
        return figures
    figures.append(Figure("scopes in Redis", "MB", REDIS_BYTES * result.scopes / 1e6))
    if result.calls <= options.budget:
        moments = after_loss(simulated, options.budget)
        longest = max(moment.wait_seconds for moment in moments)
        minutes = sum(moment.waiting >= 1 for moment in moments) / 60
        figures.append(Figure("after Redis has lost everything: some wait, for", "minutes", minutes))
        figures.append(Figure("after Redis has lost everything: the longest wait", "s", longest))
    return figures


if __name__ == "__main__":
    main()
