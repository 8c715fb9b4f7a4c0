"""Simplification that keeps polygons valid and apart."""

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]


def simplify(polygons: Geometries, tolerance_m: float) -> Geometries:
    """Fewer vertices, all of them original ones; shared edges stay shared.

    Topology-preserving Visvalingam-Whyatt over all polygons together (GEOS coverage simplification): corners go,
    smallest first, while the triangle they cut off is below ``tolerance_m ** 2``. Law: the result is valid and polygons
    that did not overlap still do not; polygons for which that fails are returned as they came.

    Args:
        polygons: (N,) valid polygons that do not overlap, in metres in a plane.
        tolerance_m: 0 changes nothing.
    """
    if tolerance_m <= 0 or not len(polygons):
        return polygons
    return keep_apart(shapely.coverage_simplify(polygons, tolerance_m), polygons)


def keep_apart(simple: Geometries, polygons: Geometries) -> Geometries:
    """``simple`` with the original of each polygon that became invalid or meets a neighbour's interior.

    Args:
        simple: (N,) simplified polygons.
        polygons: (N,) originals, valid and apart.
    """
    restored = ~_is_sound(simple)
    result: Geometries = np.where(restored, polygons, simple)
    # A polygon put back may meet a neighbour that was simplified; every round puts more back, so this ends.
    while not restored[pairs := overlapping_pairs(result)].all():
        restored[pairs] = True
        result[pairs] = polygons[pairs]
    return result


def overlapping_pairs(polygons: Geometries) -> NDArray[np.int64]:
    """(K, 2) indices of polygons whose interiors meet."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    first, second = first[first < second], second[first < second]
    overlap = shapely.relate_pattern(polygons[first], polygons[second], "T********")
    return np.stack([first[overlap], second[overlap]], axis=1)


def _is_sound(polygons: Geometries) -> NDArray[np.bool_]:
    kind = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    # A triangle may be so flat that it is valid, and has no area in the digits there are.
    sound: NDArray[np.bool_] = kind & shapely.is_valid(polygons) & (shapely.area(polygons) > 0)
    return sound
