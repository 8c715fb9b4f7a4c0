"""Figures of a report, as SVG texts that stand in a page without anything else."""

import datetime
import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from uvsam.change.overlay import Polygons
from uvsam.change.series import years_of

COLOURS = {  # of events; those of Okabe and Ito (2008), which people with any colour vision tell apart
    "first": "#999999", "stable": "#999999", "grown": "#0072B2", "new": "#56B4E9", "reappeared": "#56B4E9",
    "shrunk": "#E69F00", "split": "#CC79A7", "merged": "#009E73", "lost": "#D55E00",
}  # fmt: skip
WIDTH = 7.2
MAP_PX = 1600
"""Longer side of the map, which is drawn as pixels: a page of a million outlines would not open."""


def day_names(dates: Sequence[datetime.date]) -> list[str]:
    """Dates of a series by their year, or by the day where two are of one year."""
    years = [f"{date:%Y}" for date in dates]
    return years if len(set(years)) == len(years) else [f"{date:%Y-%m-%d}" for date in dates]


def _slanted(count: int, most: int) -> dict[str, Any]:
    """How labels stand of which more than ``most`` would run into each other."""
    return {"rotation": 30, "ha": "right"} if count > most else {}


def _axes(height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "uvsam"  # the same figure is the same text
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def map_figure(
    villages: Iterable[tuple[Polygons, NDArray[np.str_]]], lost: Polygons, bounds: NDArray[np.float64]
) -> str:
    """Villages of the last period by what happened to them last, and ground that was lost; coordinates in metres.

    Args:
        villages: polygons and events (N,) each, in parts, so that not all of them are in memory at once.
        bounds: left, bottom, right, top of all of them.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    left, bottom, right, top = np.where(np.isnan(bounds), (0, 0, 1, 1), bounds)
    pixel = max(right - left, top - bottom, 1.0) / MAP_PX
    shape = max(1, math.ceil((top - bottom) / pixel)), max(1, math.ceil((right - left) / pixel))
    names = list(COLOURS)
    drawn, place = np.zeros(shape, np.uint8), Affine(pixel, 0, left, 0, -pixel, top)
    for polygons, events in (*villages, (lost, np.full(len(lost), "lost"))):
        colours = [1 + names.index(event) for event in events.tolist()]
        if len(polygons):
            rasterize(zip(polygons, colours, strict=True), out=drawn, transform=place, all_touched=True)
    figure, axes = _axes(WIDTH * float(np.clip(shape[0] / shape[1], 0.4, 1.2)))
    palette = np.array([(255, 255, 255), *(np.multiply(to_rgb(COLOURS[name]), 255) for name in names)]).astype(np.uint8)
    extent = (left, left + shape[1] * pixel, top - shape[0] * pixel, top)
    axes.imshow(palette[drawn], extent=extent, interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    bar = 10 ** np.floor(np.log10(max(right - left, 1.0) / 3))
    below = extent[2] - 0.02 * (extent[3] - extent[2])
    axes.plot([left, left + bar], [below, below], color="black", linewidth=3, solid_capstyle="butt", clip_on=False)
    axes.text(left + bar, below, f" {bar:g} m" if bar < 1000 else f" {bar / 1000:g} km", va="center", fontsize=8)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    shown = [Patch(color=COLOURS[names[k - 1]], label=names[k - 1]) for k in np.unique(drawn).tolist() if k]
    axes.legend(handles=shown, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _svg(figure)


def area_figure(periods: pd.DataFrame, slope_m2: float) -> str:
    """Area of all villages over time with its interval, and the Theil-Sen line; number of villages beside it."""
    figure, axes = _axes(3.0)
    dates, area, half = periods["date"], periods["area_m2"] / 1e4, periods["area_half_m2"] / 1e4
    axes.errorbar(dates, area, half, fmt="o-", color="#0072B2", capsize=3, label="area")
    years = years_of(list(dates))
    line = np.median(area - slope_m2 / 1e4 * years) + slope_m2 / 1e4 * years
    axes.plot(dates, line, "--", color="#555555", linewidth=1, label="Theil-Sen line")
    axes.set(ylabel="area of villages, ha", ylim=(0, 1.1 * max(1e-4, float((area + half).max()))))
    other = axes.twinx()
    other.plot(dates, periods["villages"], "s:", color="#D55E00", label="number")
    other.set(ylabel="number of villages", ylim=(0, 1.1 * max(1, int(periods["villages"].max()))))
    other.spines[["top"]].set_visible(False)
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="lower left")
    axes.set_xticks(list(dates))
    axes.set_xticklabels(day_names(list(dates)), **_slanted(len(dates), 12))
    return _svg(figure)


def step_figure(steps: pd.DataFrame) -> str:
    """Ground gained and lost in each step."""
    figure, axes = _axes(2.6)
    at = np.arange(len(steps))
    axes.bar(at, steps["gained_m2"] / 1e4, color=COLOURS["grown"], label="gained")
    axes.bar(at, -steps["lost_m2"] / 1e4, color=COLOURS["lost"], label="lost")
    axes.axhline(0, color="black", linewidth=0.8)
    days = day_names([*steps["from"], steps["to"].iloc[-1]])
    axes.set_xticks(at, [f"{a} to {b}" for a, b in pairwise(days)], **_slanted(len(at), 5))
    axes.set(ylabel="ha")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))  # beside: a single bar fills all
    return _svg(figure)


def distance_figure(at_km: NDArray[np.float64], curves: Sequence[tuple[str, NDArray[np.float64]]]) -> str:
    """Share of village land within a distance of the centre, one curve for each period."""
    figure, axes = _axes(3.0)
    for k, (name, curve) in enumerate(curves):
        shade = 0.75 - 0.75 * k / max(1, len(curves) - 1)
        axes.plot(at_km, 100 * curve, color=(shade, shade, shade) if k < len(curves) - 1 else "#0072B2", label=name)
    axes.set(
        xlabel="distance from the centre, km", ylabel="% of village land within", ylim=(0, 100), xlim=(0, at_km[-1])
    )
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)
