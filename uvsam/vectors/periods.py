"""Village layers with a date: which files, layers and rows are which period, and their rows read in pieces."""

import datetime
import itertools
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import dask_geopandas  # noqa: F401  # makes frames of geometries known to dask.dataframe
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import CRS

from uvsam.dates import day_in
from uvsam.errors import LabelError
from uvsam.vectors import layer_files
from uvsam.vectors.layer_files import count_rows, layer_info, named, naming, read_columns, read_rows
from uvsam.vectors.period_columns import DateColumn, Group, columns_of, ids, numbers
from uvsam.vectors.polygon_files import (
    moved,
    multipolygons,
    place,
    polygon_layer,
    repaired,
    rows_with_polygons,
    say_left_out,
    to_wkb,
    unbroken,
)
from uvsam.vectors.whereabouts import check_coordinates

CHUNK = 20_000
"""Rows that are read at once."""
NUMBERS = ("confidence", "area_low_m2", "area_high_m2")
KEPT = ("village_id", *NUMBERS)
"""Columns that are carried along where a layer has them."""
PERIOD, ACQUIRED = "period", "acquired"
OTHER_DATES = ("date", "year", "acq_date", "acquisition_date", "image_date", "img_date")
"""Columns that may say the date of a layer, or something else."""
LONG = datetime.timedelta.max
MOSAIC_DAYS = 366
"""Images of one mosaic are not further apart."""


@dataclass(frozen=True)
class PeriodSource:
    """The villages of one date.

    Attributes:
        path, layer: where they are.
        date: of the image. A year alone is the middle of the year.
        rows: numbers of their rows in the layer; None is all.
        image: uri of the one that the villages were found in, where it is at hand.
    """

    path: Path
    layer: str
    date: datetime.date
    rows: NDArray[np.intp] | None = field(default=None, compare=False)
    image: str | None = None


def find_periods(paths: Sequence[Path], dates: Sequence[datetime.date] = (), *, least: int = 2) -> list[PeriodSource]:
    """The periods in vector files, in the order of time.

    A file may hold several, told apart by a column ``period``. A date is the one given; else that of column
    ``acquired``; else that of ``period``; else the day or the year in the name of the layer or the file.

    Args:
        dates: one for each of ``paths``, or none.
        least: periods that there must be.

    Raises:
        LabelError: a file cannot be read or has no date, there are too few periods, or two of the same date.
    """
    if dates and len(dates) != len(paths):
        raise LabelError(f"{len(dates)} dates for {len(paths)} files; give one for each, or none")
    found = [source for k, path in enumerate(paths) for source in _periods_of(path, dates[k] if dates else None)]
    found.sort(key=lambda source: source.date)
    if len(found) < least:
        raise LabelError("a trend needs two periods at least; give the layers of two dates")
    for one, other in itertools.pairwise(found):
        if one.date == other.date:
            raise LabelError(f"{one.path} and {other.path} are both of {one.date}; say which is when with --dates")
    return found


def _periods_of(path: Path, given: datetime.date | None) -> list[PeriodSource]:
    layer = polygon_layer(path)
    columns = _date_columns(path, layer)
    period, acquired = columns.get(PERIOD), columns.get(ACQUIRED)
    groups = period.groups() if period else []
    if len(groups) > 1:
        assert period is not None
        if given is not None:
            one = _as(path, period, groups)
            raise LabelError(f"{_holds(path, period, groups)}; give it without --dates, or one of them, {one}")
        return _several(path, layer, period, groups, acquired)
    days = _days_of_one(path, acquired, given) if acquired else []
    if given is not None or days:
        return [PeriodSource(path, layer, given or days[0])]
    if groups:
        return [PeriodSource(path, layer, groups[0].date())]
    return [PeriodSource(path, layer, _date_of_name(path, layer))]


