"""Where an image is: its grid, or why it has none and what to do about it. All of it is known before work starts."""

import math
import shlex
import warnings
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from uvsam.errors import GeoreferencingError, SettingsError
from uvsam.raster.access import is_remote, name_of
from uvsam.raster.resolution import ground_resolution_m
from uvsam.raster.units import FULL_TURN, degrees_per_unit, is_on_earth, metres_per_unit

SMALLEST_M = 0.001
"""No image of a settlement has smaller pixels; degrees that are called metres have."""
STRETCHED = 100.0
"""A map whose unit is so many times too large or too small on the ground is far out of its range."""
FAR_DEGREES = 10.0
"""So far outside of the area that a CRS is made for, it is doubtful."""
SAME_GSD = 0.01
ACCEPT = "accept it with --allow-ungeoreferenced --gsd METRES"
FALSE_ORIGIN = ("False easting", "False northing", "Easting at false origin", "Northing at false origin")


def read_grid(dataset: Any, uri: str, *, allow_ungeoreferenced: bool = False, gsd_m: float | None = None) -> GeoBox:
    """The grid of an open dataset.

    Args:
        allow_ungeoreferenced: accept an image without a place on earth. Its grid has no CRS, and its unit is the metre.
            It starts at (0, 0), unless the image has a transform whose pixels are of this size: then it has that.
        gsd_m: metres per pixel of an image without a place on earth.

    Raises:
        GeoreferencingError: no CRS, one that is no place on earth, no position, or one that cannot be true; or accepted
            without ``gsd_m``.
        SettingsError: ``gsd_m`` for an image that says its own, or not positive.
    """
    uri = name_of(uri)
    doubt = _doubt(dataset, uri)
    if doubt is None:
        if gsd_m is not None:
            raise SettingsError(f"{uri} is georeferenced, so its pixel size is known; leave out the gsd")
        return GeoBox(dataset.shape, dataset.transform, _crs_name(dataset.crs.to_wkt()))
    if not allow_ungeoreferenced:
        raise GeoreferencingError(doubt)
    transform: Affine = dataset.transform
    if gsd_m is None:
        told = f" (in the units of the file they are {abs(transform.a):g})" if _is_placed(transform) else ""
        raise GeoreferencingError(
            f"{uri} has no place on earth that would tell how large its pixels are{told}; say it with --gsd METRES"
        )
    if not (gsd_m > 0 and math.isfinite(gsd_m)):
        raise SettingsError(f"the gsd must be above 0 m, not {gsd_m}")
    sizes = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    in_metres = _is_placed(transform) and all(abs(size / gsd_m - 1) <= SAME_GSD for size in sizes)
    return GeoBox(dataset.shape, transform if in_metres else Affine.scale(gsd_m, -gsd_m), None)


def _doubt(dataset: Any, uri: str) -> str | None:
    """Why an image has no place on earth, and what to do; None where it has one. Commands come last, to be copied."""
    if not _is_placed(dataset.transform):
        return _how_to_place(dataset, uri)
    shape, transform = dataset.shape, dataset.transform
    assign = f"{ACCEPT}, or assign the right one: gdal_edit.py -a_srs CODE {_editable(uri)}"
    unknown = assign.replace(" CODE ", " EPSG:<code> ")
    if not dataset.crs:
        return f"{uri} has no coordinate reference system; {unknown}"
    try:
        crs = CRS.from_wkt(dataset.crs.to_wkt())
    except CRSError:
        return f"{uri} has a coordinate reference system that cannot be read; {unknown}"
    if not is_on_earth(crs):
        right = assign.replace(" CODE ", f" {_code_of(crs.name)} ")
        return f"{uri} has the coordinate reference system '{crs.name}' ({crs.type_name}), no place on earth; {right}"
    if _starts_at_zero(shape, transform, crs):
        return (
            f"{uri} says {crs.name}, but its corner is at (0, 0), as in an image without a position; {ACCEPT}, or say "
            f"where it is: gdal_edit.py -a_ullr <left> <top> <right> <bottom> {_editable(uri)}"
        )
    if wrong := _impossible(shape, transform, crs):
        return f"{uri}: {wrong}; {unknown}"
    _warn_of_far_places(shape, transform, crs, uri)
    return None


def _editable(uri: str) -> str:
    """How a command that changes a file names the image; one on the network has to be downloaded first."""
    return "<downloaded copy>" if is_remote(uri) else shlex.quote(uri)


def _is_placed(transform: Affine) -> bool:
    sound = transform.determinant != 0 and all(map(math.isfinite, transform))
    return bool(sound and transform != Affine.identity())


def _how_to_place(dataset: Any, uri: str) -> str:
    if dataset.rpcs is not None:  # ground control points beside them are rough
        beside = " and ground control points" if dataset.gcps[0] else ""
        return (
            f"{uri} has only RPCs{beside}; orthorectify it first (without an elevation model: -to RPC_HEIGHT=METRES, "
            "the height of the ground above the ellipsoid, in place of RPC_DEM): "
            f"gdalwarp -rpc -r bilinear -dstalpha -to RPC_DEM=dem.tif {shlex.quote(uri)} georeferenced.tif"
        )
    if dataset.gcps[0]:
        return (
            f"{uri} has only ground control points; warp it first: "
            f"gdalwarp -r bilinear -dstalpha -co TILED=YES {shlex.quote(uri)} georeferenced.tif"
        )
    return f"{uri} has no georeferencing; {ACCEPT}, or give it a position (QGIS georeferencer)"


