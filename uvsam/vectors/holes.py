"""Filling small holes."""

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]


def fill_holes(
    polygons: Geometries, min_area: float, *, keep_around: Geometries | None = None
) -> tuple[Geometries, NDArray[np.bool_]]:
    """Polygons without their holes below ``min_area``; law: polygons that did not overlap still do not.

    Args:
        polygons: (N,) polygons that do not overlap.
        min_area: in the square of the coordinates' unit.
        keep_around: (M,) points; a hole that contains one stays, whatever its size.

    Returns:
        (N,) polygons, and (N,) bool: True for those that lay in a filled hole, and are part of the polygon around it.
    """
    rings, owner = shapely.get_rings(polygons, return_index=True)
    outer = np.diff(owner, prepend=-1) > 0
    discs = shapely.polygons(rings)
    small = ~outer & (shapely.area(discs) < min_area)
    if keep_around is not None and small.any():
        candidates = np.flatnonzero(small)
        _, hit = shapely.STRtree(discs[candidates]).query(keep_around, predicate="intersects")
        small[candidates[hit]] = False

    filled = polygons.copy()
    for index in np.unique(owner[small]):
        own = slice(*np.searchsorted(owner, [index, index + 1]))
        holes = rings[own][~outer[own] & ~small[own]]
        filled[index] = shapely.Polygon(rings[own][0], list(holes))

    absorbed = np.zeros(len(polygons), np.bool_)
    if small.any():
        inside, _ = shapely.STRtree(discs[small]).query(shapely.point_on_surface(polygons), predicate="intersects")
        absorbed[inside] = True
    return filled, absorbed
