"""The tables of docs/performance.md: `python -m tests.bench.tables FILE.json PAGE.md` puts a run's figures into a page.

They go between the lines `<!-- figures: SECTION -->` and `<!-- end -->`; the section `machine` is about the run itself.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure

_BLOCK = re.compile(r"(<!-- figures: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, result: dict[str, Any]) -> str:
    """The page with the figures of a run; sections that were not measured stay as they are."""

    def block(found: re.Match[str]) -> str:
        name = found[2]
        if name == "machine":
            rows = ", ".join(f"{fact} {value}" for fact, value in result["machine"].items())
            return f"{found[1]}{rows[0].upper()}{rows[1:]}.\n{found[3]}"
        if name not in result["figures"]:
            return found[0]
        return f"{found[1]}{_table(result['figures'][name])}\n{found[3]}"

    return _BLOCK.sub(block, page)


def _table(records: list[dict[str, Any]]) -> str:
    return "\n".join(["| what | figure | wanted |", "|---|---|---|", *(_row(record) for record in records)])


def _row(record: dict[str, Any]) -> str:
    figure = Figure(record["what"], record["unit"], record["figure"])
    wanted = record.get("wanted", "") + ("" if record.get("met", True) else ": **missed**")
    return f"| {figure.what} | {figure.text} {figure.unit} | {wanted} |".replace("|  |", "| |")


def main() -> None:
    """Fill a page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tables")
    parser.add_argument("file", type=Path, help="as `python -m tests.bench` writes it")
    parser.add_argument("page", type=Path, help="the page to fill")
    arguments = parser.parse_args()
    text = filled(arguments.page.read_text(), json.loads(arguments.file.read_text()))
    arguments.page.write_text(text)


if __name__ == "__main__":
    main()
