"""The map on which polygons from anywhere are measured."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from uvsam.raster.units import turn_of
from uvsam.vectors.antimeridian import together
from uvsam.vectors.polygon_files import PolygonLayer


def local_map(layers: Sequence[PolygonLayer]) -> CRS | None:
    """An equal-area CRS in metres around the first of ``layers`` that has polygons; None without a CRS."""
    for layer in layers:
        if layer.crs is not None and len(layer.polygons):
            return map_around(shapely.bounds(shapely.get_parts(layer.polygons)), layer.crs)
    return next((layer.crs for layer in layers if layer.crs is not None), None)


def map_around(boxes: NDArray[np.float64], crs: CRS) -> CRS:
    """An equal-area CRS in metres around rectangles (N, 4), each left, bottom, right, top.

    Azimuthal: distances are right to 0.01 % within 180 km of its centre (Snyder 1987, section 24).
    """
    boxes = together(np.asarray(boxes, float), turn_of(crs))
    (west, south), (east, north) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform((west + east) / 2, (south + north) / 2)
    return CRS.from_dict({"proj": "laea", "lat_0": lat, "lon_0": lon, "datum": "WGS84", "units": "m"})