def _code_of(name: str) -> str:
    """The code of a CRS of the Earth that has this name."""
    try:
        known = CRS.from_user_input(name)
    except CRSError:
        return "EPSG:<code>"
    authority = known.to_authority() if is_on_earth(known) else None
    return "EPSG:<code>" if authority is None else ":".join(authority)


def _crs_name(wkt: str) -> str:
    """``EPSG:32643`` where that is exactly what the file means, else its WKT."""
    authority = CRS.from_wkt(wkt).to_authority(min_confidence=100)
    return wkt if authority is None else ":".join(authority)


def _corners(shape: tuple[int, int], transform: Affine) -> list[tuple[float, float]]:
    height, width = shape
    return [transform * at for at in ((0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2))]


def _starts_at_zero(shape: tuple[int, int], transform: Affine, crs: CRS) -> bool:
    """Whether a corner is at (0, 0), within a pixel, where the CRS has nothing to show.

    That is where pixels are 1 x 1, the size before any is set; in the sea south of Ghana, which (0, 0) is to most CRS
    of the whole world; and where coordinates have an offset so that they are never 0.
    """
    pixel = max(abs(transform.a), abs(transform.b), abs(transform.d), abs(transform.e))
    at_zero = any(max(map(abs, corner)) <= pixel for corner in _corners(shape, transform)[:3:2])
    if not at_zero:
        return False
    if abs(transform.a) == abs(transform.e) == 1 and not crs.is_geographic:
        return True
    operation = crs.coordinate_operation
    if operation is not None and any(one.name in FALSE_ORIGIN and one.value for one in operation.params):
        return True
    lon, lat = _lon_lat(crs, [(0.0, 0.0)])
    return bool(np.hypot(lon, lat)[0] < 1e-6)


def _impossible(shape: tuple[int, int], transform: Affine, crs: CRS) -> str | None:
    """What of a position cannot be true."""
    corners = _corners(shape, transform)
    said = f"coordinates such as ({corners[4][0]:.10g}, {corners[4][1]:.10g})"
    lon, lat = _lon_lat(crs, corners)
    half_pixel = abs(transform.e) * degrees_per_unit(crs) / 2 if crs.is_geographic else 0.0
    known = np.isfinite(lon).all() and np.isfinite(lat).all() and (np.abs(lat) <= 90 + half_pixel).all()
    if not known or (np.abs(lon) > 1.5 * FULL_TURN).any():
        return f"{said} are not a place in {crs.name}"
    try:
        gsd_m = ground_resolution_m(GeoBox(shape, transform, crs.to_wkt()))
    except GeoreferencingError:
        return f"{said} are not a place in {crs.name}"
    if not crs.is_geographic:
        sizes = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
        nominal_m = [size * metres_per_unit(crs) for size in sizes]
        stretched = [abs(math.log(real / told)) for real, told in zip(gsd_m, nominal_m, strict=True)]
        if max(stretched) > math.log(STRETCHED):
            return f"{said} are not a place in {crs.name}"
    if max(gsd_m) < SMALLEST_M:
        hint = ", as if they were degrees" if all(abs(value) <= FULL_TURN for value in corners[4]) else ""
        return f"{said} in {crs.name} make pixels of {max(gsd_m):.2g} m{hint}"
    return None


def _lon_lat(crs: CRS, places: list[tuple[float, float]]) -> tuple[Any, Any]:
    """Longitudes from the prime meridian of the CRS and latitudes, in degrees; not finite where there are none."""
    x, y = np.array(places, float).T
    geographic = crs.geodetic_crs
    if crs.is_geographic or geographic is None:
        return x * degrees_per_unit(crs), y * degrees_per_unit(crs)
    try:
        lon, lat = Transformer.from_crs(crs.to_2d(), geographic.to_2d(), always_xy=True).transform(x, y)
    except ProjError:
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    return lon * degrees_per_unit(geographic), lat * degrees_per_unit(geographic)


def _warn_of_far_places(shape: tuple[int, int], transform: Affine, crs: CRS, uri: str) -> None:
    authority = crs.to_authority()  # the CRS of a file comes without its area
    area = None if authority is None else CRS.from_authority(*authority).area_of_use
    if area is None:
        return
    middle = _corners(shape, transform)[4]
    try:
        lon, lat = Transformer.from_crs(crs.to_2d(), "EPSG:4326", always_xy=True).transform(*middle)
    except ProjError:
        return
    width = (area.east - area.west) % FULL_TURN or FULL_TURN
    beside = max(0.0, abs((lon - area.west - width / 2 + 180) % FULL_TURN - 180) - width / 2)
    off = max(beside, area.south - lat, lat - area.north)
    if off > FAR_DEGREES:
        warnings.warn(
            f"{name_of(uri)} lies {off:.0f} degrees outside of the area that {crs.name} is made for "
            f"({area.name.partition('.')[0]}); is it the right coordinate reference system?",
            stacklevel=5,
        )