def _days_of_one(path: Path, acquired: DateColumn, given: datetime.date | None) -> list[datetime.date]:
    """The days of a layer of one period: one, or, where one was given, those of the images of a mosaic."""
    groups = acquired.groups()
    days = acquired.days() if given else [group.date() for group in groups]
    if not days or (spread := (days[-1] - days[0]).days) <= (MOSAIC_DAYS if given else 0):
        return days
    hint = "" if spread > MOSAIC_DAYS else ", or say one day for all with --dates"
    raise LabelError(
        f"{path} has villages of {days[0]} to {days[-1]} in column {acquired.name}; name those of one date, "
        f"{_as(path, acquired, groups)}, or tell them apart by a column period{hint}"
    )


def _date_columns(path: Path, layer: str) -> dict[str, DateColumn]:
    """Columns ``period`` and ``acquired`` of a layer, by these names; case does not matter."""
    known = {name.lower(): name for name in layer_info(path, layer).columns if name.lower() in (PERIOD, ACQUIRED)}
    table = read_columns(path, layer, list(known.values())) if known else pd.DataFrame()
    return {key: DateColumn(path, name, table[name]) for key, name in known.items()}


def _several(
    path: Path, layer: str, period: DateColumn, groups: Sequence[Group], acquired: DateColumn | None
) -> list[PeriodSource]:
    without = len(period.values) - sum(len(group.rows) for group in groups)
    if without:
        are = "row has no period and is" if without == 1 else "rows have no period and are"
        warnings.warn(f"{without} {are} left out of layer {layer} of {path} (column {period.name})", stacklevel=4)
    sources: dict[datetime.date, Group] = {}
    for group in groups:
        days = sorted({one.date() for one in acquired.groups(group.rows)}) if acquired else []
        if len(days) > 1:
            assert acquired is not None
            raise LabelError(
                f"{path}: villages of period {group.said} are of {days[0]} to {days[-1]} in column {acquired.name}; "
                "write one day there"
            )
        day = days[0] if days else group.date()
        if day in sources:
            both = f"{sources[day].said} and {group.said}"
            raise LabelError(f"{path}: the periods {both} are both of {day}; say in column acquired when each is")
        sources[day] = group
    return [PeriodSource(path, layer, day, group.rows) for day, group in sources.items()]


def _date_of_name(path: Path, layer: str) -> datetime.date:
    """What the name of a layer or its file says; else a column that may be meant."""
    at = named(path)
    said = next(filter(None, map(day_in, (layer if at.layer else "", at.file.stem, layer))), None)
    names = [name for name in layer_info(path, layer).columns if name.lower() in OTHER_DATES]
    for name in names:
        column = DateColumn(path, name, read_columns(path, layer, [name])[name])
        days = column.days()
        if len(days) == 1 and said is None:
            return days[0]
        if len(days) > 1:
            told = f"{path} has {days[0]} to {days[-1]} in column {name}"
            if said is None:
                raise LabelError(f"{told}; name that column period if these are periods, else say one with --dates")
            warnings.warn(f"{told}; it is taken as one layer of {said}, as it is named", stacklevel=5)
    if said is None:
        raise LabelError(f"{path} does not say when its image was taken; say so with --dates")
    return said


def check_one_period(path: Path, option: str, near: Sequence[datetime.date] = ()) -> None:
    """Whether a layer is of one date: those of several laid over each other are of none.

    Args:
        option: that chooses rows of the layer by an SQL condition.
        near: days; the period that is closest to one is proposed.

    Raises:
        LabelError: it is of several, with the option to paste.
    """
    period = _date_columns(path, polygon_layer(path)).get(PERIOD)
    groups = period.groups() if period else []
    if period and len(groups) > 1 and PERIOD not in (named(path).where or "").lower():  # else the user chose several
        fitting = min(reversed(groups), key=lambda one: min([abs(one.day - day) for day in near if one.day] or [LONG]))
        one = _quoted(period.condition(fitting))
        raise LabelError(f"{_holds(path, period, groups)}: choose one, as with {option} {one}")


def days_of(path: Path) -> list[datetime.date]:
    """The days that column ``acquired`` of a layer says; none where it has no such column."""
    acquired = _date_columns(path, polygon_layer(path)).get(ACQUIRED)
    return acquired.days() if acquired else []


