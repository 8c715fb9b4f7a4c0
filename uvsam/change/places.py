"""Where the villages are: zones, rings around a centre, distances, and hot spots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.overlay import Links, Polygons, shared_ground

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

ROUND = 64
"""Segments of a quarter of a ring: its area is right to 0.01 %."""


class InZone(NamedTuple):
    """Villages of each zone (Z,): how many have most of their ground there, and square metres of village in it."""

    villages: NDArray[np.intp]
    area_m2: Floats


def rings(centre: tuple[float, float], edges_m: Sequence[float]) -> Polygons:
    """The disc up to the first edge, and a ring from each edge to the next.

    Args:
        centre: x, y on the map.
        edges_m: radii, rising.
    """
    discs = shapely.buffer(shapely.Point(centre), list(edges_m), quad_segs=ROUND)
    found: Polygons = shapely.difference(discs, np.concatenate([[shapely.Polygon()], discs[:-1]]))
    return found


def count_in_zones(villages: Polygons, zones: Polygons) -> InZone:
    """Villages by zone; a village across a border is counted once, and its area where it lies.

    Args:
        villages, zones: on one map in metres; zones do not overlap.
    """
    shapely.prepare(zones)
    inside, whole = shapely.STRtree(villages).query(zones, predicate="covers")[::-1]
    crossing = np.ones(len(villages), bool)
    crossing[inside] = False
    cut = shared_ground(villages[crossing], zones)
    links = Links(
        np.concatenate([np.flatnonzero(crossing)[cut.before], inside]), np.concatenate([cut.after, whole]),
        np.concatenate([cut.area_m2, shapely.area(villages[inside])]),
    )  # fmt: skip
    area = np.bincount(links.after, links.area_m2, minlength=len(zones)).astype(float)
    order = np.lexsort((-links.after, links.area_m2))  # of places that are assigned again and again, the last stays
    zone = np.full(len(villages), -1, np.intp)
    zone[links.before[order]] = links.after[order]
    return InZone(np.bincount(zone[zone >= 0], minlength=len(zones)).astype(np.intp), area)


def distances_m(villages: Polygons, centre: tuple[float, float]) -> Floats:
    """From the centre to the centroid of each village."""
    found: Floats = shapely.distance(shapely.centroid(villages), shapely.Point(centre))
    return found


def cumulative(distance_m: Floats, area_m2: Floats, at_m: Floats) -> Floats:
    """Share of all village land that lies within each distance of ``at_m``."""
    order = np.argsort(distance_m)
    total = np.concatenate([[0.0], np.cumsum(area_m2[order])])
    share: Floats = total[np.searchsorted(distance_m[order], at_m, side="right")] / max(total[-1], 1e-12)
    return share


class HotSpots(NamedTuple):
    """Cells of a grid (C,): squares, village land in each, z of Getis-Ord Gi*, and whether it is significant."""

    cells: Polygons
    area_m2: Floats
    z: Floats
    significant: NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """Square cells over a ground.

    Attributes:
        left, bottom: corner of the first cell, metres on the map.
        shape: rows from the bottom, and columns.
    """

    left: float
    bottom: float
    cell_m: float
    shape: tuple[int, int]

    @classmethod
    def over(cls, ground: shapely.Geometry, cell_m: float) -> "Grid":
        """Cells that cover the bounds of a ground; none where it is empty."""
        left, bottom, right, top = shapely.bounds(ground)
        size = (0, 0) if np.isnan(left) else (math.ceil((top - bottom) / cell_m), math.ceil((right - left) / cell_m))
        return cls(float(left), float(bottom), cell_m, size)

    def squares(self, row: NDArray[np.intp], column: NDArray[np.intp]) -> Polygons:
        """Some cells as polygons."""
        x, y = self.left + column * self.cell_m, self.bottom + row * self.cell_m
        found: Polygons = shapely.box(x, y, x + self.cell_m, y + self.cell_m)
        return found

    def land(self, villages: Polygons) -> Floats:
        """Square metres of village in each cell (R, C)."""
        area = np.zeros(self.shape)
        if not area.size or not len(villages):
            return area
        ends = np.array(self.shape[::-1]) - 1
        place = (shapely.bounds(villages) - np.tile([self.left, self.bottom], 2)) / self.cell_m
        low, high = np.floor(place[:, :2]).astype(np.intp), np.floor(place[:, 2:]).astype(np.intp)
        outside = ((high < 0) | (low > ends)).any(axis=1)
        one = (low == high).all(axis=1) & ~outside  # most lie in one cell
        np.add.at(area, (low[one, 1], low[one, 0]), shapely.area(villages[one]))

        pieces, column, _ = _in_strips(villages[~one & ~outside], 0, self.left, self.cell_m)
        pieces, row, of_piece = _in_strips(pieces, 1, self.bottom, self.cell_m)
        column = column[of_piece]
        inside = (column >= 0) & (column <= ends[0]) & (row >= 0) & (row <= ends[1])
        np.add.at(area, (row[inside], column[inside]), shapely.area(pieces[inside]))
        return area


def _in_strips(polygons: Polygons, axis: int, start: float, width: float) -> tuple[Polygons, Index, Index]:
    """Polygons cut at multiples of ``width`` along an axis: pieces, the number of their strip, and whose they are."""
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    low, high = (np.floor((bounds[:, [axis, axis + 2]] - start) / width).astype(np.intp)).T
    count = high - low + 1
    owner = np.repeat(np.arange(len(polygons)), count)
    strip = low[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    pieces = polygons[owner]
    crossing = np.flatnonzero(count[owner] > 1)
    crossing = crossing[np.argsort(strip[crossing], kind="stable")]
    numbers, first = np.unique(strip[crossing], return_index=True)
    for number, here in zip(numbers.tolist(), np.split(crossing, first)[1:], strict=True):
        box = np.concatenate([bounds[owner[here], :2].min(axis=0), bounds[owner[here], 2:].max(axis=0)])
        box[[axis, axis + 2]] = start + width * number, start + width * (number + 1)
        pieces[here] = shapely.clip_by_rect(pieces[here], *box.tolist())
    some = ~shapely.is_empty(pieces)  # bounds may meet a strip where the polygon does not
    return pieces[some], strip[some], owner[some]


def hot_spots(grid: Grid, land_m2: Floats, observed: shapely.Geometry, *, level: float = 0.05) -> HotSpots:
    """Where village land gathers, or is missing, more than by chance (Getis-Ord Gi*, Ord & Getis 1995).

    Cells that were not looked at take no part. A cell's neighbours are the eight around it. Significance is two-sided
    and keeps the rate of false discoveries below ``level`` (Benjamini & Hochberg 1995), as cells are many.

    Args:
        land_m2: (R, C) of :meth:`Grid.land`.
        observed: ground that was looked at.
    """
    squares = grid.squares(*np.indices(grid.shape))
    seen = np.ones(squares.shape)
    shapely.prepare(observed)
    cut = ~shapely.covers(observed, squares)
    seen[cut] = shapely.area(shapely.intersection(squares[cut], observed)) / grid.cell_m**2
    looked_at = seen > 0.5
    z = _getis_ord(land_m2[looked_at] / seen[looked_at], looked_at)
    return HotSpots(squares[looked_at], land_m2[looked_at], z, _discoveries(z, level))


def _getis_ord(values: Floats, looked_at: NDArray[np.bool_]) -> Floats:
    """z of Gi* with queen neighbours, of the cells (R, C) that were looked at; 0 everywhere where nothing varies."""
    from esda.getisord import G_Local  # slow to import, and only this function needs it
    from libpysal.graph import Graph

    if len(values) < 3 or np.ptp(values) == 0:
        return np.zeros(len(values))
    number = np.full(np.add(looked_at.shape, 2), -1)
    number[1:-1, 1:-1][looked_at] = np.arange(len(values))
    row, column = np.nonzero(looked_at)
    near = np.stack([number[row + i, column + j] for i in range(3) for j in range(3)], axis=-1)  # and the cell itself
    cell, which = np.nonzero(near >= 0)
    graph = Graph.from_arrays(cell, near[cell, which], np.ones(len(cell)))
    with np.errstate(invalid="ignore", divide="ignore"):  # a cell whose neighbours are all cells has no z
        z = G_Local(values, graph, transform="B", star=True, permutations=0).Zs
    found: Floats = np.nan_to_num(np.asarray(z))
    return found


def _discoveries(z: Floats, level: float) -> NDArray[np.bool_]:
    from scipy.stats import false_discovery_control, norm

    if not len(z):
        return np.zeros(0, bool)
    found: NDArray[np.bool_] = false_discovery_control(2 * norm.sf(np.abs(z))) < level
    return found
