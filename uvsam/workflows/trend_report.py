"""``trends.html``: the trend for people, in one file that needs nothing else."""

import datetime
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
import shapely

import uvsam
from uvsam.change import figures
from uvsam.change.alignment import THE_LAYER_BEFORE
from uvsam.change.intervals import PIECE_M
from uvsam.change.overlay import bounds_of
from uvsam.documents import well_formed
from uvsam.errors import OutputError
from uvsam.raster.writer import claim_temporary
from uvsam.workflows.trend_layers import TrendLayers, Trends

TEMPLATE = "report.html"


class Table(NamedTuple):
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Figure(NamedTuple):
    svg: str
    caption: str


class Section(NamedTuple):
    title: str
    texts: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def write_report(path: Path, layers: TrendLayers, found: Trends, inputs: Sequence[str]) -> None:
    """Write the report; the file takes its name when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    page = well_formed(render(layers, found, inputs))
    part = claim_temporary(path)
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def render(layers: TrendLayers, found: Trends, inputs: Sequence[str]) -> str:
    """The page as text."""
    loader = jinja2.PackageLoader("uvsam.change", ".")
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(TEMPLATE)
    days = figures.day_names(layers.dates)
    sections = [_area(found), _what_happened(layers, found)]
    if layers.settings.centre is not None:
        sections.append(_distances(layers))
    if len(found.zones):
        sections.append(_zones(found))
    if len(found.corrected):
        sections.append(_corrected(found))
    sections.append(_alignment(found))
    return template.render(
        title=f"Urban villages and informal settlements, {days[0]} to {days[-1]}", summary=_summary(found),
        sections=sections, settings=layers.settings, rules=layers.settings.rules, piece_m=PIECE_M,
        percent="{:.0%}".format, version=uvsam.__version__, inputs=", ".join(inputs),
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    )  # fmt: skip


def hectares(area_m2: float) -> str:
    return "-" if math.isnan(area_m2) else f"{round(area_m2 / 1e4, 2) + 0.0:,.2f}"  # no -0.00


def per_cent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{100 * share:+z.1f} %"


def _summary(found: Trends) -> list[str]:
    periods, steps = found.periods, found.steps
    begin, end = periods.iloc[0], periods.iloc[-1]
    days = figures.day_names(list(periods["date"]))
    gained, lost = float(steps["gained_m2"].sum()), float(steps["lost_m2"].sum())
    sentences = [
        f"{days[0]}: {begin['villages']} villages on {hectares(begin['area_m2'])} ha. "
        f"{days[-1]}: {end['villages']} on {hectares(end['area_m2'])} ha.",
        f"In between, on ground that the images of both dates show, {hectares(gained)} ha were gained and "
        f"{hectares(lost)} ha lost; {int(steps['villages_new'].sum())} villages are new, "
        f"{int(steps['villages_demolished'].sum())} are gone.",
    ]
    if not steps["significant"].any():
        sentences.append("No change of the total between two dates is larger than what the outlines' errors explain.")
    if len(found.corrected):
        change = found.corrected.iloc[-1]
        sentences.append(
            f"By the reference sample, {change['of']}: {hectares(change['area_m2'])} ha "
            f"({hectares(change['low_m2'])} to {hectares(change['high_m2'])}, 95 %)."
        )
    return sentences


def _area(found: Trends) -> Section:
    slope = next(row for row in found.slopes.to_dict(orient="records") if row["of"] == "area_m2")
    rows = [
        (f"{row['date']}", str(row["villages"]), hectares(row["area_m2"]), f"± {hectares(row['area_half_m2'])}",
         hectares(row["median_m2"]), "-" if math.isnan(row["share"]) else f"{100 * row['share']:.2f} %")
        for row in found.periods.to_dict(orient="records")
    ]  # fmt: skip
    per_year, low, high = (hectares(slope[name]) for name in ("per_year", "low", "high"))
    caption = (
        "Bars are 95 % intervals from the errors of the outlines, whatever the map misses or invents. "
        f"Theil-Sen slope: {per_year} ha a year ({low} to {high})."
    )
    columns = ("period", "villages", "area, ha", "95 %, ha", "median, ha", "share of the ground seen")
    figure = Figure(figures.area_figure(found.periods, slope["per_year"]), caption)
    return Section("How much", (), [figure], [Table(columns, rows)])


def _what_happened(layers: TrendLayers, found: Trends) -> Section:
    followed = layers.followed
    last = followed.periods[-1].store
    lost = followed.steps[-1].before.beyond
    lost = lost[~shapely.is_empty(lost)]
    events = followed.histories.events[-1].astype(str)
    bounds = np.array([last.total_bounds, bounds_of(lost)])
    drawn = figures.map_figure(
        ((part.polygons, events[part.rows]) for part in last.parts()), lost,
        np.concatenate([np.fmin(*bounds[:, :2]), np.fmax(*bounds[:, 2:])]),
    )  # fmt: skip
    steps, days = found.steps.to_dict(orient="records"), figures.day_names(layers.dates)
    happened = Table(
        ("villages", *(f"{one} to {other}" for one, other in pairwise(days))),
        [
            (str(name).removeprefix("villages_").replace("_", " "), *(str(row[name]) for row in steps))
            for name in found.steps.columns if str(name).startswith("villages_")
        ],
    )  # fmt: skip
    sums = ("before_m2", "gained_m2", "lost_m2", "border_m2", "after_m2")
    books = Table(
        ("step", "before, ha", "gained, ha", "lost, ha", "within tolerance, ha", "after, ha", "a year", "significant"),
        [
            (f"{row['from']} to {row['to']}", *(hectares(row[name]) for name in sums), per_cent(row["share_per_year"]),
             "yes" if row["significant"] else "no")
            for row in steps
        ],
    )  # fmt: skip
    text = (
        "Areas of a step are those on ground that the images of both its dates show; "
        "before + gained - lost + within tolerance = after."
    )
    shown = [
        Figure(drawn, f"Villages of {days[-1]} by what happened to them since the date before, and ground lost since."),
        Figure(figures.step_figure(found.steps), "Ground gained and lost beyond the tolerance."),
    ]
    return Section("What happened", (text,), shown, [books, happened])


def _distances(layers: TrendLayers) -> Section:
    at_m = np.linspace(0, max(layers.furthest_m, 1000.0), 200)
    curves = list(zip(figures.day_names(layers.dates), layers.curves(at_m), strict=True))
    figure = Figure(figures.distance_figure(at_m / 1000, curves), "By the villages' centroids.")
    return Section("How far from the centre", (), [figure])


def _zones(found: Trends) -> Section:
    dates = sorted(found.zones["valid_from"].unique())
    rows = []
    for zone, own in found.zones.groupby("zone", sort=False):
        periods = own.set_index("valid_from").loc[dates].to_dict(orient="records")
        rows.append((str(zone), *(_in_zone(row) for row in periods)))
    days = figures.day_names([pd.Timestamp(date) for date in dates])
    table = Table(("zone", *(f"{day}: villages / ha" for day in days)), rows)
    text = (
        "A village across a border is counted where most of it is; its area where it lies. Of zones that overlap, each "
        "has all that lies in it."
    )
    return Section("Where", (text,), (), [table])


def _in_zone(row: Mapping[Any, Any]) -> str:
    seen = row["seen_share"]
    if seen == 0:
        return "not looked at"
    return f"{row['villages']} / {hectares(row['area_m2'])}" + ("" if seen > 0.995 else f" ({seen:.0%} seen)")


def _corrected(found: Trends) -> Section:
    rows = [
        (row["of"], *(hectares(row[name]) for name in ("mapped_m2", "area_m2", "error_m2")),
         f"{hectares(row['low_m2'])} to {hectares(row['high_m2'])}")
        for row in found.corrected.to_dict(orient="records")
    ]  # fmt: skip
    text = (
        "A map has errors, and areas on it are biased by them. These are corrected by a stratified random sample of "
        "places that somebody looked at (Olofsson et al. 2014). The interval joins those of the strata, so that it "
        "holds for rare classes, too; where the sample is rich, it is about the area ± 1.96 standard errors."
    )
    table = Table(("", "mapped, ha", "area, ha", "standard error, ha", "95 % interval, ha"), rows)
    return Section("Corrected by the reference sample", (text,), (), [table])


def _alignment(found: Trends) -> Section:
    rows = []
    for date, row in zip(found.periods["date"], found.shifts.to_dict(orient="records"), strict=True):
        known, carried = bool(row["count"]), row["told_from"] == THE_LAYER_BEFORE
        place = (f"{row['east_m']:+z.1f}", f"{row['north_m']:+z.1f}") if known or carried else ("-", "-")
        error = f"± {1.96 * row['error_m']:.1f}" if known else "-"
        from_what = f"{row['count']} {row['told_from']}" if known else f"as {THE_LAYER_BEFORE}" if carried else "-"
        rows.append((f"{date}", *place, error, from_what))
    text = (
        "How far each layer lay beside the first one, told from villages that kept their size, or from the "
        "images themselves, and taken off before anything was compared. A layer with too little to tell it "
        "from is moved as the layer before."
    )
    return Section("Alignment", (text,), (), [Table(("period", "east, m", "north, m", "95 %, m", "told from"), rows)])
