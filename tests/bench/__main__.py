"""`python -m tests.bench [SECTION …]`: all benchmarks or some, as a table and as JSON. Linux, two cores or more."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.bench import batch, credentials, herd, policies, presign, rates, renewals, requests, transfers, watched
from tests.bench.figures import HEADINGS, machine

_SECTIONS = {
    "presign": presign.measure,
    "requests": requests.measure,
    "rates": rates.measure,
    "watched": watched.measure,
    "policies": policies.measure,
    "batch": batch.measure,
    "credentials": credentials.measure,
    "herd": herd.measure,
    "renewals": renewals.measure,
    "transfers": transfers.measure,
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(_SECTIONS)}; all by default")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="file to write (%(default)s)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in _SECTIONS]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(_SECTIONS)}")
    result = {"machine": machine(), "figures": {}}
    print(", ".join(f"{name} {fact}" for name, fact in result["machine"].items()))
    print(HEADINGS)
    for name in arguments.sections or _SECTIONS:
        figures = _SECTIONS[name]()
        print(f"\n{name}", *(figure.row() for figure in figures), sep="\n", flush=True)
        result["figures"][name] = [figure.record() for figure in figures]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
