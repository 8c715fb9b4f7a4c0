"""Village layers with a date: which files, layers and rows are which period, and their rows read in pieces."""

import datetime
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
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

from uvsam.errors import LabelError
from uvsam.vectors import layer_files
from uvsam.vectors.layer_files import layer_info, read_columns, read_rows
from uvsam.vectors.polygon_files import moved, multipolygons, place, polygon_layer, repaired, to_wkb

CHUNK = 20_000
"""Rows that are read at once."""
KEPT = ("village_id", "confidence", "area_low_m2", "area_high_m2")
"""Columns that are carried along where a layer has them."""
YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
MIDDLE_OF_YEAR = (7, 1)


@dataclass(frozen=True)
class PeriodSource:
    """The villages of one date.

    Attributes:
        path, layer: where they are.
        where: SQL condition that tells them from those of other dates in the layer; None where there are none.
        date: of the image. A year alone is the middle of the year.
        image: uri of the one that the villages were found in, where it is at hand.
    """

    path: Path
    layer: str
    where: str | None
    date: datetime.date
    image: str | None = None


def find_periods(paths: Sequence[Path], dates: Sequence[datetime.date] = (), *, least: int = 2) -> list[PeriodSource]:
    """The periods in vector files, in the order of time.

    A file may hold several, told apart by a column ``period``. A date is the one given; else that of column
    ``acquired``; else that of ``period``; else the year in the file's name.

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
    if given is not None:
        return [PeriodSource(path, layer, None, given)]
    known = [name for name in ("period", "acquired") if name in layer_info(path, layer).columns]
    if not known:
        return [PeriodSource(path, layer, None, _year_in(path.stem, path))]
    table: Any = read_columns(path, layer, known)
    acquired = table["acquired"].dropna() if "acquired" in known else table.iloc[:0]
    if "period" in known and table["period"].nunique() > 1:
        sources = []
        for period in sorted(table["period"].dropna().unique()):
            where = f"period = {period}" if isinstance(period, int | float | np.number) else f"period = '{period}'"
            own = acquired[table["period"].loc[acquired.index] == period].unique()
            sources.append(PeriodSource(path, layer, where, _one_date(path, own) or _year_in(str(period), path)))
        return sources
    said = _one_date(path, acquired.unique() if len(acquired) else [])
    text = str(table["period"].iloc[0]) if "period" in known and len(table) else path.stem
    return [PeriodSource(path, layer, None, said or _year_in(text, path))]


def _one_date(path: Path, dates: Any) -> datetime.date | None:
    days = sorted({np.datetime64(date, "D").item() for date in dates})
    if len(days) > 1:
        raise LabelError(f"{path} has villages of {days[0]} to {days[-1]}; split it by date, or say one with --dates")
    return days[0] if days else None


def _year_in(text: str, path: Path) -> datetime.date:
    years = YEAR.findall(text)
    if len(set(years)) != 1:
        raise LabelError(f"{path} does not say when its image was taken; say so with --dates")
    return datetime.date(int(years[0]), *MIDDLE_OF_YEAR)


def read_bounds(source: PeriodSource) -> NDArray[np.float64]:
    """(N, 4) left, bottom, right, top of every row, in the CRS of the layer."""
    return layer_files.read_bounds(source.path, source.layer, source.where)


def crs_of(source: PeriodSource) -> CRS | None:
    """Where on earth a layer is; None if it does not say."""
    return place(layer_info(source.path, source.layer).crs)


def read_lazily(source: PeriodSource, rows: int, crs: CRS | None, kept_in: CRS | None = None) -> Any:
    """A dask-geopandas frame of the villages on a map, read some thousand rows at a time.

    Polygons are repaired; rows without one are left out. Of the columns, :data:`KEPT` are there, NaN where the layer
    has none; column ``outline`` is the WKB of the polygons in ``kept_in``, where those that are in it already keep
    every corner.

    Args:
        rows: how many the layer has.
        crs: of the map; None where the layer has no place on earth.
        kept_in: of column ``outline``; default: that of the layer.
    """
    own = crs_of(source)
    has = [name for name in KEPT if name in layer_info(source.path, source.layer).columns]

    def read(first: int) -> gpd.GeoDataFrame:
        frame = read_rows(source.path, source.layer, where=source.where, columns=has, first=first, count=CHUNK)
        return _prepared(frame, own, crs, kept_in)

    meta = _prepared(gpd.GeoDataFrame({name: [] for name in has}, geometry=[], crs=own), own, crs, kept_in)
    return dd.from_map(read, list(range(0, max(rows, 1), CHUNK)), meta=meta)  # type: ignore[no-untyped-call]


def _prepared(frame: gpd.GeoDataFrame, own: CRS | None, crs: CRS | None, kept_in: CRS | None) -> gpd.GeoDataFrame:
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    polygons = repaired(frame.geometry.to_numpy())
    outlines = polygons
    if own is not None and kept_in is not None and own != kept_in:
        outlines = repaired(moved(polygons, own, kept_in))
    columns: dict[str, Any] = {name: frame[name].astype(float) if name in frame else np.nan for name in KEPT}
    columns["outline"] = pd.array(to_wkb(multipolygons(outlines)), dtype=pd.ArrowDtype(pa.binary()))
    if own is not None and crs is not None and own != crs:
        polygons = repaired(moved(polygons, own, crs))
    made = gpd.GeoDataFrame(columns, index=frame.index, geometry=polygons, crs=crs)
    return made[made.geometry.area > 0].astype(dict.fromkeys(KEPT, "float64"))