def _holds(path: Path, column: DateColumn, groups: Sequence[Group]) -> str:
    return f"{path} holds the {column.name}s {', '.join(group.said for group in groups)}"


def _as(path: Path, column: DateColumn, groups: Sequence[Group]) -> str:
    return f"as {shlex.quote(str(naming(path, where=column.condition(groups[-1]))))}"


def _quoted(text: str) -> str:
    """A word for a shell, in the quotes that people use where these do."""
    return shlex.quote(text) if any(sign in text for sign in '"$`\\!') else f'"{text}"'


def read_bounds(source: PeriodSource) -> NDArray[np.float64]:
    """(N, 4) left, bottom, right, top of every village, in the CRS of the layer.

    Rows without a geometry have none, and there is a warning.

    Raises:
        LabelError: coordinates are not of the layer's CRS.
    """
    bounds = layer_files.read_bounds(source.path, source.layer)
    bounds = bounds if source.rows is None else bounds[source.rows]
    there = np.isfinite(bounds).all(axis=1)
    say_left_out(int((~there).sum()), source.path, source.layer)
    check_coordinates(source.path, bounds[there], crs_of(source))
    return bounds[there]


def crs_of(source: PeriodSource) -> CRS | None:
    """Where on earth a layer is; None if it does not say."""
    return place(layer_info(source.path, source.layer).crs)


def read_lazily(source: PeriodSource, crs: CRS | None, kept_in: CRS | None = None) -> Any:
    """A dask-geopandas frame of the villages on a map, read some thousand rows at a time.

    Polygons are repaired; rows without one are left out. Of the columns, :data:`KEPT` are there, empty where the layer
    has none; column ``outline`` is the WKB of the polygons in ``kept_in``, where those that are in it already keep
    every corner.

    Args:
        crs: of the map; None where the layer has no place on earth.
        kept_in: of column ``outline``; default: that of the layer.

    Raises:
        LabelError: when it is computed: a row is no polygon, or a number of it is none.
    """
    own = crs_of(source)
    found = columns_of(KEPT, layer_info(source.path, source.layer).columns)
    has = list(found.values())
    rows = np.arange(count_rows(source.path, source.layer)) if source.rows is None else source.rows
    parts = np.unique(rows // CHUNK).tolist() or [0]

    def read(part: int) -> gpd.GeoDataFrame:
        first = part * CHUNK
        frame = read_rows(source.path, source.layer, columns=has, first=first, count=CHUNK)
        frame = frame.iloc[rows[rows // CHUNK == part] - first].rename(columns=full)
        return _prepared(source, frame, own, crs, kept_in)

    full = {said: name for name, said in found.items()}
    empty = gpd.GeoDataFrame({name: [] for name in found}, geometry=[], crs=own)
    return dd.from_map(read, parts, meta=_prepared(source, empty, own, crs, kept_in))  # type: ignore[no-untyped-call]


def _prepared(
    source: PeriodSource, frame: gpd.GeoDataFrame, own: CRS | None, crs: CRS | None, kept_in: CRS | None
) -> gpd.GeoDataFrame:
    frame = rows_with_polygons(frame, source.path, source.layer)
    polygons = repaired(unbroken(frame.geometry.to_numpy(), own))
    outlines = polygons
    if own is not None and kept_in is not None and own != kept_in:
        outlines = repaired(moved(polygons, own, kept_in))
    columns: dict[str, Any] = {"village_id": ids(frame.get("village_id"), len(frame))}
    columns |= {name: numbers(frame.get(name), len(frame), source.path, name) for name in NUMBERS}
    columns["outline"] = pd.array(to_wkb(multipolygons(outlines)), dtype=pd.ArrowDtype(pa.binary()))
    if own is not None and crs is not None and own != crs:
        polygons = repaired(moved(polygons, own, crs))
    made = gpd.GeoDataFrame(columns, index=frame.index, geometry=polygons, crs=crs)
    return made[made.geometry.area > 0]
