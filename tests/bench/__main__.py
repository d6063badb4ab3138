"""`python -m tests.bench [SECTION …]`: all benchmarks or some, as a table, as JSON and as charts.

Linux, two cores or more. `--quick` measures what the table of targets has, in three rounds instead of seven or more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import (
    batch,
    callers,
    charts,
    credentials,
    growth,
    herd,
    latencies,
    policies,
    presign,
    rates,
    renewals,
    requests,
    scopes,
    servers,
    starts,
    transfers,
    watched,
    workers,
)
from tests.bench.figures import HEADINGS, Figure, machine

_QUICK = {
    name: partial(section.measure, rounds=3)
    for name, section in {
        "presign": presign, "requests": requests, "workers": workers, "batch": batch, "starts": starts,
    }.items()
}  # fmt: skip
_SECTIONS: dict[str, Callable[[], list[Figure]]] = {
    "presign": presign.measure,
    "requests": requests.measure,
    "workers": workers.measure,
    "batch": batch.measure,
    "starts": starts.measure,
    "watched": watched.measure,
    "latencies": latencies.measure,
    "servers": servers.measure,
    "callers": callers.measure,
    "growth": growth.measure,
    "scopes": scopes.measure,
    "rates": rates.measure,
    "policies": policies.measure,
    "credentials": credentials.measure,
    "herd": herd.measure,
    "renewals": renewals.measure,
    "transfers": transfers.measure,
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(_SECTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help=f"fewer rounds of {', '.join(_QUICK)}")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="file to write (%(default)s)")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="folder for PNG charts; needs the extra `plots`")
    arguments = parser.parse_args()
    sections = _QUICK if arguments.quick else _SECTIONS
    if unknown := [name for name in arguments.sections if name not in sections]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(sections)}")
    if arguments.charts and (missing := charts.missing()):
        parser.error(missing)
    result = _measure({name: sections[name] for name in arguments.sections or sections})
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if arguments.charts:
        charts.draw(result["figures"], arguments.charts)


def _measure(sections: dict[str, Callable[[], list[Figure]]]) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": machine(), "figures": {}}
    print(", ".join(f"{name} {fact}" for name, fact in result["machine"].items()))
    print(HEADINGS)
    for name, measure in sections.items():
        figures = measure()
        print(f"\n{name}", *(figure.row() for figure in figures), sep="\n", flush=True)
        result["figures"][name] = [figure.record() for figure in figures]
    return result


if __name__ == "__main__":
    main()
