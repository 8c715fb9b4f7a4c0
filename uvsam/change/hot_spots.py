"""Where village land gathers: square cells of the ground, and Getis-Ord Gi* of each."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.overlay import Polygons

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_SEEN = 0.5
"""A cell of which no more was looked at takes no part in the statistic."""
REACH = 10
"""Cells around a village that are looked at, where the ground is not known and villages are far apart."""
MOST_AROUND = 100_000
"""Cells of the rectangle around all villages up to which it is the ground, where that is not known."""
MOST_CELLS = 400_000


class InCells(NamedTuple):
    """Square metres of something in cells (C,), by the number of the cell, rising."""

    cell: Index
    area_m2: Floats

    @classmethod
    def joined(cls, parts: Iterable["InCells"]) -> "InCells":
        """The sum of parts; it is the same in the same order only."""
        some = [*parts, cls(np.empty(0, np.intp), np.empty(0))]
        cell, number = np.unique(np.concatenate([one.cell for one in some]), return_inverse=True)
        return cls(cell, np.bincount(number, np.concatenate([one.area_m2 for one in some]), len(cell)).astype(float))

    def of(self, cells: Index) -> Floats:
        """Square metres in some cells, 0 in those that are not here."""
        found = np.zeros(len(cells))
        at = np.searchsorted(self.cell, cells)
        here = at < len(self.cell)
        here[here] = self.cell[at[here]] == cells[here]
        found[here] = self.area_m2[at[here]]
        return found


class HotSpots(NamedTuple):
    """Cells of a grid (C,): squares, village land in each, z of Getis-Ord Gi*, and whether it is significant.

    z is NaN where too little was looked at.
    """

    cells: Polygons
    area_m2: Floats
    z: Floats
    significant: NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """Square cells over a ground, numbered row by row from the lower left. A cell has its left and lower border.

    Attributes:
        left, bottom: corner of the first cell, metres on the map.
        shape: rows from the bottom, and columns.
    """

    left: float
    bottom: float
    cell_m: float
    shape: tuple[int, int]

    @classmethod
    def over(cls, bounds: Floats, cell_m: float) -> "Grid":
        """Cells that cover a rectangle (left, bottom, right, top); none where it is NaN."""
        if np.isnan(bounds).any():
            return cls(0.0, 0.0, cell_m, (0, 0))
        left, bottom, right, top = bounds.tolist()
        return cls(left, bottom, cell_m, (math.ceil((top - bottom) / cell_m), math.ceil((right - left) / cell_m)))

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def is_wide(self) -> bool:
        """Whether there are too many cells to take all of them for ground that was looked at."""
        return self.shape[0] * self.shape[1] > MOST_AROUND

    def squares(self, cell: Index) -> Polygons:
        """Some cells as polygons."""
        row, column = np.divmod(cell, max(1, self.shape[1]))
        x, y = self.left + column * self.cell_m, self.bottom + row * self.cell_m
        found: Polygons = shapely.box(x, y, x + self.cell_m, y + self.cell_m)
        return found

    def near(self, cell: Index, reach: int) -> Index:
        """Cells that are at most ``reach`` rows and columns from some cells."""
        row, column = np.divmod(cell, max(1, self.shape[1]))
        for axis, end in enumerate(self.shape):  # one axis after the other, so that few are more than once
            place = [row, column]
            around = place[axis][:, None] + np.arange(-reach, reach + 1)
            inside = (around >= 0) & (around < end)
            other = np.broadcast_to(place[1 - axis][:, None], around.shape)[inside]
            place[axis], place[1 - axis] = around[inside], other
            row, column = np.divmod(np.unique(place[0] * self.shape[1] + place[1]), max(1, self.shape[1]))
        return row * self.shape[1] + column

    def land(self, polygons: Polygons) -> InCells:
        """Square metres of polygons in each cell, all of them for polygons on the ground of the grid."""
        if not len(self) or not len(polygons):
            return InCells(np.empty(0, np.intp), np.empty(0))
        ends = np.array(self.shape[::-1]) - 1
        place = (shapely.bounds(polygons) - np.tile([self.left, self.bottom], 2)) / self.cell_m
        low, high = np.floor(place[:, :2]).astype(np.intp), np.floor(place[:, 2:]).astype(np.intp)
        one = (low == high).all(axis=1)  # most lie in one cell
        pieces, column, _ = _in_strips(polygons[~one], 0, self.left, self.cell_m)
        pieces, row, of_piece = _in_strips(pieces, 1, self.bottom, self.cell_m)
        row, column = np.concatenate([low[one, 1], row]), np.concatenate([low[one, 0], column[of_piece]])
        area = np.concatenate([shapely.area(polygons[one]), shapely.area(pieces)])
        inside = (column >= 0) & (column <= ends[0]) & (row >= 0) & (row <= ends[1]) & (area > 0)
        return InCells.joined([InCells((row * self.shape[1] + column)[inside], area[inside])])


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


def ground_without_coverage(grid: Grid, land: InCells) -> InCells:
    """What is taken to be looked at where no layer says so: all cells, or of very many those near villages."""
    cells = grid.near(land.cell, REACH) if grid.is_wide else np.arange(len(grid))
    return InCells(cells, np.full(len(cells), grid.cell_m**2))


def cells_for(extent: Floats, ground: shapely.Geometry | None, villages: int, land_m2: float, cell_m: float) -> float:
    """The side of cells of which there are no more than :data:`MOST_CELLS`: ``cell_m``, or larger, of two digits.

    Args:
        extent: left, bottom, right, top of ground and villages.
        ground: that was looked at; None where no layer says so.
        villages, land_m2: how many there are, and their area.
    """
    width, height = np.nan_to_num(extent[2:] - extent[:2]).tolist()
    while True:
        if ground is None:
            around = villages * (2 * REACH + 1) ** 2 + land_m2 / cell_m**2
            whole = (width / cell_m + 1) * (height / cell_m + 1)
            cells = min(whole, around) if whole > MOST_AROUND else whole
        else:
            cells = shapely.area(ground) / cell_m**2 + shapely.length(ground) / cell_m + land_m2 / cell_m**2
        if cells <= MOST_CELLS:
            return cell_m
        larger = cell_m * max(1.1, math.sqrt(cells / MOST_CELLS))
        digit = 10 ** (math.floor(math.log10(larger)) - 1)
        cell_m = math.ceil(larger / digit) * digit


def hot_spots(grid: Grid, land: InCells, seen: InCells, *, level: float = 0.05) -> HotSpots:
    """Where village land gathers, or is missing, more than by chance (Getis-Ord Gi*, Ord & Getis 1995).

    All village land is in a cell. Cells of which no more than :data:`MOST_SEEN` was looked at have no z. A cell's
    neighbours are the eight around it. Significance is two-sided and keeps the rate of false discoveries below
    ``level`` (Benjamini & Hochberg 1995), as cells are many.

    Args:
        land: of :meth:`Grid.land` of all villages.
        seen: ground that was looked at.
    """
    share = seen.area_m2 / grid.cell_m**2
    looked_at = seen.cell[share > MOST_SEEN]
    cells = np.union1d(looked_at, land.cell)
    area = land.of(cells)
    judged = np.isin(cells, looked_at, assume_unique=True)
    z, significant = np.full(len(cells), np.nan), np.zeros(len(cells), bool)
    z[judged] = _getis_ord(area[judged] / share[share > MOST_SEEN], looked_at, grid.shape[1])
    significant[judged] = _discoveries(z[judged], level)
    return HotSpots(grid.squares(cells), area, z, significant)


def _getis_ord(values: Floats, cells: Index, columns: int) -> Floats:
    """z of Gi* with queen neighbours, of cells that were looked at; 0 everywhere where nothing varies."""
    from esda.getisord import G_Local  # slow to import, and only this function needs it
    from libpysal.graph import Graph

    if len(values) < 3 or np.ptp(values) == 0:
        return np.zeros(len(values))
    near = []
    for step in (np.array([i, j]) for i in (-1, 0, 1) for j in (-1, 0, 1)):  # and the cell itself
        column = cells % columns + step[1]
        other = cells + step[0] * columns + step[1]
        at = np.minimum(np.searchsorted(cells, other), len(cells) - 1)
        there = np.flatnonzero((column >= 0) & (column < columns) & (cells[at] == other))
        near.append((there, at[there]))
    cell, neighbour = (np.concatenate(one) for one in zip(*near, strict=True))
    order = np.lexsort((neighbour, cell))
    graph = Graph.from_arrays(cell[order], neighbour[order], np.ones(len(cell)))
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
