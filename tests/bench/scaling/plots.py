"""The curves of docs/scaling.md as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from broker.limits import for_one_kind
from tests.bench.scaling.days import Day, day
from tests.bench.scaling.fleets import BUDGET, KEY_SHARE, QUOTA, REDIS_BYTES, default_processes, load
from tests.bench.scaling.lives import COLD, FROM_MEMORY, FROM_REDIS
from tests.bench.scaling.loss import after_loss
from tests.bench.scaling.traffic import Traffic

_SAMPLE = 6_000
_SIZES = [round(10 ** (step / 2)) for step in range(6, 17)]
_LIVES = [1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 129_600]
_HOURS = {1_800: "½ h", 7_200: "2 h", 129_600: "36 h"}
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F"]  # told apart by the colour-blind, too


class _World(NamedTuple):
    traffic: Traffic
    seed: int

    def day(
        self,
        principals: int,
        scope: str = "principal",
        duration: int = 1_800,
        default: int = 300,
        longest: int = 900,
    ) -> Day:
        asked = self.traffic._replace(principals=principals)
        expires = {"default_seconds": default, "max_seconds": longest, "duration_seconds": duration}
        simulated = load(asked, scope, 50, **expires)
        return day(simulated, default_processes(asked), seed=self.seed, sample=_SAMPLE)


def draw(folder: Path, traffic: Traffic, seed: int) -> None:
    """All files, for the traffic's shape at sizes of their own. Ends with a clear line if there is no matplotlib."""
    pyplot = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in _PLOTS.items():
        figure, axes = pyplot.subplots(figsize=(5.4, 4.2), layout="constrained")
        plot(axes, _World(traffic, seed))
        axes.grid(alpha=0.25)
        figure.savefig(folder / f"{name}.png", dpi=125, metadata={"Software": None})
        pyplot.close(figure)
        print(folder / f"{name}.png", flush=True)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install '.[plots]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _calls(axes: Any, world: _World) -> None:
    curves = {
        "object (50 for each principal), ½ h": ("object", 1_800),
        **{f"principal, {hours}": ("principal", duration) for duration, hours in _HOURS.items()},
        "route, ½ h": ("route", 1_800),
    }
    for colour, (label, (scope, duration)) in zip(_COLOURS, curves.items(), strict=True):
        calls = [world.day(size, scope, duration).calls for size in _SIZES]
        axes.loglog(_SIZES, calls, color=colour, marker=".", label=label)
    _limits(axes, _SIZES[0], "left")
    _key_limit(axes, _SIZES[-1])
    _principals(axes)
    _label(axes, "STS calls, by scope and life of the credential", "principals", "calls of STS per second")
    axes.set_ylim(3e-4, 3e5)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.14), fontsize="small")


def _lifetimes(axes: Any, world: _World) -> None:
    curves = [(100, 300, 900), (20, 3_600, 3_600), (20, 300, 900), (5, 300, 900)]
    for colour, (asks, default, longest) in zip(_COLOURS, curves, strict=False):
        lives = [life for life in _LIVES if life * 0.75 >= longest + 180]
        asked = world._replace(traffic=world.traffic._replace(asks_per_day=asks))
        calls = [asked.day(10**6, duration=life, default=default, longest=longest).calls for life in lives]
        axes.loglog(lives, calls, color=colour, marker=".", label=f"{asks} asks a day, URLs of {default // 60} min")
    _limits(axes, _LIVES[-1], "right")
    _key_limit(axes, _LIVES[-1])
    axes.set_xticks(_LIVES, ["½", "1", "2", "4", "8", "16", "36"], minor=False)
    axes.minorticks_off()
    _label(axes, "STS calls of 1,000,000 principals, scope principal", "duration_seconds, in hours", "calls per second")
    axes.set_ylim(5, 8e3)
    axes.legend(loc="upper right", fontsize="small")


def _redis(axes: Any, world: _World) -> None:
    for colour, (duration, hours) in zip(_COLOURS, _HOURS.items(), strict=False):
        gigabytes = [world.day(size, duration=duration).scopes * REDIS_BYTES / 1e9 for size in _SIZES]
        axes.loglog(_SIZES, gigabytes, color=colour, marker=".", label=f"credentials of {hours}")
    _principals(axes)
    axes.set_yticks([10.0**power for power in range(-3, 3)], ["1 MB", "10 MB", "100 MB", "1 GB", "10 GB", "100 GB"])
    _label(axes, "Redis memory, scope principal", "principals", f"memory, {REDIS_BYTES:,} bytes a scope")
    axes.legend(fontsize="small")


def _hits(axes: Any, world: _World) -> None:
    served = {"wait for STS": (COLD,), "from Redis": FROM_REDIS, "from memory": FROM_MEMORY}
    days = [world.day(size, duration=7_200) for size in _SIZES]
    shares = [[100 * one.share(*outcomes) for one in days] for outcomes in served.values()]
    axes.stackplot(_SIZES, shares, labels=served, colors=[_COLOURS[1], _COLOURS[0], _COLOURS[2]], alpha=0.85)
    axes.set_xscale("log")
    axes.set_xlim(_SIZES[0], _SIZES[-1])
    axes.set_ylim(0, 100)
    _principals(axes)
    _label(axes, "What serves an ask: scope principal, credentials of 2 h", "principals", "% of the asks")
    axes.legend(loc="upper right", fontsize="small", reverse=True)


def _loss(axes: Any, world: _World) -> None:
    for colour, millions in zip(_COLOURS, (1, 1.5, 2, 2.5), strict=False):
        asked = world.traffic._replace(principals=round(millions * 10**6))
        simulated = load(asked, "principal", default_seconds=300, max_seconds=900, duration_seconds=7_200)
        waits = [moment.wait_seconds for moment in after_loss(simulated, BUDGET)]
        minutes = [second / 60 for second in range(len(waits))]
        axes.plot(minutes, waits, color=colour, label=f"{millions:g} million principals")
    _label(
        axes,
        f"After Redis has lost everything ({for_one_kind(BUDGET)} new scopes a second)",
        "minutes after the loss",
        "wait of an ask that comes then, in seconds",
    )
    axes.legend(fontsize="small")


def _limits(axes: Any, at: int, side: str) -> None:
    """Lines, with what they are at that place: to its left or right, where there are no curves."""
    cold = for_one_kind(BUDGET)
    axes.axhspan(cold, BUDGET, color="black", alpha=0.15, linewidth=0)
    for value, style in ((QUOTA, "-"), (BUDGET, "--"), (KEY_SHARE, ":")):
        axes.axhline(value, color="black", linestyle=style, linewidth=1)
    axes.text(at, QUOTA * 1.08, f"STS quota: {QUOTA}/s", fontsize="small", va="bottom", ha=side)
    axes.text(at, cold * 0.93, f"BROKER_STS_BUDGET: {BUDGET}/s", fontsize="small", va="top", ha=side)


def _key_limit(axes: Any, at: int) -> None:
    text = f"one API key: {KEY_SHARE:g} new scopes/s"
    axes.text(at, KEY_SHARE * 0.87, text, fontsize="small", va="top", ha="right")


def _principals(axes: Any) -> None:
    axes.set_xticks([10**power for power in range(3, 9)], ["1 k", "10 k", "100 k", "1 M", "10 M", "100 M"])


def _label(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(across)
    axes.set_ylabel(up)


_PLOTS: dict[str, Callable[[Any, _World], None]] = {
    "calls": _calls,
    "lifetimes": _lifetimes,
    "redis": _redis,
    "hits": _hits,
    "loss": _loss,
}
