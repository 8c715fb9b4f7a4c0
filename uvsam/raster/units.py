"""Which coordinate reference systems are on the Earth, and what their units are: degrees, grads, metres, feet."""

import functools
import math

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

METRES_PER_DEGREE = 111_000.0
"""Along a meridian, about: for lengths that need not be exact."""
FULL_TURN = 360.0


def is_on_earth(crs: CRS | None) -> bool:
    """Whether x and y of a CRS are a place on the Earth: not so of local, engineering, geocentric, vertical ones."""
    return crs is not None and bool(crs.is_geographic or crs.is_projected)


def degrees_per_unit(crs: CRS) -> float:
    """Degrees of one unit of a geographic CRS: 1, or 0.9 where it counts in grads."""
    return math.degrees(crs.axis_info[0].unit_conversion_factor)


def metres_per_unit(crs: CRS) -> float:
    """Metres of one unit: on the map of a projected CRS; about, along a meridian, of a geographic one."""
    if crs.is_geographic:
        return METRES_PER_DEGREE * degrees_per_unit(crs)
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


@functools.lru_cache(maxsize=64)
def turn_of(crs: CRS) -> float | None:
    """Units of x after which the same places come again: 360 in degrees, 40,075,016.69 in web mercator.

    None where places do not come again, as on a map whose meridians are not parallel.
    """
    if crs.is_geographic:
        return FULL_TURN / degrees_per_unit(crs)
    operation, geographic = crs.coordinate_operation, crs.geodetic_crs
    if operation is None or geographic is None or not crs.is_projected:
        return None
    middles = [
        math.degrees(float(one.value) * one.unit_conversion_factor)
        for one in operation.params
        if one.name.startswith("Longitude of")
    ]
    unit = degrees_per_unit(geographic)
    middle = sum(middles[:1]) / unit
    to_map = Transformer.from_crs(geographic.to_2d(), crs.to_2d(), always_xy=True)
    lon = np.array([-90, -45, 0, 45, 90, 90, -90]) / unit + middle
    try:
        x, _ = to_map.transform(lon, np.array([0, 0, 0, 0, 0, 40, 40]) / unit)
    except ProjError:
        return None
    if not np.isfinite(x).all():
        return None
    turn = float(2 * (x[4] - x[0]))
    straight = turn * np.array([-0.25, -0.125, 0, 0.125, 0.25, 0.25, -0.25])
    return turn if turn > 0 and np.allclose(x - x[2], straight, rtol=0, atol=1e-9 * turn) else None
