"""Where layers say that they are: coordinates that cannot be of their CRS, and layers of different places."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely import affinity

from uvsam.errors import LabelError
from uvsam.raster.units import METRES_PER_DEGREE, degrees_per_unit

Floats = NDArray[np.float64]

LON_LAT = CRS.from_user_input("OGC:CRS84")
TURN, POLE = 361.0, 90.1
"""Largest longitude, as some count to 360, and latitude, in degrees, with a border."""
OF_DEGREES = 1.0
"""Sides of villages in degrees are shorter; in metres they are longer."""
WIDE = 90.0
"""Degrees of longitude: a CRS of more ground is of no region."""
ELSEWHERE_M = 10_000.0
"""Villages that are further apart than this, and than the places they are in are wide, are of different places."""


class Extent(NamedTuple):
    """Where the ground of a layer is.

    Attributes:
        bounds: left, bottom, right, top.
        seen: the ground that was looked at, in degrees if there is a CRS; None where nobody said, and bounds are those
            of villages.
    """

    path: Path
    bounds: Floats
    crs: CRS | None
    seen: shapely.Geometry | None = None


def check_coordinates(path: Path, bounds: Floats, crs: CRS | None) -> None:
    """Whether coordinates can be of a CRS: degrees declared as metres, and the other way round, cannot.

    Args:
        bounds: (N, 4) left, bottom, right, top of every polygon.

    Raises:
        LabelError: they cannot.
    """
    if not len(bounds):
        return
    left, bottom, right, top = whole = _around(bounds)
    x, y = max(abs(left), abs(right)), max(abs(bottom), abs(top))
    told = f"{path} has coordinates from {_pair(whole[:2])} to {_pair(whole[2:])}"
    if crs is not None and crs.is_geographic:
        turn, pole = (float(limit / degrees_per_unit(crs)) for limit in (TURN, POLE))
        if x <= turn and y <= pole:
            return
        if x <= pole and y <= turn:
            raise LabelError(f"{told}: latitude stands first; longitude must, so swap x and y")
        if path.suffix.lower().endswith("json"):
            raise LabelError(f"{told}; GeoJSON is in longitude and latitude, in degrees: save it in EPSG:4326")
        raise LabelError(f"{told}, no degrees, and says that it is in {crs.name}; give it the CRS they are of")
    small = (bounds[:, 2:] - bounds[:, :2]).max() < OF_DEGREES
    if x > TURN or y > POLE or not small or _is_local(crs):
        return
    said = "has no coordinate reference system" if crs is None else f"says that it is in {crs.name}"
    raise LabelError(f"{path} {said}, but its coordinates look like degrees; give it the CRS EPSG:4326")


def _is_local(crs: CRS | None) -> bool:
    """Whether the origin of a CRS lies in the region that it is for, so that a village may be there."""
    area = None if crs is None else crs.area_of_use
    if crs is None or area is None:
        return crs is not None  # a map of the user's own
    lon, lat = Transformer.from_crs(crs, LON_LAT, always_xy=True).transform(0.0, 0.0)
    wide = (area.east - area.west) % 360 or 360.0
    return bool(wide < WIDE and (lon - area.west) % 360 <= wide and area.south <= lat <= area.north)


def check_common_ground(extents: Sequence[Extent]) -> None:
    """Whether every layer is of the place of another one.

    Ground that was looked at must have some in common. Villages alone may all be new, so that only those far from all
    others are of another place.

    Raises:
        LabelError: one is not, with both places.
    """
    known = [one for one in extents if np.isfinite(one.bounds).all()]
    if len(known) < 2 or any((one.crs is None) != (known[0].crs is None) for one in known):
        return
    for one in known:
        others = [other for other in known if other is not one]
        if not any(_meet(one, other) for other in others):
            other = others[0]
            raise LabelError(
                f"{one.path} and {other.path} have no ground in common: {describe(one.bounds, one.crs)}, and "
                f"{describe(other.bounds, other.crs)}{_swapped(one, other)}"
            )


def _meet(one: Extent, other: Extent) -> bool:
    if one.seen is not None and other.seen is not None:
        return bool(shapely.area(shapely.intersection(one.seen, other.seen)) > 0)
    first, second = shapely.box(*_on_earth(one)), shapely.box(*_on_earth(other))
    if one.crs is not None:  # 181 degrees east are 179 degrees west
        turns = round((first.centroid.x - second.centroid.x) / 360)
        second = affinity.translate(second, 360 * turns)
    metres = 1.0 if one.crs is None else METRES_PER_DEGREE
    apart = metres * shapely.distance(first, second)
    across = metres * max(np.hypot(*np.subtract(box.bounds[2:], box.bounds[:2])) for box in (first, second))
    return bool(apart <= max(ELSEWHERE_M, across))


def _swapped(one: Extent, other: Extent) -> str:
    """Whether swapped axes explain it; which layer has them can be told only where just one of the two explains it."""
    explains = [turned for turned, still in ((one, other), (other, one)) if _meets_turned(turned, still)]
    if not explains:
        return ""
    return f"; x and y of {explains[0].path if len(explains) == 1 else 'one of the two'} are swapped"


def _meets_turned(turned: Extent, still: Extent) -> bool:
    left, bottom, right, top = turned.bounds
    try:
        return _meet(turned._replace(bounds=np.array([bottom, left, top, right]), seen=None), still)
    except (LabelError, ProjError):  # what is no place on earth is no explanation
        return False


def _on_earth(one: Extent) -> Floats:
    """Bounds in degrees; as they are where there is no CRS."""
    if one.crs is None:
        return one.bounds
    found = Transformer.from_crs(one.crs, LON_LAT, always_xy=True).transform_bounds(*one.bounds)
    if not np.isfinite(found).all():
        raise LabelError(f"{one.path} has coordinates that are not on the Earth; does it have the right CRS?")
    left, bottom, right, top = found
    return np.array([left, bottom, right + 360.0 * (right < left), top])


def describe(bounds: Floats, crs: CRS | None) -> str:
    """Bounds for people: longitude and latitude; as they are where there is no CRS."""
    left, bottom, right, top = _on_earth(Extent(Path(), bounds, crs))
    if crs is None:
        return f"x {left:,.0f} to {right:,.0f}, y {bottom:,.0f} to {top:,.0f}"
    return f"longitude {left:.4f} to {right:.4f}, latitude {bottom:.4f} to {top:.4f}"


def extent_of_villages(path: Path, bounds: Floats, crs: CRS | None) -> Extent:
    """Of villages with these bounds (N, 4); NaN where there are none."""
    return Extent(path, _around(bounds) if len(bounds) else np.full(4, np.nan), crs)


def _around(bounds: Floats) -> Floats:
    found: Floats = np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)])
    return found


def _pair(xy: Floats) -> str:
    return f"({xy[0]:.7g}, {xy[1]:.7g})"
