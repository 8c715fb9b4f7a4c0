"""Labels to polygons along pixel corners, strip by strip, without a seam.

What a strip knows of an outline are its vertical edges: where a run of pixels begins or ends at the same column as the
run above it, the edge goes on. Edges that meet at the seam of two strips are one edge, and nothing else happens there.
The ends of all edges of a region are the corners of its polygon: sorted along rows they come in pairs too, which links
them into rings.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from uvsam.mosaic.runs import Ints, Runs, find_runs, label_runs

Geometries = NDArray[np.object_]


class Edges(NamedTuple):
    """Vertical edges of regions, from row ``top`` to ``bottom`` of pixel corners.

    ``x2 // 2`` is their column of pixel corners; odd where the region lies to the left. Where a region touches itself
    at a corner, one edge ends and one begins there. That order of ``x2`` makes each of the two turn around one of the
    other two pixels. One of these is enclosed by the region, so its ring is a hole that touches the outer ring, and
    every ring passes a point once.
    """

    region: Ints
    x2: Ints
    top: Ints
    bottom: Ints

    def take(self, index: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        return type(self)(*(field[index] for field in self))

    def of(self, regions: Ints) -> NDArray[np.bool_]:
        """Whether an edge is of one of some regions."""
        return np.isin(self.region, regions)


class Piece(NamedTuple):
    """What one strip says of polygons.

    Attributes:
        rows: of the strip.
        open: edges of regions that reach its first or its last row.
        regions: (N,) the others.
        polygons: (N,) of these.
    """

    rows: range
    open: Edges
    regions: Ints
    polygons: Geometries


def polygonize(strips: Iterable[tuple[int, Ints]]) -> Iterator[tuple[Ints, Geometries]]:
    """Labels and their polygons, in pixel coordinates (x right, y down, pixel (0, 0) covers [0, 1] x [0, 1]).

    The pixels of a label must be 4-connected. Polygons are valid, keep their holes, have a vertex exactly where their
    outline turns, and do not overlap. Law: rasterising them gives back the labels. They do not depend on the strips,
    and each comes as soon as a strip was passed in which its label does not reach the last row.

    Args:
        strips: (first row, labels (rows, W), 0 for none) from the top; rows between strips have no label.

    Yields:
        (N,) labels in ascending order, (N,) polygons.
    """
    return join_pieces(draw_piece(find_runs(labels, row), range(row, row + len(labels))) for row, labels in strips)


def polygonize_mask(mask: NDArray[np.bool_]) -> Geometries:
    """(N,) polygons of the 4-connected parts of a mask (H, W), in pixel coordinates."""
    runs, _ = label_runs(find_runs(mask))
    labels, polygons = (
        np.concatenate(part) for part in zip(*join_pieces([draw_piece(runs, range(len(mask)))]), strict=True)
    )
    ordered: Geometries = polygons[np.argsort(labels)]
    return ordered


def draw_piece(runs: Runs, rows: range) -> Piece:
    """What can be drawn of a strip alone."""
    edges = _edges(runs)
    at_seam = (edges.top == rows.start) | (edges.bottom == rows.stop)
    is_open = edges.of(np.unique(edges.region[at_seam]))
    return Piece(rows, edges.take(is_open), *_link(edges.take(~is_open)))


def join_pieces(pieces: Iterable[Piece]) -> Iterator[tuple[Ints, Geometries]]:
    """Polygons of a scene from what its strips say, from top to bottom, as in :func:`polygonize`."""
    under_way = Edges(*np.zeros((4, 0), np.int32))
    for piece in pieces:
        edges = _join(under_way, piece.open, piece.rows.start)
        goes_on = edges.of(np.unique(edges.region[edges.bottom == piece.rows.stop]))
        regions, polygons = _link(edges.take(~goes_on))
        under_way = edges.take(goes_on)
        regions, polygons = np.append(regions, piece.regions), np.append(polygons, piece.polygons)
        order = np.argsort(regions)
        yield regions[order], polygons[order]
    yield _link(under_way)


def _edges(runs: Runs) -> Edges:
    """Of one strip."""
    x2 = np.concatenate([2 * runs.start, 2 * runs.stop + 1])
    row = np.concatenate([runs.row, runs.row])
    label = np.concatenate([runs.label, runs.label])
    order = np.lexsort((row, x2))
    x2, row, label = x2[order], row[order], label[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (x2[1:] != x2[:-1]) | (row[1:] != row[:-1] + 1) | (label[1:] != label[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    return Edges(label[first], x2[first], row[first], row[last] + np.int32(1))


def _join(above: Edges, below: Edges, seam: int) -> Edges:
    """Edges of both sides of a seam, those that meet at it as one."""
    ends, begins = np.flatnonzero(above.bottom == seam), np.flatnonzero(below.top == seam)
    _, upper, lower = np.intersect1d(
        _keys(above.take(ends)), _keys(below.take(begins)), assume_unique=True, return_indices=True
    )
    bottom = above.bottom.copy()
    bottom[ends[upper]] = below.bottom[begins[lower]]
    rest = np.ones(len(below.top), np.bool_)
    rest[begins[lower]] = False
    both = zip(above._replace(bottom=bottom), below.take(rest), strict=True)
    return Edges(*(np.concatenate(fields) for fields in both))


def _keys(edges: Edges) -> NDArray[np.int64]:
    """What two edges that meet at a seam have in common."""
    return (edges.region.astype(np.int64) << 32) + edges.x2


def _link(edges: Edges) -> tuple[Ints, Geometries]:
    """Whole regions in ascending order, and their polygons."""
    # Two corners of each edge, sorted along the rows of each region.
    y = np.stack([edges.top, edges.bottom], axis=1).ravel()
    order = np.lexsort((edges.x2.repeat(2), y, edges.region.repeat(2))).astype(np.int32)
    size = len(order)
    corner = np.arange(size, dtype=np.int32)
    place = np.empty(size, np.int32)
    place[order] = corner
    # Corners in a row come in pairs: (0, 1), (2, 3), ..., and so do those of an edge. A ring goes along a row, then
    # down or up an edge: the even corner of a pair leads, the odd one follows.
    following = place[order[corner ^ 1] ^ 1]
    walk, ring_starts = _walk(following)
    ring_sizes = np.diff(np.append(ring_starts, len(walk)))

    # Every step passes two corners, and a closed ring ends where it starts.
    x, y = edges.x2[order >> 1] >> 1, y[order]
    coordinates = np.empty((2 * len(walk) + len(ring_starts), 2))
    offsets = np.append(0, np.cumsum(2 * ring_sizes + 1))
    steps = 2 * np.arange(len(walk)) + np.repeat(np.arange(len(ring_starts)), ring_sizes)
    coordinates[steps, 0], coordinates[steps, 1] = x[walk], y[walk]
    coordinates[steps + 1, 0], coordinates[steps + 1, 1] = x[walk ^ 1], y[walk ^ 1]
    coordinates[offsets[1:] - 1] = coordinates[offsets[:-1]]

    # Rings are ordered by their first corner, and the first corner of a region is on its outer ring.
    ring_region = edges.region[order[walk[ring_starts]] >> 1]
    outer = np.flatnonzero(np.diff(ring_region, prepend=0))
    polygons: Geometries = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (offsets, np.append(outer, len(ring_region)))
    )
    return ring_region[outer], polygons


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
