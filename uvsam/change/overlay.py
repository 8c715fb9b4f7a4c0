"""Two layers of villages on one map: what they share, and what is gained or lost beyond a tolerance.

Polygons are arrays (N,) of an equal-area CRS in metres, those of one layer do not overlap each other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[np.object_]

QUARTER = 4
"""Segments of a quarter circle where a corner is widened: it falls short of the circle by at most 2 %."""
REGROWN = 1.02
NOTHING_M2 = 1e-6
SLIVER_M2 = 1.0
NOTHING_SHARE = 0.001
EMPTY = shapely.MultiPolygon()


class Links(NamedTuple):
    """Pairs of polygons that share ground: positions in both layers and the shared area, each of length N."""

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    area_m2: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Links":
        """Some of the pairs, or all in another order."""
        return Links(self.before[chosen], self.after[chosen], self.area_m2[chosen])


@dataclass(frozen=True)
class Comparison:
    """Ground of two layers.

    Attributes:
        links: what they share, kept ground. Two villages whose outlines are nowhere further apart than the tolerance
            share the smaller one of their areas: what remains of them is jitter.
        lost: (B,) what polygons before have beyond the tolerance and no polygon after; empty where nothing.
        gained: (A,) the same of those after.

    Law: for every polygon before, ``area = kept + lost + border``, where ``border`` is what the tolerance forgives; and
    so for every polygon after with ``gained``.
    """

    links: Links
    lost: Polygons
    gained: Polygons


class Overlap(NamedTuple):
    """Ground of a layer that several of its polygons claim.

    Attributes:
        polygons: how many claim ground that another one has.
        inside: how many of these have nothing of their own.
    """

    polygons: int = 0
    inside: int = 0
    area_m2: float = 0.0

    def and_also(self, other: "Overlap") -> "Overlap":
        return Overlap(self.polygons + other.polygons, self.inside + other.inside, self.area_m2 + other.area_m2)


NO_OVERLAP = Overlap()


class Own(NamedTuple):
    """Polygons (N,) of a layer that do not overlap each other, and what was taken off for that."""

    polygons: Polygons
    overlap: Overlap


def without_overlaps(polygons: Polygons, others: Polygons | None = None) -> Own:
    """Each polygon without the ground that one before it has; empty where nothing is left.

    Slivers below :data:`SLIVER_M2` between two polygons stay: neighbours that touch have them.

    Args:
        others: polygons that come before all of these.
    """
    first = len(others) if others is not None else 0
    layer = np.concatenate([others, polygons]) if others is not None else polygons
    later, earlier = shapely.STRtree(layer).query(polygons, predicate="intersects")
    before = earlier < later + first
    later, earlier = later[before], earlier[before]
    large = shapely.area(shapely.intersection(polygons[later], layer[earlier])) > SLIVER_M2
    later, earlier = later[large], earlier[large]
    if not len(later):
        return Own(polygons, NO_OVERLAP)
    own, touched = polygons.copy(), np.unique(later)
    for row in touched.tolist():
        own[row] = shapely.difference(polygons[row], shapely.union_all(layer[earlier[later == row]]))
    own[touched] = areal(own[touched])
    whole, left = shapely.area(polygons[touched]), shapely.area(own[touched])
    nothing = left <= np.maximum(SLIVER_M2, NOTHING_SHARE * whole)
    own[touched[nothing]] = EMPTY
    return Own(own, Overlap(len(touched), int(nothing.sum()), float((whole - left).sum())))


def shared_ground(before: Polygons, after: Polygons) -> Links:
    """Pairs that share area."""
    left, right = shapely.STRtree(after).query(before, predicate="intersects")
    return _in_order(Links(left, right, shapely.area(shapely.intersection(before[left], after[right]))))


def _in_order(links: Links) -> Links:
    """Those that share area, sorted."""
    links = links.where(links.area_m2 > 0)
    return links.where(np.lexsort((links.after, links.before)))


def compare(before: Polygons, after: Polygons, *, tolerance_m: float, min_change_m2: float = 0.0) -> Comparison:
    """Compare two layers.

    Args:
        tolerance_m: ground of one layer within this distance of the other is jitter, unless it is part of a piece that
            reaches further.
        min_change_m2: smaller pieces are jitter, too.
    """
    left, right = shapely.STRtree(after).query(before, predicate="intersects")
    alike = _alike(before[left], after[right], tolerance_m)
    area = np.minimum(shapely.area(before[left]), shapely.area(after[right]))
    area[~alike] = shapely.area(shapely.intersection(before[left[~alike]], after[right[~alike]]))
    links = _in_order(Links(left, right, area))
    lost = _beyond(before, after, links.before, links.area_m2, left[alike], tolerance_m, min_change_m2)
    gained = _beyond(after, before, links.after, links.area_m2, right[alike], tolerance_m, min_change_m2)
    return Comparison(links, lost, gained)


def _alike(before: Polygons, after: Polygons, tolerance_m: float) -> NDArray[np.bool_]:
    """Of pairs, those whose outlines are nowhere further apart than the tolerance: most of a city."""
    near: NDArray[np.bool_] = (np.abs(shapely.bounds(before) - shapely.bounds(after)) <= tolerance_m).all(axis=1)
    near[near] = shapely.hausdorff_distance(before[near], after[near]) <= tolerance_m
    return near


def _beyond(
    own: Polygons, other: Polygons, linked: NDArray[np.intp], shared_m2: NDArray[np.float64], alike: NDArray[np.intp],
    tolerance_m: float, least_m2: float,
) -> Polygons:  # fmt: skip
    """Of each of ``own`` what ``other`` does not have, as far as it reaches further from it than the tolerance."""
    beyond = np.full(len(own), EMPTY, dtype=object)
    missing_m2 = shapely.area(own) - np.bincount(linked, shared_m2, minlength=len(own))
    missing_m2[alike] = 0
    some = np.flatnonzero(missing_m2 > max(least_m2, NOTHING_M2))
    around = _joined_near(own[some], other, tolerance_m)
    far = areal(shapely.difference(own[some], shapely.buffer(around, tolerance_m, quad_segs=QUARTER)))
    reached = ~shapely.is_empty(far)
    some, around, far = some[reached], around[reached], far[reached]
    back = shapely.buffer(far, REGROWN * tolerance_m, quad_segs=QUARTER)
    pieces = areal(shapely.intersection(shapely.difference(own[some], around), back))
    beyond[some] = _large(pieces, least_m2)
    return beyond


def _joined_near(polygons: Polygons, other: Polygons, distance_m: float) -> Polygons:
    """Of each polygon, what is near of the other layer, as one geometry."""
    rows, near = shapely.STRtree(other).query(polygons, predicate="dwithin", distance=distance_m)
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=len(polygons))
    column = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(polygons), max(1, counts.max(initial=0))), None, dtype=object)
    table[rows[order], column] = other[near[order]]
    joined: Polygons = shapely.union_all(table, axis=1)
    return joined


def _large(geometries: Polygons, least_m2: float) -> Polygons:
    """The geometries without their pieces below an area."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    large = shapely.area(parts) >= least_m2
    kept = np.full(len(geometries), EMPTY, dtype=object)
    if large.any():
        shapely.multipolygons(parts[large], indices=owner[large], out=kept)
    return kept


def bounds_of(polygons: Polygons) -> NDArray[np.float64]:
    """Left, bottom, right, top of all polygons; NaN where there are none."""
    found: NDArray[np.float64] = shapely.total_bounds(polygons) if len(polygons) else np.full(4, np.nan)
    return found


def areal(geometries: Polygons) -> Polygons:
    """The geometries without the points and lines that an overlay leaves where borders coincide."""
    result = geometries.copy()
    for index in np.flatnonzero(shapely.get_type_id(result) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(result[index])
        result[index] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    result[shapely.get_dimensions(result) < 2] = EMPTY
    return result
