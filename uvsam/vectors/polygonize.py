"""Labels to polygons along pixel corners, strip by strip, without a seam.

The polygons are traced from their corners: every corner of a region has one neighbour along its row and one along its
column, so sorting the corners both ways links them into rings. Strips only add corners, nothing has to be merged.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

Ints = NDArray[np.int32]
Geometries = NDArray[np.object_]

CHUNK_CORNERS = 1_000_000
BLOCK_PX = 1_000_000


class _Corners(NamedTuple):
    """Corners of regions: ``y2 // 2, x2 // 2`` is the pixel corner.

    Where a region touches itself at a corner it has two corners there; the lowest bit of ``x2`` puts them in order
    along the row, that of ``y2`` along the column.
    """

    region: Ints
    y2: Ints
    x2: Ints

    def take(self, index: slice | NDArray[np.int64]) -> Self:
        return type(self)(self.region[index], self.y2[index], self.x2[index])


def polygonize(strips: Iterable[tuple[int, Ints]]) -> tuple[Ints, Geometries]:
    """Labels and their polygons, in pixel coordinates (x right, y down, pixel (0, 0) covers [0, 1] x [0, 1]).

    The pixels of a label must be 4-connected. Polygons are valid, keep their holes, have a vertex exactly where their
    outline turns, and do not overlap. Law: rasterising them gives back the labels.

    Args:
        strips: (first row, labels (rows, W), 0 for none) from the top; rows between strips have no label.

    Returns:
        (N,) labels in ascending order, (N,) polygons.
    """
    corners = _corners(strips)
    corners = corners.take(np.argsort(corners.region, kind="stable"))
    labels, starts = np.unique(corners.region, return_index=True)
    polygons = np.empty(len(labels), object)
    # Some regions at a time: the tables that link corners are larger than the polygons.
    ends = np.append(starts[1:], len(corners.region))
    first = 0
    while first < len(labels):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + CHUNK_CORNERS, side="right")))
        polygons[first:last] = _link(corners.take(slice(starts[first], ends[last - 1])))
        first = last
    return labels, polygons


def polygonize_mask(mask: NDArray[np.bool_]) -> Geometries:
    """(N,) polygons of the 4-connected parts of a mask (H, W), in pixel coordinates."""
    labels, _ = ndimage.label(mask)
    return polygonize([(0, labels)])[1]


def _corners(strips: Iterable[tuple[int, Ints]]) -> _Corners:
    found = [_Corners(*np.zeros((3, 0), np.int32))]
    above: Ints | None = None
    next_row = 0
    for row, labels in _blocks(strips):
        if above is not None and row != next_row:
            found.append(_strip_corners(np.stack([above, np.zeros_like(above)]), next_row))
            above = None
        if above is None:
            above = np.zeros(labels.shape[1], np.int32)
        found.append(_strip_corners(np.vstack([above, labels]), row))
        above, next_row = labels[-1], row + len(labels)
    if above is not None:
        found.append(_strip_corners(np.stack([above, np.zeros_like(above)]), next_row))
    return _Corners(*(np.concatenate(field) for field in zip(*found, strict=True)))


def _blocks(strips: Iterable[tuple[int, Ints]]) -> Iterator[tuple[int, Ints]]:
    """Strips cut into blocks of rows whose tables of neighbours fit into the processor's cache."""
    for row, labels in strips:
        step = max(1, BLOCK_PX // labels.shape[1])
        for start in range(0, len(labels), step):
            yield row + start, labels[start : start + step]


def _strip_corners(labels: Ints, row: int) -> _Corners:
    """Corners on the lines between the rows of ``labels``; the first of these lines is ``row``."""
    labels = np.pad(labels, ((0, 0), (1, 1)))
    same_x = labels[:, :-1] == labels[:, 1:]
    same_y = labels[:-1] == labels[1:]
    plain = (same_x[:-1] & same_x[1:]) | (same_y[:, :-1] & same_y[:, 1:])
    y, x = np.nonzero(~plain)
    a, b, c, d = labels[y, x], labels[y, x + 1], labels[y + 1, x], labels[y + 1, x + 1]  # a b / c d around the corner
    y2, x2 = ((y + row) * 2).astype(np.int32), (x * 2).astype(np.int32)

    ab, ac, ad, bc, bd, cd = a == b, a == c, a == d, b == c, b == d, c == d
    found = []

    def add(where: NDArray[np.bool_], region: Ints, tie_y: int = 0, tie_x: int = 0) -> None:
        where = where & (region > 0)
        found.append((region[where], y2[where] + np.int32(tie_y), x2[where] + np.int32(tie_x)))

    add(~(ab | ac | ad), a)  # one pixel of the region
    add(~(ab | bc | bd), b)
    add(~(ac | bc | cd), c)
    add(~(ad | bd | cd), d)
    add(bc & bd & ~ab, b)  # three
    add(ac & ad & ~ab, a)
    add(ab & ad & ~ac, a)
    add(ab & ac & ~ad, a)
    # Two that meet at the corner: each corner belongs to one of the other two pixels. One of these is enclosed by the
    # region, so that its ring is a hole that touches the outer ring, and every ring passes a point once.
    falling, rising = ad & ~ab & ~ac, bc & ~ab & ~bd
    add(falling, a, tie_y=0, tie_x=1)
    add(falling, a, tie_y=1, tie_x=0)
    add(rising, b, tie_y=0, tie_x=0)
    add(rising, b, tie_y=1, tie_x=1)
    return _Corners(*(np.concatenate(field) for field in zip(*found, strict=True)))


def _link(corners: _Corners) -> Geometries:
    """Polygons of whole regions, in the order of their labels."""
    corners = corners.take(np.lexsort((corners.x2, corners.y2 >> 1, corners.region)))
    down = np.lexsort((corners.y2, corners.x2 >> 1, corners.region)).astype(np.int32)
    size = len(down)
    # Corners on a line come in pairs: (0, 1), (2, 3), ... along rows, likewise down columns.
    below = np.empty(size, np.int32)
    below[down[0::2]], below[down[1::2]] = down[1::2], down[0::2]
    # A ring goes along a row, then down or up a column: the even corner of a pair leads, the odd one follows.
    following = below[np.arange(size, dtype=np.int32) ^ 1]
    order, ring_starts = _walk(following)
    ring_sizes = np.diff(np.append(ring_starts, len(order)))

    # Every step passes two corners, and a closed ring ends where it starts.
    x, y = (corners.x2 >> 1).astype(np.float64), (corners.y2 >> 1).astype(np.float64)
    coordinates = np.empty((2 * len(order) + len(ring_starts), 2))
    offsets = np.append(0, np.cumsum(2 * ring_sizes + 1))
    place = 2 * np.arange(len(order)) + np.repeat(np.arange(len(ring_starts)), ring_sizes)
    coordinates[place, 0], coordinates[place, 1] = x[order], y[order]
    coordinates[place + 1, 0], coordinates[place + 1, 1] = x[order ^ 1], y[order ^ 1]
    coordinates[offsets[1:] - 1] = coordinates[offsets[:-1]]

    # Rings are ordered by their first corner, and the first corner of a region is on its outer ring.
    ring_region = corners.region[order[ring_starts]]
    polygon_offsets = np.append(np.flatnonzero(np.diff(ring_region, prepend=-1)), len(ring_region))
    polygons: Geometries = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (offsets, polygon_offsets)
    )
    return polygons


def _walk(following: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """Corners ring after ring, and where in that order each ring starts.

    ``following`` goes round every ring in both directions, on its even and on its odd corners counted from the ring's
    first, which is an even one: only rings that start at an even corner are walked.
    """
    size = len(following)
    if not size:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    ones, indptr = np.ones(size), np.arange(size + 1, dtype=np.int32)
    _, ring = connected_components(csr_array((ones, following, indptr), shape=(size, size)), connection="weak")
    _, starts = np.unique(ring, return_index=True)
    starts = np.sort(starts[starts % 2 == 0])
    # The last corner of each ring leads to the first of the next: one path through all rings.
    before = np.empty(size, np.int32)
    before[following] = np.arange(size, dtype=np.int32)
    path = following.copy()
    path[before[starts]] = np.append(starts[1:], before[starts[-1]])
    order = breadth_first_order(
        csr_array((ones, path, indptr), shape=(size, size)), starts[0], return_predecessors=False
    )
    position = np.empty(size, np.int64)
    position[order] = np.arange(len(order))
    return order.astype(np.int32), position[starts]
