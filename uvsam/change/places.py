"""Where the villages are: zones, rings around a centre, distances."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.overlay import Links, Polygons

Floats = NDArray[np.float64]

ROUND = 64
"""Segments of a quarter of a ring: its area is right to 0.01 %."""

MOSTLY = 0.5 + 1e-9
"""Share of a village that makes it one of a zone, whatever another one has; halves of two neighbours do not."""


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
    """Villages by zone: of each zone all the area that lies in it, whatever other zones have of it.

    A village across a border is counted once, in the zone that has most of it; where zones overlap, in every zone that
    has more than half of it, too.

    Args:
        villages, zones: on one map in metres.
    """
    shapely.prepare(zones)
    inside, whole = shapely.STRtree(villages).query(zones, predicate="covers")[::-1]
    left, right = shapely.STRtree(villages).query(zones, predicate="intersects")[::-1]
    crossing = ~np.isin(left * len(zones) + right, inside * len(zones) + whole)
    left, right = left[crossing], right[crossing]
    cut = shapely.area(shapely.intersection(villages[left], zones[right]))
    links = Links(
        np.concatenate([left, inside]), np.concatenate([right, whole]),
        np.concatenate([cut, shapely.area(villages[inside])]),
    )  # fmt: skip
    links = links.where(links.area_m2 > 0)
    area = np.bincount(links.after, links.area_m2, minlength=len(zones)).astype(float)
    order = np.lexsort((-links.after, links.area_m2))  # of places that are assigned again and again, the last stays
    most = np.full(len(villages), -1, np.intp)
    most[links.before[order]] = links.after[order]
    counts = (most[links.before] == links.after) | (links.area_m2 > MOSTLY * shapely.area(villages)[links.before])
    return InZone(np.bincount(links.after[counts], minlength=len(zones)).astype(np.intp), area)


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
