"""Which coordinate reference systems are on the Earth, and what their units are: degrees, grads, metres, feet."""

import math

from pyproj import CRS

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
