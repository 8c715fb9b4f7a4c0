"""The villages of a period on disk, in parts that lie together, so that no step needs all of them in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import dask
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from uvsam.change.alignment import NO_SHIFT, Shift
from uvsam.change.overlay import NO_OVERLAP, Overlap, Polygons, without_overlaps

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

BOX = ("left", "bottom", "right", "top")
"""Columns of a leaf's file: bounds of each village."""
PER_LEAF = 20_000
"""Villages of a leaf, about: some 100 MB while they are compared."""


@dataclass(frozen=True)
class Leaves:
    """Rectangles that divide the map, with about as many villages in each: columns, and rows in every column.

    Attributes:
        x: (C - 1,) inner borders of the columns.
        y: (C, R - 1) inner borders of the rows of each column.
    """

    x: Floats
    y: Floats

    @classmethod
    def of(cls, centres: Floats, per_leaf: int = PER_LEAF) -> "Leaves":
        """For villages with these centres (N, 2)."""
        side = max(1, round(np.sqrt(len(centres) / per_leaf)))
        at = np.arange(1, side) / side
        if side == 1:
            return cls(np.empty(0), np.empty((1, 0)))
        x = np.quantile(centres[:, 0], at)
        column = np.searchsorted(x, centres[:, 0], side="right")
        y = [np.quantile(centres[column == k, 1], at) if (column == k).any() else at for k in range(side)]
        return cls(x, np.array(y))

    def __len__(self) -> int:
        return int(self.y.size + len(self.y))

    def leaf_of(self, centres: Floats) -> Index:
        """Number of the leaf of each centre (N, 2)."""
        column = np.searchsorted(self.x, centres[:, 0], side="right")
        row = (self.y[column] <= centres[:, 1:]).sum(axis=1)
        leaf: Index = column * (self.y.shape[1] + 1) + row
        return leaf


class Part(NamedTuple):
    """Villages of a leaf: their rows in the period, from 0, and their polygons, (N,) each."""

    rows: Index
    polygons: Polygons


@dataclass(frozen=True)
class Store:
    """A period on disk.

    Attributes:
        folder: one Parquet file for each leaf, outlines as WKB.
        counts: villages of each leaf (L,); rows number the villages leaf by leaf.
        bounds: (L, 4) left, bottom, right, top of the polygons of each leaf; NaN where there are none.
        shift: is taken off when polygons are read.
        overlap: ground that several polygons of the layer claimed; the first of them has it here.
    """

    folder: Path
    counts: Index
    bounds: Floats
    shift: Shift = NO_SHIFT
    overlap: Overlap = NO_OVERLAP

    def moved(self, shift: Shift) -> "Store":
        """The same villages, ``shift`` taken off instead of what was taken off before."""
        other = replace(self, shift=shift)
        return replace(other, bounds=self.bounds + self._by - other._by)

    @property
    def _by(self) -> Floats:
        return np.tile([self.shift.east_m, self.shift.north_m], 2)

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def total_bounds(self) -> Floats:
        """Left, bottom, right, top of all villages; NaN where there are none."""
        low, high = np.fmin.reduce(self.bounds[:, :2]), np.fmax.reduce(self.bounds[:, 2:])
        return np.concatenate([low, high])

    def read(self, leaf: int) -> Part:
        """The villages of a leaf."""
        first = int(self.counts[:leaf].sum())
        if not self.counts[leaf]:
            return Part(np.empty(0, np.intp), np.empty(0, object))
        polygons = self._polygons(pq.read_table(_file(self.folder, leaf), columns=["geometry"]))
        return Part(first + np.arange(len(polygons)), polygons)

    def _polygons(self, table: pa.Table) -> Polygons:
        return self.shift.take_off(shapely.from_wkb(table["geometry"].to_numpy()))

    def parts(self) -> Iterator[Part]:
        """All villages, a leaf at a time."""
        return (self.read(leaf) for leaf in range(len(self.counts)))

    def outlines(self, leaf: int) -> pa.ChunkedArray:
        """Of the villages of a leaf column ``outline``, as it was stored."""
        return pq.read_table(_file(self.folder, leaf), columns=["outline"])["outline"]

    def table(self) -> pd.DataFrame:
        """What is known of the villages besides their polygons, row by row: what came with them, area and perimeter.

        ``area_m2`` is that of the outline, ``ground_m2`` that of the polygon, which overlaps no other one.
        """
        filled = np.flatnonzero(self.counts).tolist() or [0]  # an empty leaf still has the columns
        has = pq.read_schema(_file(self.folder, filled[0])).names
        names = [name for name in has if name not in ("geometry", "outline", *BOX)]
        parts = [pq.read_table(_file(self.folder, leaf), columns=names) for leaf in filled]
        found: pd.DataFrame = pa.concat_tables(parts).to_pandas(ignore_metadata=True)
        return found

    def polygons(self, rows: Index) -> Polygons:
        """Polygons of some rows, in their order."""
        found = np.empty(len(rows), object)
        ends = np.cumsum(self.counts)
        leaf = np.searchsorted(ends, rows, side="right")
        for number in np.unique(leaf).tolist():
            here = leaf == number
            outlines = pq.read_table(_file(self.folder, number), columns=["geometry"])
            found[here] = self._polygons(outlines.take(rows[here] - (ends[number] - self.counts[number])))
        return found

    def near(self, leaf: int, box: Floats) -> Part:
        """Villages of other leaves whose bounds meet a box."""
        meets = ~((self.bounds[:, :2] > box[2:]).any(axis=1) | (self.bounds[:, 2:] < box[:2]).any(axis=1))
        meets &= ~np.isnan(self.bounds[:, 0])
        meets[leaf] = False
        parts = [self._read_in(int(other), box) for other in np.flatnonzero(meets)]
        rows = np.concatenate([np.empty(0, np.intp), *(part.rows for part in parts)])
        polygons = np.concatenate([np.empty(0, object), *(part.polygons for part in parts)])
        return Part(rows, polygons)

    def _read_in(self, leaf: int, box: Floats) -> Part:
        """Villages of a leaf whose bounds meet a box; no others are made."""
        table = pq.read_table(_file(self.folder, leaf), columns=["geometry", *BOX])
        own = np.stack([table[name].to_numpy() for name in BOX], axis=-1) - self._by
        meets = ~((own[:, :2] > box[2:]).any(axis=1) | (own[:, 2:] < box[:2]).any(axis=1))
        return Part(int(self.counts[:leaf].sum()) + np.flatnonzero(meets), self._polygons(table.filter(meets)))


