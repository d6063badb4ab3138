"""`python -m tests.bench`: every benchmark, as a table. Linux (it pins processes to cores), two cores or more."""

from __future__ import annotations

from tests.bench import presign, requests


def main() -> None:
    """Measure and print."""
    for benchmark in (presign, requests):
        for what, unit, figure in benchmark.measure():
            print(f"{what:<60} {figure:>10.{0 if figure >= 1000 else 2}f} {unit}")


if __name__ == "__main__":
    main()
