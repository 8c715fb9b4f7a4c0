"""Areas and lengths on the ground, whatever the coordinate reference system."""

import math
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from uvsam.errors import GeoreferencingError
from uvsam.raster.units import degrees_per_unit, metres_per_unit

Geometries = NDArray[np.object_]
Floats = NDArray[np.float64]

_ELLIPSOID = Geod(ellps="WGS84")
_EDGE_M = 1000.0
_EDGE_DEGREES = 0.01


def geodesic_measures(geometries: Geometries, crs: CRS) -> tuple[Floats, Floats]:
    """Area in m2 and perimeter in m (holes included) on the WGS84 ellipsoid.

    Edges are straight in ``crs``: long ones are cut into pieces of about 1 km before they become geodesics. The rings
    are measured with Karney's algorithm (PROJ's geodesics).

    Args:
        geometries: (N,) polygons or multipolygons.
        crs: geographic or projected.

    Raises:
        GeoreferencingError: the coordinates have no place on the ellipsoid.
    """
    parts, part_owner = shapely.get_parts(geometries, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    rings = shapely.force_2d(rings)
    step = _EDGE_DEGREES / degrees_per_unit(crs) if crs.is_geographic else _EDGE_M / metres_per_unit(crs)
    # Before long edges are cut: coordinates that are no place would be cut without end.
    _lon_lat(shapely.get_coordinates(rings), crs)
    xy, ring_of = shapely.get_coordinates(shapely.segmentize(rings, step), return_index=True)
    lon, lat = _lon_lat(xy, crs)

    sign = np.where(np.diff(ring_part, prepend=-1) > 0, 1.0, -1.0)
    owner = part_owner[ring_part]
    bounds = np.searchsorted(ring_of, np.arange(len(rings) + 1))
    area, perimeter = np.zeros((2, len(geometries)))
    for index, (start, stop) in enumerate(pairwise(bounds)):
        ring_area, ring_length = _ELLIPSOID.polygon_area_perimeter(lon[start:stop], lat[start:stop])
        area[owner[index]] += sign[index] * abs(ring_area)
        perimeter[owner[index]] += ring_length
    return area, perimeter


def planar_measures(geometries: Geometries) -> tuple[Floats, Floats]:
    """Area in m2 and perimeter in m (holes included) of geometries in metres in a plane."""
    area: Floats = shapely.area(geometries)
    perimeter: Floats = shapely.length(geometries)
    return area, perimeter


def compactness(area_m2: Floats, perimeter_m: Floats) -> Floats:
    """Polsby-Popper: ``4 * pi * area / perimeter ** 2``, 1 for a disc, pi / 4 for a square."""
    return 4 * math.pi * area_m2 / perimeter_m**2


def _lon_lat(xy: Floats, crs: CRS) -> tuple[Floats, Floats]:
    problem = "they are not on the Earth; does the image have the right CRS?"
    try:
        lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(xy[:, 0], xy[:, 1], errcheck=True)
        if np.isfinite(lon).all() and (np.abs(lat) <= 90.0).all():
            return lon, lat
    except ProjError as error:
        problem = str(error)
    raise GeoreferencingError(f"cannot measure polygons in {crs.name}: {problem}")