def _file(folder: Path, leaf: int) -> Path:
    return folder / f"part.{leaf}.parquet"


def store(villages: Any, leaves: Leaves, folder: Path) -> Store:
    """Write the villages of a period leaf by leaf.

    Args:
        villages: a dask-geopandas frame of polygons on the map; its parts are read one by one.
        folder: new; where a Dask cluster shall help, one that all workers share.
    """

    def placed(part: gpd.GeoDataFrame) -> pd.DataFrame:
        polygons = part.geometry.to_numpy()
        boxes = shapely.bounds(polygons).reshape(-1, 4)
        wkb: Any = pd.array(shapely.to_wkb(polygons), dtype=pd.ArrowDtype(pa.binary()))  # sorted faster than polygons
        return pd.DataFrame(part.drop(columns="geometry")).assign(
            geometry=wkb, leaf=leaves.leaf_of((boxes[:, :2] + boxes[:, 2:]) / 2).astype("int64"),
            area_m2=shapely.area(polygons), ground_m2=shapely.area(polygons), perimeter_m=shapely.length(polygons),
            **dict(zip(BOX, boxes.T, strict=True)),
        )  # fmt: skip

    parts = villages.map_partitions(placed, meta=placed(villages._meta))
    with dask.config.set(scheduler="synchronous"):  # several periods at a time are faster than parts of one
        parts.set_index("leaf", divisions=list(range(len(leaves) + 1))).to_parquet(folder, schema=None)
    return _without_overlaps(_measured(folder, len(leaves)))


def _measured(folder: Path, leaves: int) -> Store:
    found = [_measure(pq.read_table(_file(folder, leaf), columns=list(BOX))) for leaf in range(leaves)]
    return Store(folder, np.array([count for count, _ in found]), np.array([bounds for _, bounds in found]))


def _without_overlaps(whole: Store) -> Store:
    """The store with each polygon less what one before it has; those with nothing left are gone."""
    overlap = NO_OVERLAP
    for leaf in np.flatnonzero(whole.counts).tolist():
        before = replace(whole, bounds=np.where(np.arange(len(whole.counts))[:, None] < leaf, whole.bounds, np.nan))
        own = without_overlaps(whole.read(leaf).polygons, before.near(leaf, whole.bounds[leaf]).polygons)
        if own.overlap.polygons:
            overlap = overlap.and_also(own.overlap)
            table = pq.read_table(_file(whole.folder, leaf))
            for name, values in (("geometry", shapely.to_wkb(own.polygons)), ("ground_m2", shapely.area(own.polygons))):
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))
            pq.write_table(table.filter(~shapely.is_empty(own.polygons)), _file(whole.folder, leaf))
    return replace(_measured(whole.folder, len(whole.counts)) if overlap.inside else whole, overlap=overlap)


def _measure(boxes: pa.Table) -> tuple[int, Floats]:
    """How many there are, and the bounds of all of them."""
    if not len(boxes):
        return 0, np.full(4, np.nan)
    left, bottom, right, top = (boxes[name].to_numpy() for name in BOX)
    return len(boxes), np.array([left.min(), bottom.min(), right.max(), top.max()])
