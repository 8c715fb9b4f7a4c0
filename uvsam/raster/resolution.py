"""How large a pixel is on the ground."""

import math

from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from uvsam.errors import GeoreferencingError
from uvsam.raster.units import degrees_per_unit, is_on_earth


def ground_resolution_m(geobox: GeoBox) -> tuple[float, float]:
    """Metres on the ground per pixel, (x, y): along a row and along a column, at the centre of the raster.

    Distances are geodesics on the ellipsoid of the CRS, so degrees, grads, feet, rotation and the scale of web mercator
    are all taken care of. Without a CRS the unit is taken to be the metre.

    Raises:
        GeoreferencingError: the centre is not a place on Earth, or pixels have no size.
    """
    height, width = geobox.shape
    column, row = width / 2, height / 2
    steps = ((-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5))
    ends = [geobox.affine * (column + x, row + y) for x, y in steps]
    crs = None if geobox.crs is None else CRS.from_user_input(geobox.crs.to_wkt())
    sizes = [math.dist(*ends[:2]), math.dist(*ends[2:])] if crs is None else _geodesics_m(crs, ends)
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        name = "none" if crs is None else crs.name
        raise GeoreferencingError(
            f"the centre {geobox.affine * (column, row)} is not a place in the CRS {name}; assign the right one"
        )
    return sizes[0], sizes[1]


def _geodesics_m(crs: CRS, ends: list[tuple[float, float]]) -> list[float]:
    geographic, geod = crs.geodetic_crs, crs.get_geod()
    if geographic is None or geod is None or not is_on_earth(crs):
        return [math.nan, math.nan]
    try:
        to_lonlat = Transformer.from_crs(crs.to_2d(), geographic.to_2d(), always_xy=True)
        lon, lat = to_lonlat.transform([x for x, _ in ends], [y for _, y in ends])
    except ProjError:
        return [math.nan, math.nan]
    degrees = degrees_per_unit(geographic)  # pyproj measures in degrees, whatever the CRS counts in
    lon, lat = ([degrees * value for value in values] for values in (lon, lat))
    if not all(math.isfinite(value) and abs(value) <= 90 for value in lat):
        return [math.nan, math.nan]
    _, _, distances = geod.inv([lon[0], lon[2]], [lat[0], lat[2]], [lon[1], lon[3]], [lat[1], lat[3]])
    return [float(distance) for distance in distances]
