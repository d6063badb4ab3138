"""PNG charts of what the benchmarks found; `python -m tests.bench.charts FILE.json DIR` draws those of another run.

Needs the extra `plots` (matplotlib), and nothing else: the figures come from a JSON file, or as it would hold them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_OURS, _THEIRS = "#0072B2", "#A9B1BA"
_COLOURS = (_OURS, "#7F7F7F", "#009E73", "#D55E00")


def missing() -> str:
    """What is to be done before anything can be drawn; empty if nothing is."""
    if importlib.util.find_spec("matplotlib"):
        return ""
    return "charts are drawn by matplotlib: install the extra `plots`, pip install 'cos-broker[plots]'"


def draw(figures: dict[str, list[Record]], folder: Path) -> None:
    """One file for each chart whose section was measured."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (section, size, chart) in _CHARTS.items():
        if section in figures:
            figure, axes = plt.subplots(figsize=size, layout="constrained")
            chart(axes, figures[section])
            figure.savefig(folder / f"bench-{name}.png", dpi=100)
            plt.close(figure)


def _rates(axes: Any, records: list[Record]) -> None:
    rows = [(record["what"], record["figure"]) for record in records if record.get("curve") == "rates"]
    names = [name for name, _ in rows]
    computed = {
        names.index(record["what"].removesuffix(", per second of CPU")): record["figure"]
        for record in records
        if record.get("curve") == "computed"
    }
    _bars(axes, rows, "warm /url", max(computed.values()))
    below = [at + 0.45 for at in computed]
    axes.barh(below, computed.values(), height=0.1, color=_COLOURS[3], label="per second of the server's CPU")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("Requests per second on one core", loc="left")


def _servers(axes: Any, records: list[Record]) -> None:
    rows = [(record["what"].partition(":")[0], record["figure"]) for record in records if record.get("curve")]
    _bars(axes, rows, "Granian, 32")
    axes.set_title("µs of CPU of a warm /url", loc="left")


def _bars(axes: Any, rows: Sequence[tuple[str, float]], ours: str, most: float = 0) -> None:
    names, rates = zip(*rows, strict=True)
    bars = axes.barh(names, rates, color=[_OURS if name.startswith(ours) else _THEIRS for name in names])
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, max(most, *rates) * 1.12)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _latencies(axes: Any, records: list[Record]) -> None:
    for colour, (name, points) in zip(_COLOURS, _curves(records).items(), strict=False):
        axes.plot([value for _, value in points], [at for at, _ in points], marker="o", ms=3, label=name, color=colour)
    axes.set_xscale("log")
    _plain(axes)
    axes.set(xlabel="ms, from when a request was due", ylabel="% answered")
    axes.set_title(f"{records[0]['what'].partition(',')[0]} to each", loc="left")
    _dress(axes)


def _sts_calls(axes: Any, records: list[Record]) -> None:
    curves = {name: points for name, points in _curves(records).items() if name.startswith("STS calls")}
    for colour, (name, points) in zip((_OURS, _COLOURS[3]), curves.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", ms=3, color=colour, label=name.partition(": ")[2])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set(xlabel="callers that ask for the same new scope at once", ylabel="calls of STS")
    axes.set_title("One call, however many ask", loc="left")
    _plain(axes)
    _dress(axes)


def _callers(axes: Any, records: list[Record]) -> None:
    curves = _curves(records)
    axes.plot(*zip(*curves["rate"], strict=True), marker="o", ms=3, color=_OURS, label="per second")
    computed = [(callers, 1e6 / microseconds) for callers, microseconds in curves["CPU"]]
    axes.plot(*zip(*computed, strict=True), color=_COLOURS[1], label="per second of CPU")
    axes.set_ylim(0)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="callers", ylabel="requests")
    axes.set_title("Warm /url as callers grow", loc="left")
    _plain(axes)
    _dress(axes)


def _waiting(axes: Any, records: list[Record]) -> None:
    curves = _curves(records)
    for colour, name in zip(_COLOURS, ("p50", "p99"), strict=False):
        axes.plot(*zip(*curves[name], strict=True), marker="o", ms=3, color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(xlabel="callers, each with an ask at all times", ylabel="ms")
    axes.set_title("What they wait", loc="left")
    _plain(axes)
    _dress(axes)


def _growing(
    title: str, x: str, y: str, *curves: str, x_scale: str = "log", y_scale: str = "linear"
) -> Callable[[Any, list[Record]], None]:
    def chart(axes: Any, records: list[Record]) -> None:
        found = _curves(records)
        for colour, name in zip(_COLOURS, curves, strict=False):
            axes.plot(*zip(*found[name], strict=True), marker="o", ms=3, color=colour, label=name)
        axes.set_xscale(x_scale)
        axes.set_yscale(y_scale)
        if y_scale == "linear":
            axes.set_ylim(0, 1.15 * max(value for name in curves for _, value in found[name]))
        axes.set(xlabel=x, ylabel=y)
        axes.set_title(title, loc="left")
        _plain(axes)
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend(frameon=False)

    return chart


def _curves(records: list[Record]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record.get("curve"):
            found.setdefault(record["curve"], []).append((record["at"], record["figure"]))
    return found


def _plain(*them: Any) -> None:
    for axes in them:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _dress(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


_WIDE, _SMALL = (8, 3.6), (5.2, 3)
_CHARTS: dict[str, tuple[str, tuple[float, float], Callable[[Any, list[Record]], None]]] = {
    "rates": ("requests", _WIDE, _rates),
    "servers": ("servers", _WIDE, _servers),
    "latencies": ("latencies", _WIDE, _latencies),
    "sts-calls": ("callers", _SMALL, _sts_calls),
    "callers": ("callers", _SMALL, _callers),
    "waiting": ("callers", _SMALL, _waiting),
    "routes": ("growth", _SMALL, _growing("A warm ask beside other routes", "routes", "µs without a server", "routes")),
    "loading": (
        "growth",
        _SMALL,
        _growing("Loading policies", "policy files", "seconds; MB", "seconds to load", "MB", y_scale="log"),
    ),
    "batch": (
        "growth",
        _SMALL,
        _growing(
            "Batches over HTTP",
            "asks in a batch",
            "URLs per second",
            "until the answer is there",
            "of the server's CPU",
        ),
    ),
    "token": (
        "growth",
        _SMALL,
        _growing("A pre-signed GET", "bytes of the session token", "µs", "token", x_scale="linear"),
    ),
    "scopes": (
        "scopes",
        _SMALL,
        _growing("A hit among other scopes", "scopes", "µs", "in memory", "in Redis", y_scale="log"),
    ),
}


def main() -> None:
    """Draw a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.charts")
    parser.add_argument("file", type=Path, help="as `python -m tests.bench` writes it")
    parser.add_argument("folder", type=Path, help="where the charts go")
    arguments = parser.parse_args()
    if problem := missing():
        parser.error(problem)
    draw(json.loads(arguments.file.read_text())["figures"], arguments.folder)


if __name__ == "__main__":
    main()
